//! kubectl, as a person would use it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use kit::envoy::repository;
use serde_json::Value;

#[derive(Clone)]
pub(crate) struct Kube {
    pub(crate) program: PathBuf,
    pub(crate) config: PathBuf,
}

impl Kube {
    fn output(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.config).args(args).current_dir(repository());
        command.env("HOME", self.config.parent().expect("it is in a folder"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("kubectl reads");
        child.wait_with_output().expect("kubectl ends")
    }

    /// What it prints; its errors, if it fails.
    pub(crate) fn attempt(&self, args: &[&str], input: &str) -> Result<String, String> {
        let output = self.output(args, input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.attempt(args, "").unwrap_or_else(|error| panic!("kubectl {args:?}: {error}"))
    }

    /// Applies manifests that are written here.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        let done = self.attempt(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests);
        done.unwrap_or_else(|error| panic!("{error}\n{manifests}"));
    }

    /// Applies an overlay of `envoy/istio`, as it stands.
    #[track_caller]
    pub(crate) fn apply_overlay(&self, name: &str) {
        self.run(&["apply", "--server-side", "--force-conflicts", "-k", &format!("envoy/istio/overlays/{name}")]);
    }

    #[track_caller]
    pub(crate) fn get(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[&["get", "-o", "json"], args].concat())).expect("kubectl writes JSON")
    }

    /// Takes away what was applied from a rendering or an overlay, kind by kind.
    pub(crate) fn delete(&self, kind: &str, namespace: &str) {
        self.run(&["delete", kind, "--all", "--namespace", namespace, "--wait=true"]);
    }
}
