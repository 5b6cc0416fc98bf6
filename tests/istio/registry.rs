//! A registry at the name that the manifests have, which can be there, be away, or say nothing.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::cluster::REGISTRY;
use crate::land::{Job, open};
use kit::envoy::repository;

const AWAY: u8 = 0;
const THERE: u8 = 1;
const SILENT: u8 = 2;

pub(crate) struct Registry {
    _job: Job,
    state: Arc<AtomicU8>,
}

impl Registry {
    pub(crate) fn start(tools: &Path) -> Self {
        let mut job = Job::start("registry", &mut Command::new(tools.join("registry")));
        job.wait("port", || open("127.0.0.1:1338").then_some(()));
        // It listens at the loopback only, which is another one in each Pod.
        let listener = TcpListener::bind((REGISTRY, 80)).expect("an address of this run");
        let state = Arc::new(AtomicU8::new(THERE));
        let known = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let known = Arc::clone(&known);
                thread::spawn(move || match known.load(Ordering::Relaxed) {
                    THERE => drop(join(&client)),
                    SILENT => thread::sleep(Duration::from_secs(120)),
                    _ => {}
                });
            }
        });
        Self { _job: job, state }
    }

    pub(crate) fn away(&self) {
        self.state.store(AWAY, Ordering::Relaxed);
    }

    pub(crate) fn silent(&self) {
        self.state.store(SILENT, Ordering::Relaxed);
    }

    pub(crate) fn back(&self) {
        self.state.store(THERE, Ordering::Relaxed);
    }

    /// Pushes an OCI layout under a name and a tag, as `make image PUSH=` does, and returns the digest.
    pub(crate) fn push(&self, layout: &Path, name: &str, tag: &str) -> String {
        let push = repository().join("target/debug/push");
        let to = format!("127.0.0.1:1338/{name}:{tag}");
        let done = Command::new(push).arg(layout).arg(to).output().expect("push runs");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        said.trim().rsplit(' ').next().expect("a digest").to_owned()
    }
}

fn join(client: &TcpStream) -> io::Result<()> {
    let server = TcpStream::connect("127.0.0.1:1338")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    let (mut from_server, mut to_client) = (server, client);
    io::copy(&mut from_server, &mut to_client)?;
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
