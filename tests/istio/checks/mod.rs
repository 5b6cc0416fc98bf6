//! What is claimed of Tidegate in Istio, claim by claim. Each is a cell of a table in `envoy/istio/README.md`.

mod crowd;
mod fleet;
mod forms;
mod gateway;
mod hands;
mod inside;
mod kinds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use kit::envoy::repository;

use crate::cluster::Cluster;

/// The course of the run: what held, and what did not.
pub(crate) struct Course {
    only: Vec<String>,
    held: usize,
    broken: Vec<String>,
    claims: BTreeSet<(String, String)>,
}

impl Course {
    /// Tries one claim: a row of a table, and the column.
    pub(crate) fn claim(&mut self, row: &str, column: &str, check: impl FnOnce() -> String) {
        let begin = Instant::now();
        let name = format!("{row} | {column}");
        self.claims.insert((row.to_owned(), column.to_owned()));
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(seen) => {
                self.held += 1;
                println!("  ok      {name}: {seen} [{:.1?}]", begin.elapsed());
            }
            Err(_) => {
                println!("  BROKEN  {name} [{:.1?}]", begin.elapsed());
                self.broken.push(name);
            }
        }
    }

    /// A part of the run, which ends early where it cannot go on.
    fn part(&mut self, name: &str, cluster: &mut Cluster, part: fn(&mut Self, &mut Cluster)) {
        if !self.only.is_empty() && !self.only.iter().any(|only| name.contains(only.as_str())) {
            return;
        }
        println!("{name}");
        if catch_unwind(AssertUnwindSafe(|| part(self, cluster))).is_err() {
            println!("  BROKEN  {name}: it could not go on");
            self.broken.push(name.to_owned());
        }
    }
}

pub(crate) fn run(only: &[String]) -> ExitCode {
    let begin = Instant::now();
    let mut cluster = Cluster::start();
    let mut course = Course { only: only.to_vec(), held: 0, broken: Vec::new(), claims: BTreeSet::new() };
    course.part("manifests", &mut cluster, kinds::taken);
    course.part("gateway, EnvoyFilter", &mut cluster, gateway::envoy_filter);
    course.part("gateway, RequestAuthentication", &mut cluster, gateway::authentication);
    course.part("gateway, image", &mut cluster, gateway::image);
    course.part("hands", &mut cluster, hands::hands);
    course.part("fleet", &mut cluster, fleet::fleet);
    course.part("sidecars", &mut cluster, inside::sidecars);
    course.part("waypoint", &mut cluster, inside::waypoint);
    course.part("peer", &mut cluster, inside::peer);
    if only.is_empty() {
        let mut checked = course.claims.clone();
        // Said of it elsewhere than in a table.
        checked.retain(|(_, column)| column != "Envoy Gateway");
        course.claim("the tables are what was checked", "README.md", || {
            let said = cells();
            assert_eq!(said, checked, "left is what the page says, right what was checked");
            format!("{} cells", said.len())
        });
    }
    println!("{} claims hold, {} do not, after {:.0?}", course.held, course.broken.len(), begin.elapsed());
    for name in &course.broken {
        println!("  BROKEN  {name}");
    }
    if course.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The cells of the page's tables about the forms of the filter, as row and column.
fn cells() -> BTreeSet<(String, String)> {
    let page = fs::read_to_string(repository().join("envoy/istio/README.md")).expect("a page");
    let mut found = BTreeSet::new();
    let mut columns: Vec<String> = Vec::new();
    for line in page.lines() {
        let parts: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match parts[..] {
            _ if !line.starts_with('|') => columns.clear(),
            ["what" | "when", ..] => columns = parts[1..].iter().map(|&column| column.to_owned()).collect(),
            ["---", ..] => {}
            [row, ..] => {
                let cells = columns.iter().zip(&parts[1..]).filter(|(_, cell)| **cell != "-");
                found.extend(cells.map(|(column, _)| (row.to_owned(), column.clone())));
            }
            [] => {}
        }
    }
    found
}
