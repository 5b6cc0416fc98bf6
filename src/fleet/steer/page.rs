//! What is told of the one who steers: whether it leads and sees, and what it has written. Turns counts into metrics.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use crate::door::{self, Door, Shared};

/// What it is about, at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Why it is unwell, if it is.
    pub unwell: Option<String>,
    pub leading: bool,
    /// Whether it writes, and does not only say what it would write.
    pub applies: bool,
    /// Whether nothing may be granted now.
    pub blind: bool,
    /// By what was done: how often it was written.
    pub written: BTreeMap<&'static str, u64>,
    /// How often something could not be asked, read or written.
    pub failed: u64,
    /// How often the policy was against a step.
    pub refused: u64,
}

/// Opens the door that tells it, at this address.
///
/// # Errors
/// If the address is not to be had.
pub fn open(address: SocketAddr) -> io::Result<Door<Page>> {
    let first = Page { unwell: Some("it has not asked the judge yet".to_owned()), ..Page::default() };
    Door::open(address, first, |shared: Shared<Page>| {
        let health = |State(shared): State<Shared<Page>>| async move { door::health(shared.last().unwell.as_ref()) };
        let metrics = |State(shared): State<Shared<Page>>| async move { door::metrics(&shared.last().metrics()) };
        Router::new().route("/healthz", get(health)).route("/metrics", get(metrics)).with_state(shared)
    })
}

impl Page {
    /// In Prometheus' text form.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, about: &str, values: &[(String, String)]| {
            door::family(&mut text, kind, &format!("tidegate_steer_{name}"), about, values);
        };
        let one = |value: u64| [(String::new(), value.to_string())];
        family("leading", "gauge", "1 if it is the one that writes", &one(self.leading.into()));
        family("applies", "gauge", "0 in a dry run", &one(self.applies.into()));
        family("blind", "gauge", "1 if no step is granted, because the judge sees nothing", &one(self.blind.into()));
        let written = ["held", "rolledBack", "granted"]
            .map(|act| (format!("{{act=\"{act}\"}}"), self.written.get(act).copied().unwrap_or(0).to_string()));
        family("written_total", "counter", "standings that were written", &written);
        family("failed_total", "counter", "passes in which something could not be asked or written", &one(self.failed));
        family("refused_total", "counter", "acts that the policy was against", &one(self.refused));
        text
    }
}
