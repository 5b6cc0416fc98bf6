//! Envoy as a host of [`tidegate_proxy`], in Envoy's own process: a dynamic module.
//!
//! ```text
//! main thread: config --door--> Judged (one per push) --timer--> ticks of who is idle
//! worker:      request --door--> Local (a worker's instance of it) --host--> Envoy
//! ```
//!
//! A config is read and judged once, on the main thread. Each worker makes an instance of it at its first request, of
//! the plan that all share; what is counted and decided stays with the worker, as in wasm: [`local`] keeps it. [`door`] is
//! what Envoy calls, [`host`] what it is asked for; [`memory`] holds what workers tell each other, [`metrics`] what Envoy
//! shows of it, and [`timer`] keeps the time of all. Has no rule, and no `unsafe`.

pub(crate) mod door;
mod host;
pub(crate) mod local;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod timer;

tidegate_hostcalls::export_native!(door::Door);
