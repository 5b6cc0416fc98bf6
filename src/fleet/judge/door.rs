//! The door of the judge: what it tells over HTTP, and the signals that end it.
//!
//! ```text
//! GET /healthz                      200, or 503 and why
//! GET /metrics                      for Prometheus
//! GET /v1/flags                     all flags that are judged
//! GET /v1/flags/KEY                 one of them
//! GET|POST /v1/flags/KEY/running    200 if it runs and is seen, else 409: for Flagger's confirm hooks
//! GET|POST /v1/flags/KEY/rolledBack 200 if it is rolled back, else 409: for Flagger's rollback hook
//! ```
//!
//! Tells the last page that it was given, and never waits for a look.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tidegate_analysis::source::diagnostic::nearest;
use tidegate_engine::config::standing::Phase;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::page::{Page, Told};

type Shared = Arc<RwLock<Arc<Page>>>;

/// An open door. It closes when it is dropped.
#[derive(Debug)]
pub struct Door {
    shared: Shared,
    address: SocketAddr,
    ended: Receiver<()>,
    /// What serves it.
    _runtime: Runtime,
}

impl Door {
    /// Opens it at this address.
    ///
    /// # Errors
    /// If the address is not to be had.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let page = Page { unwell: Some("it has not looked yet".to_owned()), ..Page::default() };
        let shared: Shared = Arc::new(RwLock::new(Arc::new(page)));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let router = router(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let (end, ended) = channel();
        let entered = runtime.enter();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let (mut signal, end) = (signal(kind)?, end.clone());
            runtime.spawn(async move {
                signal.recv().await;
                // Nobody waits for it any more where this fails.
                end.send(()).ok();
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
    pub fn show(&self, page: Page) {
        if let Ok(mut shared) = self.shared.write() {
            *shared = Arc::new(page);
        }
    }

    /// Waits so long, or until a signal ends the judge: then it says so.
    #[must_use]
    pub fn ends_within(&self, wait: Duration) -> bool {
        !matches!(self.ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/flags", get(flags))
        .route("/v1/flags/{key}", get(flag))
        .route("/v1/flags/{key}/running", get(running).post(running))
        .route("/v1/flags/{key}/rolledBack", get(rolled_back).post(rolled_back))
        .with_state(shared)
}

fn last(shared: &Shared) -> Arc<Page> {
    shared.read().map(|page| Arc::clone(&page)).unwrap_or_default()
}

async fn health(State(shared): State<Shared>) -> Response {
    match &last(&shared).unwell {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], last(&shared).metrics.clone()).into_response()
}

async fn flags(State(shared): State<Shared>) -> Json<Value> {
    let page = last(&shared);
    let flags: BTreeMap<&String, &Value> = page.flags.iter().map(|(key, told)| (key, &told.json)).collect();
    Json(json!({"flags": flags, "unguarded": page.unguarded}))
}

async fn flag(State(shared): State<Shared>, Path(key): Path<String>) -> Response {
    of(&shared, &key, |_| StatusCode::OK)
}

async fn running(State(shared): State<Shared>, Path(key): Path<String>) -> Response {
    of(&shared, &key, |told| when(told.phase == Phase::Running && told.blind.is_none()))
}

async fn rolled_back(State(shared): State<Shared>, Path(key): Path<String>) -> Response {
    of(&shared, &key, |told| when(told.phase == Phase::RolledBack))
}

fn when(so: bool) -> StatusCode {
    if so { StatusCode::OK } else { StatusCode::CONFLICT }
}

/// What is told of a flag, or that it is not there.
fn of(shared: &Shared, key: &str, status: impl Fn(&Told) -> StatusCode) -> Response {
    let page = last(shared);
    if let Some(told) = page.flags.get(key) {
        return (status(told), Json(told.json.clone())).into_response();
    }
    let known = page.flags.keys().map(String::as_str);
    let (error, help) = if page.unguarded.iter().any(|other| other == key) {
        (format!("the flag '{key}' has no guard, and nothing is judged of it"), None)
    } else {
        let near = nearest(key, known).map(|near| format!("did you mean '{near}'?"));
        (format!("there is no flag '{key}'"), near)
    };
    (StatusCode::NOT_FOUND, Json(json!({"error": error, "help": help}))).into_response()
}
