//! A proxy-wasm host in the test process: runs the built module in an interpreter and plays Envoy's part.
//! [`Module`] is the compiled file, [`Host`] one VM (a worker), [`Shared`] what the VMs of a proxy have in common,
//! [`Proxy`] an Envoy with a canary and several workers, [`Exchange`] a request with its answer.
//! A trap is a value, never a panic of the test; after one the VM is dead, as in Envoy.
//! Of a body it plays only that it comes. Never plays timers or calls to a cluster, or trailers of a response, and never
//! validates what a filter writes.
//!
//! Where Envoy 1.40 surprises, so does this host: callbacks end in the order log, done, delete; a request header is
//! not readable in the response phase; each `configure` makes a new root in the same VM.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses a part of this module")]

mod abi;
mod control;
mod engine;
mod headers;
mod proxy;
mod shared;
mod stream;
mod world;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use abi::Data;
use control::{action, count, trap};
use engine::{Error, ExternType, Instance, Linker, Store, TypedFunc, Val, WasmParams, WasmResults};
use world::{Phase, Root, World};

pub use abi::CALLS;
pub use headers::Headers;
pub use proxy::{Proxy, Push};
pub use shared::{Kind, Shared, status};
pub use stream::{Action, Exchange, Outcome, Reply};
pub use world::{Calls, Level};

/// The end of a VM, or the refusal to call into a dead one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The export that was running.
    pub during: &'static str,
    pub message: String,
    /// What the module logged as critical in that call: the SDK's panic hook, once a log level is set.
    pub panic: Vec<String>,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.during, self.message)?;
        self.panic.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Trap {}

/// A compiled module with its imports linked; cheap to clone.
#[derive(Clone)]
pub struct Module {
    code: engine::Module,
    linker: Arc<Linker<Data>>,
    fuel: Option<u64>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("imports", &self.imports()).field("fuel", &self.fuel).finish_non_exhaustive()
    }
}

impl Module {
    /// # Errors
    /// A text that names the file, where it is absent or no module.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, String> {
        Self::compile(path.as_ref(), None)
    }

    /// Gives each callback that much fuel (about one unit an instruction), so that an endless loop is a trap and
    /// [`Host::fuel_used`] is a measure of work that is the same on every machine.
    ///
    /// # Errors
    /// As [`Module::load`].
    pub fn load_metered(path: impl AsRef<Path>, fuel: u64) -> Result<Self, String> {
        Self::compile(path.as_ref(), Some(fuel))
    }

    fn compile(path: &Path, fuel: Option<u64>) -> Result<Self, String> {
        let text = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let bytes = std::fs::read(path).map_err(|error| text(&error))?;
        let engine = engine::engine(fuel.is_some()).map_err(|error| text(&error))?;
        let module = engine::Module::new(&engine, &bytes[..]).map_err(|error| text(&error))?;
        let mut linker = Linker::new(&engine);
        abi::link(&mut linker).map_err(|error| text(&error))?;
        stub_the_rest(&module, &mut linker).map_err(|error| text(&error))?;
        Ok(Self { code: module, linker: Arc::new(linker), fuel })
    }

    /// The calls that the module can make, sorted.
    pub fn imports(&self) -> Vec<String> {
        let mut names: Vec<String> = self.code.imports().map(|import| import.name().to_owned()).collect();
        names.sort();
        names
    }

    pub fn exports(&self) -> Vec<String> {
        self.code.exports().map(|export| export.name().to_owned()).collect()
    }
}

