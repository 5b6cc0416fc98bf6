//! Configs as text: [`tree`] knows the place of each value, [`document`] has the bytes that a proxy would get,
//! [`loaded`] compiles them, [`edit`] changes their fields in place, and [`diagnostic`] says what is wrong where, with
//! a [`remedy`] from the fields of the reference ([`example`]) and from the [`habits`] of elsewhere. [`look`] tells what
//! a file is that is no config, and [`carrier`] puts a config into a manifest that has one.

mod around;
pub mod carrier;
pub mod diagnostic;
pub mod document;
pub mod edit;
pub mod example;
pub mod habits;
pub mod loaded;
pub mod look;
pub mod remedy;
pub mod tree;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{Document, Marked, ReadError};
pub use loaded::{Loaded, Refused};
