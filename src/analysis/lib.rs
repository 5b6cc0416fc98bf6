//! What can be said of configs without a terminal: turns configs, requests and identities into findings, differences,
//! counts and explanations, as data.
//!
//! [`source`] reads a config from text and knows where each value stands; [`parts`] takes it apart, and [`words`] says
//! what it holds. [`request`] has requests as data. On these stand [`lint`] (what is wrong with a config that runs),
//! [`diff`] (what changed, and who moves), [`policy`] (what a config must keep), [`catalogue`] (which flags there are,
//! and how each is now), [`explain`] (what becomes of one request), [`case`] (what is expected of requests, and which requests are worth expecting something of) and
//! [`simulate`] (who gets what).
//!
//! Never reads a file, a clock or the network, and never writes to a terminal: hosts do. Never holds a rule of its own:
//! what is decided here is decided by the engine, as in the proxy.
#![allow(
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "an error is worded for people, and says itself what it is; nothing here has an effect to be used for"
)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "sums of what fits into memory; overflow is checked in every profile, and stops the command"
)]

pub mod case;
pub mod catalogue;
pub mod diff;
pub mod lint;
pub mod parts;
pub mod policy;
pub mod request;
pub mod simulate;
pub mod source;
pub mod words;

pub use request::explain;