/// Imports that this host does not know answer `InternalFailure`, as Envoy does for a capability not granted.
fn stub_the_rest(module: &engine::Module, linker: &mut Linker<Data>) -> Result<(), Error> {
    for import in module.imports() {
        let known = import.module() == "env" && CALLS.contains(&import.name());
        let ExternType::Func(signature) = import.ty() else { continue };
        if known {
            continue;
        }
        linker.func_new(import.module(), import.name(), signature.clone(), |_, _, results| {
            for result in results {
                *result = match result {
                    Val::I64(_) => Val::I64(i64::from(status::INTERNAL_FAILURE)),
                    _ => Val::I32(status::INTERNAL_FAILURE.cast_signed()),
                };
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The callbacks; `None` is one that the module does not have, and which Envoy would skip.
struct Exports {
    initialize: Option<TypedFunc<(), ()>>,
    create: Option<TypedFunc<(u32, u32), ()>>,
    vm_start: Option<TypedFunc<(u32, u32), u32>>,
    configure: Option<TypedFunc<(u32, u32), u32>>,
    tick: Option<TypedFunc<u32, ()>>,
    request_headers: Option<TypedFunc<(u32, u32, u32), u32>>,
    request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    response_headers: Option<TypedFunc<(u32, u32, u32), u32>>,
    log: Option<TypedFunc<u32, ()>>,
    done: Option<TypedFunc<u32, u32>>,
    delete: Option<TypedFunc<u32, ()>>,
}

impl Exports {
    fn of(instance: Instance, store: &mut Store<Data>) -> Self {
        fn find<P: WasmParams, R: WasmResults>(
            instance: Instance,
            store: &mut Store<Data>,
            name: &str,
        ) -> Option<TypedFunc<P, R>> {
            instance.get_typed_func(&mut *store, name).ok()
        }
        Self {
            initialize: find(instance, store, "_initialize"),
            create: find(instance, store, "proxy_on_context_create"),
            vm_start: find(instance, store, "proxy_on_vm_start"),
            configure: find(instance, store, "proxy_on_configure"),
            tick: find(instance, store, "proxy_on_tick"),
            request_headers: find(instance, store, "proxy_on_request_headers"),
            request_body: find(instance, store, "proxy_on_request_body"),
            request_trailers: find(instance, store, "proxy_on_request_trailers"),
            response_headers: find(instance, store, "proxy_on_response_headers"),
            log: find(instance, store, "proxy_on_log"),
            done: find(instance, store, "proxy_on_done"),
            delete: find(instance, store, "proxy_on_delete"),
        }
    }
}

/// A stream of one [`Host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(u32);

/// A root context of one [`Host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RootId(u32);

/// One VM with its root contexts and streams: a worker thread's, the main thread's, or the canary's.
pub struct Host {
    store: Store<Data>,
    exports: Exports,
    fuel: Option<u64>,
    fuel_used: u64,
    fuel_burnt: u64,
    dead: Option<Trap>,
    last_context: u32,
    current: Option<u32>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("dead", &self.dead).field("data", self.store.data()).finish_non_exhaustive()
    }
}

impl Host {
    /// A VM of its own proxy, initialised.
    ///
    /// # Errors
    /// Where an import has another signature than the ABI's, or `_initialize` traps.
    pub fn new(module: &Module) -> Result<Self, Trap> {
        Self::in_proxy(module, &Shared::default())
    }

    /// A VM that shares data and statistics with the others of `shared`.
    ///
    /// # Errors
    /// As [`Host::new`].
    pub fn in_proxy(module: &Module, shared: &Shared) -> Result<Self, Trap> {
        let data = Data { world: World::new(shared.clone()), memory: None, malloc: None };
        let mut store = Store::new(module.code.engine(), data);
        if let Some(fuel) = module.fuel {
            store.set_fuel(fuel).map_err(|error| trap("instantiate", &error))?;
        }
        let linked = engine::start(&module.linker, &mut store, &module.code);
        let instance = linked.map_err(|error| trap("instantiate", &error))?;
        let memory = instance.get_memory(&mut store, "memory");
        let names = ["malloc", "proxy_on_memory_allocate"];
        let malloc = names.iter().find_map(|name| instance.get_typed_func(&mut store, name).ok());
        store.data_mut().memory = memory;
        store.data_mut().malloc = malloc;
        let exports = Exports::of(instance, &mut store);
        let fuel = module.fuel;
        let mut host =
            Self { store, exports, fuel, fuel_used: 0, fuel_burnt: 0, dead: None, last_context: 0, current: None };
        host.world_mut().starting = true;
        host.call("_initialize", |exports| &exports.initialize, ())?;
        host.world_mut().starting = false;
        Ok(host)
    }

    /// A changed plugin configuration: a new root context in this VM. Accepted, it takes the new streams; the old
    /// root goes when its last stream has ended. Refused, the old root stays current.
    ///
    /// # Errors
    /// A trap in one of the three callbacks.
    pub fn configure(&mut self, root_id: &str, configuration: &[u8]) -> Result<bool, Trap> {
        let id = self.next_context();
        let size = u32::try_from(configuration.len()).unwrap_or(u32::MAX);
        let root = Root { name: root_id.to_owned(), configuration: configuration.to_vec(), tick_millis: 0 };
        self.world_mut().roots.insert(id, root);
        let vm_size = u32::try_from(self.world().vm_configuration.len()).unwrap_or(u32::MAX);
        self.call_in(id, "proxy_on_context_create", |exports| &exports.create, (id, 0))?;
        let started = self.call_in(id, "proxy_on_vm_start", |exports| &exports.vm_start, (id, vm_size))?;
        self.world_mut().configuring = Some(id);
        let accepted = self.call_in(id, "proxy_on_configure", |exports| &exports.configure, (id, size));
        self.world_mut().configuring = None;
        let accepted = started != Some(0) && accepted? != Some(0);
        if accepted {
            self.current = Some(id);
        }
        self.retire_roots()?;
        Ok(accepted)
    }

    /// The root that takes new streams.
    pub fn root(&self) -> Option<RootId> {
        self.current.map(RootId)
    }

    /// All roots that are alive, the oldest first.
    pub fn roots(&self) -> Vec<RootId> {
        self.world().roots.keys().copied().map(RootId).collect()
    }

    /// # Errors
    /// A trap in the callback.
    pub fn tick(&mut self, RootId(root): RootId) -> Result<(), Trap> {
        self.call_in(root, "proxy_on_tick", |exports| &exports.tick, root).map(|_| ())
    }

    /// One tick of every root that asked for a period, as on one turn of a worker's event loop.
    ///
    /// # Errors
    /// A trap in a callback.
    pub fn tick_all(&mut self) -> Result<(), Trap> {
        let ticking = |(_, root): &(&u32, &Root)| root.tick_millis > 0;
        let roots: Vec<u32> = self.world().roots.iter().filter(ticking).map(|(id, _)| *id).collect();
        roots.into_iter().try_for_each(|root| self.tick(RootId(root)))
    }

    /// The period of the current root's tick; 0 is none.
    pub fn tick_millis(&self) -> u32 {
        let root = self.current.and_then(|root| self.world().roots.get(&root));
        root.map_or(0, |root| root.tick_millis)
    }

    /// A whole stream: request, response, log, end.
    ///
    /// # Errors
    /// A trap in one of the callbacks.
    pub fn request(&mut self, exchange: &Exchange) -> Result<Outcome, Trap> {
        let stream = self.open(exchange)?;
        if exchange.reaches_filter {
            self.request_headers(stream)?;
            if !exchange.end_of_stream {
                self.request_body(stream, exchange.trailers.is_empty())?;
            }
            if !exchange.trailers.is_empty() {
                self.request_trailers(stream)?;
            }
        }
        let now = self.now().saturating_add(exchange.latency_nanos);
        self.set_now(now);
        if let Some(response) = &exchange.response {
            self.response_headers(stream, response)?;
        }
        self.log(stream)?;
        self.close(stream)
    }

    /// Begins a stream under the current root; the module does not know of it yet.
    ///
    /// # Errors
    /// Where no configuration was ever accepted, or the VM is dead: Envoy would answer by itself.
    pub fn open(&mut self, exchange: &Exchange) -> Result<StreamId, Trap> {
        self.alive("open")?;
        let root = self.current.ok_or_else(|| trap("open", &"no configuration was accepted yet"))?;
        let id = self.next_context();
        let now = self.now();
        self.world_mut().streams.insert(id, stream::Stream::new(root, exchange, now));
        Ok(StreamId(id))
    }

    /// The request phase. A local reply is answered at once: the module sees it as its own response.
    ///
    /// # Errors
    /// A trap in a callback.
    pub fn request_headers(&mut self, StreamId(id): StreamId) -> Result<Action, Trap> {
        self.create(id)?;
        let stream = self.stream(id)?;
        stream.begun = true;
        stream.phase = Phase::Request;
        stream.request_open = true;
        let arguments = (id, count(&stream.request), u32::from(stream.bodiless));
        let action =
            action(self.call_in(id, "proxy_on_request_headers", |exports| &exports.request_headers, arguments)?);
        let stream = self.stream(id)?;
        stream.phase = Phase::Idle;
        stream.actions.push(action);
        let reply = stream.reply.as_ref().map(Reply::response);
        // Envoy takes the map away when the request goes on, and leaves it there while it waits.
        stream.request_open = action == Action::Pause || reply.is_some();
        if let Some(response) = reply {
            self.respond(id, response)?;
        }
        Ok(action)
    }

    /// A part of the request's body, the last one or not. Envoy keeps it for a request that waits.
    ///
    /// # Errors
    /// A trap in the callback.
    pub fn request_body(&mut self, StreamId(id): StreamId, end: bool) -> Result<(), Trap> {
        let stream = self.stream(id)?;
        if stream.begun && stream.reply.is_none() && !stream.held() {
            stream.phase = Phase::Request;
            let arguments = (id, 5, u32::from(end));
            self.call_in(id, "proxy_on_request_body", |exports| &exports.request_body, arguments)?;
            self.stream(id)?.phase = Phase::Idle;
        }
        Ok(())
    }

    /// The request's trailers, which end it.
    ///
    /// # Errors
    /// A trap in the callback.
    pub fn request_trailers(&mut self, StreamId(id): StreamId) -> Result<(), Trap> {
        let stream = self.stream(id)?;
        if stream.begun && stream.reply.is_none() && !stream.held() {
            stream.phase = Phase::Request;
            stream.trailers_open = true;
            let arguments = (id, count(&stream.trailers));
            self.call_in(id, "proxy_on_request_trailers", |exports| &exports.request_trailers, arguments)?;
            let stream = self.stream(id)?;
            (stream.phase, stream.trailers_open) = (Phase::Idle, false);
        }
        Ok(())
    }

    /// The response phase, with what the upstream sent. Nothing happens where Envoy would not call: the request
    /// never reached the filter, waits for it, or is answered by a local reply.
    ///
    /// # Errors
    /// A trap in the callback.
    pub fn response_headers(&mut self, StreamId(id): StreamId, response: &Headers) -> Result<(), Trap> {
        let stream = self.stream(id)?;
        if !stream.begun {
            stream.response = Some(response.clone());
        }
        if stream.begun && stream.reply.is_none() && !stream.held() {
            self.respond(id, response.clone())?;
        }
        Ok(())
    }

    fn respond(&mut self, id: u32, response: Headers) -> Result<(), Trap> {
        let stream = self.stream(id)?;
        let arguments = (id, count(&response), 0);
        let replied_before = stream.reply.is_some();
        stream.response = Some(response);
        stream.phase = Phase::Response;
        stream.response_open = true;
        let action =
            action(self.call_in(id, "proxy_on_response_headers", |exports| &exports.response_headers, arguments)?);
        let stream = self.stream(id)?;
        stream.phase = Phase::Idle;
        stream.actions.push(action);
        stream.response_open = action == Action::Pause;
        if let Some(reply) = stream.reply.as_ref().filter(|_| !replied_before) {
            // A reply from the response phase takes the upstream's place and is not shown to the module again.
            stream.response = Some(reply.response());
        }
        Ok(())
    }

    /// `on_log`, also for a stream that never reached the filter.
    ///
    /// # Errors
    /// A trap in the callback.
    pub fn log(&mut self, StreamId(id): StreamId) -> Result<(), Trap> {
        self.create(id)?;
        self.stream(id)?.phase = Phase::Log;
        self.call_in(id, "proxy_on_log", |exports| &exports.log, id)?;
        self.stream(id)?.phase = Phase::Idle;
        Ok(())
    }

    /// Ends a stream at whatever point it is: `on_done` and `on_delete`, after `on_log` as in Envoy.
    ///
    /// # Errors
    /// A trap in a callback.
    pub fn close(&mut self, StreamId(id): StreamId) -> Result<Outcome, Trap> {
        if self.stream(id)?.created {
            // What Envoy knows of a stream is still there to be read.
            self.stream(id)?.phase = Phase::Log;
            self.call_in(id, "proxy_on_done", |exports| &exports.done, id)?;
            self.call_in(id, "proxy_on_delete", |exports| &exports.delete, id)?;
        }
        let gone = || trap("close", &"no such stream");
        let stream = self.world_mut().streams.remove(&id).ok_or_else(gone)?;
        self.retire_roots()?;
        Ok(stream.outcome())
    }

    /// Makes the module know a stream before its first callback.
    fn create(&mut self, id: u32) -> Result<(), Trap> {
        let stream = self.stream(id)?;
        let root = stream.root;
        if !std::mem::replace(&mut stream.created, true) {
            self.call_in(id, "proxy_on_context_create", |exports| &exports.create, (id, root))?;
        }
        Ok(())
    }

    /// Ends the roots that were replaced and have no stream left.
    fn retire_roots(&mut self) -> Result<(), Trap> {
        let world = self.world();
        let served: Vec<u32> = world.streams.values().map(|stream| stream.root).collect();
        let idle: Vec<u32> =
            world.roots.keys().copied().filter(|root| self.current != Some(*root) && !served.contains(root)).collect();
        for root in idle {
            self.call_in(root, "proxy_on_done", |exports| &exports.done, root)?;
            self.call_in(root, "proxy_on_delete", |exports| &exports.delete, root)?;
            self.world_mut().roots.remove(&root);
        }
        Ok(())
    }
}
