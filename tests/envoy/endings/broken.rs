//! Endings that are the version's doing, or Envoy's, which waits no longer.

use std::io::{self, Write as _};

use serde_json::json;

use super::client::{call, get, get_two, soon};
use super::table::{Case, FAILED, GOOD, HANGS, HANGS_OVER_TWO, NONE, SLOW_FAILURE, breaks, case, routed, stalls};
use super::upstream::Upstream::{One, Two};
use super::upstream::whole;
use kit::h2::fields;
use kit::h2::{Connection, DATA, END_STREAM, GOAWAY, HEADERS};

pub fn cases() -> Vec<Case> {
    [whole_answers(), broken_over_one(), broken_over_two(), hanging()].into_iter().flatten().collect()
}

macro_rules! answers {
    ($text:expr) => {
        One(|one, _| {
            one.head()?;
            one.say($text)?;
            soon();
            Ok(())
        })
    };
}

fn whole_answers() -> Vec<Case> {
    vec![
        case("good", One(|one, _| one.head().and_then(|_| one.say(&whole(200)))), get, GOOD),
        case("missing", One(|one, _| one.head().and_then(|_| one.say(&whole(404)))), get, GOOD),
        case("error", One(|one, _| one.head().and_then(|_| one.say(&whole(500)))), get, FAILED),
        case("without-an-end-but-the-connection", answers!("HTTP/1.1 200 OK\r\n\r\nuntil the end"), get, GOOD),
        case("more-than-was-said", answers!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nhello"), get, GOOD),
        case(
            "good-over-two",
            Two(|two, _| {
                let id = two.whole()?;
                two.begin(id, "200", &[], false)?;
                two.data(id, b"hello", true)?;
                two.hang()
            }),
            get_two,
            GOOD,
        ),
        case(
            "error-over-two",
            Two(|two, _| {
                let id = two.whole()?;
                two.begin(id, "503", &[], true)?;
                two.hang()
            }),
            get_two,
            FAILED,
        ),
    ]
}

fn broken_over_one() -> Vec<Case> {
    vec![
        case("closes", One(|one, _| one.head().map(drop)), get, FAILED),
        case("no-status-line", answers!("so what\r\n\r\n"), get, FAILED),
        case("half-a-head", answers!("HTTP/1.1 200 OK\r\ncontent-le"), get, FAILED),
        case(
            "two-lengths",
            answers!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi"),
            get,
            FAILED,
        ),
        case("too-short", answers!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na part"), get, FAILED),
        case("too-short-for-two", answers!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na part"), get_two, FAILED),
        case("nothing-of-it", answers!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"), get, FAILED),
        case(
            "no-last-chunk",
            answers!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
            get,
            FAILED,
        ),
        case("half-a-chunk", answers!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe"), get, FAILED),
        case(
            "bad-size",
            answers!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"),
            get,
            FAILED,
        ),
        case(
            "bad-size-for-two",
            answers!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"),
            get_two,
            FAILED,
        ),
        case(
            "bad-trailers",
            answers!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n"),
            get,
            FAILED,
        ),
    ]
}

fn begun_well(two: &mut Connection, id: u32) -> io::Result<()> {
    two.begin(id, "200", &[], false)?;
    two.data(id, b"a part", false)?;
    soon();
    Ok(())
}

fn broken_over_two() -> Vec<Case> {
    vec![
        case("reset-at-once", breaks!(|two, id| two.reset(id, 2)?), get_two, FAILED),
        case("refused", breaks!(|two, id| two.reset(id, 7)?), get_two, FAILED),
        case(
            "reset-after-headers",
            breaks!(|two, id| {
                two.begin(id, "200", &[], false)?;
                soon();
                two.reset(id, 2)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "reset-in-the-body",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.reset(id, 2)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "reset-for-one",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.reset(id, 2)?;
            }),
            get,
            FAILED,
        ),
        case(
            "cancelled-in-the-body",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.reset(id, 8)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "reset-without-error",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.reset(id, 0)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "closed-in-the-body",
            Two(|two, _| {
                let id = two.whole()?;
                begun_well(two, id)
            }),
            get_two,
            FAILED,
        ),
        case("closed-at-once", Two(|two, _| two.whole().map(drop)), get_two, FAILED),
        case(
            "goes-away",
            Two(|two, _| {
                let id = two.whole()?;
                begun_well(two, id)?;
                two.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])
            }),
            get_two,
            FAILED,
        ),
        case(
            "no-frames",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.raw(&[0xff; 64])?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "longer-than-was-said",
            breaks!(|two, id| {
                two.begin(id, "200", &[("content-length", "3")], false)?;
                two.data(id, b"hello", true)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "shorter-than-was-said",
            breaks!(|two, id| {
                two.begin(id, "200", &[("content-length", "30")], false)?;
                two.data(id, b"hello", true)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "pseudo-trailers",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.headers(id, &fields(&[(":status", "200")]), true)?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "no-hpack",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.frame(HEADERS, 4 | END_STREAM, id, &[0xff; 9])?;
            }),
            get_two,
            FAILED,
        ),
        case(
            "a-foreign-stream",
            breaks!(|two, id| {
                begun_well(two, id)?;
                two.frame(DATA, 0, id + 100, b"?")?;
            }),
            get_two,
            FAILED,
        ),
    ]
}

fn hanging() -> Vec<Case> {
    vec![
        // Envoy's own limits, before there is an answer: nobody but the version lets them pass.
        routed("no-answer-in-time", HANGS, get, json!({"timeout": "1.3s"}), SLOW_FAILURE),
        routed("idle-without-an-answer", HANGS, get, json!({"idle_timeout": "1.3s"}), SLOW_FAILURE),
        routed(
            "too-long-without-an-answer",
            HANGS,
            get,
            json!({"max_stream_duration": {"max_stream_duration": "1.3s"}}),
            SLOW_FAILURE,
        ),
        routed("no-answer-to-a-call", HANGS_OVER_TWO, call, json!({"timeout": "1.3s"}), SLOW_FAILURE),
        // The same limits later: a client that does not read lets them pass, too.
        routed("stalls", stalls!("200"), get, json!({"timeout": "1.3s"}), NONE),
        routed("stalls-idle", stalls!("200"), get, json!({"idle_timeout": "1.3s"}), NONE),
        routed(
            "stalls-too-long",
            stalls!("200"),
            get_two,
            json!({"max_stream_duration": {"max_stream_duration": "1.3s"}}),
            NONE,
        ),
        routed("an-error-stalls", stalls!("500"), get, json!({"idle_timeout": "1.3s"}), FAILED),
        // Of a request that never ends, the client is to blame.
        routed(
            "idle-upload",
            HANGS,
            |visit| {
                let mut stream = visit.one("POST", "content-length: 100\r\n")?;
                stream.write_all(b"a part")?;
                io::Read::read_to_end(&mut stream, &mut Vec::new()).map(drop)
            },
            json!({"idle_timeout": "1.3s"}),
            NONE,
        ),
    ]
}
