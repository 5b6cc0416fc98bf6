//! Measures what the filter adds to Envoy's CPU time for a request, beside other ways to do the job.
//!
//! [`cells`] names whole Envoys, [`visits`] takes turns with them, [`latency`] keeps a constant rate up, and [`report`]
//! puts all of it beside its targets. By environment: `PARTS` chooses among `engines`, `push`, `memory`, `guards`,
//! `cells`, `scale` and `latency`; `CELLS` chooses cells by parts of their names (`CELLS='lua|1+1'`), `VISITS` says how
//! often each is visited, `MODULES=a.wasm,b.so` has Tidegate once for each file; `REPORT=docs` writes the report there.
//! Asserts nothing about speed, which is a matter of the machine; but what does not do its job is not measured.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a benchmark prints, and stops when it cannot go on"
)]

mod background;
mod cells;
mod config;
mod draw;
mod floor;
mod latency;
mod load;
mod machine;
mod report;
mod visits;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use cells::Way;
use report::Report;

/// The parts of a setting, by a separator; none if it is empty or not there.
fn setting(name: &str, separator: char) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_default();
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn main() {
    let parts = setting("PARTS", ',');
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    let files: Vec<PathBuf> = setting("MODULES", ',').iter().map(|path| from_root(path)).collect();
    let ways = Way::all(&files);
    let folder = tempfile::tempdir().expect("a folder");
    load::answer_on(cells::UPSTREAM.get_or_init(|| folder.path().join("upstream.sock")));
    if machine::Time::of(std::process::id()).is_none() {
        println!("this system has no /proc to read an Envoy's CPU time from: skipped");
        return;
    }
    let mut report = Report::new();
    // Before the rest: once this process is pinned, all that it starts is.
    if wanted("engines") {
        engines(&mut report);
    }
    if wanted("push") {
        background::push(&mut report, &ways);
    }
    if wanted("memory") {
        background::memory(&mut report, &ways);
    }
    if wanted("guards") {
        background::tick(&mut report);
    }
    if !machine::pin(std::process::id(), machine::REST) {
        println!("taskset cannot pin: the proxy shares its core with what loads it");
    }
    let visits = setting("VISITS", ' ').first().map_or(112, |number| number.parse().expect("VISITS is a number"));
    if wanted("cells") {
        let run = visits::visit(&chosen(cells::all(&ways, empty())), visits);
        report.cells(&run, &ways);
    }
    if wanted("scale") {
        let run = visits::visit(&chosen(cells::scales(&ways)), visits.div_ceil(2));
        report.scale(&run, &ways);
    }
    if wanted("latency") {
        report.latency(&latency::measure(cells::steady(&ways)));
    }
    report.finish();
}

/// The cells whose names have one of the parts that were asked for, behind the one that all are compared with.
fn chosen(cells: Vec<cells::Cell>) -> Vec<cells::Cell> {
    let parts = setting("CELLS", '|');
    let named = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()));
    std::iter::once(cells::bare()).chain(cells.into_iter().filter(|cell| named(&cell.name))).collect()
}

/// Runs the comparison of engines, a program of its own with dependencies of its own.
fn engines(report: &mut Report) {
    let output = cargo("run", "engines").output().expect("cargo runs");
    let counts: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    match counts {
        Some(counts) => report.engines(&counts),
        None => println!("NOT MEASURED: the engines: tests/bench/engines did not run"),
    }
}

/// The module of a filter that does nothing; none if it cannot be built.
fn empty() -> Option<PathBuf> {
    let built = cargo("build", "empty").args(["--target", "wasm32-unknown-unknown"]).status();
    built
        .is_ok_and(|status| status.success())
        .then(|| from_root("target/empty/wasm32-unknown-unknown/release/empty.wasm"))
}

/// A command of cargo for a workspace of the bench, which has a target folder of its own.
fn cargo(what: &str, workspace: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([what, "--quiet", "--release", "--locked", "--manifest-path"]);
    cargo.arg(from_root(&format!("tests/bench/{workspace}/Cargo.toml")));
    cargo.arg("--target-dir").arg(from_root(&format!("target/{workspace}")));
    cargo.stderr(Stdio::inherit());
    cargo
}

/// A path as it was given to `make`: cargo runs a benchmark in the folder of its package.
fn from_root(path: &str) -> PathBuf {
    kit::envoy::repository().join(path)
}
