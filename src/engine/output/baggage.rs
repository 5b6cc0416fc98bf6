//! Turns the W3C baggage of a request into one that tells the decisions, too: `tidegate.checkout=v2`.
//!
//! One member a flag, because tools show each member as a field of its own. What others put there stays, byte for byte
//! and in its order; what a client sent under a name of ours goes. Never grows over the limits of the standard: there
//! is room for all of ours, or none is added. Keys of flags and names of variants need no escapes there.

use percent_encoding::percent_decode;

pub const BAGGAGE: &str = "baggage";

/// What the names of our members begin with.
const OURS: &[u8] = b"tidegate.";

/// What a receiver has to accept, in bytes and members. Many drop all of a larger baggage.
const BYTES: usize = 8_192;
const MEMBERS: usize = 180;

/// How many members of a request are checked. The rest is dropped, because it could be forged.
const LOOKED_AT: usize = 1_024;

/// The baggage that goes on, of all `baggage` headers that came, in order, and our flags with their variants; empty if
/// none is left, and `None` if nothing changes. `owned` says whether a flag of this key is ours to tell.
#[must_use]
pub fn rewritten<'b>(
    sent: &[&[u8]],
    ours: impl Iterator<Item = (&'b str, &'b str)>,
    owned: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let (mut all, mut count, mut changed) = (Vec::new(), 0_usize, false);
    let mut add = |all: &mut Vec<u8>, parts: &[&[u8]]| {
        if !all.is_empty() {
            all.push(b',');
        }
        for part in parts {
            all.extend_from_slice(part);
        }
        count = count.saturating_add(1);
        count
    };
    let members = sent.iter().flat_map(|header| header.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    for (place, member) in members.filter(|member| !member.is_empty()).enumerate() {
        if place >= LOOKED_AT {
            changed = true;
            break;
        }
        if is_ours(member, &owned) {
            changed = true;
        } else {
            add(&mut all, &[member]);
        }
    }
    let kept = all.len();
    let mut members = 0;
    for (key, variant) in ours {
        members = add(&mut all, &[OURS, key.as_bytes(), b"=", variant.as_bytes()]);
    }
    if all.len() > BYTES || members > MEMBERS {
        all.truncate(kept);
    }
    (changed || all.len() > kept).then_some(all)
}

/// Whether some reader would mistake the member for one of ours.
///
/// Readers differ: some decode names, some take `+` for a blank, and blanks around a name are cut off.
fn is_ours(member: &[u8], owned: &impl Fn(&[u8]) -> bool) -> bool {
    let name = member.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
    let plain = percent_decode(name).filter(|byte| byte.is_ascii_graphic() && *byte != b'+');
    let mut plain = plain.map(|byte| byte.to_ascii_lowercase());
    if !OURS.iter().all(|letter| plain.next() == Some(*letter)) {
        return false;
    }
    owned(&plain.collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The baggage as text, where `checkout` and `nav` are ours and these are decided.
    fn after(sent: &[&str], ours: &[(&str, &str)]) -> Option<String> {
        let sent: Vec<&[u8]> = sent.iter().map(|header| header.as_bytes()).collect();
        let owned = |key: &[u8]| matches!(key, b"checkout" | b"nav");
        rewritten(&sent, ours.iter().copied(), owned).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn ours_come_behind_what_is_there() {
        let ours = [("checkout", "v2"), ("nav", "on")];
        for (sent, due) in [
            (&[][..], "tidegate.checkout=v2,tidegate.nav=on"),
            (&[""], "tidegate.checkout=v2,tidegate.nav=on"),
            (&["a=1;p=%20 , b = 2"], "a=1;p=%20,b = 2,tidegate.checkout=v2,tidegate.nav=on"),
            (&["a=1", "b=2,", "a=3"], "a=1,b=2,a=3,tidegate.checkout=v2,tidegate.nav=on"),
            (&["no member"], "no member,tidegate.checkout=v2,tidegate.nav=on"),
            (&["tidegate.other=1,tidegate=2"], "tidegate.other=1,tidegate=2,tidegate.checkout=v2,tidegate.nav=on"),
        ] {
            assert_eq!(after(sent, &ours).as_deref(), Some(due), "{sent:?}");
        }
    }

    #[test]
    fn what_is_forged_goes_in_every_spelling() {
        for name in [
            "tidegate.nav",
            " tidegate.nav ",
            "tidegate%2Enav",
            "%74idegate.nav",
            "tidegate.nav%20",
            "+tidegate.nav",
            "Tidegate.Nav",
            "tidegate.nav\u{a0}",
        ] {
            assert_eq!(after(&[&format!("a=1,{name}=v9;p,b=2")], &[]).as_deref(), Some("a=1,b=2"), "{name}");
            assert_eq!(after(&[&format!("{name}=v9")], &[]).as_deref(), Some(""), "{name}");
            assert_eq!(after(&[name], &[("nav", "on")]).as_deref(), Some("tidegate.nav=on"), "{name}");
        }
        for kept in ["a=1", "tidegate.navy=1", "x-tidegate.nav=1", "a=tidegate.nav=1", "tidegate%252Enav=1"] {
            assert_eq!(after(&[kept], &[]), None, "{kept}");
        }
    }

    #[test]
    fn there_is_room_for_all_of_ours_or_none_is_added() {
        let ours = [("checkout", "v2"), ("nav", "on")];
        let size = ",tidegate.checkout=v2,tidegate.nav=on".len();
        let fits = format!("a={}", "x".repeat(BYTES - size - 2));
        assert_eq!(after(&[&fits], &ours).unwrap().len(), BYTES);
        let over = format!("{fits}x");
        assert_eq!(after(&[&over], &ours), None);
        assert_eq!(after(&[&over, "tidegate.nav=off"], &ours), Some(over));
        let many = vec!["a=1"; MEMBERS - 2].join(",");
        assert_eq!(after(&[&many], &ours).unwrap().split(',').count(), MEMBERS);
        assert_eq!(after(&[&many, "a=1"], &ours), None);
        let all = vec!["a=1"; LOOKED_AT].join(",");
        assert_eq!(after(&[&all], &ours), None);
        assert_eq!(after(&[&all, "a=1,tidegate.nav=v9"], &ours), Some(all));
    }
}
