//! The API server of a cluster: reads configs in its objects, changes them, and finds the Pods of proxies.
//!
//! [`place`] is what a user types, [`trouble`] what can go wrong, [`edit`] what differs and who owns it, [`object`]
//! what was read, [`write`] how it is changed and recorded, [`render`] what is
//! made of it, [`pods`] the proxies, [`lease`] who of several may write. [`connect`] takes the user's own
//! kubeconfig. All calls wait for their answer, but those of [`reader`], which waits in a thread of its own. Never changes
//! more than it was asked to.

mod connect;
mod edit;
mod lease;
mod object;
mod place;
mod pods;
mod reader;
mod render;
mod trouble;
mod write;

pub use connect::{Access, Cluster};
pub use lease::{Candidate, Lead};
pub use object::Held;
pub use place::{Kind, Place};
pub use pods::{Pod, Selected};
pub use reader::{Answer, Question, Reader};
pub use render::RENDERS;
pub use trouble::{Cause, Trouble};
pub use write::{Act, MANAGER, Owner, Written};
