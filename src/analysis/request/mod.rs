//! Requests as data: [`spec`] holds one, [`http_file`] reads them from text, [`identities`] sends one as many users,
//! and tells how far it is by [`progress`]. [`explain`] says what becomes of one.

pub mod explain;
pub mod http_file;
pub mod identities;
pub mod progress;
pub mod spec;

pub use identities::{Identities, Sender};
pub use spec::{Given, RequestSpec};
