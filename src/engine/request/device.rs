//! Turns what a client says about itself into the class of its device.

use crate::value::search;

/// The class of the device: the client's own hint first, then what browsers put into `user-agent`.
pub(super) fn class<'r>(agent: Option<&[u8]>, mobile_hint: impl FnOnce() -> Option<&'r [u8]>) -> Option<&'static [u8]> {
    let words: [&[u8]; 7] = [b"bot", b"crawl", b"spider", b"ipad", b"tablet", b"android", b"mobi"];
    let [bot, crawl, spider, ipad, tablet, android, mobi] = search::words(words, agent.unwrap_or_default());
    if bot || crawl || spider {
        return Some(b"bot");
    }
    // Android phones say "Mobile", Android tablets do not.
    if ipad || tablet || (android && !mobi) {
        return Some(b"tablet");
    }
    match mobile_hint() {
        Some(b"?1") => return Some(b"mobile"),
        Some(b"?0") => return Some(b"desktop"),
        _ => {}
    }
    agent?;
    Some(if mobi { b"mobile" } else { b"desktop" })
}
