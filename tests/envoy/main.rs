//! The built module in a real Envoy.

mod bounds;
mod caches;
mod cases;
mod chain;
mod endings;
mod endurance;
mod headers;
mod hostile;
mod lifecycle;
mod manifests;
mod metrics;
mod native;
mod observability;
mod page;
mod pushes;
mod rollback;
mod telemetry;
mod trailers;
