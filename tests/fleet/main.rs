//! Reads and changes configs on a real API server: under which name, what is owned by others, and what two people at once do.
//!
//! Each test has namespaces of its own in one API server, which nothing stands behind. Never looks into the library:
//! what came of a change is what kubectl shows. The judge's tests ask a Prometheus, made up or real, in place of it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

mod errors;
mod hooks;
mod judge;
mod pods;
mod rights;
mod scrape;
mod writes;

use std::sync::{Mutex, MutexGuard, PoisonError};

use kit::apiserver::{ADMIN, ApiServer};
use serde_json::Value;
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::cluster::{Access, Act, Cluster, Held, MANAGER, Place};

/// One server for a test at a time: what a machine of two cores can do.
static ONE: Mutex<()> = Mutex::new(());

/// A server, and a namespace with the sample's objects in it.
struct Land {
    server: ApiServer,
    _one: MutexGuard<'static, ()>,
}

const SPACE: &str = "istio-ingress";

impl Land {
    fn new() -> Option<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let server = ApiServer::start()?;
        server.run(&["create", "namespace", SPACE]);
        Some(Self { server, _one: one })
    }

    /// Applies a manifest of `envoy/istio/components`, as kubectl does it.
    fn component(&self, name: &str) {
        self.server.run(&["apply", "--server-side", "-f", &format!("envoy/istio/components/{name}/{name}.yaml")]);
    }

    fn as_user(&self, user: &str) -> Cluster {
        let access = self.access(user);
        Cluster::connect(&access).unwrap()
    }

    fn access(&self, user: &str) -> Access {
        Access { kubeconfig: Some(self.server.kubeconfig(user)), context: None, namespace: Some(SPACE.to_owned()) }
    }

    fn admin(&self) -> Cluster {
        self.as_user(ADMIN)
    }

    /// An object with its managed fields.
    fn object(&self, name: &str) -> Value {
        self.server.get(&[name, "-n", SPACE])
    }

    /// The Events, as reason and note.
    fn events(&self) -> Vec<(String, String)> {
        let list = self.server.get(&["events.v1.events.k8s.io", "-n", SPACE]);
        let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        list["items"].as_array().unwrap().iter().map(|one| (text(one, "reason"), text(one, "note"))).collect()
    }
}

fn read(cluster: &Cluster, place: &str) -> Held {
    cluster.read(&Place::parse(place).unwrap()).unwrap()
}

fn kill(why: Option<&str>, second: i64) -> Act<'_> {
    let at = Timestamp::from_millis(1_796_115_600_000 + second * 1_000);
    Act { manager: MANAGER, reason: "Killed", note: "kill checkout", why, at }
}
