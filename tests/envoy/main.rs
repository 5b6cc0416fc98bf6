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
mod observability;
mod page;
mod pushes;
mod rollback;
mod standing;
mod telemetry;
mod trailers;
