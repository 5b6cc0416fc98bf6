//! Many proxies in one process, of the product's own code: turns a config and a rate of requests into the pages that a
//! Prometheus reads of them.
//!
//! Each has a worker with a memory of its own, takes configs in, decides, counts, guards and ticks as one in an Envoy
//! does; what is made up is who asks, and what the versions answer. Requests come as chance has it, so many a second at
//! each proxy. Never writes a series that the proxy has not defined.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_engine::output::effect::Effect;
use tidegate_proxy::filters::Filters;
use tidegate_proxy::push::Instance;
use tidegate_proxy::stream::Next;

use crate::chance::{Arrivals, Chance};
use crate::worker::Worker;

/// The pause between two rounds.
const ROUND: Duration = Duration::from_millis(10);

/// After so many rounds each proxy has ticked once: every 250 ms.
const TICK: usize = 25;

/// How many people ask.
const PEOPLE: u32 = 1_000_000;

/// A million.
const FULL: u32 = 1_000_000;

/// How a swarm is seen and asked.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'k> {
    pub proxies: usize,
    /// Requests a second at each proxy.
    pub requests: u32,
    /// The filter's name, as its host has it.
    pub plugin: &'k str,
    pub host: &'k str,
    pub path: &'k str,
    /// The header of the config by which versions are told apart.
    pub route: &'k str,
}

/// One proxy.
pub struct Simulated {
    worker: Worker,
    filters: Arc<Filters>,
    instance: Option<Instance>,
}

impl Simulated {
    pub fn new(id: &str, plugin: &str) -> Self {
        Self { worker: Worker::new(id, plugin), filters: Arc::default(), instance: None }
    }

    /// Pushes a config; whether it was taken.
    pub fn push(&mut self, config: &str) -> bool {
        self.worker.give(config);
        let mut next = Instance::new(Arc::clone(&self.filters));
        let taken = next.configure(&self.worker);
        if taken {
            self.instance = Some(next);
        }
        taken
    }

    /// A request, answered at once: `answer` says with which status, by the value of the header that routes.
    pub fn request(
        &mut self,
        route: &str,
        headers: &[(&str, &str)],
        answer: impl FnOnce(Option<&str>) -> u64,
    ) -> Option<String> {
        let Self { worker, instance, .. } = self;
        let mut stream = instance.as_ref()?.stream()?;
        worker.begin();
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let version = match stream.request_headers(worker, headers, true) {
            Next::Upstream(effects) => effects.iter().rev().find_map(|effect| match effect {
                Effect::Set(name, value) if *name == route => Some((*value).to_owned()),
                _ => None,
            }),
            Next::Answered => None,
        };
        let code = answer(version.as_deref());
        worker.wait();
        stream.response_headers(worker, || Some(code), |_| None).apply(worker);
        stream.done(worker);
        version
    }

    pub fn tick(&mut self) {
        if let Some(instance) = &mut self.instance {
            instance.tick(&self.worker);
        }
    }

    /// Its page for a Prometheus.
    pub fn page(&self) -> String {
        self.worker.page()
    }
}

/// What versions answer: how many of a million requests fail.
#[derive(Debug, Default)]
pub struct Faults {
    pub base: AtomicU32,
    /// Of the version that is `v2`, in place of the other.
    pub v2: AtomicU32,
}

/// A config on its way to the proxies.
struct Push {
    config: Arc<str>,
    /// When each has it.
    due: Vec<Instant>,
}

