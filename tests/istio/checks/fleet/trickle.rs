//! One request a second at each gateway, over two connections, since each has two workers: what comes of them, and when
//! the last one got `v2`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kit::chance::Chance;
use kit::http::Client;
use serde_json::Value;

use super::super::crowd::user;

/// What has come of them so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) sent: u64,
    pub(super) v2: u64,
    /// No answer at all, or one of the proxy.
    pub(super) lost: u64,
    pub(super) last_v2: Option<Instant>,
}

pub(super) struct Trickle {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
}

impl Trickle {
    pub(super) fn start(gateways: Vec<SocketAddr>) -> Self {
        let (told, stop) = (Arc::<Mutex<Told>>::default(), Arc::<AtomicBool>::default());
        let (ours, stopped) = (Arc::clone(&told), Arc::clone(&stop));
        thread::spawn(move || {
            let connect = |address: &SocketAddr| [(); 2].map(|()| Client::at(*address));
            let mut clients: Vec<[Client; 2]> = gateways.iter().map(connect).collect();
            let mut chance = Chance::of(&[3]);
            let all = u32::try_from(clients.len()).expect("a few");
            while !stopped.load(Ordering::Relaxed) {
                let place = chance.below(all) as usize;
                let client = &mut clients[place][chance.below(2) as usize];
                let answer = client.try_send(&user(chance.below(1_000_000) as usize));
                let version = answer.ok().and_then(|answer| version(&answer.body));
                let mut told = ours.lock().unwrap_or_else(PoisonError::into_inner);
                told.sent += 1;
                match version.as_deref() {
                    Some("v2") => (told.v2, told.last_v2) = (told.v2 + 1, Some(Instant::now())),
                    Some(_) => {}
                    None => {
                        told.lost += 1;
                        clients[place] = connect(&gateways[place]);
                    }
                }
                drop(told);
                // Not in step with anything else.
                thread::sleep(Duration::from_micros(u64::from(chance.below(2_000_000) / all)));
            }
        });
        Self { told, stop }
    }

    pub(super) fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The version that has answered, well or not.
pub(super) fn version(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["version"].as_str().map(str::to_owned)
}
