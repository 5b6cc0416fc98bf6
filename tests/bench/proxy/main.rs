//! Measures what the filter adds to Envoy's CPU time for a request, beside other ways to do the job.
//!
//! [`cells`] names whole Envoys, [`visits`] takes turns with them, [`table`] says what each adds to the proxy without a
//! filter. By environment: `CELLS` chooses by parts of names (`CELLS='lua|1+1'`), `VISITS` says how often each is
//! visited, `MODULES=a.wasm,b.wasm` has Tidegate once for each module, `PARTS` chooses among `cells`, `push` and
//! `guards`. Asserts nothing about speed, which is a matter of the machine; but what does not do its job is not measured.
#![allow(
    clippy::arithmetic_side_effects,
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
mod floor;

mod load;
mod machine;
mod table;
mod visits;

use std::path::PathBuf;

use kit::scene::Scene;

/// The parts of a setting, by a separator; none if it is empty or not there.
fn setting(name: &str, separator: char) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_default();
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn main() {
    let parts = setting("PARTS", ',');
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    if wanted("cells") {
        run();
    }
    if wanted("push") {
        background::configure();
    }
    if wanted("guards") {
        background::tick();
    }
}

fn run() {
    let chosen = setting("CELLS", '|');
    let visits = setting("VISITS", ' ').first().map_or(60, |number| number.parse().expect("VISITS is a number"));
    let modules: Vec<PathBuf> = setting("MODULES", ',').iter().map(|path| from_root(path)).collect();
    let upstream = Scene::bare().silent_upstreams().edit(cells::many_headers).start();
    cells::UPSTREAM.set(upstream.dir().to_owned()).unwrap();
    if machine::Time::of(upstream.pid()).is_none() {
        println!("this system has no /proc to read an Envoy's CPU time from: skipped");
        return;
    }
    let pinned = machine::pin(upstream.pid(), machine::REST) && machine::pin(std::process::id(), machine::REST);
    if !pinned {
        println!("taskset cannot pin: the proxy shares its core with what loads it");
    }
    let mut cells = cells::all(&modules);
    cells.retain(|cell| {
        chosen.is_empty() || cell.name == "no filter" || chosen.iter().any(|part| cell.name.contains(part.as_str()))
    });
    let run = visits::visit(cells, visits);
    println!("\n{}\n{}", table::cells(&run), run.machine);
}

/// A path as it was given to `make`: cargo runs a benchmark in the folder of its package.
fn from_root(path: &str) -> PathBuf {
    kit::envoy::repository().join(path)
}
