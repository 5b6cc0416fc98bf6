//! Endings that are the client's doing, and answers that take their time: streams, uploads, calls.

use std::io::{self, Write as _};

use serde_json::json;

use super::client::{Visit, begun, call, get, get_two, late, soon, uploads};
use super::table::{
    Case, FAILED, GOOD, HANGS, HANGS_OVER_TWO, NONE, READS_NO_BODY, SLOW, SLOW_FAILURE, breaks, case, routed, stalls,
};
use super::upstream::Upstream::{self, One, Two};
use super::upstream::{pause, whole};
use kit::h2::fields;

pub fn cases() -> Vec<Case> {
    [leaving(), timing(), grpc()].into_iter().flatten().collect()
}

fn at_once() {}

/// Waits, and then leaves: by a reset with this code, or by closing the connection.
macro_rules! leaves {
    ($wait:expr, $code:literal) => {
        |visit| {
            let (mut connection, id) = visit.asked()?;
            $wait;
            connection.reset(id, $code)?;
            soon();
            Ok(())
        }
    };
    ($wait:expr) => {
        |visit| {
            let _connection = visit.asked()?;
            $wait;
            Ok(())
        }
    };
}

/// Waits until the answer begins, and then leaves.
macro_rules! leaves_after_the_headers {
    ($code:literal) => {
        |visit| {
            let (mut connection, id) = visit.asked()?;
            begun(&mut connection)?;
            connection.reset(id, $code)?;
            soon();
            Ok(())
        }
    };
}

fn uploads_and_leaves(visit: &Visit, code: Option<u32>) -> io::Result<()> {
    let mut connection = visit.two()?;
    let id = connection.request(&visit.headers("POST", &[]), false)?;
    connection.data(id, b"a part", false)?;
    late();
    if let Some(code) = code {
        connection.reset(id, code)?;
        soon();
    }
    Ok(())
}

fn leaving() -> Vec<Case> {
    vec![
        case("cancels-soon", HANGS, leaves!(soon(), 8), NONE),
        case("ends-without-error-soon", HANGS, leaves!(soon(), 0), NONE),
        case("resets-soon", HANGS_OVER_TWO, leaves!(soon(), 2), NONE),
        case("closes-soon", HANGS_OVER_TWO, leaves!(soon()), NONE),
        case("leaves-soon", HANGS, |visit| visit.one("GET", "").map(|_| soon()), NONE),
        case("at-once", HANGS, leaves!(at_once(), 8), NONE),
        case(
            "breaks-soon",
            HANGS,
            |visit| {
                let (mut connection, _) = visit.asked()?;
                soon();
                connection.raw(&[0xff; 64])?;
                soon();
                Ok(())
            },
            NONE,
        ),
        case("cancels-late", HANGS, leaves!(late(), 8), SLOW_FAILURE),
        case("ends-without-error-late", HANGS, leaves!(late(), 0), SLOW_FAILURE),
        case("cancels-late-over-two", HANGS_OVER_TWO, leaves!(late(), 8), SLOW_FAILURE),
        case("closes-late", HANGS, leaves!(late()), SLOW_FAILURE),
        case("leaves-late", HANGS, |visit| visit.one("GET", "").map(|_| late()), SLOW_FAILURE),
        case("cancels-an-upload", HANGS_OVER_TWO, |visit| uploads_and_leaves(visit, Some(8)), NONE),
        case("ends-an-upload-without-error", HANGS, |visit| uploads_and_leaves(visit, Some(0)), NONE),
        case("closes-in-an-upload", HANGS, |visit| uploads_and_leaves(visit, None), NONE),
        // The version's doing, but a client that stops sending looks the same.
        routed("unread", READS_NO_BODY, |visit| uploads(visit, 64), json!({"idle_timeout": "1.3s"}), NONE),
        // Envoy does not see the client leave: it is behind what it cannot read yet.
        case("unread-and-closed", READS_NO_BODY, |visit| uploads(visit, 64), FAILED),
        case(
            "uploads-and-leaves-late",
            HANGS,
            |visit| {
                let mut stream = visit.one("POST", "content-length: 5\r\n")?;
                stream.write_all(b"hello")?;
                late();
                Ok(())
            },
            SLOW_FAILURE,
        ),
        case(
            "uploads-trailers-and-leaves-late",
            HANGS_OVER_TWO,
            |visit| {
                let mut connection = visit.two()?;
                let id = connection.request(&visit.headers("POST", &[]), false)?;
                connection.data(id, b"hello", false)?;
                connection.headers(id, &fields(&[("x-sum", "1")]), true)?;
                late();
                connection.reset(id, 8)?;
                soon();
                Ok(())
            },
            SLOW_FAILURE,
        ),
        case(
            "leaves-after-an-upload",
            HANGS,
            |visit| {
                let mut stream = visit.one("POST", "content-length: 5\r\n")?;
                stream.write_all(b"he")?;
                late();
                stream.write_all(b"llo")?;
                soon();
                Ok(())
            },
            NONE,
        ),
        // The answer is there: what it was counts.
        case("cancels-in-the-body", stalls!("200"), leaves_after_the_headers!(8), GOOD),
        case("ends-in-the-body", stalls!("200"), leaves_after_the_headers!(0), GOOD),
        case("cancels-an-error", stalls!("500"), leaves_after_the_headers!(8), FAILED),
        case("ends-an-error", stalls!("503"), leaves_after_the_headers!(0), FAILED),
        case(
            "leaves-in-the-body",
            stalls!("200"),
            |visit| {
                let mut stream = visit.one("GET", "")?;
                io::Read::read_exact(&mut stream, &mut [0; 9])
            },
            GOOD,
        ),
        case(
            "leaves-an-error",
            stalls!("502"),
            |visit| {
                let mut stream = visit.one("GET", "")?;
                io::Read::read_exact(&mut stream, &mut [0; 9])
            },
            FAILED,
        ),
    ]
}

