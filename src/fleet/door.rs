//! A door: turns what a long run has last told into answers over HTTP, and signals into the end of the run.
//!
//! What is behind its paths is said by a router of whoever opens it. Tells the last page that it was given, and never waits
//! for the next one.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::process::exit;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How long the end of a run may take once a signal has asked for it.
const END: Duration = Duration::from_secs(5);

/// What is told, for those who answer.
#[derive(Debug)]
pub struct Shared<P>(Arc<RwLock<Arc<P>>>);

impl<P> Clone for Shared<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Default> Shared<P> {
    /// The last page.
    #[must_use]
    pub fn last(&self) -> Arc<P> {
        self.0.read().map(|page| Arc::clone(&page)).unwrap_or_default()
    }
}

/// An open door. It closes when it is dropped.
#[derive(Debug)]
pub struct Door<P> {
    shared: Shared<P>,
    address: SocketAddr,
    ended: Receiver<()>,
    /// What serves it.
    _runtime: Runtime,
}

impl<P> Door<P> {
    /// Opens it at this address, with a page for those who come first.
    ///
    /// # Errors
    /// If the address is not to be had.
    pub fn open(address: SocketAddr, first: P, router: impl FnOnce(Shared<P>) -> Router) -> io::Result<Self> {
        let shared = Shared(Arc::new(RwLock::new(Arc::new(first))));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let router = router(shared.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let (end, ended) = channel();
        let entered = runtime.enter();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let (mut signal, end) = (signal(kind)?, end.clone());
            runtime.spawn(async move {
                signal.recv().await;
                // Nobody waits for it any more where this fails.
                end.send(()).ok();
                // Whoever is still waiting for an answer then is ended as a kill would: what is written is written whole.
                sleep(END).await;
                exit(0);
            });
        }
        drop(entered);
        Ok(Self { shared, address, ended, _runtime: runtime })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, tells this.
    pub fn show(&self, page: P) {
        if let Ok(mut shared) = self.shared.0.write() {
            *shared = Arc::new(page);
        }
    }

    /// Waits so long, or until a signal ends the run: then it says so.
    #[must_use]
    pub fn ends_within(&self, wait: Duration) -> bool {
        !matches!(self.ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

/// 200, or 503 and why.
pub(crate) fn health(unwell: Option<&String>) -> Response {
    match unwell {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Adds a family of metrics in Prometheus' text form: the labels of each series, and its value.
pub(crate) fn family(text: &mut String, kind: &str, name: &str, about: &str, series: &[(String, String)]) {
    // A text takes all that is written to it.
    let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
    for (labels, value) in series {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// Metrics in Prometheus' text form.
pub(crate) fn metrics(text: &str) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.to_owned()).into_response()
}
