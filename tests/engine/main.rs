//! What the engine and the guards do, natively: no module, no Envoy.

mod cases;
mod fleet;
mod guards;
mod kept;
mod laws;
mod plan;
mod standing;
mod timelines;
