//! What goes over the border comes back as it was, whatever is called within what, and nothing is freed twice.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops"
)]

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use super::abi::{Attribute, Headers, Lent};
use super::config::{ConfigHandle, Kind, Scheduler};
use super::export::{Module, Next, calls};
use super::model::{envoy, world};
use super::stream::{Room, StreamHandle};

fn stream() -> StreamHandle<'static> {
    // SAFETY: the model looks at no pointer, and each test has one handle at a time.
    unsafe { StreamHandle::new(envoy()) }
}

fn config() -> ConfigHandle<'static> {
    // SAFETY: as above.
    unsafe { ConfigHandle::new(envoy()) }
}

fn seen(of: Headers) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (stream, mut room) = (stream(), Room::default());
    stream.headers(of, &mut room).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[test]
fn headers_come_as_they_are_few_or_many() {
    for count in [0, 1, 64, 65, 300] {
        let all: Vec<_> = (0..count).map(|n| (format!("x-{n}").into_bytes(), vec![0xff; n % 3])).collect();
        world(|world| world.headers[0].clone_from(&all));
        assert_eq!(seen(Headers::Request), all, "{count}");
    }
    assert_eq!(seen(Headers::ResponseTrailers), []);
}

#[test]
fn what_is_changed_is_changed_and_what_is_lent_is_read() {
    let mut stream = stream();
    assert!(stream.set_header(Headers::Request, b"a", b"1") && stream.add_header(Headers::Request, b"a", b""));
    assert!(stream.add_header(Headers::Request, b"b", b"\0\xff"));
    assert_eq!(stream.header(Headers::Request, b"a", 0), Some(&b"1"[..]));
    assert_eq!(stream.header(Headers::Request, b"a", 1), Some(&b""[..]));
    assert_eq!(stream.header(Headers::Request, b"a", 2), None);
    assert!(stream.remove_header(Headers::Request, b"a"));
    assert_eq!(seen(Headers::Request), [(b"b".to_vec(), b"\0\xff".to_vec())]);

    assert_eq!((stream.state(b"k"), stream.typed_state(b"k")), (None, None));
    assert!(stream.set_state(b"k", b"v") && stream.set_state_of_request(b"r", b""));
    assert_eq!((stream.state(b"k"), stream.typed_state(b"r")), (Some(b"v".to_vec()), Some(Vec::new())));
    world(|world| {
        world.texts.insert(Attribute::SourceAddress as u32, b"192.0.2.1:80".to_vec());
        world.numbers.insert(Attribute::ResponseCode as u32, 204);
    });
    assert_eq!(stream.text(Attribute::SourceAddress), Some(&b"192.0.2.1:80"[..]));
    assert_eq!((stream.text(Attribute::PeerUriSan), stream.number(Attribute::ResponseFlags)), (None, None));
    assert_eq!(stream.number(Attribute::ResponseCode), Some(204));

    stream.clear_route_cache();
    stream.respond(503, &[(b"retry-after", b"1")], b"later", b"why");
    stream.respond_with_headers(&[]);
    let headers = vec![(b"retry-after".to_vec(), b"1".to_vec())];
    world(|world| {
        assert_eq!(world.replies, [(503, headers, b"later".to_vec()), (0, Vec::new(), Vec::new())]);
        assert_eq!(world.routes_cleared, 1);
    });
}

#[test]
fn a_metric_has_its_labels() {
    let labels = |values: &[&str]| values.iter().map(|value| Box::from(*value)).collect::<Vec<Box<str>>>();
    let mut config = config();
    let plain = config.define(Kind::Gauge, "state", &[]).unwrap();
    let labelled = config.define(Kind::Counter, "decisions", &["flag", "variant"]).unwrap();
    let times = config.define(Kind::Histogram, "times", &["flag"]).unwrap();
    assert!(config.tell(plain, &[], 1) && config.tell(labelled, &labels(&["a", "on"]), 2));
    assert!(stream().tell(times, &labels(&["a"]), 3) && !stream().tell(labelled, &labels(&["a"]), 4));
    world(|world| {
        assert_eq!(world.metrics[1], ("decisions".to_owned(), vec![b"flag".to_vec(), b"variant".to_vec()]));
        let told: Vec<u64> = world.told.iter().map(|(_, _, value)| *value).collect();
        assert_eq!((told, &world.told[1].1), (vec![1, 2, 3], &vec![b"a".to_vec(), b"on".to_vec()]));
    });
}

#[test]
fn a_scheduler_is_given_back() {
    let mut scheduler: Scheduler = config().scheduler().unwrap();
    scheduler.commit();
    world(|world| assert_eq!((world.schedulers, world.commits), (1, 1)));
    drop(scheduler);
    world(|world| assert_eq!(world.schedulers, 0));
}

/// A filter that does what its config says.
struct Toy;

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Passes,
    Answers,
    Nests,
    Panics,
}

struct Request {
    what: What,
    calls: usize,
}

thread_local! {
    static ALIVE: Cell<usize> = const { Cell::new(0) };
    static DONE: Cell<usize> = const { Cell::new(0) };
    static SLOT: Cell<*const c_void> = const { Cell::new(ptr::null()) };
}

impl Drop for Request {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

impl Module for Toy {
    type Config = Vec<u8>;
    type Stream = Request;

