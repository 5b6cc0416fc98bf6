//! The built module under a host in this process, which plays Envoy and every fault of a host.

mod cases;
mod fuzz;
mod hostcalls;
mod invalid;
mod pushes;
