//! The imports of module `env` that the proxy-wasm Rust SDK 0.2.5 knows, answered from a [`World`].
//! Each call is counted, may be replaced by an injected fault, and turns its outcome into a status number.
//! Never lets a bad pointer of the module harm the host: it is status 6, as in Envoy.

use std::fmt;

use super::engine::{Caller, Error, Linker, Memory, TypedFunc};
use super::headers::Headers;
use super::shared::{Kind, status};
use super::stream::Reply;
use super::world::{Level, World};

/// A VM's state, with the two exports through which the host hands over bytes.
pub(super) struct Data {
    pub(super) world: World,
    pub(super) memory: Option<Memory>,
    pub(super) malloc: Option<TypedFunc<u32, u32>>,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.world.fmt(f)
    }
}

/// Why a call ends early: a status for the module, or a trap below us in its allocator.
pub(super) enum Stop {
    Status(u32),
    Trap(Error),
}

impl From<u32> for Stop {
    fn from(status: u32) -> Self {
        Self::Status(status)
    }
}

type Done = Result<(), Stop>;

struct Guest<'a>(Caller<'a, Data>);

impl Guest<'_> {
    fn world(&mut self) -> &mut World {
        &mut self.0.data_mut().world
    }

    fn bytes(&self, at: u32, length: u32) -> Result<Vec<u8>, Stop> {
        let memory = self.0.data().memory.ok_or(status::INVALID_MEMORY_ACCESS)?;
        let start = usize::try_from(at).map_err(|_| status::INVALID_MEMORY_ACCESS)?;
        let length = usize::try_from(length).map_err(|_| status::INVALID_MEMORY_ACCESS)?;
        let bytes = start.checked_add(length).and_then(|end| memory.data(&self.0).get(start..end));
        Ok(bytes.ok_or(status::INVALID_MEMORY_ACCESS)?.to_vec())
    }

    fn text(&self, at: u32, length: u32) -> Result<String, Stop> {
        Ok(String::from_utf8_lossy(&self.bytes(at, length)?).into_owned())
    }

    fn pairs(&self, at: u32, length: u32) -> Result<Headers, Stop> {
        Ok(Headers::from_pairs(&self.bytes(at, length)?).ok_or(status::BAD_ARGUMENT)?)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Done {
        let memory = self.0.data().memory.ok_or(status::INVALID_MEMORY_ACCESS)?;
        let at = usize::try_from(at).map_err(|_| status::INVALID_MEMORY_ACCESS)?;
        memory.write(&mut self.0, at, bytes).map_err(|_| status::INVALID_MEMORY_ACCESS)?;
        Ok(())
    }

    /// Copies bytes into memory that the module allocates, and writes pointer and size.
    /// No bytes are a null pointer, as in Envoy: the SDK cannot tell an empty value from an absent one.
    fn give(&mut self, bytes: &[u8], pointer_at: u32, size_at: u32) -> Done {
        let size = u32::try_from(bytes.len()).map_err(|_| status::INVALID_MEMORY_ACCESS)?;
        let mut pointer = 0;
        if size > 0 {
            // Out of the data for the time of the call, which has all of it.
            let malloc = self.0.data_mut().malloc.take().ok_or(status::INVALID_MEMORY_ACCESS)?;
            let allocated = malloc.call(&mut self.0, size);
            self.0.data_mut().malloc = Some(malloc);
            pointer = allocated.map_err(Stop::Trap)?;
            self.write(pointer, bytes)?;
        }
        self.write(pointer_at, &pointer.to_le_bytes())?;
        self.write(size_at, &size.to_le_bytes())
    }
}

