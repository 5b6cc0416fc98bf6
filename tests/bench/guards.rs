//! Simulates guards: on how many days a healthy version is rolled back, and how soon one that fails is found.
//!
//! Prints the table to stdout, and how far it is to stderr. `DAYS` healthy days are simulated for each row, and as
//! many failing versions, from 100 to 1,000. Asserts nothing: `tests/guards.rs` does, on a smaller scale.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    reason = "a simulation prints, and tells how long it takes"
)]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use kit::simulate::{Clients, DAY, Faults, Times, Traffic, all, find, limits, watch, watch_clients};
use tidegate_proxy::guard::verdict::Limits;
use tidegate_proxy::guard::window::Measure;

/// Requests a second, and the percentage that gets the new version.
const ROWS: [(u32, u32); 7] = [(10, 10), (100, 5), (100, 10), (100, 50), (1_000, 1), (1_000, 5), (1_000, 50)];

/// Identities whose clients break, the requests that they all send in a second, and the percentage of identities that
/// gets the new version.
const CROWDS: [(u32, u32, u32); 3] = [(2_000, 1_000, 5), (200, 100, 10), (150, 100, 10)];

/// How often a long row says how far it is.
const PAUSE: Duration = Duration::from_secs(10);

/// Says how far a part of a row is, if it takes long.
struct Progress {
    title: String,
    of: u32,
    begun: Instant,
    said: Mutex<Instant>,
}

impl Progress {
    fn new(title: String, of: u32) -> Self {
        let begun = Instant::now();
        eprintln!("{title}: {of}");
        Self { title, of, begun, said: Mutex::new(begun) }
    }

    fn done(&self, count: u32) {
        let Ok(mut said) = self.said.lock() else { return };
        if said.elapsed() >= PAUSE || count == self.of {
            *said = Instant::now();
            eprintln!("{}: {count} of {} after {:.0?}", self.title, self.of, self.begun.elapsed());
        }
    }
}

/// The median and the 99th percentile of the time until a version that fails is found.
fn found(traffic: Traffic, percent: u32, limits: Limits, runs: u32) -> String {
    let progress =
        Progress::new(format!("{} a second, {} %, failing {percent} %", traffic.requests, traffic.canary), runs);
    let faults = Faults::of_variant(percent);
    let times = Times::new(all(runs, |run| find(traffic, faults, limits, run), |count| progress.done(count)));
    format!("{}, {}", shown(times.percentile(50)), shown(times.percentile(99)))
}

fn shown(millis: Option<u32>) -> String {
    match millis.map(f64::from) {
        None => "more than 4 h".to_owned(),
        Some(millis) if millis < 9_950.0 => format!("{:.1} s", millis / 1_000.0),
        Some(millis) if millis < 299_500.0 => format!("{:.0} s", millis / 1_000.0),
        Some(millis) => format!("{:.0} min", millis / 60_000.0),
    }
}

fn main() {
    let days = std::env::var("DAYS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let runs = days.clamp(100, 1_000);
    let both = limits(Measure::Errors, Some(5), Some(2));
    let over = limits(Measure::Errors, None, Some(2));
    println!(
        "Errors, window 10 min, {runs} failing versions in each row. Limits: max 5 % and overBaseline 2 % for half"
    );
    println!("of all requests; overBaseline 2 % alone for 5 %, which are just on such a max, and for healthy days, on");
    println!("which a guard without max errs at least as often as one with it.");
    println!();
    println!(
        "| requests/s, canary share | false rollbacks, days of {days} | 1 % -> 50 % errors: median, p99 | 1 % -> 5 %: median, p99 |"
    );
    println!("| --- | --- | --- | --- |");
    for (requests, canary) in ROWS {
        let traffic = Traffic { requests, canary };
        let sudden = found(traffic, 50, both, runs);
        let slight = found(traffic, 5, over, runs);
        let progress = Progress::new(format!("{requests} a second, {canary} %, healthy days"), days);
        let day = |day| watch(traffic, Faults::alike(1), over, day, DAY).0.is_some();
        let wrong = all(days, day, |count| progress.done(count)).into_iter().filter(|wrong| *wrong).count();
        println!("| {requests}, {canary} % | {wrong} | {sudden} | {slight} |");
    }
    println!();
    println!(
        "Healthy days as well, on which each client breaks once, and all that it sends fails for 5 min; of what the"
    );
    println!("others send, 1 % fails.");
    println!();
    println!("| identities | requests/s, canary share | false rollbacks, days of {days} |");
    println!("| --- | --- | --- |");
    for (identities, requests, canary) in CROWDS {
        let clients = Clients { identities, traffic: Traffic { requests, canary }, background: 1 };
        let progress = Progress::new(format!("{identities} clients, {requests} a second, {canary} %"), days);
        let day = |day| watch_clients(clients, over, day, DAY).is_some();
        let wrong = all(days, day, |count| progress.done(count)).into_iter().filter(|wrong| *wrong).count();
        println!("| {identities} | {requests}, {canary} % | {wrong} |");
    }
}
