//! Processes and addresses inside the namespaces, and how they are waited for.

use std::fs::{self, File};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::repository;

/// How long anything may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with its log; killed when dropped.
pub(crate) struct Job {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Job {
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let log = logs().join(format!("{name}.log"));
        let file = File::create(&log).expect("a log can be made");
        command.stdout(file.try_clone().expect("a file can be shared")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, log, name: name.to_owned() }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for what it brings about, and says why if it ends before.
    pub(crate) fn wait<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let log = self.log();
                let tail: Vec<&str> = log.lines().rev().take(30).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                panic!("{}: no {what} ({ended:?})\n{}", self.name, tail.join("\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Where they are to be looked at after a run.
pub(crate) fn logs() -> PathBuf {
    repository().join("target/istio/logs")
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until something is there.
pub(crate) fn poll<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn open(address: &str) -> bool {
    let addresses = address.to_socket_addrs().into_iter().flatten();
    let mut tries = addresses.map(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    tries.any(|stream| stream.is_ok())
}

/// Runs a command that has to succeed.
#[track_caller]
pub(crate) fn run(line: &str) {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().expect("sh runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An address, of which there is one: a response's body, asked for over plain HTTP.
pub(crate) fn get(url: &str) -> Option<String> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).http_status_as_error(false).build(),
    );
    agent.get(url).call().ok()?.body_mut().read_to_string().ok()
}
