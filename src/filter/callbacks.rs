//! What Envoy calls, by the number of a context: an instance of the filter for each push, and a stream for each request.
//!
//! A stream is kept only for as long as something is owed: to its response, to a guard or to a metric. What comes for
//! one that is not there needs nothing.

use core::cell::RefCell;
use std::rc::Rc;

use tidegate_engine::request::headers::Headers;
use tidegate_hostcalls::wasm::{self, Callbacks, LogLevel};
use tidegate_proxy::filters::Filters;
use tidegate_proxy::push::Instance;
use tidegate_proxy::stream::{Next, Stream, number};

use super::host::Envoy;
use super::streams::Streams;

/// One worker's filters, by what they are called for.
#[derive(Debug)]
pub(super) struct Filter {
    filters: RefCell<Option<Rc<Filters>>>,
    /// By root context. There are two at most times, around a push.
    instances: RefCell<Vec<(u32, Instance)>>,
    streams: RefCell<Streams<Box<Stream>>>,
}

thread_local! {
    static WORKER: Filter = const {
        Filter {
            filters: RefCell::new(None),
            instances: RefCell::new(Vec::new()),
            streams: RefCell::new(Streams::new()),
        }
    };
}

// Callbacks never nest, so that no borrow below can fail.
impl Filter {
    fn instance<T>(root: u32, call: impl FnOnce(&mut Instance) -> T) -> Option<T> {
        WORKER.with(|worker| {
            let mut instances = worker.instances.try_borrow_mut().ok()?;
            instances.iter_mut().find(|(known, _)| *known == root).map(|(_, instance)| call(instance))
        })
    }

    fn stream(request: u32, call: impl FnOnce(&mut Stream)) {
        WORKER.with(|worker| {
            if let Ok(mut streams) = worker.streams.try_borrow_mut()
                && let Some(stream) = streams.get_mut(request)
            {
                call(stream);
            }
        });
    }

    fn take(request: u32) -> Option<Box<Stream>> {
        WORKER.with(|worker| worker.streams.try_borrow_mut().ok()?.remove(request))
    }
}

impl Callbacks for Filter {
    fn loaded() {
        std::panic::set_hook(Box::new(|panic| wasm::log(LogLevel::Critical, &panic.to_string())));
    }

    fn root_created(root: u32) {
        WORKER.with(|worker| {
            if let (Ok(mut filters), Ok(mut instances)) =
                (worker.filters.try_borrow_mut(), worker.instances.try_borrow_mut())
            {
                instances.push((root, Instance::new(Rc::clone(filters.get_or_insert_default()))));
            }
        });
    }

    fn request_created(request: u32, root: u32) {
        let stream = Self::instance(root, |instance| instance.stream()).flatten();
        WORKER.with(|worker| {
            if let Ok(mut streams) = worker.streams.try_borrow_mut()
                && let Some(stream) = stream
            {
                streams.insert(request, Box::new(stream));
            }
        });
    }

    fn configured(root: u32) -> bool {
        Self::instance(root, |instance| instance.configure(&Envoy)).unwrap_or(false)
    }

    fn tick(root: u32) {
        Self::instance(root, |instance| instance.tick(&Envoy));
    }

    fn request_headers(request: u32, end: bool) -> bool {
        WORKER.with(|worker| {
            let Ok(mut streams) = worker.streams.try_borrow_mut() else { return true };
            let Some(stream) = streams.get_mut(request) else { return true };
            let headers = Envoy::request_headers();
            let goes_on = match stream.request_headers(&Envoy, headers.iter(), end) {
                Next::Upstream(effects) => {
                    let refused = Envoy::apply(&effects, &headers);
                    drop(effects);
                    stream.refused(refused);
                    true
                }
                Next::Answered => false,
            };
            if !stream.is_owed() {
                drop(streams.remove(request));
            }
            goes_on
        })
    }

    fn request_body(request: u32, end: bool) {
        Self::stream(request, |stream| stream.request_body(&Envoy, end));
    }

    fn request_trailers(request: u32) {
        Self::stream(request, |stream| stream.request_trailers(&Envoy));
    }

    fn response_headers(request: u32) {
        Self::stream(request, |stream| {
            // One call for all costs as much as one for a single header.
            let headers = if stream.reads_response() { Envoy::response_headers() } else { Headers::default() };
            let status = || headers.iter().find(|(name, _)| *name == b":status").and_then(|(_, value)| number(value));
            stream.response_headers(&Envoy, status, |name| headers.joined(name.as_bytes())).apply(&Envoy);
        });
    }

    fn response_trailers(request: u32) {
        Self::stream(request, |stream| stream.response_trailers(&Envoy));
    }

    /// Envoy still knows how a request ended: it comes after all logs. The callback for the log comes for each request,
    /// too, and so would only be one more.
    fn deleted(context: u32) {
        if let Some(mut stream) = Self::take(context) {
            stream.done(&Envoy);
            return;
        }
        let gone = WORKER.with(|worker| {
            let mut instances = worker.instances.try_borrow_mut().ok()?;
            let place = instances.iter().position(|(known, _)| *known == context)?;
            Some(instances.swap_remove(place))
        });
        if let Some((_, instance)) = gone {
            instance.gone();
        }
    }
}
