//! One proxy's life, over a host that is a few maps: pushes, requests, ticks, and a host that will not.
//!
//! Runs in this process: no module, no interpreter, no Envoy.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops"
)]

mod large;

use core::cell::{Cell, RefCell};
use core::fmt::Arguments;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::filters::Filters;
use crate::host::share::Rc;
use crate::host::{Host, Level};
use crate::metrics::catalogue::Kind;
use crate::outcome::{Ending, Moment};
use crate::push::Instance;
use crate::stream::{Next, Stream};
use tidegate_engine::output::effect::{self, rewritten};
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::value::time::Timestamp;

type Fields = Vec<(String, Vec<u8>)>;

/// A proxy of one worker. Its shared memory and its metrics outlive whatever runs in it.
#[derive(Default)]
struct Fake {
    millis: Cell<i64>,
    /// By how many microseconds the clock goes on with each look at it.
    step: Cell<u64>,
    micros: Cell<u64>,
    config: RefCell<Vec<u8>>,
    lines: RefCell<Vec<(Level, String)>>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    /// By number: the name, what it is, and its value.
    metrics: RefCell<Vec<(String, Kind, u64)>>,
    period: Cell<Duration>,
    headers: RefCell<Fields>,
    trailers: RefCell<Fields>,
    response: RefCell<Fields>,
    state: RefCell<BTreeMap<String, Vec<u8>>>,
    replies: RefCell<Vec<(u32, String)>>,
    will_not_reply: Cell<bool>,
}

fn pairs(fields: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))
}

