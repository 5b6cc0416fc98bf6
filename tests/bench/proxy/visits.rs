//! Visits whole Envoys in turn, many times and briefly, and keeps the CPU time of each visit.
//!
//! In turn, so that a change of the machine's speed meets all of them. Briefly, so that most visits are disturbed by
//! nobody: neighbours only add, and the lower quartile is what a visit takes without them. And in new processes again and
//! again: where one happens to lie in memory makes it faster or slower by a microsecond for as long as it lives, which is
//! more than most of what is compared. Everything but the proxy in question runs on another core.

use indicatif::{ProgressBar, ProgressStyle};
use kit::envoy::Envoy;

use crate::cells::Cell;
use crate::load::{Load, request};
use crate::machine::{Machine, PROXY, Time, pin};

/// The visits that caches, buffers and the compiler of the VM need to become warm.
const WARM: usize = 3;
/// The visits to one process that count.
const COUNTED: usize = 8;
const REQUESTS: usize = 1_500;
/// How many processes the first cell has in the place of one: all others are compared with it.
const FIRST: usize = 3;

/// What the processes of one cell took, in microseconds for each request, in order of size.
pub struct Times {
    pub name: String,
    sorted: Vec<f64>,
}

impl Times {
    /// What half of the processes took less than.
    pub fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }

    /// How far the median is off, as a rule: its standard error, by the distance of the quartiles. None of so few processes
    /// that they have no quartiles.
    pub fn error(&self) -> Option<f64> {
        let count = self.sorted.len();
        if count < 4 {
            return None;
        }
        let between = self.sorted[count * 3 / 4] - self.sorted[count / 4];
        // As if they were spread normally: the quartiles are 1.35 deviations apart, and a median errs 1.25 times a mean.
        Some(1.25 * between / 1.35 / (count as f64).sqrt())
    }
}

/// All cells of one run; the first one is the proxy without a filter.
pub struct Run {
    pub cells: Vec<Times>,
    pub machine: String,
}

impl Run {
    /// What a cell adds to the proxy without a filter; none if it was not measured.
    pub fn adds(&self, name: &str) -> Option<f64> {
        Some(self.cells.iter().find(|cell| cell.name == name)?.median() - self.cells.first()?.median())
    }
}

/// A process of a cell.
struct Place {
    /// Which cell.
    number: usize,
    envoy: Envoy,
    load: Load,
    visits: Vec<Time>,
}

/// Visits every cell this many times, in as many processes as that needs. Says aloud which ones do not do their job.
pub fn visit(cells: &[Cell], visits: usize) -> Run {
    let rounds = visits.div_ceil(COUNTED);
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(request).collect();
    let mut seen: Vec<Vec<f64>> = vec![Vec::new(); cells.len()];
    let mut broken = vec![false; cells.len()];
    let machine = Machine::now();
    for round in bar(rounds, "{bar:40} round {pos} of {len}, {eta} left").wrap_iter(0..rounds) {
        let numbers = std::iter::repeat_n(0, FIRST).chain(1..cells.len());
        let mut places = Vec::new();
        for number in numbers {
            if !broken[number] {
                let place = Place::start(number, &cells[number]);
                broken[number] = place.is_none();
                places.extend(place);
            }
        }
        // Whoever comes first in one round comes later in the next.
        let count = places.len();
        places.rotate_left(round * count / rounds);
        for _ in 0..WARM + COUNTED {
            for place in &mut places {
                place.visit(&requests);
            }
        }
        for place in places {
            seen[place.number].push(place.quartile());
        }
    }
    let times = cells.iter().zip(seen).filter(|(_, times)| !times.is_empty()).map(|(cell, mut sorted)| {
        sorted.sort_by(f64::total_cmp);
        Times { name: cell.name.clone(), sorted }
    });
    Run { cells: times.collect(), machine: machine.since() }
}

pub fn bar(length: usize, template: &str) -> ProgressBar {
    ProgressBar::new(length as u64).with_style(ProgressStyle::with_template(template).expect("a template"))
}

/// Starts a cell on the core of the proxy; none if it does not do its job, which is said aloud.
pub fn start(cell: &Cell) -> Option<Envoy> {
    let envoy = cell.scene.clone().start();
    pin(envoy.pid(), PROXY);
    cell.check(&envoy).inspect_err(|problem| println!("NOT MEASURED: {}: {problem}", cell.name)).ok()?;
    Some(envoy)
}

impl Place {
    fn start(number: usize, cell: &Cell) -> Option<Self> {
        let envoy = start(cell)?;
        let load = Load::open(envoy.port("ingress"));
        Some(Self { number, envoy, load, visits: Vec::new() })
    }

    fn visit(&mut self, requests: &[Vec<u8>]) {
        let now = || Time::of(self.envoy.pid()).expect("/proc");
        let before = now();
        self.load.run(requests);
        self.visits.push(now().since(before));
    }

    /// The lower quartile of the visits, in microseconds for each request: without the first ones, and of the others
    /// without the half in which the proxy had to wait the longest.
    fn quartile(mut self) -> f64 {
        self.visits.drain(..WARM);
        self.visits.sort_by_key(|visit| visit.waited);
        self.visits.truncate(self.visits.len().div_ceil(2));
        self.visits.sort_by_key(|visit| visit.busy);
        self.visits[self.visits.len() / 4].busy as f64 / REQUESTS as f64 / 1e3
    }
}
