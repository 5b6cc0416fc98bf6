//! Who is sent, what becomes of them, and whether anybody is lost on the way.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use kit::http::{Client, Request, Response};
use kit::scene::Scene;
use serde_json::Value;

pub(super) const HOST: &str = "www.shop.example";
pub(super) const PATH: &str = "/api/cart";
const USERS: usize = 400;

/// What a version has seen of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) version: String,
    pub(super) checkout: Option<String>,
    pub(super) new_nav: Option<String>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.version, self.checkout, self.new_nav)
    }
}

pub(super) fn user(number: usize) -> Request {
    Request::get(PATH).host(HOST).header("x-user-id", format!("user-{number}"))
}

/// A request that claims what only the filter may say.
pub(super) fn forged(request: Request) -> Request {
    let names = ["X-Upstream-Version", "x_upstream_version", "X-Flag-Checkout", "x-flag_new-nav"];
    names.into_iter().fold(request, |request, name| request.header(name, "v2"))
}

#[track_caller]
pub(super) fn seen(response: &Response) -> Seen {
    assert_eq!(response.status, 200, "{}", response.text());
    let upstream = response.upstream();
    let flag = |name| upstream.header(name).map(str::to_owned);
    Seen { checkout: flag("x-flag-checkout"), new_nav: flag("x-flag-new-nav"), version: upstream.version.clone() }
}

#[track_caller]
pub(super) fn ask(client: &mut Client, request: &Request) -> Seen {
    seen(&client.send(request))
}

/// 400 users, once each; forged headers beside them, if so asked.
pub(super) fn crowd(client: &mut Client, host: &str, forge: bool) -> Vec<Seen> {
    let mut crowd = Vec::new();
    for number in 0..USERS {
        let request = user(number).host(host);
        crowd.push(ask(client, &if forge { forged(request) } else { request }));
    }
    crowd
}

/// What the filter says of the same 400 in an Envoy that nobody but this program has configured.
pub(super) fn expected(config: &Value, host: &str) -> Vec<Seen> {
    let envoy = Scene::new(config.to_string()).start();
    crowd(&mut envoy.client(), host, false)
}

/// Holds what a proxy does with the crowd against what is due, and says it in words.
#[track_caller]
pub(super) fn decides(client: &mut Client, host: &str, due: &[Seen]) -> String {
    let moved = due.iter().filter(|one| one.version == "v2").count();
    assert!(moved > 0 && moved < due.len(), "all alike say nothing");
    for forge in [false, true] {
        let found = crowd(client, host, forge);
        let wrong = found.iter().zip(due).filter(|(found, due)| found != due).count();
        assert_eq!(wrong, 0, "{wrong} of {USERS} are not decided as the hash says (forged: {forge})");
    }
    format!("{USERS} of {USERS} users as the hash says, {moved} at v2, forged headers do nothing")
}

/// All at the baseline; whether forged headers reach the routes is part of the answer.
#[track_caller]
pub(super) fn baseline(client: &mut Client, forged_pass: bool) -> String {
    for one in crowd(client, HOST, false) {
        assert_eq!(one, Seen { version: "v1".to_owned(), checkout: None, new_nav: None });
    }
    let seen = ask(client, &forged(user(1)));
    let passed = seen.version == "v2";
    assert_eq!(passed, forged_pass, "a forged header: {seen}");
    format!(
        "{USERS} of {USERS} users at v1, {}",
        if passed { "a forged header leads to v2" } else { "forged headers removed" }
    )
}

/// Requests without a pause, from four clients, until it is told to stop.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(address: SocketAddr) -> Self {
        let [sent, failed] = [0, 0].map(|_| Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..4).map(|thread| {
            let (stop, sent, failed) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&failed));
            thread::spawn(move || {
                let mut client = Client::at(address);
                for number in thread.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let good = client.try_send(&user(number)).is_ok_and(|response| response.status == 200);
                    sent.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(!good), Ordering::Relaxed);
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads, sent, failed }
    }

    /// Ends it; nobody may have been lost.
    #[track_caller]
    pub(super) fn end(mut self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client goes on to the end");
        }
        let (sent, failed) = (self.sent.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        assert!(sent > 100, "only {sent} requests were sent");
        assert_eq!(failed, 0, "{failed} of {sent} requests failed");
        format!("{sent} requests, 0 failed")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