const STREAMS: Upstream = One(|one, _| {
    one.head()?;
    one.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
    for _ in 0..8 {
        one.say("8\r\ndata: 1\n\r\n")?;
        pause(200);
    }
    one.say("0\r\n\r\n")
});

fn slow_upload(visit: &Visit) -> io::Result<()> {
    let mut stream = visit.one("POST", "content-length: 16\r\nconnection: close\r\n")?;
    for _ in 0..8 {
        stream.write_all(b"ab")?;
        pause(200);
    }
    io::Read::read_to_end(&mut stream, &mut Vec::new()).map(drop)
}

fn timing() -> Vec<Case> {
    vec![
        case(
            "slow",
            One(|one, _| {
                one.head()?;
                late();
                one.say(&whole(200))
            }),
            get,
            SLOW,
        ),
        case(
            "slow-error",
            One(|one, _| {
                one.head()?;
                late();
                one.say(&whole(500))
            }),
            get,
            SLOW_FAILURE,
        ),
        case(
            "slow-over-two",
            Two(|two, _| {
                let id = two.whole()?;
                late();
                two.begin(id, "200", &[], true)?;
                two.hang()
            }),
            get_two,
            SLOW,
        ),
        case("streams", STREAMS, get, GOOD),
        case("streams-for-two", STREAMS, get_two, GOOD),
        case(
            "uploads-slowly",
            One(|one, _| {
                one.head()?;
                io::Read::read_exact(&mut one.0, &mut [0; 16])?;
                one.say(&whole(200))
            }),
            slow_upload,
            GOOD,
        ),
        case(
            "uploads-slowly-with-trailers",
            One(|one, _| {
                one.head()?;
                one.chunks()?;
                one.say(&whole(200))
            }),
            |visit| {
                let mut connection = visit.two()?;
                let id = connection.request(&visit.headers("POST", &[]), false)?;
                connection.data(id, b"hello", false)?;
                late();
                connection.headers(id, &fields(&[("x-sum", "1")]), true)?;
                connection.answer(id).map(drop)
            },
            GOOD,
        ),
        case(
            "slow-after-an-upload",
            One(|one, _| {
                one.head()?;
                io::Read::read_exact(&mut one.0, &mut [0; 5])?;
                late();
                one.say(&whole(200))
            }),
            |visit| {
                let mut stream = visit.one("POST", "content-length: 5\r\nconnection: close\r\n")?;
                stream.write_all(b"hello")?;
                io::Read::read_to_end(&mut stream, &mut Vec::new()).map(drop)
            },
            SLOW,
        ),
        case(
            "answers-before-the-end",
            One(|one, _| {
                one.head()?;
                late();
                one.say("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")?;
                late();
                Ok(())
            }),
            |visit| {
                let mut stream = visit.one("POST", "content-length: 100\r\n")?;
                stream.write_all(b"hello")?;
                io::Read::read_to_end(&mut stream, &mut Vec::new()).map(drop)
            },
            GOOD,
        ),
        routed(
            "lost-first-try",
            One(|one, n| {
                one.head()?;
                if n == 0 {
                    late();
                    return Ok(());
                }
                one.say(&whole(200))
            }),
            get,
            json!({"retry_policy": {"retry_on": "reset", "num_retries": 1}}),
            SLOW,
        ),
    ]
}