impl Host for Fake {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.get())
    }

    fn moment(&self) -> Moment {
        self.micros.set(self.micros.get() + self.step.get());
        Moment::new(Duration::from_millis(self.millis.get().unsigned_abs()) + Duration::from_micros(self.micros.get()))
    }

    fn log(&self, level: Level, line: Arguments<'_>) {
        self.lines.borrow_mut().push((level, line.to_string()));
    }

    fn filter(&self) -> [Vec<u8>; 3] {
        [b"tidegate".to_vec(), Vec::new(), Vec::new()]
    }

    fn two_in_force(&self) -> &'static str {
        "two filters have one name"
    }

    fn config(&self) -> Vec<u8> {
        self.config.borrow().clone()
    }

    fn requests_wait(&self) -> bool {
        true
    }

    fn tick_after(&self, period: Duration) {
        self.period.set(period);
    }

    fn request_trailers(&self) -> Headers {
        Headers::collect(pairs(&self.trailers.borrow()))
    }

    fn remove_trailer(&self, name: &[u8]) -> bool {
        self.trailers.borrow_mut().retain(|(known, _)| known.as_bytes() != name);
        true
    }

    fn property(&self, _: &Property) -> Option<Vec<u8>> {
        None
    }

    fn listener(&self) -> Option<Vec<u8>> {
        Some(b"admin".to_vec())
    }

    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool {
        if self.will_not_reply.get() {
            return false;
        }
        self.replies.borrow_mut().push((reply.status, reply.body.to_owned()));
        true
    }

    fn state(&self, name: &str) -> Option<Vec<u8>> {
        self.state.borrow().get(name).cloned()
    }

    fn keep(&self, name: &str, value: &[u8]) {
        self.state.borrow_mut().insert(name.to_owned(), value.to_vec());
    }

    fn keep_over_redirects(&self, _: &str) {}

    fn set_response_header(&self, name: &str, value: &[u8]) {
        self.remove_response_header(name);
        self.add_response_header(name, value);
    }

    fn remove_response_header(&self, name: &str) {
        self.response.borrow_mut().retain(|(known, _)| known != name);
    }

    fn add_response_header(&self, name: &str, value: &[u8]) {
        self.response.borrow_mut().push((name.to_owned(), value.to_vec()));
    }

    fn final_status(&self) -> Option<u64> {
        None
    }

    fn ending(&self) -> Ending {
        Ending::default()
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn response_trailer(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn define(&self, name: &str, kind: Kind) -> Option<u32> {
        let mut metrics = self.metrics.borrow_mut();
        let known = metrics.iter().position(|(known, ..)| known == name);
        let place = known.unwrap_or_else(|| {
            metrics.push((name.to_owned(), kind, 0));
            metrics.len() - 1
        });
        u32::try_from(place).ok()
    }

    fn add(&self, id: u32, more: u32) {
        self.metrics.borrow_mut()[id as usize].2 += u64::from(more);
    }

    fn record(&self, id: u32, value: u64) {
        let (_, kind, known) = &mut self.metrics.borrow_mut()[id as usize];
        // Envoy adds to a counter what is recorded, whichever worker says so.
        *known = if *kind == Kind::Counter { *known + value } else { value };
    }

    fn value(&self, id: u32) -> u64 {
        self.metrics.borrow()[id as usize].2
    }

    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.shared.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool {
        let mut shared = self.shared.borrow_mut();
        let before = shared.get(name).map(|(_, version)| *version);
        if version.is_some() && before.is_some() && version != before {
            return false;
        }
        shared.insert(name.to_owned(), (value.to_vec(), before.unwrap_or(0) + 1));
        true
    }
}

impl Fake {
    /// Pushes a config: the instance, and whether it was accepted.
    fn push(&self, filters: &Rc<Filters>, config: &str) -> (Instance, bool) {
        *self.config.borrow_mut() = config.as_bytes().to_vec();
        let mut instance = Instance::new(Rc::clone(filters));
        let accepted = instance.configure(self);
        (instance, accepted)
    }

    /// A request without a body, up to its upstream or its answer, and whether it goes on.
    fn begin(&self, instance: &Instance, path: &str, more: &[(&str, &str)]) -> (Stream, bool) {
        self.open(instance, path, more, true)
    }

    /// A request up to its upstream or its answer; `end` is whether it has nothing but headers.
    fn open(&self, instance: &Instance, path: &str, more: &[(&str, &str)], end: bool) -> (Stream, bool) {
        let usual = [(":method", "GET"), (":authority", "shop.example"), (":path", path)];
        let all = usual.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        *self.headers.borrow_mut() = all.collect();
        *self.response.borrow_mut() = Fields::new();
        self.state.borrow_mut().clear();
        let mut stream = instance.stream().unwrap();
        let headers = Headers::collect(pairs(&self.headers.borrow()));
        let goes_on = match stream.request_headers(self, headers.iter(), end) {
            Next::Upstream(effects) => {
                let all = rewritten(headers.iter(), &effects).into_iter();
                let owned = |(name, value): (&[u8], &[u8])| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec());
                *self.headers.borrow_mut() = all.map(owned).collect();
                true
            }
            Next::Answered => false,
        };
        (stream, goes_on)
    }

    /// Its answer.
    fn end(&self, mut stream: Stream, code: u64) {
        let response = Headers::collect(pairs(&self.response.borrow()));
        stream.response_headers(self, || Some(code), |name| response.joined(name.as_bytes())).apply(self);
        stream.done(self);
    }

    fn request(&self, instance: &Instance, code: u64) -> Option<String> {
        let (stream, goes_on) = self.begin(instance, "/", &[]);
        assert!(goes_on);
        self.end(stream, code);
        self.header("x-flag-checkout")
    }

    fn tick(&self, instance: &mut Instance) {
        self.millis.set(self.millis.get() + 250);
        instance.tick(self);
    }

    fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.borrow();
        let mut values = headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        let value = values.next().map(|value| String::from_utf8(value.clone()).unwrap());
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }

    /// The value of a metric by its whole name; none if it was never defined.
    fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.metrics.borrow();
        metrics.iter().find(|(known, ..)| known == name).map(|(.., value)| *value)
    }

    fn last_line(&self) -> (Level, String) {
        self.lines.borrow().last().unwrap().clone()
    }
}

/// A config of one flag that serves this variant to everybody.
fn serves(revision: &str, variant: &str) -> String {
    format!(
        r#"{{"version": 1, "revision": "{revision}", "inspect": {{"listener": "admin"}},
            "flags": {{"checkout": {{"rules": [{{"serve": "{variant}"}}], "metrics": "counts"}}}}}}"#
    )
}

const BAD: &str = r#"{"version": 1, "flags": {"checkout": {"rules": [{"serve": "nothing"}]}}}"#;
const REPLY: &str = r#"{"version": 1, "flags": {"checkout": {"variants": [{"name": "off", "reply": {"status": 503,
    "body": "paused"}}], "baseline": "off"}}}"#;
