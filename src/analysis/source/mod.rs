//! Configs as text: [`tree`] knows the place of each value, [`document`] has the bytes that a proxy would get,
//! [`loaded`] compiles them, and [`diagnostic`] says what is wrong where.

pub mod diagnostic;
pub mod document;
pub mod loaded;
pub mod tree;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{Document, ReadError};
pub use loaded::{Loaded, Refused};
