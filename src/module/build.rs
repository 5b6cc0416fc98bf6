//! Keeps the library in Envoy's memory once it is loaded: what all configs share, such as the last good one, outlives
//! each of them, and so does the thread that keeps time.

#[allow(clippy::disallowed_methods, reason = "what Cargo tells a build script, it tells this way")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete"),
        // What the library calls is in Envoy: on Linux a linker asks for nothing else of it.
        Ok("macos") => println!("cargo::rustc-link-arg-cdylib=-Wl,-undefined,dynamic_lookup"),
        _ => {}
    }
}
