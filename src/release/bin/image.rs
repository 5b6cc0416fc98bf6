//! `image FILE FOLDER`: writes the image of the module, or of the command, as an OCI layout, and prints the digest that a
//! manifest pins. Which of the two it is, the file says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use tidegate_release::image::Image;
use tidegate_release::{Error, read};

fn main() -> std::process::ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let done = match paths.as_slice() {
        [file, folder] => run(file, folder),
        _ => Err("usage: image MODULE.wasm|PROGRAM FOLDER".into()),
    };
    let Err(error) = done else { return std::process::ExitCode::SUCCESS };
    // Nobody is left to be told.
    drop(writeln!(std::io::stderr(), "image: {error}"));
    std::process::ExitCode::FAILURE
}

fn run(file: &Path, folder: &Path) -> Result<(), Error> {
    let bytes = read(file)?;
    let image = if bytes.starts_with(b"\0asm") { Ok(Image::of_module(bytes)) } else { Image::of_command(bytes) };
    let image = image.map_err(|error| format!("{}: {error}", file.display()))?;
    writeln!(std::io::stdout(), "{}", image.write(folder, env!("CARGO_PKG_VERSION"))?)?;
    Ok(())
}
