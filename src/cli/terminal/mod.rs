//! What people see: the [`screen`] with its [`style`]s, a [`table`], a [`diagnostic`] with its lines, a [`difference`]
//! of configs, a block that is redrawn [`live`], the [`progress`] of a long run;
//! trees as text, by the [`writer`].

pub(crate) mod diagnostic;
pub(crate) mod difference;
pub(crate) mod live;
pub(crate) mod progress;
pub(crate) mod screen;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod writer;

pub(crate) use screen::Screen;
pub(crate) use table::Rows;