/// Declares each import once: its name, its parameters, and the function of this file that answers it.
macro_rules! imports {
    ($($name:ident => $answer:ident($($argument:ident: $type:ty),*);)*) => {
        /// Every call that this host answers.
        pub const CALLS: &[&str] = &[$(stringify!($name)),*];

        pub(super) fn link(linker: &mut Linker<Data>) -> Result<(), Error> {
            $(linker.func_wrap(
                "env",
                stringify!($name),
                |mut caller: Caller<'_, Data>, $($argument: $type),*| -> Result<u32, Error> {
                    if let Some(status) = caller.data_mut().world.enter(stringify!($name)) {
                        return Ok(status);
                    }
                    match $answer(&mut Guest(caller), $($argument),*) {
                        Ok(()) => Ok(status::OK),
                        Err(Stop::Status(status)) => Ok(status),
                        Err(Stop::Trap(trap)) => Err(trap),
                    }
                },
            )?;)*
            Ok(())
        }
    };
}

imports! {
    proxy_log => log(level: u32, at: u32, length: u32);
    proxy_get_log_level => log_level(to: u32);
    proxy_get_current_time_nanoseconds => now(to: u32);
    proxy_set_tick_period_milliseconds => set_tick_period(millis: u32);
    proxy_get_buffer_bytes => buffer(kind: u32, start: u32, most: u32, to: u32, size_to: u32);
    proxy_set_buffer_bytes => set_buffer(_kind: u32, _start: u32, _size: u32, _at: u32, _length: u32);
    proxy_get_header_map_pairs => header_pairs(map: u32, to: u32, size_to: u32);
    proxy_set_header_map_pairs => set_header_pairs(map: u32, at: u32, length: u32);
    proxy_get_header_map_value => header(map: u32, name: u32, name_size: u32, to: u32, size_to: u32);
    proxy_add_header_map_value => add_header(map: u32, name: u32, name_size: u32, at: u32, length: u32);
    proxy_replace_header_map_value => set_header(map: u32, name: u32, name_size: u32, at: u32, length: u32);
    proxy_remove_header_map_value => remove_header(map: u32, name: u32, name_size: u32);
    proxy_get_property => property(path: u32, path_size: u32, to: u32, size_to: u32);
    proxy_set_property => set_property(path: u32, path_size: u32, at: u32, length: u32);
    proxy_get_shared_data => shared_data(key: u32, key_size: u32, to: u32, size_to: u32, cas_to: u32);
    proxy_set_shared_data => set_shared_data(key: u32, key_size: u32, at: u32, length: u32, cas: u32);
    proxy_register_shared_queue => register_queue(name: u32, name_size: u32, to: u32);
    proxy_resolve_shared_queue => resolve_queue(_vm: u32, _vm_size: u32, name: u32, name_size: u32, to: u32);
    proxy_dequeue_shared_queue => dequeue(token: u32, to: u32, size_to: u32);
    proxy_enqueue_shared_queue => enqueue(token: u32, at: u32, length: u32);
    proxy_continue_stream => continue_stream(kind: u32);
    proxy_close_stream => close_stream(kind: u32);
    proxy_send_local_response => reply(code: u32, details: u32, details_size: u32, body: u32, body_size: u32,
        headers: u32, headers_size: u32, grpc_status: u32);
    proxy_http_call => http_call(_upstream: u32, _upstream_size: u32, _headers: u32, _headers_size: u32,
        _body: u32, _body_size: u32, _trailers: u32, _trailers_size: u32, _timeout: u32, _to: u32);
    proxy_grpc_call => grpc_call(_service: u32, _service_size: u32, _name: u32, _name_size: u32,
        _method: u32, _method_size: u32, _metadata: u32, _metadata_size: u32, _message: u32,
        _message_size: u32, _timeout: u32, _to: u32);
    proxy_grpc_stream => grpc_stream(_service: u32, _service_size: u32, _name: u32, _name_size: u32,
        _method: u32, _method_size: u32, _metadata: u32, _metadata_size: u32, _to: u32);
    proxy_grpc_send => grpc_send(_token: u32, _at: u32, _length: u32, _end: u32);
    proxy_grpc_cancel => no_such_call(_token: u32);
    proxy_grpc_close => no_such_call(_token: u32);
    proxy_get_status => call_status(code_to: u32, to: u32, size_to: u32);
    proxy_set_effective_context => set_effective_context(context: u32);
    proxy_call_foreign_function => foreign(name: u32, name_size: u32, at: u32, length: u32, to: u32, size_to: u32);
    proxy_done => done();
    proxy_define_metric => define_metric(kind: u32, name: u32, name_size: u32, to: u32);
    proxy_get_metric => metric(id: u32, to: u32);
    proxy_record_metric => record_metric(id: u32, value: u64);
    proxy_increment_metric => increment_metric(id: u32, offset: i64);
}

