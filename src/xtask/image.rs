//! Turns the module into the image that Istio and Envoy Gateway fetch, as an OCI layout: a folder that `crane`, `oras`
//! and `skopeo` push as it stands.
//!
//! The image has one layer, a gzipped tar with the file `plugin.wasm`: of the forms that both of them take the one that
//! any registry and any container tool knows. Takes the module and the folder, and prints the digest, which a manifest
//! pins. No time, no user and no machine goes in: the same module gives the same digest anywhere.

use std::env::args_os;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What both look for in the layer.
const FILE: &str = "plugin.wasm";

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    let [module, folder] = paths.as_slice() else { return Err("usage: image MODULE.wasm FOLDER".into()) };
    let module = fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
    let digest = write(&module, folder, env!("CARGO_PKG_VERSION"))?;
    writeln!(std::io::stdout(), "{digest}")?;
    Ok(())
}

/// Writes the layout anew, and returns the digest of the image.
fn write(module: &[u8], folder: &Path, version: &str) -> Result<String, Box<dyn Error>> {
    // What an image before this one has left would be pushed with it.
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |bytes: &[u8], media: &str| -> Result<Value, Box<dyn Error>> {
        let digest = sha256(bytes);
        fs::write(blobs.join(&digest), bytes)?;
        Ok(json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
    };

    let tar = tar(module)?;
    let layer = put(&gzip(&tar)?, LAYER)?;
    let config = json!({
        "architecture": "wasm",
        "os": "wasi",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&tar))]},
    });
    let config = put(&serde_json::to_vec(&config)?, CONFIG)?;
    let annotations = json!({
        "org.opencontainers.image.title": "tidegate",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
        "annotations": annotations,
    });
    let manifest = serde_json::to_vec(&manifest)?;
    let mut image = put(&manifest, MANIFEST)?;
    if let Value::Object(image) = &mut image {
        image.insert("annotations".to_owned(), json!({"org.opencontainers.image.ref.name": version}));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]});
    fs::write(folder.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(format!("sha256:{}", sha256(&manifest)))
}

fn tar(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(module.len())?);
    header.set_mode(0o644);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, FILE, module)?;
    Ok(builder.into_inner()?)
}

/// Without a time and without the name of an operating system.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(hexadecimal).collect()
}

fn hexadecimal(digit: u8) -> Option<char> {
    char::from_digit(u32::from(digit), 16)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_name_is_the_digest_of_what_it_names_and_the_module_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("oci");
        let module = vec![7; 70_000];
        let digest = write(&module, &layout, "1.2.3").unwrap();
        let blob = |value: &Value| {
            let digest = value["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
            assert_eq!((sha256(&bytes).as_str(), bytes.len() as u64), (digest, value["size"].as_u64().unwrap()));
            bytes
        };
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], digest);
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&*blob(&manifest["layers"][0])).read_to_end(&mut tar).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&tar)));
        let mut archive = tar::Archive::new(&*tar);
        let mut entries = archive.entries().unwrap();
        let mut file = entries.next().unwrap().unwrap();
        assert_eq!(file.path().unwrap().to_str(), Some(FILE));
        let mut back = Vec::new();
        file.read_to_end(&mut back).unwrap();
        assert_eq!(back, module);

        // Another image in the same folder leaves nothing of this one behind.
        let again = write(b"other", &layout, "1.2.3").unwrap();
        assert_ne!(again, digest);
        assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), 3);
        assert_eq!(write(&module, &layout, "1.2.3").unwrap(), digest, "the same module gives the same digest");
    }
}
