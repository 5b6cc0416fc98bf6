//! Brings an image from its layout to a registry: by a tool that the user has, who has logged in with it, or else by plain
//! HTTP without credentials.

use crate::image::MANIFEST;
use crate::{Error, read};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;

/// Where an image goes: `registry.example:5000/team/tidegate:0.1.0`.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    repository: String,
    tag: String,
}

impl Reference {
    /// Reads a reference; without a tag it is that of the version.
    ///
    /// # Errors
    ///
    /// If it names no registry and no repository.
    pub fn parse(text: &str, version: &str) -> Result<Self, Error> {
        let wrong = || format!("'{text}' is no image: say registry/repository, such as registry.example/tidegate");
        let text = text.strip_prefix("oci://").unwrap_or(text);
        let (host, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, version));
        let names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let is_host = !host.is_empty() && (host.contains(['.', ':']) || host == "localhost");
        if !is_host || repository.is_empty() || tag.is_empty() || !repository.chars().all(names) || tag.contains('/') {
            return Err(wrong().into());
        }
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// Another repository beside it, whose name ends in this.
    #[must_use]
    pub fn beside(mut self, end: &str) -> Self {
        self.repository.push_str(end);
        self
    }

    /// Registries on this machine speak HTTP without TLS.
    fn is_local(&self) -> bool {
        let name = self.host.split(':').next().unwrap_or_default();
        matches!(name, "localhost" | "127.0.0.1")
    }

    fn url(&self, rest: &str) -> String {
        let scheme = if self.is_local() { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}/{rest}", self.host, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.host, self.repository, self.tag)
    }
}

/// How an image was brought to its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A tool that is installed.
    Tool(&'static str),
    /// HTTP, without credentials.
    Plain,
}

/// Pushes a layout whose image has this tag in it; says by what.
///
/// # Errors
///
/// If the registry does not take it.
pub fn push(layout: &Path, to: &Reference, version: &str) -> Result<Way, Error> {
    let folder = layout.display().to_string();
    let (tagged, skopeo) = (format!("{folder}:{version}"), format!("oci:{folder}:{version}"));
    let (name, docker) = (to.to_string(), format!("docker://{to}"));
    let local = to.is_local();
    let plain = |flag: &'static str| local.then_some(flag);
    let ways: [(&str, Vec<&str>); 3] = [
        ("crane", ["push", &folder, &name].into_iter().chain(plain("--insecure")).collect()),
        ("oras", ["cp", "--from-oci-layout", &tagged, &name].into_iter().chain(plain("--to-plain-http")).collect()),
        ("skopeo", ["copy", &skopeo, &docker].into_iter().chain(plain("--dest-tls-verify=false")).collect()),
    ];
    for (tool, arguments) in ways {
        match Command::new(tool).args(arguments).status() {
            Ok(status) if status.success() => return Ok(Way::Tool(tool)),
            Ok(status) => return Err(format!("{tool} could not push {name} ({status}): see above").into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{tool}: {error}").into()),
        }
    }
    plain_push(layout, to)?;
    Ok(Way::Plain)
}

/// Pushes by plain HTTP: the blobs that are not there, then the manifest under its tag.
///
/// # Errors
///
/// If the registry does not take it.
pub fn plain_push(layout: &Path, to: &Reference) -> Result<(), Error> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_mins(1)));
    let agent = config.build().new_agent();
    let blob = |digest: &str| read(&layout.join("blobs").join(digest.replace(':', "/")));
    let index: Value = serde_json::from_slice(&read(&layout.join("index.json"))?)?;
    let digest = text(&index, "/manifests/0/digest")?;
    let manifest = blob(&digest)?;
    let parsed: Value = serde_json::from_slice(&manifest)?;
    for part in ["/config/digest", "/layers/0/digest"] {
        let digest = text(&parsed, part)?;
        let at = to.url(&format!("blobs/{digest}"));
        if agent.head(&at).call().map_err(|error| format!("{at}: {error}"))?.status().as_u16() == 200 {
            continue;
        }
        let begin = to.url("blobs/uploads/");
        let answer = agent.post(&begin).send_empty().map_err(|error| format!("{begin}: {error}"))?;
        expect(&answer, 202, &begin)?;
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).ok_or("no location")?;
        let location = if location.starts_with('/') {
            let (scheme, rest) = begin.split_once("://").ok_or("no scheme")?;
            let host = rest.split('/').next().unwrap_or_default();
            format!("{scheme}://{host}{location}")
        } else {
            location.to_owned()
        };
        let joined = if location.contains('?') { '&' } else { '?' };
        let end = format!("{location}{joined}digest={digest}");
        let put = agent.put(&end).header("content-type", "application/octet-stream").send(blob(&digest)?.as_slice());
        expect(&put.map_err(|error| format!("{end}: {error}"))?, 201, &end)?;
    }
    let at = to.url(&format!("manifests/{}", to.tag));
    let put = agent.put(&at).header("content-type", MANIFEST).send(manifest.as_slice());
    expect(&put.map_err(|error| format!("{at}: {error}"))?, 201, &at)
}

