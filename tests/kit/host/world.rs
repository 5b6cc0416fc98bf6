//! The state of one VM as its host calls see it: clock, log, contexts, metric ids, faults to inject.
//! Answers which header map or property a context may see in which phase. Never calls into the module.

use std::collections::BTreeMap;

use super::headers::Headers;
use super::shared::{Kind, Shared, status};
use super::stream::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl Level {
    pub(super) const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical];
}

/// The host calls made, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(Vec<&'static str>);

impl Calls {
    pub fn total(&self) -> usize {
        self.0.len()
    }

    pub fn count(&self, call: &str) -> usize {
        self.0.iter().filter(|made| **made == call).count()
    }

    pub fn order(&self) -> &[&'static str] {
        &self.0
    }

    /// Name and number, for a table in a failure message.
    pub fn summary(&self) -> BTreeMap<&'static str, usize> {
        let mut summary = BTreeMap::new();
        for call in &self.0 {
            let number: &mut usize = summary.entry(*call).or_default();
            *number = number.saturating_add(1);
        }
        summary
    }
}

/// A root context: one configuration of the plugin.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) name: String,
    pub(super) configuration: Vec<u8>,
    pub(super) tick_millis: u32,
}

/// What a context is doing when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Request,
    Response,
    Log,
    /// Before the first callback, between callbacks, and in `proxy_on_done`.
    Idle,
}

#[derive(Debug)]
struct Fault {
    /// `None`: any call.
    call: Option<String>,
    /// `None`: every time.
    nth: Option<u64>,
    status: u32,
    seen: u64,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) shared: Shared,
    pub(super) now: u64,
    pub(super) log_level: Level,
    pub(super) logs: Vec<(Level, String)>,
    pub(super) vm_configuration: Vec<u8>,
    /// True of the proxy, whatever the request: node, plugin name.
    pub(super) properties: BTreeMap<Vec<String>, Vec<u8>>,
    pub(super) roots: BTreeMap<u32, Root>,
    pub(super) streams: BTreeMap<u32, Stream>,
    /// The context that the running callback belongs to; 0 is the VM's own.
    pub(super) current: u32,
    pub(super) effective: Option<u32>,
    /// Set in `_initialize`, when Envoy lets a module do nothing but log.
    pub(super) starting: bool,
    /// The root in `proxy_on_configure`: only then is its configuration readable.
    pub(super) configuring: Option<u32>,
    pub(super) calls: BTreeMap<&'static str, u64>,
    metrics: BTreeMap<u32, (Kind, String)>,
    faults: Vec<Fault>,
}

impl World {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            now: 1_700_000_000_000_000_000,
            log_level: Level::Trace,
            logs: Vec::new(),
            vm_configuration: Vec::new(),
            properties: BTreeMap::new(),
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            current: 0,
            effective: None,
            starting: false,
            configuring: None,
            calls: BTreeMap::new(),
            metrics: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// Counts a call, and says which status a fault wants instead of its work.
    pub(super) fn enter(&mut self, call: &'static str) -> Option<u32> {
        let made = self.calls.entry(call).or_default();
        *made = made.saturating_add(1);
        if let Some(stream) = self.streams.get_mut(&self.current) {
            stream.calls.0.push(call);
        }
        let mut injected = None;
        for fault in &mut self.faults {
            if fault.call.as_deref().is_none_or(|name| name == call) {
                fault.seen = fault.seen.saturating_add(1);
                if fault.nth.is_none_or(|nth| nth == fault.seen) {
                    injected = injected.or(Some(fault.status));
                }
            }
        }
        let forbidden = self.starting && call != "proxy_log";
        injected.or(forbidden.then_some(status::INTERNAL_FAILURE))
    }

    pub(super) fn inject(&mut self, call: Option<&str>, nth: Option<u64>, status: u32) {
        self.faults.push(Fault { call: call.map(str::to_owned), nth, status, seen: 0 });
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
    }

