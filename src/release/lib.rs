//! What a release consists of, made so that the same sources give the same bytes on any machine: no time, no user and no
//! path goes in.
//!
//! - [`image`]: OCI layouts of the module, for Istio and Envoy Gateway, and of the command.
//! - [`registry`]: brings a layout to a registry.
//! - [`archive`]: archives of files.
//! - [`bill`]: which crates went into an artefact.
//! - [`program`]: for which machine a program is, and whether it is static.
//! - [`provenance`]: which sources and which compiler made the artefacts.
//!
//! Never builds anything itself: the Makefile does.

pub mod archive;
pub mod bill;
pub mod image;
pub mod program;
pub mod provenance;
pub mod registry;

/// What any step can fail with: a message for a person.
pub type Error = Box<dyn std::error::Error>;

/// The SHA-256 of some bytes, in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// Reads a file, and names it where it cannot be read.
///
/// # Errors
///
/// If it cannot be read.
pub fn read(path: &std::path::Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
