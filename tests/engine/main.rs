//! What the engine and the guards do, natively: no module, no Envoy.

mod cases;
mod guards;
mod laws;
mod plan;
mod timelines;
