//! Requests as data: [`spec`] holds one, [`http_file`] reads them from text, [`identities`] sends one as many users.

pub mod http_file;
pub mod identities;
pub mod spec;

pub use identities::{Identities, Sender};
pub use spec::{Given, RequestSpec};
