//! What is written about the project, held to what it does.

mod commands;
mod configs;
mod house;
mod limits;
mod pages;
mod tables;
