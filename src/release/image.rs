//! Turns files into an image, as an OCI layout: a folder that `crane`, `oras` and `skopeo` push as it stands.
//!
//! The image of the module has one layer, a gzipped tar with the file `plugin.wasm`: of the forms that Istio and Envoy
//! Gateway take the one that any registry and any container tool knows. That of the command has its static program, and
//! nothing else.

use crate::archive::{Files, gzip};
use crate::program::architecture;
use crate::{Error, sha256};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a manifest of one image.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What Istio and Envoy Gateway look for in the layer.
const MODULE: &str = "plugin.wasm";

/// An image before it is written.
#[derive(Debug)]
pub struct Image {
    name: &'static str,
    about: &'static str,
    platform: (&'static str, &'static str),
    run: Value,
    files: Files,
}

impl Image {
    /// The module, for whatever fetches filters for Envoy.
    #[must_use]
    pub fn of_module(module: Vec<u8>) -> Self {
        let mut files = Files::default();
        files.add(MODULE, module);
        let about = "The Tidegate filter for Envoy: progressive delivery and feature flags";
        Self { name: "tidegate", about, platform: ("wasi", "wasm"), run: json!({}), files }
    }

    /// The command, a static program for Linux.
    ///
    /// # Errors
    ///
    /// If it is not one.
    pub fn of_command(program: Vec<u8>) -> Result<Self, Error> {
        let architecture = architecture(&program)?;
        let mut files = Files::default();
        files.add_program("tidegate", program);
        // Nobody in particular, and not root.
        let run = json!({"Entrypoint": ["/tidegate"], "User": "65532:65532", "WorkingDir": "/"});
        let about = "The command of Tidegate: checks, explains and compares configs, judges and steers the fleet";
        Ok(Self { name: "tidegate-cli", about, platform: ("linux", architecture), run, files })
    }

    /// The architecture that it is for, in the words of Go: `wasm`, `amd64`, `arm64`.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        self.platform.1
    }

    /// Writes the layout anew, and returns the digest of the image.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path, version: &str) -> Result<String, Error> {
        // What an image before this one has left would be pushed with it.
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let put = |bytes: &[u8], media: &str| -> Result<Value, Error> {
            let digest = sha256(bytes);
            fs::write(blobs.join(&digest), bytes)?;
            Ok(json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
        };
        let tar = self.files.tar()?;
        let layer = put(&gzip(&tar)?, LAYER)?;
        let (os, architecture) = self.platform;
        let annotations = json!({
            "org.opencontainers.image.title": self.name,
            "org.opencontainers.image.description": self.about,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
        });
        let mut run = self.run.clone();
        // Tools that list images show these, and not the annotations. What fetches modules for Envoy looks at neither.
        if let Some(fields) = run.as_object_mut().filter(|fields| !fields.is_empty()) {
            fields.insert("Labels".to_owned(), annotations.clone());
        }
        let config = json!({
            "architecture": architecture,
            "os": os,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&tar))]},
        });
        let config = put(&serde_json::to_vec(&config)?, CONFIG)?;
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
        let digest = Image::of_module(module.clone()).write(&layout, "1.2.3").unwrap();
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
        assert_eq!(file.path().unwrap().to_str(), Some(MODULE));
        let mut back = Vec::new();
        file.read_to_end(&mut back).unwrap();
        assert_eq!(back, module);

        // Another image in the same folder leaves nothing of this one behind.
        let mut program = vec![0; 64];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18] = 62;
        let again = Image::of_command(program).unwrap().write(&layout, "1.2.3").unwrap();
        assert_ne!(again, digest);
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let command: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!((&command["architecture"], &command["os"]), (&json!("amd64"), &json!("linux")));
        let run = &command["config"];
        assert_eq!((&run["Entrypoint"], &run["User"]), (&json!(["/tidegate"]), &json!("65532:65532")));
        assert_eq!(run["Labels"], manifest["annotations"]);
        assert_eq!(config["config"], json!({}), "a module is not run");
        assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), 3);
        let same = Image::of_module(module).write(&layout, "1.2.3").unwrap();
        assert_eq!(same, digest, "the same module gives the same digest");
    }
}
