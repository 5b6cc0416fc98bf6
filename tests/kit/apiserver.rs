//! A Kubernetes API server with its etcd, on free ports of the loopback, with nothing behind it: no kubelet, no Istio.
//!
//! What `make test-istio` builds is run as it is: rights are checked, and Istio's kinds are defined. Needs no root and
//! no namespaces, and ends with its value. Where the programs are not there, that is said, and there is none.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use p256::SecretKey;
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::envoy::{guard, repository};

/// Who may do all.
pub const ADMIN: &str = "admin";

/// Who may do nothing, until a Role says otherwise.
pub const USERS: [&str; 3] = ["jane", "tom", "eve"];

/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct ApiServer {
    folder: TempDir,
    port: u16,
    /// Where etcd is asked.
    etcd: u16,
    /// Each with what ends it should this program be killed.
    processes: Vec<[Child; 2]>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        while self.end_last() {}
    }
}

/// Where `make test-istio` puts what it builds.
fn programs() -> PathBuf {
    repository().join("target/istio")
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl ApiServer {
    /// One that answers, with Istio's kinds; none, loudly, where it is not built.
    pub fn start() -> Option<Self> {
        let programs = programs();
        if ["etcd", "kube-apiserver", "kubectl"].iter().any(|name| !programs.join(name).exists()) {
            // Not `eprintln`: the test runner would keep it to itself.
            let line =
                b"\nSKIPPED: no API server in target/istio (make test-istio builds it), so nothing was run on one\n";
            std::io::stderr().write_all(line).expect("a line can be written");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut this = Self { folder, port: free(), etcd: free(), processes: Vec::new() };
        this.run_etcd(&programs);
        this.run_server(&programs);
        for user in USERS.into_iter().chain([ADMIN]) {
            fs::write(this.kubeconfig(user), this.kubeconfig_of(user)).expect("a file can be written");
        }
        this.wait_until_ready();
        let sources = fs::read_to_string(programs.join("istio.path")).expect("the programs stand with their sources");
        let kinds = Path::new(sources.trim()).join("manifests/charts/base/files/crd-all.gen.yaml");
        this.run(&["apply", "--server-side", "-f", kinds.to_str().expect("text")]);
        this.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        Some(this)
    }

    /// Ends the API server at once; what it has kept, etcd still has.
    pub fn go(&mut self) {
        self.end_last();
    }

    /// Starts the API server once more, where it was.
    pub fn come_back(&mut self) {
        self.run_server(&programs());
        self.wait_until_ready();
    }

    fn end_last(&mut self) -> bool {
        let Some(both) = self.processes.pop() else { return false };
        // What would end it goes first, so that it can never end a stranger that got the same process id.
        for mut process in both.into_iter().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        true
    }

    fn wait_until_ready(&mut self) {
        self.wait("readiness", |this| this.attempt(ADMIN, &["get", "--raw", "/readyz"], "").is_ok());
    }

    fn run_etcd(&mut self, programs: &Path) {
        let dir = self.folder.path().to_owned();
        let (client, peer) = (self.etcd, free());
        let mut etcd = Command::new(programs.join("etcd"));
        etcd.arg("--data-dir").arg(dir.join("etcd")).arg("--unsafe-no-fsync");
        etcd.args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)]);
        etcd.args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)]);
        etcd.args(["--initial-cluster", &format!("default={}", url(peer))]);
        self.spawn("etcd", etcd);
    }

    fn run_server(&mut self, programs: &Path) {
        let dir = self.folder.path().to_owned();
        let mut bytes = [0_u8; 32];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("chance");
        let key = SecretKey::from_slice(&bytes).expect("almost any 32 bytes are a key");
        let private = key.to_pkcs8_pem(LineEnding::LF).expect("a key can be written").to_string();
        let public = key.public_key().to_public_key_pem(LineEnding::LF).expect("a key can be written");
        let users = USERS.map(|user| format!("{user},{user},{user}\n")).concat();
        let files = [
            ("account.key", private),
            ("account.pub", public),
            ("tokens.csv", format!("{ADMIN},{ADMIN},{ADMIN},system:masters\n{users}")),
        ];
        for (name, text) in files {
            fs::write(dir.join(name), text).expect("a file can be written");
        }
        let mut server = Command::new(programs.join("kube-apiserver"));
        server.arg(format!("--etcd-servers={}", url(self.etcd))).arg(format!("--secure-port={}", self.port));
        server.args(["--bind-address=127.0.0.1", "--authorization-mode=RBAC", "--endpoint-reconciler-type=none"]);
        server.args(["--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.96.0.0/16"]);
        server.arg("--service-account-issuer=https://kubernetes.default.svc");
        for (flag, file) in [
            ("service-account-key-file", "account.pub"),
            ("service-account-signing-key-file", "account.key"),
            ("token-auth-file", "tokens.csv"),
            ("cert-dir", "certificates"),
        ] {
            server.arg(format!("--{flag}={}", dir.join(file).display()));
        }
        self.spawn("kube-apiserver", server);
    }

    fn spawn(&mut self, name: &str, mut command: Command) {
        let dir = self.folder.path();
        let log = File::create(dir.join(format!("{name}.log"))).expect("a log can be made");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        // Ends them also where this program is killed.
        let guard = guard(process.id(), dir);
        self.processes.push([process, guard]);
    }

    fn wait(&mut self, what: &str, mut look: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !look(self) {
            let late = begin.elapsed() > PATIENCE;
            if late
                || self
                    .processes
                    .iter_mut()
                    .flatten()
                    .any(|process| process.try_wait().is_ok_and(|ended| ended.is_some()))
            {
                let log = fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                panic!("the API server: no {what}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A folder that ends with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig of a user: [`ADMIN`], or one of [`USERS`].
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.kubeconfig"))
    }

    fn kubeconfig_of(&self, user: &str) -> String {
        let server = format!("https://127.0.0.1:{}", self.port);
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": user}}]})
        .to_string()
    }

    /// kubectl, as this user: what it prints.
    ///
    /// # Errors
    /// What it says where it fails.
    pub fn attempt(&self, user: &str, args: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(programs().join("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig(user)).args(args).current_dir(repository());
        command.env("HOME", self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// kubectl, as who may do all.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        self.attempt(ADMIN, args, "").unwrap_or_else(|error| panic!("kubectl {args:?}: {error}"))
    }

    /// Applies manifests as `kubectl apply --server-side` does it, and with its field manager.
    #[track_caller]
    pub fn apply(&self, manifests: &str) {
        let done = self.attempt(ADMIN, &["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests);
        done.unwrap_or_else(|error| panic!("{error}\n{manifests}"));
    }

    #[track_caller]
    pub fn get(&self, args: &[&str]) -> Value {
        let all = [&["get", "-o", "json", "--show-managed-fields"], args].concat();
        serde_json::from_str(&self.run(&all)).expect("kubectl writes JSON")
    }
}