/// Answers a call: the message, and trailers with this status.
macro_rules! calls {
    ($status:literal) => {
        breaks!(|two, id| {
            two.begin(id, "200", &[("content-type", "application/grpc")], false)?;
            two.data(id, &[0; 5], false)?;
            two.headers(id, &fields(&[("grpc-status", $status)]), true)?;
        })
    };
}

/// Answers a call by trailers alone.
macro_rules! refuses {
    ($status:literal) => {
        breaks!(|two, id| two.begin(
            id,
            "200",
            &[("content-type", "application/grpc"), ("grpc-status", $status)],
            true
        )?)
    };
}

fn calls_and_leaves(visit: &Visit, code: u32) -> io::Result<()> {
    let mut connection = visit.two()?;
    let headers = visit.headers("POST", &[("content-type", "application/grpc"), ("te", "trailers")]);
    let id = connection.request(&headers, false)?;
    connection.data(id, &[0; 5], true)?;
    begun(&mut connection)?;
    connection.reset(id, code)?;
    soon();
    Ok(())
}

fn grpc() -> Vec<Case> {
    vec![
        case("call-ok", calls!("0"), call, GOOD),
        case("call-not-found", calls!("5"), call, GOOD),
        case("call-unavailable", calls!("14"), call, FAILED),
        case("call-refused-unavailable", refuses!("14"), call, FAILED),
        case("call-internal", refuses!("13"), call, FAILED),
        case("call-unimplemented", refuses!("12"), call, GOOD),
        case("call-unimplemented-late", calls!("12"), call, GOOD),
        case(
            "call-without-a-status",
            breaks!(|two, id| {
                two.begin(id, "200", &[("content-type", "application/grpc")], false)?;
                two.data(id, &[0; 5], true)?;
            }),
            call,
            FAILED,
        ),
        case(
            "call-broken",
            breaks!(|two, id| {
                two.begin(id, "200", &[("content-type", "application/grpc")], false)?;
                two.data(id, &[0; 5], false)?;
                soon();
                two.reset(id, 2)?;
            }),
            call,
            FAILED,
        ),
        case(
            "call-cancelled",
            breaks!(|two, id| {
                two.begin(id, "200", &[("content-type", "application/grpc")], false)?;
                two.data(id, &[0; 5], false)?;
            }),
            |visit| calls_and_leaves(visit, 8),
            GOOD,
        ),
        // For HTTP/2 that is no error at all, and Envoy makes up a status.
        case(
            "call-ended",
            breaks!(|two, id| {
                two.begin(id, "200", &[("content-type", "application/grpc")], false)?;
                two.data(id, &[0; 5], false)?;
            }),
            |visit| calls_and_leaves(visit, 0),
            GOOD,
        ),
        // Both sides go on: the answer begins before the request ends.
        case(
            "talks",
            Two(|two, _| {
                let id = two.read()?.stream;
                late();
                two.begin(id, "200", &[("content-type", "application/grpc")], false)?;
                two.whole()?;
                two.headers(id, &fields(&[("grpc-status", "0")]), true)?;
                two.hang()
            }),
            |visit| {
                let mut connection = visit.two()?;
                let headers = visit.headers("POST", &[("content-type", "application/grpc"), ("te", "trailers")]);
                let id = connection.request(&headers, false)?;
                connection.data(id, &[0; 5], false)?;
                begun(&mut connection)?;
                connection.data(id, &[0; 5], true)?;
                connection.whole().map(drop)
            },
            GOOD,
        ),
    ]
}
