//! Requests that show each pair of variants of two flags: [`recipe`] knows what a request must have for a condition to
//! hold, [`cover`] looks for the requests.

pub mod cover;
pub mod recipe;

pub use cover::{Cover, Gap, Row, cover};
