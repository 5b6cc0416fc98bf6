//! Visits whole Envoys in turn, many times and briefly, and keeps the CPU time of each visit.
//!
//! In turn, so that a change of the machine's speed meets all of them. Briefly, so that most visits are disturbed by
//! nobody: neighbours only add, and the lower quartile is what a visit takes without them. Everything but the proxy in
//! question runs on another core.

use indicatif::{ProgressBar, ProgressStyle};
use kit::envoy::Envoy;

use crate::cells::Cell;
use crate::load::{Load, request};
use crate::machine::{Machine, PROXY, Time, pin};

/// The visits that caches, buffers and the compiler of the VM need to become warm.
const WARM: usize = 5;
const REQUESTS: usize = 1_500;

/// What the visits to one cell took, in microseconds for each request, in order of size.
pub struct Times {
    pub name: String,
    sorted: Vec<f64>,
}

impl Times {
    pub fn quartile(&self) -> f64 {
        self.sorted[self.sorted.len() / 4]
    }

    pub fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
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
        Some(self.cells.iter().find(|cell| cell.name == name)?.quartile() - self.cells.first()?.quartile())
    }
}

/// A cell that runs.
struct Place {
    name: String,
    envoy: Envoy,
    load: Load,
    visits: Vec<Time>,
}

/// Starts every cell, and visits all of them this many times. Says aloud which ones do not do their job.
pub fn visit(cells: Vec<Cell>, visits: usize) -> Run {
    let bar = bar(cells.len(), "{bar:40} start {pos} of {len}");
    let mut places: Vec<Place> = bar.wrap_iter(cells.into_iter()).filter_map(Place::start).collect();
    let bar = self::bar(WARM + visits, "{bar:40} visit {pos} of {len}, {eta} left");
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(request).collect();
    let machine = Machine::now();
    for _ in bar.wrap_iter(0..WARM + visits) {
        for number in 0..places.len() {
            // All are compared with the first one: it is visited more often.
            if number % 8 == 1 {
                places[0].visit(&requests);
            }
            places[number].visit(&requests);
        }
    }
    Run { cells: places.into_iter().map(Place::times).collect(), machine: machine.since() }
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
    fn start(cell: Cell) -> Option<Self> {
        let envoy = start(&cell)?;
        let load = Load::open(envoy.port("ingress"));
        Some(Self { name: cell.name, envoy, load, visits: Vec::new() })
    }

    fn visit(&mut self, requests: &[Vec<u8>]) {
        let now = || Time::of(self.envoy.pid()).expect("/proc");
        let before = now();
        self.load.run(requests);
        self.visits.push(now().since(before));
    }

    /// Without the first visits, and of the others without the half in which the proxy had to wait the longest.
    fn times(mut self) -> Times {
        self.visits.drain(..WARM);
        self.visits.sort_by_key(|visit| visit.waited);
        self.visits.truncate(self.visits.len().div_ceil(2));
        let mut sorted: Vec<f64> = self.visits.iter().map(|visit| visit.busy as f64 / REQUESTS as f64 / 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        Times { name: self.name, sorted }
    }
}
