//! The door of the judge: what it tells over HTTP.
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

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tidegate_analysis::source::diagnostic::nearest;
use tidegate_engine::config::standing::Phase;

use super::page::{Page, Told};
use crate::door::{self, Door, Shared};

/// Opens it at this address.
///
/// # Errors
/// If the address is not to be had.
pub fn open(address: SocketAddr) -> io::Result<Door<Page>> {
    let page = Page { unwell: Some("it has not looked yet".to_owned()), ..Page::default() };
    Door::open(address, page, router)
}

fn router(shared: Shared<Page>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/flags", get(flags))
        .route("/v1/flags/{key}", get(flag))
        .route("/v1/flags/{key}/running", get(running).post(running))
        .route("/v1/flags/{key}/rolledBack", get(rolled_back).post(rolled_back))
        .with_state(shared)
}

async fn health(State(shared): State<Shared<Page>>) -> Response {
    door::health(shared.last().unwell.as_ref())
}

async fn metrics(State(shared): State<Shared<Page>>) -> Response {
    door::metrics(&shared.last().metrics)
}

async fn flags(State(shared): State<Shared<Page>>) -> Json<Value> {
    let page = shared.last();
    let flags: BTreeMap<&String, &Value> = page.flags.iter().map(|(key, told)| (key, &told.json)).collect();
    Json(json!({"lastLook": page.last_look, "every": page.every, "blind": page.blind, "flags": flags,
        "unguarded": page.unguarded}))
}

async fn flag(State(shared): State<Shared<Page>>, Path(key): Path<String>) -> Response {
    of(&shared, &key, |_| StatusCode::OK)
}

async fn running(State(shared): State<Shared<Page>>, Path(key): Path<String>) -> Response {
    of(&shared, &key, |told| when(told.phase == Phase::Running && told.blind.is_none()))
}

async fn rolled_back(State(shared): State<Shared<Page>>, Path(key): Path<String>) -> Response {
    of(&shared, &key, |told| when(told.phase == Phase::RolledBack))
}

fn when(so: bool) -> StatusCode {
    if so { StatusCode::OK } else { StatusCode::CONFLICT }
}

/// What is told of a flag, or that it is not there.
fn of(shared: &Shared<Page>, key: &str, status: impl Fn(&Told) -> StatusCode) -> Response {
    let page = shared.last();
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
