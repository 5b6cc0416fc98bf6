//! Turns files into an archive that is the same bytes each time: sorted, without times and owners.

use crate::Error;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

/// The files of an archive by their paths in it.
#[derive(Debug, Default)]
pub struct Files(BTreeMap<String, (Vec<u8>, bool)>);

impl Files {
    /// Adds a file of these bytes.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), (bytes, false));
    }

    /// Adds a program.
    pub fn add_program(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), (bytes, true));
    }

    /// Adds all files below a folder, under another folder's name; hidden ones are left out.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read.
    pub fn add_folder(&mut self, folder: &Path, name: &str) -> Result<(), Error> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let Some(last) = path.file_name().and_then(|last| last.to_str()) else { continue };
            let inside = format!("{name}/{last}");
            if path.is_dir() {
                self.add_folder(&path, &inside)?;
            } else if !last.starts_with('.') {
                self.add(&inside, crate::read(&path)?);
            }
        }
        Ok(())
    }

    /// The files as a tar.
    ///
    /// # Errors
    ///
    /// If a path is longer than the format takes.
    pub fn tar(&self) -> Result<Vec<u8>, Error> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, (bytes, program)) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(bytes.len())?);
            header.set_mode(if *program { 0o755 } else { 0o644 });
            header.set_cksum();
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        Ok(builder.into_inner()?)
    }

    /// The files as a gzipped tar.
    ///
    /// # Errors
    ///
    /// As [`Files::tar`].
    pub fn tar_gz(&self) -> Result<Vec<u8>, Error> {
        gzip(&self.tar()?)
    }
}

/// Compresses without a time and without the name of an operating system.
///
/// # Errors
///
/// If memory cannot be written, which does not happen.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_the_same_bytes_in_whatever_order_they_come() {
        let of = |names: [&str; 3]| {
            let mut files = Files::default();
            for name in names {
                files.add(name, name.as_bytes().to_vec());
            }
            files.add_program("run", vec![1]);
            files.tar_gz().unwrap()
        };
        let archive = of(["b", "a", "c/d"]);
        assert_eq!(archive, of(["c/d", "b", "a"]));
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
        let entries = tar.entries().unwrap().map(|entry| {
            let header = entry.unwrap().header().clone();
            (header.path().unwrap().to_str().unwrap().to_owned(), header.mode().unwrap(), header.mtime().unwrap())
        });
        let due = [("a", 0o644), ("b", 0o644), ("c/d", 0o644), ("run", 0o755)];
        assert_eq!(entries.collect::<Vec<_>>(), due.map(|(name, mode)| (name.to_owned(), mode, 0)));
    }
}
