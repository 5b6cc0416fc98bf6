//! `image MODULE FOLDER`: writes the image of the module as an OCI layout, and prints the digest that a manifest pins.

use std::io::Write as _;
use std::path::PathBuf;
use tidegate_release::image::Image;
use tidegate_release::{Error, read};

fn main() -> Result<(), Error> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, folder] = paths.as_slice() else { return Err("usage: image MODULE.wasm FOLDER".into()) };
    let digest = Image::of_module(read(module)?).write(folder, env!("CARGO_PKG_VERSION"))?;
    writeln!(std::io::stdout(), "{digest}")?;
    Ok(())
}