struct Shared {
    proxies: Vec<Mutex<Simulated>>,
    faults: Faults,
    pushes: Mutex<Vec<Push>>,
    /// Requests since the beginning, and those that `v2` got.
    sent: [AtomicU64; 2],
    /// By how many milliseconds a round was late, at most.
    late: AtomicU64,
    /// How many of the proxies have the last config.
    current: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn proxy(&self, place: usize) -> MutexGuard<'_, Simulated> {
        self.proxies[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many proxies that run, until the value is dropped.
pub struct Swarm {
    shared: Arc<Shared>,
    address: SocketAddr,
    rounds: Option<JoinHandle<()>>,
    seed: u64,
}

impl Swarm {
    /// Starts them, without a config.
    pub fn start(kind: &Kind<'_>, seed: u64) -> Self {
        let proxies = (0..kind.proxies).map(|place| Mutex::new(Simulated::new(&id(place), kind.plugin)));
        let shared = Arc::new(Shared {
            proxies: proxies.collect(),
            faults: Faults::default(),
            pushes: Mutex::default(),
            sent: Default::default(),
            late: AtomicU64::default(),
            current: AtomicU64::default(),
            stop: AtomicBool::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        let mut rounds = Rounds::new(kind, Arc::clone(&shared), seed);
        let rounds = thread::spawn(move || rounds.run());
        Self { shared, address, rounds: Some(rounds), seed }
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Gives all of them a config, each after a time of its own up to this long.
    pub fn push(&self, config: &str, within: Duration) {
        let now = Instant::now();
        let mut pushes = self.shared.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chance = Chance::of(&[self.seed, pushes.len() as u64, 7]);
        let most = u32::try_from(within.as_millis()).unwrap_or(u32::MAX).max(1);
        let due = self.shared.proxies.iter().map(|_| now + Duration::from_millis(chance.below(most).into())).collect();
        self.shared.current.store(0, Ordering::Relaxed);
        // Whoever has not got an older one by now gets this one in its place.
        pushes.clear();
        pushes.push(Push { config: config.into(), due });
    }

    /// How many have the config that was pushed last.
    pub fn current(&self) -> usize {
        usize::try_from(self.shared.current.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    pub fn proxies(&self) -> usize {
        self.shared.proxies.len()
    }

    /// How many requests were sent since the beginning, and how many of them to `v2`.
    pub fn sent(&self) -> [u64; 2] {
        self.shared.sent.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// By how much the slowest round since the last call was late.
    pub fn late(&self) -> Duration {
        Duration::from_millis(self.shared.late.swap(0, Ordering::Relaxed))
    }

    /// What a Prometheus needs to read each of them, as entries of `static_configs`: three zones, one workload.
    pub fn targets(&self, workload: &str) -> Vec<Value> {
        let target = |place: usize| {
            json!({"targets": [self.address.to_string()], "labels": {"__metrics_path__": format!("/{place}/metrics"),
                "instance": format!("simulated-{place}"), "zone": zone(place), "workload": workload}})
        };
        (0..self.shared.proxies.len()).map(target).collect()
    }

    /// The page of one of them.
    pub fn page(&self, place: usize) -> String {
        self.shared.proxy(place).page()
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(rounds) = self.rounds.take() {
            drop(rounds.join());
        }
    }
}

/// The zone of the proxy at this place: one of three.
pub fn zone(place: usize) -> &'static str {
    ["a", "b", "c"][place % 3]
}

fn id(place: usize) -> String {
    format!("router~10.{}.{}.{}~simulated-{place}.istio-ingress", 64, place / 250, place % 250 + 1)
}

/// What goes on in a swarm, ten milliseconds at a time.
struct Rounds {
    shared: Arc<Shared>,
    arrivals: Arrivals,
    chance: Chance,
    host: String,
    path: String,
    route: String,
}

impl Rounds {
    fn new(kind: &Kind<'_>, shared: Arc<Shared>, seed: u64) -> Self {
        let proxies = u32::try_from(kind.proxies).expect("so many are not started");
        let rate = f64::from(proxies) * f64::from(kind.requests) * ROUND.as_secs_f64();
        Self {
            shared,
            // What arrives at all of them together falls on each as chance has it.
            arrivals: Arrivals::new(rate),
            chance: Chance::of(&[seed, u64::from(proxies)]),
            host: kind.host.to_owned(),
            path: kind.path.to_owned(),
            route: kind.route.to_owned(),
        }
    }

    fn run(&mut self) {
        let mut due = Instant::now();
        for round in 0_usize.. {
            if self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
            due += ROUND;
            let late = due.elapsed();
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            self.shared.late.fetch_max(late, Ordering::Relaxed);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.hand_out();
            for place in (round % TICK..self.shared.proxies.len()).step_by(TICK) {
                self.shared.proxy(place).tick();
            }
            for _ in 0..self.arrivals.draw(&mut self.chance) {
                self.ask();
            }
        }
    }

    /// Gives configs to those that are due.
    fn hand_out(&self) {
        let mut pushes = self.shared.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for push in pushes.iter_mut() {
            for (place, due) in push.due.iter_mut().enumerate() {
                if *due <= now {
                    *due = now + Duration::from_secs(1_000_000);
                    let taken = self.shared.proxy(place).push(&push.config);
                    self.shared.current.fetch_add(u64::from(taken), Ordering::Relaxed);
                }
            }
        }
    }

    fn ask(&mut self) {
        let place = self.chance.below(u32::try_from(self.shared.proxies.len()).unwrap_or(1)) as usize;
        let user = format!("user-{}", self.chance.below(PEOPLE));
        let draw = self.chance.below(FULL);
        let Shared { faults, sent, .. } = &*self.shared;
        let headers = [
            (":method", "GET"),
            (":authority", self.host.as_str()),
            (":path", self.path.as_str()),
            ("x-user-id", user.as_str()),
        ];
        let answer = |version: Option<&str>| {
            let of = if version == Some("v2") { &faults.v2 } else { &faults.base };
            if draw < of.load(Ordering::Relaxed) { 500 } else { 200 }
        };
        let version = self.shared.proxy(place).request(&self.route, &headers, answer);
        sent[0].fetch_add(1, Ordering::Relaxed);
        sent[1].fetch_add(u64::from(version.as_deref() == Some("v2")), Ordering::Relaxed);
    }
}

/// Answers one connection of a Prometheus, as long as it is kept.
fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let place = line.split(' ').nth(1)?.trim_matches('/').split('/').next()?.parse::<usize>().ok();
        while reader.read_line(&mut line).ok()? > 2 {}
        let page = place.filter(|place| *place < shared.proxies.len()).map(|place| shared.proxy(place).page());
        let status = if page.is_some() { "200 OK" } else { "404 Not Found" };
        let page = page.unwrap_or_default();
        let mut answer = String::new();
        let _ = write!(
            answer,
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        );
        // In one piece: the kernel would hold back the second one.
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
