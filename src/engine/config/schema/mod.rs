//! What a config may say, as data: the fields, their shapes and their meaning.
//!
//! The reader takes the names from here; docs/reference.md and the schema for editors are written from the rest.

mod guard;
pub mod reference;
pub mod shape;
