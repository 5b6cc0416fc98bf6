//! Envoy's calls, each handed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tidegate_engine::request::headers::joined;
use tidegate_hostcalls::native::config::ConfigHandle;
use tidegate_hostcalls::native::stream::{Room, StreamHandle};
use tidegate_hostcalls::native::{Headers, Module, Next};
use tidegate_proxy::push::Instance;
use tidegate_proxy::stream::{self, Stream, number};

use super::host::{Envoy, Pushed, apply, signs};
use super::local::{Judged, Local, Place};
use super::metrics::Families;
use super::timer;

#[derive(Debug)]
pub(crate) struct Door;

/// One filter of Envoy's, with its config.
#[derive(Debug)]
pub(crate) struct Config {
    judged: Arc<Judged>,
    number: u64,
    /// How many series of the process Envoy keeps for it.
    shared: AtomicUsize,
}

impl Drop for Config {
    fn drop(&mut self) {
        timer::remove(self.number);
        self.judged.released();
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    local: Arc<Local>,
    stream: Stream,
    /// Whether anything is still to be done for it.
    owed: bool,
    /// Whether all of its response has come.
    ended: bool,
}

impl Request {
    /// Runs a call for it: its thread has the turn at its place meanwhile.
    fn run<R>(&mut self, handle: StreamHandle<'_>, call: impl FnOnce(&mut Stream, &Local, &Envoy<'_>) -> R) -> R {
        let Self { local, stream, ended, .. } = self;
        let _turn = local.place.turn();
        call(stream, local, &Envoy::of_request(handle, &local.judged.pushed, *ended))
    }
}

impl Module for Door {
    type Config = Config;
    type Stream = Request;

    fn configure(mut handle: ConfigHandle<'_>, name: &[u8], bytes: &[u8]) -> Option<Config> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let families = Families::define(&mut handle, &String::from_utf8_lossy(name));
        let shared = families.share(&mut handle, 0).into();
        let scheduler = handle.scheduler();
        let judged = match Judged::known(name, bytes) {
            Some(judged) => judged,
            None => Place::own(|place| {
                let _turn = place.turn();
                let mut instance = Instance::new(place.filters());
                let pushed = Pushed { name: name.into(), bytes: bytes.into(), families };
                let accepted = instance.configure(&Envoy::of_config(handle, &pushed));
                if accepted { Judged::new(pushed, instance) } else { None }
            })?,
        };
        judged.spread();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        if let Some(scheduler) = scheduler {
            timer::add(number, scheduler);
        }
        Some(Config { judged, number, shared })
    }

    fn scheduled(config: &Config, mut handle: ConfigHandle<'_>) {
        let known = config.shared.load(Ordering::Relaxed);
        let shared = config.judged.pushed.families.share(&mut handle, known);
        config.shared.store(shared, Ordering::Relaxed);
        config.judged.tick(&Envoy::of_config(handle, &config.judged.pushed));
    }

    fn stream(config: &Config) -> Option<Request> {
        Place::own(|place| {
            let _turn = place.turn();
            let local = place.local(&config.judged);
            let stream = local.stream()?;
            Some(Request { local, stream, owed: true, ended: false })
        })
    }

    fn request_headers(request: &mut Request, mut handle: StreamHandle<'_>, end: bool) -> Next {
        let Request { local, stream, owed, .. } = request;
        let _turn = local.place.turn();
        let (pushed, mut room) = (&local.judged.pushed, Room::default());
        let headers = handle.headers(Headers::Request, &mut room);
        let present = signs(headers.clone());
        let reading = Envoy::reading(&handle, pushed);
        match stream.request_headers(&reading, headers, end) {
            stream::Next::Upstream(effects) => {
                let refused = apply(&mut handle, &effects, present);
                drop(effects);
                stream.refused(refused);
                *owed = stream.is_owed();
                Next::Upstream
            }
            stream::Next::Answered => {
                // Envoy does not show us the answer that we give ourselves.
                if let Some(answer) = reading.into_reply() {
                    let change = stream.response_headers(
                        &Envoy::nowhere(pushed),
                        || Some(answer.status.into()),
                        |name| answer.joined(name),
                    );
                    let host = Envoy::answering(handle, pushed, answer);
                    change.apply(&host);
                    host.answer_now();
                }
                Next::Answered
            }
        }
    }

    fn request_body(request: &mut Request, handle: StreamHandle<'_>, end: bool) {
        if end && request.owed {
            request.run(handle, |stream, _, host| stream.request_body(host, end));
        }
    }

    fn request_trailers(request: &mut Request, handle: StreamHandle<'_>) {
        if request.owed {
            request.run(handle, |stream, _, host| stream.request_trailers(host));
        }
    }

    fn response_headers(request: &mut Request, handle: StreamHandle<'_>) {
        if request.owed {
            let Request { local, stream, .. } = request;
            let _turn = local.place.turn();
            let pushed = &local.judged.pushed;
            let change = {
                let mut room = Room::default();
                // One call for all costs as much as two for single ones.
                let all = stream.reads_response().then(|| handle.headers(Headers::Response, &mut room));
                let all = all.into_iter().flatten();
                let status = || all.clone().find(|(name, _)| *name == b":status").and_then(|(_, value)| number(value));
                let header = |name: &str| joined(all.clone(), name.as_bytes());
                stream.response_headers(&Envoy::reading(&handle, pushed), status, header)
            };
            change.apply(&Envoy::of_request(handle, pushed, false));
        }
    }

    fn response_end(request: &mut Request, _: StreamHandle<'_>) {
        request.ended = true;
    }

    fn response_trailers(request: &mut Request, handle: StreamHandle<'_>) {
        request.ended = true;
        if request.owed {
            request.run(handle, |stream, _, host| stream.response_trailers(host));
        }
    }

    fn done(request: &mut Request, handle: StreamHandle<'_>) {
        let due = request.local.is_due();
        if request.owed || due {
            request.run(handle, |stream, local, host| {
                stream.done(host);
                if due {
                    local.tick(host, timer::now());
                }
            });
        }
    }
}