fn text(value: &Value, pointer: &str) -> Result<String, Error> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.ok_or_else(|| format!("the layout has no {pointer}"))?.to_owned())
}

fn expect<B>(answer: &Response<B>, due: u16, url: &str) -> Result<(), Error> {
    match answer.status().as_u16() {
        status if status == due => Ok(()),
        401 | 403 => Err(format!(
            "{url}: the registry asks who you are: install crane, oras or skopeo, log in with it, and push again"
        )
        .into()),
        status => Err(format!("{url}: the registry answered {status}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    type Kept = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

    /// Answers as a registry does, one request a connection, until its listener is gone with the test.
    fn registry(status: Option<&'static str>) -> (u16, Kept) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Kept::default();
        let keeps = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&mut stream.unwrap(), &keeps, status);
            }
        });
        (port, kept)
    }

    fn answer(stream: &mut TcpStream, kept: &Kept, status: Option<&str>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
        let told = match (method, status) {
            (_, Some(status)) => status.to_owned(),
            ("HEAD", _) if kept.lock().unwrap().contains_key(path.rsplit('/').next().unwrap()) => "200 OK".to_owned(),
            ("HEAD", _) => "404 Not Found".to_owned(),
            ("POST", _) => "202 Accepted\r\nlocation: /v2/team/tidegate/blobs/uploads/1?state=x".to_owned(),
            _ => {
                let name = path.split("digest=").nth(1).unwrap_or(&path).to_owned();
                kept.lock().unwrap().insert(name, body);
                "201 Created".to_owned()
            }
        };
        write!(stream, "HTTP/1.1 {told}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    }

    #[test]
    fn a_registry_gets_every_blob_under_its_digest_and_the_manifest_under_its_tag() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("oci");
        let digest = Image::of_module(vec![1, 2, 3]).write(&layout, "0.1.0").unwrap();
        let (port, kept) = registry(None);
        let to = Reference::parse(&format!("127.0.0.1:{port}/team/tidegate"), "0.1.0").unwrap();
        // Twice: what is there already is not sent again.
        for _ in 0..2 {
            plain_push(&layout, &to).unwrap();
        }
        let kept = kept.lock().unwrap();
        let manifest = &kept["/v2/team/tidegate/manifests/0.1.0"];
        assert_eq!(format!("sha256:{}", crate::sha256(manifest)), digest);
        let blobs: Vec<_> = kept.iter().filter(|(name, _)| name.starts_with("sha256:")).collect();
        assert_eq!(blobs.len(), 2);
        for (name, bytes) in blobs {
            assert_eq!(*name, format!("sha256:{}", crate::sha256(bytes)));
        }
    }

    #[test]
    fn whoever_has_to_log_in_is_told_how() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("oci");
        Image::of_module(vec![1]).write(&layout, "0.1.0").unwrap();
        let (port, _) = registry(Some("401 Unauthorized"));
        let to = Reference::parse(&format!("localhost:{port}/tidegate"), "0.1.0").unwrap();
        let said = plain_push(&layout, &to).unwrap_err().to_string();
        assert!(said.contains("install crane, oras or skopeo, log in with it"), "{said}");
    }

    #[test]
    fn a_reference_names_a_registry_a_repository_and_a_tag() {
        let read =
            |text| Reference::parse(text, "0.1.0").map(|reference| reference.to_string()).map_err(|e| e.to_string());
        assert_eq!(read("registry.example/tidegate").unwrap(), "registry.example/tidegate:0.1.0");
        assert_eq!(read("oci://localhost:5000/a/b:1").unwrap(), "localhost:5000/a/b:1");
        let beside = Reference::parse("localhost:5000/a/b:1", "0.1.0").unwrap().beside("-cli");
        assert_eq!(beside.to_string(), "localhost:5000/a/b-cli:1");
        for wrong in ["", "tidegate", "team/tidegate", "registry.example/", "registry.example/Tidegate", "r.example/a:"]
        {
            assert!(read(wrong).unwrap_err().contains("say registry/repository"), "{wrong}");
        }
    }
}
