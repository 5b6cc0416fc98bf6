//! Holds what runs for every request to a number of instructions: the engine's as valgrind's callgrind counts them, and
//! those of the built module, for all callbacks of a request, as the tests' host counts them.
//!
//! Instructions are the same on every run, where times are not: what grows by more than 3 % over `budget.json` fails.
//! The program runs itself under valgrind, each job twice: the runs differ by a number of rounds, and what they
//! differ by in instructions is what the rounds cost. `BUDGET=write` takes the counts of now for the budget.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark prints, and stops when it cannot go on"
)]

#[path = "proxy/config.rs"]
#[allow(dead_code, reason = "configs for other measurements, too")]
mod config;
mod fixture;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use kit::envoy::module;
use kit::host::{Exchange, Headers, Host, Module};
use serde_json::Value;
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{OnResponse, on_request};
use tidegate_engine::value::time::Timestamp;

use config::{each, elsewhere, guarded, routing, with};
use fixture::{HEADERS, flags, request};

const ROUNDS: u64 = 1_000;
const ALLOWED: f64 = 1.03;
const NOW: Timestamp = Timestamp::from_millis(0);

/// A name, how many flags it is about, and what is done to them so many times.
type Job = (&'static str, usize, fn(usize, u64));

const JOBS: [Job; 5] = [
    ("request, 12 headers", 1, reading),
    ("decide, 1 flag", 1, deciding),
    ("decide, 20 flags", 20, deciding),
    ("decide, 200 flags", 200, deciding),
    ("whole path, 1 flag", 1, whole),
];

fn reading(count: usize, rounds: u64) {
    let plan = flags(count, |_| Value::Null);
    for _ in 0..rounds {
        black_box(request(black_box(&plan)));
    }
}

fn deciding(count: usize, rounds: u64) {
    let plan = flags(count, |_| Value::Null);
    let seen = request(&plan);
    for _ in 0..rounds {
        black_box(decide(black_box(&plan), black_box(&seen), &Standing::NONE, NOW));
    }
}

fn whole(count: usize, rounds: u64) {
    let plan = flags(count, |_| Value::Null);
    for _ in 0..rounds {
        let seen = request(black_box(&plan));
        let decisions = decide(&plan, &seen, &Standing::NONE, NOW);
        black_box((on_request(&plan, &seen, &decisions).len(), OnResponse::new(&plan, &seen, &decisions)));
    }
}

/// What a request costs the module, by the name of its config.
fn by_module() -> Vec<(&'static str, u64)> {
    let configs = [
        ("module, nothing matches", elsewhere()),
        ("module, 1+1", routing(1)),
        ("module, 1+1 guarded", guarded(1)),
        ("module, 1+1 without metrics", each(1, "metrics", &"none".into())),
        ("module, 20+1", routing(20)),
        ("module, 20+1 dictionary", with(20, "headers", "dictionary".into())),
    ];
    let module = Module::load_metered(module(), 10_000_000_000).expect("a module: run `make wasm`");
    configs.map(|(name, config)| (name, burnt(&module, &config))).to_vec()
}

/// What one more request of a browser burns, once all that is kept has found its size.
fn burnt(module: &Module, config: &Value) -> u64 {
    let mut host = Host::new(module).expect("a VM");
    host.set_property(&["plugin_name"], "tidegate");
    assert!(host.configure("tidegate", config.to_string().as_bytes()).expect("an answer"), "{:?}", host.logs());
    let mut exchange = Exchange::get("/");
    exchange.request = Headers::default();
    let name = |name| std::str::from_utf8(name).expect("a name is text");
    exchange = HEADERS.iter().fold(exchange, |exchange, (known, value)| exchange.header(name(known), value));
    exchange.latency_nanos = 3_000_000;
    let mut rounds = |count: u64| {
        let before = host.fuel_burnt();
        (0..count).for_each(|_| drop(host.request(&exchange).expect("no trap")));
        (host.fuel_burnt() - before) / count
    };
    rounds(ROUNDS / 10);
    rounds(ROUNDS)
}

fn main() -> ExitCode {
    if let Ok(job) = std::env::var("BUDGET_JOB") {
        let rounds = std::env::var("BUDGET_ROUNDS").expect("rounds").parse().expect("a number");
        let (_, count, run) = JOBS.into_iter().find(|(name, ..)| *name == job).expect("a job");
        run(count, rounds);
        return ExitCode::SUCCESS;
    }
    let valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    if !valgrind {
        println!("budget: SKIPPED: the engine, as there is no valgrind here");
    }
    let counts: BTreeMap<&str, u64> = JOBS
        .into_iter()
        .filter(|_| valgrind)
        .map(|(job, ..)| (job, (instructions(job, 2 * ROUNDS) - instructions(job, ROUNDS)) / ROUNDS))
        .chain(by_module())
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/budget.json");
    let mut budget: BTreeMap<String, u64> =
        serde_json::from_slice(&std::fs::read(&path).expect("a budget")).expect("a number for each job");
    if std::env::var("BUDGET").is_ok_and(|value| value == "write") {
        // What could not be counted here keeps its budget.
        budget.extend(counts.iter().map(|(job, count)| ((*job).to_owned(), *count)));
        let text = serde_json::to_string_pretty(&budget).expect("JSON");
        std::fs::write(&path, text + "\n").expect("the budget can be written");
    }
    let mut kept = true;
    println!("{:32} {:>12} {:>12}", "instructions", "now", "budget");
    for (job, count) in counts {
        let share = count as f64 / *budget.get(job).expect("a budget for each job: BUDGET=write makes it") as f64;
        let verdict = if share > ALLOWED {
            kept = false;
            "OVER BUDGET"
        } else if share * ALLOWED < 1.0 {
            "less: write the budget anew, with BUDGET=write"
        } else {
            ""
        };
        println!("{job:32} {count:12} {:12} {:+6.1} % {verdict}", budget[job], (share - 1.0) * 100.0);
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a run of this many rounds takes from start to end.
fn instructions(job: &str, rounds: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(std::env::current_exe().expect("a path"));
    valgrind.env("BUDGET_JOB", job).env("BUDGET_ROUNDS", rounds.to_string());
    let output = valgrind.output().expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("valgrind says:\n{text}"))
}
