//! The command, as a shell runs it.

mod ci;
mod compare;
mod explain;
mod fmt;
mod golden;
mod list;
mod overlays;
mod pipes;
mod probe;
mod render;
mod schema;
mod watch;
mod wrong;
