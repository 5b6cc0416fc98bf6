//! The built library in a real Envoy: the suites of `main.rs` once more, through the native door.
//!
//! Left out is what does not go through a door: manifests, dashboards, and the module's endurance.

mod bounds;
mod caches;
mod cases;
mod chain;
mod endings;
mod headers;
mod hostile;
mod lifecycle;
mod metrics;
mod page;
mod pushes;
mod rollback;
mod telemetry;
mod trailers;
