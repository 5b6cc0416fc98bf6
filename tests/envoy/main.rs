//! The built module in a real Envoy.

mod bounds;
mod caches;
mod cases;
mod chain;
mod endings;
mod endurance;
mod forgets;
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
mod swarm;
mod telemetry;
mod trailers;
