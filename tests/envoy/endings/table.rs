//! The endings, as data: what the version does, what the client does, and what the guard has to count.
//!
//! Counted are requests, failures and slow answers of the one request that is made. Nothing at all is no outcome.

use std::io;

use serde_json::Value;

use super::client::Visit;
use super::upstream::Upstream::{self, One, Two};
use super::upstream::pause;
use super::{broken, clients};

/// Requests, failures and slow answers.
pub type Due = [u64; 3];

pub const GOOD: Due = [1, 0, 0];
pub const FAILED: Due = [1, 1, 0];
pub const SLOW: Due = [1, 0, 1];
pub const SLOW_FAILURE: Due = [1, 1, 1];
pub const NONE: Due = [0, 0, 0];

/// One ending.
pub struct Case {
    pub name: &'static str,
    pub upstream: Upstream,
    pub client: fn(&Visit) -> io::Result<()>,
    pub route: Value,
    pub due: Due,
}

pub fn case(name: &'static str, upstream: Upstream, client: fn(&Visit) -> io::Result<()>, due: Due) -> Case {
    Case { name, upstream, client, route: Value::Null, due }
}

pub fn routed(
    name: &'static str,
    upstream: Upstream,
    client: fn(&Visit) -> io::Result<()>,
    route: Value,
    due: Due,
) -> Case {
    Case { name, upstream, client, route, due }
}

pub fn cases() -> Vec<Case> {
    [broken::cases(), clients::cases()].into_iter().flatten().collect()
}

// === what versions do ===

pub const HANGS: Upstream = One(|one, _| {
    one.head()?;
    one.hang()
});

/// Takes the head of a request and none of its body, and closes when everybody has left.
pub const READS_NO_BODY: Upstream = One(|one, _| {
    one.head()?;
    pause(5_000);
    Ok(())
});

pub const HANGS_OVER_TWO: Upstream = Two(|two, _| two.hang());

/// Begins an answer with this status, sends a part of it, and stops there.
macro_rules! stalls {
    ($status:literal) => {
        $crate::endings::upstream::Upstream::One(|one, _| {
            one.head()?;
            one.say(concat!("HTTP/1.1 ", $status, " OK\r\ncontent-length: 100\r\n\r\na part"))?;
            one.hang()
        })
    };
}

/// Takes a request, and then does this with the connection and the stream.
macro_rules! breaks {
    (|$two:ident, $id:ident| $work:expr) => {
        $crate::endings::upstream::Upstream::Two(|$two, _| {
            let $id = $two.whole()?;
            $work;
            $two.hang()
        })
    };
}

pub(crate) use {breaks, stalls};
