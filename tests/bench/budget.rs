//! Holds what runs for every request to a number of instructions, as valgrind's callgrind counts them.
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

mod fixture;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{OnResponse, on_request};
use tidegate_engine::value::time::Timestamp;

use fixture::{flags, request};

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

fn main() -> ExitCode {
    if let Ok(job) = std::env::var("BUDGET_JOB") {
        let rounds = std::env::var("BUDGET_ROUNDS").expect("rounds").parse().expect("a number");
        let (_, count, run) = JOBS.into_iter().find(|(name, ..)| *name == job).expect("a job");
        run(count, rounds);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("budget: SKIPPED: there is no valgrind here");
        return ExitCode::SUCCESS;
    }
    let counts: BTreeMap<&str, u64> = JOBS
        .into_iter()
        .map(|(job, ..)| (job, (instructions(job, 2 * ROUNDS) - instructions(job, ROUNDS)) / ROUNDS))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/budget.json");
    if std::env::var("BUDGET").is_ok_and(|value| value == "write") {
        let text = serde_json::to_string_pretty(&counts).expect("JSON");
        std::fs::write(&path, text + "\n").expect("the budget can be written");
    }
    let budget: BTreeMap<String, u64> =
        serde_json::from_slice(&std::fs::read(&path).expect("a budget")).expect("a number for each job");
    let mut kept = true;
    println!("{:24} {:>12} {:>12}", "instructions", "now", "budget");
    for (job, count) in counts {
        let share = count as f64 / *budget.get(job).expect("a budget for each job") as f64;
        let verdict = if share > ALLOWED {
            kept = false;
            "OVER BUDGET"
        } else if share * ALLOWED < 1.0 {
            "less: write the budget anew, with BUDGET=write"
        } else {
            ""
        };
        println!("{job:24} {count:12} {:12} {:+6.1} % {verdict}", budget[job], (share - 1.0) * 100.0);
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