    fn configure(_: ConfigHandle<'_>, name: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        assert!(bytes != b"panic");
        (name == b"toy" && bytes != b"bad").then(|| bytes.to_vec())
    }

    fn scheduled(config: &Vec<u8>, mut handle: ConfigHandle<'_>) {
        assert!(config != b"no ticks");
        drop(handle.scheduler());
    }

    fn stream(config: &Vec<u8>) -> Option<Request> {
        (config != b"none").then(|| {
            ALIVE.set(ALIVE.get() + 1);
            let what = match config.as_slice() {
                b"answers" => What::Answers,
                b"nested" => What::Nests,
                b"panics" => What::Panics,
                _ => What::Passes,
            };
            Request { what, calls: 0 }
        })
    }

    fn request_headers(request: &mut Request, mut handle: StreamHandle<'_>, end: bool) -> Next {
        request.calls += 1;
        assert!(request.what != What::Panics, "a test");
        handle.set_header(Headers::Request, b"end", if end { b"1" } else { b"0" });
        if request.what == What::Nests {
            let slot = SLOT.get();
            // SAFETY: as Envoy might: it is done with the request while the request's own call runs.
            unsafe { calls::done::<Toy>(envoy(), slot) };
            // SAFETY: as above.
            unsafe { calls::stream_destroy::<Toy>(slot) };
            assert_eq!((request.calls, ALIVE.get()), (1, 1), "it is still there");
        }
        if request.what == What::Answers { Next::Answered } else { Next::Upstream }
    }

    fn request_body(request: &mut Request, _: StreamHandle<'_>, _: bool) {
        request.calls += 1;
    }

    fn request_trailers(request: &mut Request, _: StreamHandle<'_>) {
        request.calls += 1;
    }

    fn response_headers(request: &mut Request, _: StreamHandle<'_>) {
        request.calls += 1;
    }

    fn response_end(request: &mut Request, _: StreamHandle<'_>) {
        request.calls += 1;
    }

    fn response_trailers(request: &mut Request, _: StreamHandle<'_>) {
        request.calls += 1;
    }

    fn done(request: &mut Request, _: StreamHandle<'_>) {
        DONE.set(request.calls);
    }
}

fn configured(name: &[u8], bytes: &[u8]) -> *const c_void {
    let lent = |bytes: &[u8]| Lent { ptr: bytes.as_ptr(), len: bytes.len() };
    // SAFETY: both live until the call returns.
    unsafe { calls::config_new::<Toy>(envoy(), lent(name), lent(bytes)) }
}

/// One request from beginning to end. Returns whether it goes on after its headers.
fn request(what: &[u8]) -> bool {
    let config = configured(b"toy", what);
    assert!(!config.is_null());
    // SAFETY: in the order of the ABI, each pointer for as long as it is good.
    let slot = unsafe { calls::stream_new::<Toy>(config) };
    assert!(!slot.is_null(), "Envoy would close the request");
    SLOT.set(slot);
    // SAFETY: as above.
    let goes_on = unsafe { calls::request_headers::<Toy>(envoy(), slot, true) };
    if what != b"nested" {
        for call in [
            calls::request_trailers::<Toy>,
            calls::response_headers::<Toy>,
            calls::response_end::<Toy>,
            calls::response_trailers::<Toy>,
        ] {
            // SAFETY: as above.
            unsafe { call(envoy(), slot) };
        }
        // SAFETY: as above.
        unsafe { calls::request_body::<Toy>(envoy(), slot, true) };
        // SAFETY: as above.
        unsafe { calls::done::<Toy>(envoy(), slot) };
        // SAFETY: as above.
        unsafe { calls::stream_destroy::<Toy>(slot) };
    }
    // SAFETY: as above.
    unsafe { calls::config_scheduled::<Toy>(envoy(), config) };
    // SAFETY: as above.
    unsafe { calls::config_destroy::<Toy>(config) };
    goes_on
}

#[test]
fn a_request_lives_from_its_headers_to_its_end() {
    assert!(request(b"") && !request(b"answers"));
    assert_eq!((DONE.get(), ALIVE.get()), (6, 0));
    assert_eq!(seen(Headers::Request), [(b"end".to_vec(), b"1".to_vec())]);
}

#[test]
fn what_envoy_drops_within_a_call_is_freed_after_it() {
    assert!(request(b"nested"));
    assert_eq!((DONE.get(), ALIVE.get()), (0, 0));
}

#[test]
fn a_request_without_a_stream_passes() {
    assert!(request(b"none"));
    assert_eq!((DONE.get(), ALIVE.get()), (0, 0));
}

#[test]
fn a_panic_stays_inside_and_its_request_passes() {
    assert!(request(b"panics"));
    // What was half done is neither touched nor dropped.
    assert_eq!((DONE.get(), ALIVE.get()), (0, 1));
    assert!(request(b"no ticks") && configured(b"toy", b"panic").is_null());
}

#[test]
fn a_config_is_refused_by_a_null_pointer() {
    assert!(configured(b"toy", b"bad").is_null() && configured(b"other", b"").is_null());
    // SAFETY: Envoy does not, but it is allowed.
    unsafe { calls::config_destroy::<Toy>(ptr::null()) };
}

#[test]
fn the_abi_is_named() {
    // SAFETY: a text that lives for ever.
    let version = unsafe { core::ffi::CStr::from_ptr(calls::init()) };
    assert_eq!(version, c"v0.1.0", "the model has nothing that is new");
}
