//! What is written about the project, held to what it does.

mod house;
mod readme;
