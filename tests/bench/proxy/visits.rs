//! Visits whole Envoys in turn, many times and briefly, and keeps the CPU time of each visit.
//!
//! In turn, so that a change of the machine's speed meets all of them. Briefly, so that most visits are disturbed by
//! nobody: neighbours only add, and the lower quartile is what a visit takes without them. Everything but the proxy in
//! question runs on another core.

use indicatif::{ProgressBar, ProgressStyle};
use kit::envoy::Envoy;

use crate::cells::Cell;
use crate::load::{Load, request};
use crate::machine::{Machine, PROXY, busy, pin};

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
    /// What a cell adds to the proxy without a filter; none if it was not chosen.
    pub fn adds(&self, name: &str) -> Option<f64> {
        Some(self.cells.iter().find(|cell| cell.name == name)?.quartile() - self.cells.first()?.quartile())
    }
}

/// Starts every cell, checks that it does its job, and visits all of them this many times.
pub fn visit(cells: Vec<Cell>, visits: usize) -> Run {
    let mut places: Vec<(String, Envoy, Load)> = cells
        .into_iter()
        .map(|cell| {
            let envoy = cell.scene.start();
            pin(envoy.pid(), PROXY);
            (cell.expected)(&cell.name, &envoy);
            let load = Load::open(envoy.port("ingress"));
            (cell.name, envoy, load)
        })
        .collect();
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(request).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); places.len()];
    let style = ProgressStyle::with_template("{bar:40} visit {pos} of {len}, {eta} left").expect("a template");
    let bar = ProgressBar::new((WARM + visits) as u64).with_style(style);
    let machine = Machine::now();
    for round in 0..WARM + visits {
        for ((_, envoy, load), times) in places.iter_mut().zip(&mut times) {
            let before = busy(envoy.pid()).expect("/proc");
            load.run(&requests);
            if round >= WARM {
                times.push((busy(envoy.pid()).expect("/proc") - before) as f64 / REQUESTS as f64 / 1e3);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let cells = places.into_iter().zip(times).map(|((name, ..), mut sorted)| {
        sorted.sort_by(f64::total_cmp);
        Times { name, sorted }
    });
    Run { cells: cells.collect(), machine: machine.since() }
}