    pub(super) fn context(&self) -> u32 {
        let known = |id: &u32| self.roots.contains_key(id) || self.streams.contains_key(id);
        self.effective.filter(known).unwrap_or(self.current)
    }

    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        let context = self.context();
        self.streams.get_mut(&context)
    }

    /// The root of the running context, itself or its parent's.
    pub(super) fn root(&mut self) -> Option<&mut Root> {
        let context = self.context();
        let root = self.streams.get(&context).map_or(context, |stream| stream.root);
        self.roots.get_mut(&root)
    }

    /// # Errors
    /// `BadArgument` for a map that does not exist in this phase, which the SDK answers with a panic.
    pub(super) fn readable(&mut self, map: u32) -> Result<&Headers, u32> {
        let stream = self.stream().ok_or(status::BAD_ARGUMENT)?;
        let logging = stream.phase == Phase::Log;
        match map {
            REQUEST if logging || stream.request_open => Ok(&stream.request),
            REQUEST_TRAILERS if stream.trailers_open => Ok(&stream.trailers),
            RESPONSE if logging || stream.response_open => stream.response.as_ref().ok_or(status::BAD_ARGUMENT),
            _ => Err(status::BAD_ARGUMENT),
        }
    }

    /// # Errors
    /// `BadArgument` outside the map's own phase: in `on_log`, headers are there to be read only.
    pub(super) fn writable(&mut self, map: u32) -> Result<&mut Headers, u32> {
        let stream = self.stream().ok_or(status::BAD_ARGUMENT)?;
        match map {
            REQUEST if stream.request_open => {
                stream.header_writes = stream.header_writes.saturating_add(1);
                Ok(&mut stream.request)
            }
            REQUEST_TRAILERS if stream.trailers_open => Ok(&mut stream.trailers),
            RESPONSE if stream.response_open => stream.response.as_mut().ok_or(status::BAD_ARGUMENT),
            _ => Err(status::BAD_ARGUMENT),
        }
    }

    /// Looks a NUL-joined path up: what the request shows in this phase, then filter state, then the proxy.
    pub(super) fn property(&mut self, path: &str) -> Option<Vec<u8>> {
        let segments: Vec<&str> = path.split('\0').collect();
        if segments == ["plugin_root_id"] {
            return self.root().map(|root| root.name.clone().into_bytes());
        }
        let now = self.now;
        let of_stream = self.stream().and_then(|stream| {
            let seen = stream.property(&segments, now);
            let kept = path.strip_prefix("filter_state\0wasm.").unwrap_or(path);
            seen.or_else(|| stream.filter_state.get(kept).cloned())
        });
        let owned: Vec<String> = segments.iter().map(|&segment| segment.to_owned()).collect();
        of_stream.or_else(|| self.properties.get(&owned).cloned())
    }

    /// A new id at each call, as in Envoy, where defining on the request path is a leak.
    pub(super) fn define_metric(&mut self, kind: u32, name: &str) -> Result<u32, u32> {
        let kinds = [Kind::Counter, Kind::Gauge, Kind::Histogram];
        let index = usize::try_from(kind).map_err(|_| status::BAD_ARGUMENT)?;
        let metric = *kinds.get(index).ok_or(status::BAD_ARGUMENT)?;
        self.shared.define(metric, name);
        // The low two bits are the kind.
        let of_kind = self.metrics.values().filter(|(defined, _)| *defined == metric).count();
        let number = u32::try_from(of_kind).map_err(|_| status::INTERNAL_FAILURE)?;
        let id = number.saturating_add(1).saturating_mul(4) | kind;
        self.metrics.insert(id, (metric, name.to_owned()));
        Ok(id)
    }

    pub(super) fn metric(&self, id: u32) -> Result<(Kind, &str), u32> {
        self.metrics.get(&id).map(|(kind, name)| (*kind, name.as_str())).ok_or(status::NOT_FOUND)
    }

    pub(super) fn metrics_defined(&self) -> usize {
        self.metrics.len()
    }
}

pub(super) const REQUEST: u32 = 0;
pub(super) const REQUEST_TRAILERS: u32 = 1;
pub(super) const RESPONSE: u32 = 2;