fn log(guest: &mut Guest<'_>, level: u32, at: u32, length: u32) -> Done {
    let index = usize::try_from(level).map_err(|_| status::BAD_ARGUMENT)?;
    let level = *Level::ALL.get(index).ok_or(status::BAD_ARGUMENT)?;
    let message = guest.text(at, length)?;
    guest.world().logs.push((level, message));
    Ok(())
}

fn log_level(guest: &mut Guest<'_>, to: u32) -> Done {
    let wanted = guest.world().log_level;
    let level = Level::ALL.iter().zip(0_u32..).find(|(level, _)| **level == wanted);
    guest.write(to, &level.map_or(0, |(_, number)| number).to_le_bytes())
}

fn now(guest: &mut Guest<'_>, to: u32) -> Done {
    let now = guest.world().now;
    guest.write(to, &now.to_le_bytes())
}

fn set_tick_period(guest: &mut Guest<'_>, millis: u32) -> Done {
    guest.world().root().ok_or(status::BAD_ARGUMENT)?.tick_millis = millis;
    Ok(())
}

fn buffer(guest: &mut Guest<'_>, kind: u32, start: u32, most: u32, to: u32, size_to: u32) -> Done {
    const VM_CONFIGURATION: u32 = 6;
    const PLUGIN_CONFIGURATION: u32 = 7;
    let world = guest.world();
    let bytes = match kind {
        VM_CONFIGURATION => Some(world.vm_configuration.clone()),
        PLUGIN_CONFIGURATION => {
            let root = world.configuring.and_then(|root| world.roots.get(&root));
            root.map(|root| root.configuration.clone())
        }
        _ => None,
    };
    let bytes = bytes.ok_or(status::NOT_FOUND)?;
    let start = usize::try_from(start).map_err(|_| status::BAD_ARGUMENT)?;
    let most = usize::try_from(most).map_err(|_| status::BAD_ARGUMENT)?;
    let asked: Vec<u8> = bytes.into_iter().skip(start).take(most).collect();
    guest.give(&asked, to, size_to)
}

/// Bodies are not played, so there is none to write.
fn set_buffer(_: &mut Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32) -> Done {
    Err(status::BAD_ARGUMENT.into())
}

fn header_pairs(guest: &mut Guest<'_>, map: u32, to: u32, size_to: u32) -> Done {
    const MAPS: u32 = 8;
    if map >= MAPS {
        return Err(status::BAD_ARGUMENT.into());
    }
    // Unlike a single value, a whole map that does not exist in this phase is empty and no error.
    let pairs = guest.world().readable(map).map(Headers::to_pairs).unwrap_or_default();
    guest.give(&pairs, to, size_to)
}

fn set_header_pairs(guest: &mut Guest<'_>, map: u32, at: u32, length: u32) -> Done {
    let headers = guest.pairs(at, length)?;
    *guest.world().writable(map)? = headers;
    Ok(())
}

fn header(guest: &mut Guest<'_>, map: u32, name: u32, name_size: u32, to: u32, size_to: u32) -> Done {
    let name = guest.text(name, name_size)?;
    let value = guest.world().readable(map)?.first(&name).map(<[u8]>::to_vec);
    guest.give(&value.ok_or(status::NOT_FOUND)?, to, size_to)
}

fn add_header(guest: &mut Guest<'_>, map: u32, name: u32, name_size: u32, at: u32, length: u32) -> Done {
    let (name, value) = (guest.text(name, name_size)?, guest.bytes(at, length)?);
    guest.world().writable(map)?.add(&name, &value);
    Ok(())
}

