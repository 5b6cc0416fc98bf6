//! How long requests take at a constant rate, which nothing holds up: an open loop.
//!
//! A request is sent when it is due, whether those before it are answered or not, on a connection that is free. All
//! cells get the same rates: shares of what the slowest of them can do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kit::envoy::Envoy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cells::Cell;
use crate::load::{Connection, Load, request};
use crate::machine::hurry;
use crate::visits::{bar, start};

/// Of what the slowest cell can do, in percent.
pub const SHARES: [u32; 3] = [25, 50, 75];
const TURNS: usize = 8;
const TURN: Duration = Duration::from_millis(1_500);

/// More than a proxy has on the way before it is overloaded.
const CONNECTIONS: usize = 256;
const LATE: Duration = Duration::from_millis(1);

/// What one turn showed, in microseconds: half of the requests, 99 % and 99.9 % took less than these.
pub type Percentiles = [f64; 3];

/// What each cell showed at each rate, and the rates, in requests a second.
pub struct Latency {
    pub cells: Vec<(String, [Percentiles; 3])>,
    pub rates: [f64; 3],
    /// Whether client and upstream ran before all else on their core.
    pub hurried: bool,
}

pub fn measure(cells: Vec<Cell>) -> Latency {
    let cells: Vec<(String, Envoy)> =
        cells.into_iter().filter_map(|cell| start(&cell).map(|envoy| (cell.name, envoy))).collect();
    // Only now: the proxies would hurry, too.
    let hurried = hurry(std::process::id());
    let users: Vec<Vec<u8>> = (0..1_000).map(request).collect();
    let capacity = cells.iter().map(|(_, envoy)| capacity(envoy, &users)).fold(f64::INFINITY, f64::min);
    let rates = SHARES.map(|share| capacity * f64::from(share) / 100.0);
    let mut seen: Vec<[Vec<Percentiles>; 3]> = cells.iter().map(|_| Default::default()).collect();
    for _ in bar(TURNS, "{bar:40} turn {pos} of {len} at constant rates, {eta} left").wrap_iter(0..TURNS) {
        for (place, rate) in rates.into_iter().enumerate() {
            for ((_, envoy), seen) in cells.iter().zip(&mut seen) {
                seen[place].push(percentiles(Rate::of(rate).run(envoy.port("ingress"), TURN, &users)));
            }
        }
    }
    // As for the cells: neighbours only add.
    let quartile = |turns: &Vec<Percentiles>| -> Percentiles {
        std::array::from_fn(|place| {
            let mut sorted: Vec<f64> = turns.iter().map(|turn| turn[place]).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 4]
        })
    };
    let cells = cells.into_iter().zip(&seen).map(|((name, _), shares)| (name, shares.each_ref().map(quartile)));
    Latency { cells: cells.collect(), rates, hurried }
}

/// The requests a second that a proxy can answer, once it is warm.
fn capacity(envoy: &Envoy, users: &[Vec<u8>]) -> f64 {
    let mut load = Load::open(envoy.port("ingress"));
    for _ in 0..5 {
        load.run(users);
    }
    let begun = Instant::now();
    for _ in 0..10 {
        load.run(users);
    }
    (10 * users.len()) as f64 / begun.elapsed().as_secs_f64()
}

fn percentiles(mut times: Vec<Duration>) -> Percentiles {
    times.sort_unstable();
    [500, 990, 999].map(|share| times[(times.len() * share / 1_000).min(times.len() - 1)].as_secs_f64() * 1e6)
}

/// A constant rate.
pub struct Rate(Duration);

impl Rate {
    /// So many a second.
    pub fn of(requests: f64) -> Self {
        Self(Duration::from_secs_f64(1.0 / requests))
    }

    /// Keeps the rate up for this long, and gives the time of each request.
    pub fn run(&self, port: u16, span: Duration, users: &[Vec<u8>]) -> Vec<Duration> {
        let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| Connection::open(port)).collect();
        let mut free: VecDeque<usize> = (0..connections.len()).collect();
        let mut sent: Vec<Option<Instant>> = vec![None; connections.len()];
        let mut users = users.iter().cycle();
        let (begun, mut due, mut times) = (Instant::now(), Duration::ZERO, Vec::new());
        loop {
            let now = begun.elapsed();
            while due <= now && due < span {
                let Some(place) = free.pop_front() else { break };
                // What was sent a little late by the clock of this loop is on time; what was held up waited from then on.
                sent[place] = Some(if now.saturating_sub(due) > LATE { begun + due } else { Instant::now() });
                connections[place].send(users.next().expect("users go round"));
                due += self.0;
            }
            if due >= span && sent.iter().all(Option::is_none) {
                return times;
            }
            let held_up = due >= span || free.is_empty();
            let pause = if held_up { Duration::from_millis(100) } else { due.saturating_sub(begun.elapsed()) };
            for place in readable(&connections, &sent, pause) {
                if let Some(status) = connections[place].receive_what_is_there() {
                    assert_eq!(status, 200);
                    times.extend(sent[place].take().map(|sent| sent.elapsed()));
                    free.push_back(place);
                }
            }
        }
    }
}

/// The connections on which something has come, after this time at the latest.
fn readable(connections: &[Connection], sent: &[Option<Instant>], pause: Duration) -> Vec<usize> {
    let waiting: Vec<usize> = (0..connections.len()).filter(|&place| sent[place].is_some()).collect();
    let mut polled: Vec<PollFd<'_>> =
        waiting.iter().map(|&place| PollFd::new(connections[place].stream(), PollFlags::IN)).collect();
    let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
    poll(&mut polled, Some(&pause)).expect("sockets can be waited for");
    waiting
        .into_iter()
        .zip(&polled)
        .filter(|(_, polled)| !polled.revents().is_empty())
        .map(|(place, _)| place)
        .collect()
}