const DECIDED: &str = "tidegate.decisions.flag=.=checkout;.;variant=.=on;.;reason=.=static;.;total";

#[test]
fn a_push_decides_and_a_request_carries_it() {
    let (host, filters) = (Fake::default(), Rc::default());
    let (instance, accepted) = host.push(&filters, &serves("one", "on"));
    assert!(accepted);
    let (level, line) = host.last_line();
    assert!(level == Level::Info && line.starts_with("config: revision one is active: 1 flags"), "{line}");
    let forged = [("x-flag-checkout", "forged"), ("x_flag_checkout", "forged"), ("x-user", "ana")];
    let (mut stream, goes_on) = host.open(&instance, "/", &forged, false);
    assert!(goes_on);
    assert_eq!(host.header("x-flag-checkout").as_deref(), Some("on"));
    assert_eq!(host.header("x_flag_checkout"), None);
    assert_eq!(host.header("x-user").as_deref(), Some("ana"));
    *host.trailers.borrow_mut() = vec![("x-sum".into(), b"1".to_vec()), ("x-flag-checkout".into(), b"on".to_vec())];
    stream.request_trailers(&host);
    assert_eq!(host.trailers.borrow().len(), 1);
    host.end(stream, 200);
}

#[test]
fn a_bad_push_is_refused_or_decides_nothing() {
    let (host, filters) = (Fake::default(), Rc::default());
    // The first of all: there is nothing to fall back on, and refusing it would stop traffic.
    let (mut first, accepted) = host.push(&filters, BAD);
    assert!(accepted && host.last_line().0 == Level::Error, "{:?}", host.last_line());
    assert_eq!(host.request(&first, 200), None);
    let _ = host.begin(&first, "/", &[("x-flag-checkout", "forged")]);
    assert_eq!(host.header("x-flag-checkout"), None);
    assert_eq!(host.metric("tidegate.config.state"), Some(0));
    host.tick(&mut first);
    // A good one.
    let (good, accepted) = host.push(&filters, &serves("good", "on"));
    assert!(accepted);
    assert_eq!([host.metric("tidegate.config.state"), host.metric("tidegate.config.refused")], [Some(1), Some(0)]);
    // Another bad one is refused; the first is not, because it was accepted before: the good one stands in for it.
    let (other, accepted) = host.push(&filters, "{}");
    assert!(!accepted && other.stream().is_none());
    assert!(host.last_line().1.starts_with("config: refused"), "{:?}", host.last_line());
    assert_eq!(host.metric("tidegate.config.refused"), Some(1));
    assert_eq!(host.request(&good, 200).as_deref(), Some("on"));
    let (again, accepted) = host.push(&filters, BAD);
    assert!(accepted && host.last_line().1.contains("the last good revision good stays"), "{:?}", host.last_line());
    assert_eq!(host.request(&again, 200).as_deref(), Some("on"));
    // In another worker of the same proxy, too, that has seen none of it.
    let (there, accepted) = host.push(&Rc::default(), BAD);
    assert!(accepted);
    assert_eq!(host.request(&there, 200).as_deref(), Some("on"));
}

