//! The knobs and gauges of a [`Host`]: clock, log, properties, statistics, faults, and the door into the module.
//! Turns an interpreter error into a [`Trap`]. Never lets a call reach a VM that has trapped.

use std::collections::BTreeMap;
use std::fmt;

use super::abi::CALLS;
use super::engine::{TypedFunc, WasmParams, WasmResults};
use super::headers::Headers;
use super::shared::Shared;
use super::stream::{Action, Stream};
use super::world::{Level, World};
use super::{Exports, Host, Trap};

impl Host {
    /// Nanoseconds since the epoch: what the module gets as the time.
    pub fn now(&self) -> u64 {
        self.world().now
    }

    pub fn set_now(&mut self, nanos: u64) {
        self.world_mut().now = nanos;
    }

    pub fn advance_millis(&mut self, millis: u64) {
        let now = self.now().saturating_add(millis.saturating_mul(1_000_000));
        self.set_now(now);
    }

    /// What all hosts of this proxy see: shared data and statistics.
    pub fn shared(&self) -> Shared {
        self.world().shared.clone()
    }

    /// A property of the proxy, seen by roots and streams; a stream's own come first.
    pub fn set_property(&mut self, path: &[&str], value: impl AsRef<[u8]>) {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        self.world_mut().properties.insert(path, value.as_ref().to_vec());
    }

    /// The level that the module is told; all messages are kept whatever it is.
    pub fn set_log_level(&mut self, level: Level) {
        self.world_mut().log_level = level;
    }

    pub fn logs(&self) -> &[(Level, String)] {
        &self.world().logs
    }

    pub fn take_logs(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.world_mut().logs)
    }

    /// Host calls since the start of the VM, by name.
    pub fn calls(&self) -> &BTreeMap<&'static str, u64> {
        &self.world().calls
    }

    /// Calls of `proxy_define_metric` that worked; it must stand still under traffic.
    pub fn metrics_defined(&self) -> usize {
        self.world().metrics_defined()
    }

    pub fn stream_count(&self) -> usize {
        self.world().streams.len()
    }

    /// Linear memory in bytes. It never shrinks, so a soak test looks whether it stands still.
    pub fn memory_size(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// What the last callback burnt, where the module was loaded metered.
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// What all callbacks since the start of the VM burnt.
    pub fn fuel_burnt(&self) -> u64 {
        self.fuel_burnt
    }

    /// The trap that ended this VM.
    pub fn dead(&self) -> Option<&Trap> {
        self.dead.as_ref()
    }

    /// From now on the call answers `status`, and does nothing. Statuses outside the SDK's enumeration
    /// (5, 6, 9 and above 10) are undefined behaviour inside a module that reads them as its `Status`.
    pub fn fail(&mut self, call: &str, status: u32) {
        assert!(CALLS.contains(&call), "{call} is no host call");
        self.world_mut().inject(Some(call), None, status);
    }

    /// The `nth` call of that name from now on (the first is 1) answers `status`; the others work.
    pub fn fail_nth(&mut self, call: &str, nth: u64, status: u32) {
        assert!(CALLS.contains(&call), "{call} is no host call");
        self.world_mut().inject(Some(call), Some(nth), status);
    }

    /// The `nth` call of any name from now on answers `status`: count up to fail each call of a path once.
    pub fn fail_nth_of_any(&mut self, nth: u64, status: u32) {
        self.world_mut().inject(None, Some(nth), status);
    }

    /// Takes all faults away.
    pub fn heal(&mut self) {
        self.world_mut().heal();
    }

    pub(super) fn world(&self) -> &World {
        &self.store.data().world
    }

    pub(super) fn world_mut(&mut self) -> &mut World {
        &mut self.store.data_mut().world
    }

    pub(super) fn stream(&mut self, id: u32) -> Result<&mut Stream, Trap> {
        self.world_mut().streams.get_mut(&id).ok_or_else(|| trap("stream", &"no such stream"))
    }

    /// Roots and streams are numbered together, and no number comes twice.
    pub(super) fn next_context(&mut self) -> u32 {
        self.last_context = self.last_context.saturating_add(1);
        self.last_context
    }

    pub(super) fn alive(&self, during: &'static str) -> Result<(), Trap> {
        match &self.dead {
            Some(trap) => {
                let message = format!("the VM is dead since {}: {}", trap.during, trap.message);
                Err(Trap { during, message, panic: trap.panic.clone() })
            }
            None => Ok(()),
        }
    }

    /// Runs a callback on behalf of a context; `None` where the module has no such export.
    pub(super) fn call_in<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        during: &'static str,
        export: impl FnOnce(&Exports) -> &Option<TypedFunc<P, R>>,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        let world = self.world_mut();
        world.current = context;
        world.effective = None;
        let result = self.call(during, export, arguments);
        let world = self.world_mut();
        world.current = 0;
        world.effective = None;
        result
    }

    pub(super) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        during: &'static str,
        export: impl FnOnce(&Exports) -> &Option<TypedFunc<P, R>>,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        self.alive(during)?;
        let Some(export) = export(&self.exports) else { return Ok(None) };
        let logged_before = self.logs().len();
        if let Some(fuel) = self.fuel {
            self.store.set_fuel(fuel).map_err(|error| trap(during, &error))?;
        }
        let result = export.call(&mut self.store, arguments);
        if let Some(fuel) = self.fuel {
            self.fuel_used = fuel.saturating_sub(self.store.get_fuel().unwrap_or_default());
            self.fuel_burnt += self.fuel_used;
        }
        result.map(Some).map_err(|error| {
            let mut trap = trap(during, &error);
            let new = self.logs().get(logged_before..).unwrap_or_default();
            let critical = |(level, _): &&(Level, String)| *level == Level::Critical;
            trap.panic = new.iter().filter(critical).map(|(_, line)| line.clone()).collect();
            self.dead = Some(trap.clone());
            trap
        })
    }
}

pub(super) fn trap(during: &'static str, message: &dyn fmt::Display) -> Trap {
    Trap { during, message: message.to_string(), panic: Vec::new() }
}

/// The SDK knows two actions; an absent callback lets the stream go on.
pub(super) fn action(returned: Option<u32>) -> Action {
    if returned.unwrap_or_default() == 0 { Action::Continue } else { Action::Pause }
}

pub(super) fn count(headers: &Headers) -> u32 {
    u32::try_from(headers.len()).unwrap_or(u32::MAX)
}