fn set_header(guest: &mut Guest<'_>, map: u32, name: u32, name_size: u32, at: u32, length: u32) -> Done {
    let (name, value) = (guest.text(name, name_size)?, guest.bytes(at, length)?);
    guest.world().writable(map)?.set(&name, &value);
    Ok(())
}

fn remove_header(guest: &mut Guest<'_>, map: u32, name: u32, name_size: u32) -> Done {
    let name = guest.text(name, name_size)?;
    guest.world().writable(map)?.remove(&name);
    Ok(())
}

fn property(guest: &mut Guest<'_>, path: u32, path_size: u32, to: u32, size_to: u32) -> Done {
    let path = guest.text(path, path_size)?;
    let value = guest.world().property(&path).ok_or(status::NOT_FOUND)?;
    guest.give(&value, to, size_to)
}

/// Filter state `wasm.<path>`, which a root context does not have.
fn set_property(guest: &mut Guest<'_>, path: u32, path_size: u32, at: u32, length: u32) -> Done {
    let (path, value) = (guest.text(path, path_size)?, guest.bytes(at, length)?);
    guest.world().stream().ok_or(status::NOT_FOUND)?.filter_state.insert(path, value);
    Ok(())
}

fn shared_data(guest: &mut Guest<'_>, key: u32, key_size: u32, to: u32, size_to: u32, cas_to: u32) -> Done {
    let key = guest.text(key, key_size)?;
    let (value, cas) = guest.world().shared.entry(&key).ok_or(status::NOT_FOUND)?;
    guest.give(&value, to, size_to)?;
    guest.write(cas_to, &cas.to_le_bytes())
}

fn set_shared_data(guest: &mut Guest<'_>, key: u32, key_size: u32, at: u32, length: u32, cas: u32) -> Done {
    let (key, value) = (guest.text(key, key_size)?, guest.bytes(at, length)?);
    Ok(guest.world().shared.store(&key, &value, cas)?)
}

fn register_queue(guest: &mut Guest<'_>, name: u32, name_size: u32, to: u32) -> Done {
    let name = guest.text(name, name_size)?;
    let token = guest.world().shared.queue(&name, true).ok_or(status::INTERNAL_FAILURE)?;
    guest.write(to, &token.to_le_bytes())
}

fn resolve_queue(guest: &mut Guest<'_>, _: u32, _: u32, name: u32, name_size: u32, to: u32) -> Done {
    let name = guest.text(name, name_size)?;
    let token = guest.world().shared.queue(&name, false).ok_or(status::NOT_FOUND)?;
    guest.write(to, &token.to_le_bytes())
}

fn dequeue(guest: &mut Guest<'_>, token: u32, to: u32, size_to: u32) -> Done {
    let value = guest.world().shared.dequeue(token)?;
    guest.give(&value, to, size_to)
}

fn enqueue(guest: &mut Guest<'_>, token: u32, at: u32, length: u32) -> Done {
    let value = guest.bytes(at, length)?;
    Ok(guest.world().shared.enqueue(token, value)?)
}

/// Ends a pause, and with it the module's hold on the request headers.
fn continue_stream(guest: &mut Guest<'_>, kind: u32) -> Done {
    const HTTP_STREAMS: u32 = 2;
    if kind >= HTTP_STREAMS {
        return Err(status::BAD_ARGUMENT.into());
    }
    if let Some(stream) = guest.world().stream() {
        stream.request_open = false;
        stream.resumed = true;
    }
    Ok(())
}

fn close_stream(guest: &mut Guest<'_>, kind: u32) -> Done {
    const STREAMS: u32 = 4;
    if kind >= STREAMS {
        return Err(status::BAD_ARGUMENT.into());
    }
    if let Some(stream) = guest.world().stream() {
        stream.reset = true;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "the ABI's signature")]
fn reply(
    guest: &mut Guest<'_>,
    code: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    grpc_status: u32,
) -> Done {
    let reply = Reply {
        status: code,
        details: guest.text(details, details_size)?,
        body: guest.bytes(body, body_size)?,
        headers: guest.pairs(headers, headers_size)?,
        grpc_status: Some(grpc_status).filter(|&status| status != u32::MAX),
    };
    // On a root context there is no one to answer, and Envoy says Ok.
    if let Some(stream) = guest.world().stream() {
        stream.reply.get_or_insert(reply);
    }
    Ok(())
}