#[test]
fn counts_are_told_on_the_tick() {
    let (host, filters) = (Fake::default(), Rc::default());
    // With a page they would be there from the beginning.
    let config = serves("one", "on").replace(r#""inspect": {"listener": "admin"},"#, "");
    let (mut instance, _) = host.push(&filters, &config);
    assert_eq!(host.period.get(), Duration::from_millis(250));
    for code in [200, 200, 404] {
        host.request(&instance, code);
    }
    assert_eq!(host.metric(DECIDED), None);
    host.tick(&mut instance);
    assert_eq!(host.metric(DECIDED), Some(3));
    let answers =
        |class| host.metric(&format!("tidegate.responses.flag=.=checkout;.;variant=.=on;.;class=.={class};.;total"));
    assert_eq!([answers("2xx"), answers("4xx"), answers("5xx")], [Some(2), Some(1), None]);
    host.tick(&mut instance);
    assert_eq!(host.metric(DECIDED), Some(3));
}

#[test]
fn a_config_that_was_replaced_goes_silent() {
    let (host, filters) = (Fake::default(), Rc::default());
    let (mut old, _) = host.push(&filters, &serves("old", "on"));
    host.tick(&mut old);
    let info = |revision: &str| host.metric(&format!("tidegate.config.revision=.={revision};.;info"));
    assert_eq!(info("old"), Some(1));
    // A request that began under the old one ends under it, and is counted by the new one's tick.
    let (open, _) = host.begin(&old, "/", &[]);
    let (mut new, _) = host.push(&filters, &serves("new", "off"));
    drop(old);
    assert_eq!(host.request(&new, 200).as_deref(), Some("off"));
    host.end(open, 200);
    host.tick(&mut new);
    assert_eq!([info("old"), info("new")], [Some(0), Some(1)]);
    assert_eq!(host.metric(DECIDED), Some(1));
    host.tick(&mut new);
    assert_eq!(Rc::strong_count(&filters), 2, "only the new instance and this test hold them");
}

#[test]
fn gauges_are_those_of_the_config_in_force() {
    let drawn = |revision: &str, percent: u8| {
        let rules = format!(r#"[{{"percent": {percent}, "serve": "on"}}]"#);
        format!(r#"{{"version": 1, "revision": "{revision}", "flags": {{"checkout": {{"rules": {rules}}}}}}}"#)
    };
    let (host, filters) = (Fake::default(), Rc::default());
    let shown = || {
        let exposure = host.metric("tidegate.rule.flag=.=checkout;.;rule=.=1;.;exposure_ppm");
        (exposure, host.metric("tidegate.config.fingerprint"))
    };
    // The first config of all is shown by the worker that is thrown away.
    let _ = host.push(&Rc::default(), &drawn("one", 10));
    let one = shown();
    assert_eq!(one.0, Some(100_000));
    let (_one, _) = host.push(&filters, &drawn("one", 10));
    // A later one is not shown by that, but where it is in force, and so is what it does not have any more.
    let _ = host.push(&Rc::default(), &drawn("two", 20));
    assert_eq!(shown(), one);
    let (_two, _) = host.push(&filters, &drawn("two", 20));
    assert_eq!(shown().0, Some(200_000));
    let (_three, _) = host.push(&filters, &serves("three", "on"));
    assert!(shown().0 == Some(0) && shown().1 != one.1);
    // A new worker shows what it has on its first tick.
    let (mut four, _) = host.push(&Rc::default(), &drawn("four", 40));
    assert_eq!(shown().0, Some(0));
    host.tick(&mut four);
    assert_eq!(shown().0, Some(400_000));
}

#[test]
fn a_reply_stands_for_the_upstream_and_one_that_fails_lets_the_request_go_on() {
    let (host, filters) = (Fake::default(), Rc::default());
    let (instance, _) = host.push(&filters, REPLY);
    let (stream, goes_on) = host.begin(&instance, "/", &[]);
    assert!(!goes_on);
    assert_eq!(*host.replies.borrow(), [(503, "paused".to_owned())]);
    host.end(stream, 503);
    host.will_not_reply.set(true);
    let (stream, goes_on) = host.begin(&instance, "/", &[("x-flag-checkout", "forged")]);
    assert!(goes_on, "nobody else would answer it");
    assert_eq!(host.header("x-flag-checkout").as_deref(), Some("off"), "as it was decided");
    host.end(stream, 200);
    assert_eq!(host.replies.borrow().len(), 1);
}

#[test]
fn the_page_is_an_answer_and_one_that_fails_is_an_ordinary_request() {
    let (host, filters) = (Fake::default(), Rc::default());
    let (instance, _) = host.push(&filters, &serves("one", "on"));
    for (path, says) in [("/.tidegate.json", r#""revision":"one""#), ("/.tidegate/explain", r#""variant":"on""#)] {
        let (_, goes_on) = host.begin(&instance, path, &[]);
        assert!(!goes_on, "{path}");
        let (status, body) = host.replies.borrow().last().unwrap().clone();
        assert!(status == 200 && body.contains(says), "{path}: {body}");
    }
    host.will_not_reply.set(true);
    let (_, goes_on) = host.begin(&instance, "/.tidegate", &[]);
    assert!(goes_on);
    assert_eq!(host.header("x-flag-checkout").as_deref(), Some("on"));
}
