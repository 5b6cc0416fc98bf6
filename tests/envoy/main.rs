//! The built module in a real Envoy.

mod cases;
mod endurance;
mod headers;
mod hostile;
mod lifecycle;
mod manifests;
mod metrics;
mod observability;
mod page;
mod rollback;
mod telemetry;