/// This proxy has no clusters, and that is Envoy's answer for an unknown one.
#[allow(clippy::too_many_arguments, reason = "the ABI's signature")]
fn http_call(
    _: &mut Guest<'_>,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
) -> Done {
    Err(status::BAD_ARGUMENT.into())
}

#[allow(clippy::too_many_arguments, reason = "the ABI's signature")]
fn grpc_call(
    _: &mut Guest<'_>,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
) -> Done {
    Err(status::PARSE_FAILURE.into())
}

#[allow(clippy::too_many_arguments, reason = "the ABI's signature")]
fn grpc_stream(_: &mut Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32) -> Done {
    Err(status::PARSE_FAILURE.into())
}

fn grpc_send(_: &mut Guest<'_>, _: u32, _: u32, _: u32, _: u32) -> Done {
    Err(status::NOT_FOUND.into())
}

fn no_such_call(_: &mut Guest<'_>, _: u32) -> Done {
    Err(status::NOT_FOUND.into())
}

fn call_status(guest: &mut Guest<'_>, code_to: u32, to: u32, size_to: u32) -> Done {
    guest.write(code_to, &0_u32.to_le_bytes())?;
    guest.give(&[], to, size_to)
}

fn set_effective_context(guest: &mut Guest<'_>, context: u32) -> Done {
    let world = guest.world();
    if !world.roots.contains_key(&context) && !world.streams.contains_key(&context) {
        return Err(status::BAD_ARGUMENT.into());
    }
    world.effective = Some(context);
    Ok(())
}

/// No context of this host is held open after `on_done`.
fn done(_: &mut Guest<'_>) -> Done {
    Err(status::NOT_FOUND.into())
}

fn foreign(guest: &mut Guest<'_>, name: u32, name_size: u32, at: u32, length: u32, to: u32, size_to: u32) -> Done {
    let (name, argument) = (guest.text(name, name_size)?, guest.bytes(at, length)?);
    let world = guest.world();
    match name.as_str() {
        "clear_route_cache" => {
            if let Some(stream) = world.stream() {
                stream.route_clears = stream.route_clears.saturating_add(1);
            }
        }
        "set_envoy_filter_state" => {
            let (key, value) = super::stream::filter_state(&argument).ok_or(status::BAD_ARGUMENT)?;
            let stream = world.stream().ok_or(status::NOT_FOUND)?;
            if !super::stream::FILTER_STATE_KEYS.contains(&key.as_str()) {
                return Err(status::NOT_FOUND.into());
            }
            stream.envoy_filter_state.insert(key, value);
        }
        _ => return Err(status::NOT_FOUND.into()),
    }
    if to != 0 && size_to != 0 { guest.give(&[], to, size_to) } else { Ok(()) }
}

fn define_metric(guest: &mut Guest<'_>, kind: u32, name: u32, name_size: u32, to: u32) -> Done {
    let name = guest.text(name, name_size)?;
    let id = guest.world().define_metric(kind, &name)?;
    guest.write(to, &id.to_le_bytes())
}

fn metric(guest: &mut Guest<'_>, id: u32, to: u32) -> Done {
    let world = guest.world();
    let (kind, name) = world.metric(id)?;
    let value = match kind {
        Kind::Counter => world.shared.counter(name),
        Kind::Gauge => world.shared.gauge(name),
        Kind::Histogram => return Err(status::BAD_ARGUMENT.into()),
    };
    guest.write(to, &value.unwrap_or_default().to_le_bytes())
}

fn record_metric(guest: &mut Guest<'_>, id: u32, value: u64) -> Done {
    let world = guest.world();
    Ok(world.shared.record(world.metric(id)?, value)?)
}

fn increment_metric(guest: &mut Guest<'_>, id: u32, offset: i64) -> Done {
    let world = guest.world();
    Ok(world.shared.increment(world.metric(id)?, offset)?)
}
