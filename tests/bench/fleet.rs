//! Simulates the fleet's judge: on how many days a healthy version is found bad, and how soon one that fails is found.
//!
//! Prints the tables to stdout, and how far it is to stderr. `FLEET` is how many proxies there are, `DAYS` how many days
//! each row has. Asserts nothing: `tests/engine/fleet.rs` does, on a smaller scale.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    reason = "a simulation prints, and tells how long it takes"
)]

use std::time::Instant;

use kit::fleet::{Clients, Fleet, Path, Sight, Zone, find, watch};
use kit::simulate::{Times, all, limits};
use tidegate_proxy::guard::window::Measure;

const SIGHTS: [Sight; 2] = [Sight { scrape: 5, look: 1 }, Sight { scrape: 15, look: 5 }];

/// Which share of the variant's requests fails, and which share of identities gets it, in percent.
const FAULTS: [(f64, f64); 4] = [(50.0, 5.0), (5.0, 5.0), (5.0, 1.0), (3.0, 5.0)];

fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn shown(millis: Option<u32>) -> String {
    millis.map_or_else(|| "more than 1 h".to_owned(), |millis| format!("{:.0} s", f64::from(millis) / 1_000.0))
}

fn main() {
    let (proxies, days) = (number("FLEET", 1_000), number("DAYS", 1_000));
    let runs = days.clamp(20, 500);
    let over = limits(Measure::Errors, None, Some(2));
    let zone = |canary: f64| Zone { proxies, requests: 1.0, canary, base: 1.0 };
    println!(
        "{proxies} proxies, 1 request/s each, base 1 %, overBaseline 2 %, {runs} failing versions in each cell.\n"
    );
    println!("| fails, canary | scrape 5 s, look 1 s: median (p99) | scrape 15 s, look 5 s: median (p99) |");
    println!("| --- | --- | --- |");
    for (fault, canary) in FAULTS {
        let cells = SIGHTS.map(|sight| {
            let begun = Instant::now();
            let fleet = Fleet { zones: &[zone(canary)], clients: None, sight, limits: over };
            let times = Times::new(all(runs, |run| find(&fleet, fault, run), |_| {}));
            eprintln!("{fault} %, {canary} %, {sight:?}: {:.0?}", begun.elapsed());
            format!("{} ({})", shown(times.percentile(50)), shown(times.percentile(99)))
        });
        println!("| {fault} %, {canary} % | {} | {} |", cells[0], cells[1]);
    }
    println!("\nHealthy days, scrape 15 s, look 5 s, canary 5 %. Clients break once a day for 5 min each.\n");
    println!("| days | false verdicts, days of {days} |");
    println!("| --- | --- |");
    let client = |identities, path| Some(Clients { identities, path });
    let half = Zone { proxies: proxies / 2, ..zone(5.0) };
    let uneven = [Zone { canary: 50.0, base: 5.0, ..half }, Zone { canary: 1.0, ..half }];
    let rows: [(&str, &[Zone], Option<Clients>); 5] = [
        ("failures by chance", &[zone(5.0)], None),
        ("20,000 clients, through all proxies", &[zone(5.0)], client(20_000, Path::All)),
        ("2,000 clients, through all proxies", &[zone(5.0)], client(2_000, Path::All)),
        ("2,000 clients, each through its own proxy", &[zone(5.0)], client(2_000, Path::One)),
        ("two zones: 5 % fail at step 50 %, 1 % at step 1 %", &uneven, None),
    ];
    for (name, zones, clients) in rows {
        let begun = Instant::now();
        let fleet = Fleet { zones, clients, sight: SIGHTS[1], limits: over };
        let wrong = all(days, |day| watch(&fleet, day), |_| {});
        let wrong: Vec<u32> = wrong.into_iter().flatten().collect();
        eprintln!("{name}: {:.0?}; at {wrong:?}", begun.elapsed());
        println!("| {name} | {} |", wrong.len());
    }
}
