//! Envoy's dynamic modules: the same filter as a shared library in Envoy's own process.
//!
//! ```text
//! Envoy --export--> Module (implemented elsewhere) --stream, config, log--> Envoy
//! ```
//!
//! [`export`] turns Envoy's calls into those of a [`Module`], and lets no panic get out. A [`Module`] gets a handle
//! for as long as a call lasts, through which it reads and changes the request. No function here keeps anything that
//! Envoy owns beyond the call in which it got it.

mod abi;
pub mod clock;
pub mod config;
pub mod export;
mod log;
#[cfg(any(test, feature = "model"))]
pub mod model;
pub mod stream;
#[cfg(test)]
mod tests;

pub use abi::{Attribute, Headers, Level};
pub use export::{Module, Next};
pub use log::log;
