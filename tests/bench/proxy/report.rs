//! The report of one run: figures beside their targets, tables, and pictures; Markdown, with SVG beside it.
//!
//! Every part adds what it has measured and is printed at once; at the end all of it is written, the targets first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use kit::envoy::{ENVOY, module, repository};
use serde_json::Value;

use crate::cells::{FLAGS, SCALES, Way};
use crate::draw::{Across, Bar, Line, bars, lines};
use crate::latency::{Latency, SHARES};
use crate::machine::Machine;
use crate::visits::Run;

#[derive(Default)]
pub struct Report {
    text: String,
    pictures: Vec<(&'static str, String)>,
    /// What each cell adds, by its name, and the figures of the other parts.
    figures: BTreeMap<String, f64>,
    begun: Machine,
}

impl Report {
    pub fn new() -> Self {
        Self { begun: Machine::now(), ..Self::default() }
    }

    fn section(&mut self, title: &str, text: &str) {
        println!("\n{title}\n\n{text}");
        write!(self.text, "\n## {title}\n\n{}\n", text.trim_end()).expect("a string");
    }

    fn picture(&mut self, name: &'static str, says: &str, svg: String) {
        write!(self.text, "\n![{says}]({name}.svg)\n").expect("a string");
        self.pictures.push((name, svg));
    }

    pub fn cells(&mut self, run: &Run, ways: &[Way]) {
        for cell in &run.cells {
            self.figures.extend(run.adds(&cell.name).map(|adds| (cell.name.clone(), adds)));
        }
        let about = "Microseconds of Envoy's CPU time for one request: the median over many processes, each by the lower \
            quartile of short visits without those in which it had to wait for its core; by how much the median errs \
            as a rule; what it adds to that of no filter, and that as a part of what a plain script adds. `1+1` is a \
            routing flag and another one, `20+1` a routing flag and twenty, a number alone counts all. `lua` strips \
            nothing that clients send under the names of flags, `lua strips` does. `empty filter` does nothing, by the public SDK; `floor` is the host \
            calls of the job, and nothing else; `whole` adds those by which filters of one chain know each other's \
            headers, and caches what an answer depends on.";
        self.section("What a request costs", &format!("{about}\n\n{}\n\n{}.", cells(run), run.machine));
        let group = |title: &str, names: &[String]| {
            let bars = names.iter().filter_map(|name| Some(Bar { name: name.clone(), value: run.adds(name)? }));
            (title.to_owned(), bars.collect::<Vec<_>>())
        };
        let mine = |kinds: &[&str]| -> Vec<String> {
            ways.iter().flat_map(|way| kinds.iter().map(|kind| format!("{} {kind}", way.name))).collect()
        };
        let one = ["lua 1+1", "lua strips 1+1", "floor 1+1"].map(str::to_owned).to_vec();
        let twenty = ["lua 20+1", "lua strips 20+1", "floor 20+1"].map(str::to_owned).to_vec();
        let svg = bars(
            "Added to a request, microseconds of CPU",
            &[
                group(
                    "a routing flag and one more",
                    &[one, mine(&["1+1", "1+1 guarded", "1+1 metrics none"])].concat(),
                ),
                group(
                    "a routing flag and twenty",
                    &[twenty, mine(&["20+1", "20+1 guarded", "20+1 dictionary"])].concat(),
                ),
            ],
        );
        self.picture("speed", "What each way to do the job adds to a request", svg);
        let series = std::iter::once("lua").chain(ways.iter().map(|way| way.name.as_str())).map(|name| Line {
            name: name.to_owned(),
            points: std::iter::once(1)
                .chain(FLAGS)
                .filter_map(|flags| Some((flags as f64, run.adds(&format!("{name} {flags}"))?)))
                .collect(),
        });
        let svg = lines(
            "Added by flags, microseconds of CPU",
            "flags that match, each with a header",
            Across::Steps,
            &series.collect::<Vec<_>>(),
        );
        self.picture("speed-flags", "What is added, against the number of flags", svg);
    }

    pub fn scale(&mut self, run: &Run, ways: &[Way]) {
        let mut series = Vec::new();
        let rows = SCALES.iter().flat_map(|(kind, counts)| counts.iter().map(move |count| (kind, count)));
        let rows = rows.map(|(kind, count)| {
            let adds = ways.iter().map(|way| figure(run.adds(&format!("{} {kind} {count}", way.name)), 2));
            [kind.to_string(), count.to_string()].into_iter().chain(adds).collect()
        });
        let head: Vec<&str> = ["of", "count"].into_iter().chain(ways.iter().map(|way| way.name.as_str())).collect();
        let about = "What is added to no filter, in microseconds, by one flag with more and more rules, with segments \
            that it asks for, with the length of a list in which it looks for the identity, and with workers, which \
            share one core here. What changes only beyond the first count is the cost of the kind.";
        self.section("Scale", &format!("{about}\n\n{}\n\n{}.", table(&head, rows), run.machine));
        for way in ways {
            for (kind, counts) in SCALES.iter().filter(|(kind, _)| *kind != "workers") {
                let point = |count: &usize| Some((*count as f64, run.adds(&format!("{} {kind} {count}", way.name))?));
                let points = counts.iter().filter_map(point).collect();
                series.push(Line { name: format!("{} {kind}", way.name), points });
            }
        }
        let svg = lines(
            "Added by one flag, microseconds of CPU",
            "rules, segments, or members of a list",
            Across::Factors,
            &series,
        );
        self.picture("speed-scale", "What one flag adds, against rules, segments and the length of a list", svg);
    }

    pub fn latency(&mut self, Latency { cells, rates, hurried }: &Latency) {
        let bare = cells.first().map(|(_, shares)| shares[1][1]);
        for (name, shares) in cells {
            self.figures.extend(bare.map(|bare| (format!("p99 {name}"), shares[1][1] / bare)));
        }
        let rows = cells.iter().flat_map(|(name, shares)| {
            shares.iter().zip(SHARES).zip(*rates).map(move |((percentiles, share), rate)| {
                let load = [name.clone(), format!("{share} %"), format!("{rate:.0}")];
                load.into_iter().chain(percentiles.iter().map(|micros| format!("{micros:.0}"))).collect()
            })
        });
        let table = table(&["", "load", "requests/s", "p50, us", "p99, us", "p99.9, us"], rows);
        let core = if *hurried { ", before all else on it" } else { ", and wait for each other on it" };
        let about = "Microseconds from sending a request to its answer at a constant rate, with one worker; `50 x 5` is \
            50 flags with five rules each. The rates are shares of what the slowest of these can do, the same for all; \
            the lower quartile of eight turns. Client and upstream share a core";
        self.section("Latency", &format!("{about}{core}.\n\n{table}"));
        let series = cells.iter().map(|(name, shares)| Line {
            name: format!("{name}, p99"),
            points: shares.iter().zip(SHARES).map(|(percentiles, share)| (f64::from(share), percentiles[1])).collect(),
        });
        let svg = lines(
            "99 % of the requests are faster, microseconds",
            "load, percent",
            Across::Steps,
            &series.collect::<Vec<_>>(),
        );
        self.picture("speed-latency", "The 99th percentile of latency against load", svg);
    }

    pub fn engines(&mut self, nanos: &Value) {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for flags in ["1", "20", "200"] {
            for (engine, nanos) in nanos[flags].as_object().into_iter().flatten() {
                let nanos = nanos.as_f64().unwrap_or_default();
                self.figures.insert(format!("{engine} decides {flags}"), nanos);
                rows.entry(engine.clone()).or_default().push(format!("{nanos:.0}"));
            }
        }
        let rows = rows.into_iter().map(|(engine, figures)| [vec![engine], figures].concat());
        let about = "Nanoseconds for one decision, natively: a sticky rollout of 50 %, one flag, 20 and 200.";
        self.section("Engines", &format!("{about}\n\n{}", table(&["", "1", "20", "200"], rows)));
    }

    pub fn push(&mut self, rows: &[(String, [f64; 4])], bytes: usize) {
        for (name, [.., longest]) in rows {
            self.figures.insert(format!("longest {name}"), *longest);
        }
        let rows = rows.iter().map(|(name, figures)| {
            std::iter::once(name.clone()).chain(figures.iter().map(|millis| format!("{millis:.1}"))).collect()
        });
        let head = ["", "push, small", "push, large", "longest request, quiet", "longest request, while pushing"];
        let about = format!(
            "Milliseconds for a config of {} KiB (1,000 flags with 22 rules each) from being written to being in force \
             in the one worker, and the longest request of a second at 500 a second; the middle of three.",
            bytes / 1024
        );
        self.section("A large push", &format!("{about}\n\n{}", table(&head, rows)));
    }

    pub fn memory(&mut self, rows: &[(String, [f64; 2])]) {
        for (name, [_, worker]) in rows {
            self.figures.insert(format!("MiB {name}"), *worker);
        }
        let bare = rows.first().map_or(0.0, |(_, [_, worker])| *worker);
        let rows = rows.iter().map(|(name, [two, worker])| {
            vec![name.clone(), format!("{two:.0}"), format!("{worker:.1}"), format!("{:.1}", worker - bare)]
        });
        let head = ["", "two workers, MiB", "a worker more", "of this the filter"];
        let about = "Resident memory with 50 flags, after 10,000 requests.";
        self.section("Memory", &format!("{about}\n\n{}", table(&head, rows)));
    }

    pub fn guards(&mut self, rows: &[(usize, f64, f64)]) {
        let row = |&(guards, idle, counting): &(usize, f64, f64)| {
            vec![guards.to_string(), format!("{idle:.1}"), format!("{counting:.1}")]
        };
        let head = ["guards", "idle, ms/s", "at 50 requests/s, ms/s"];
        let about = "CPU time that an Envoy with two workers takes for a second: what guards cost on the tick.";
        self.section("Guards", &format!("{about}\n\n{}", table(&head, rows.iter().map(row))));
    }

    /// What was to be shown, and whether it is.
    fn targets(&self) -> String {
        let get = |name: &str| self.figures.get(name).copied();
        // Of less than a noise of the machine, nothing is a part.
        let of = |name: &str, to: &str| Some(get(name)? / get(to).filter(|to| *to > 0.2)?);
        let over = |name: &str, less: &str| Some(get(name)? - get(less)?);
        let fastest = |flags: &str| {
            let others = ["unleash-yggdrasil", "eppo_core", "launchdarkly"];
            let others = others.iter().filter_map(|name| get(&format!("{name} decides {flags}")));
            Some(get(&format!("tidegate decides {flags}"))? / others.min_by(f64::total_cmp)?)
        };
        let module = fs::metadata(module()).map(|file| file.len() as f64 / 1024.0).ok();
        let targets = [
            ("wasm, 1+1, of its floor", of("wasm 1+1", "floor 1+1"), 1.1),
            ("wasm, 1+1 without metrics, of its floor", of("wasm 1+1 metrics none", "floor 1+1 none"), 1.1),
            ("wasm, 20+1, of 22 writes", of("wasm 20+1", "floor 20+1 none"), 1.1),
            ("wasm, 20+1 in a dictionary, of lua 20", of("wasm 20+1 dictionary", "lua 20"), 0.5),
            ("wasm, nothing matches, of its floor", of("wasm nothing matches", "floor nothing matches"), 1.1),
            ("wasm, 1+1, of lua strips 1+1", of("wasm 1+1", "lua strips 1+1"), 1.0),
            ("wasm, 20+1, of lua strips 20+1", of("wasm 20+1", "lua strips 20+1"), 1.0),
            ("native, 1+1, of lua 1", of("native 1+1", "lua 1"), 0.5),
            ("native, 1+1 guarded, of lua 1", of("native 1+1 guarded", "lua 1"), 0.5),
            ("native, 20+1, of lua 20", of("native 20+1", "lua 20"), 0.6),
            ("native, 20+1 guarded, of lua 20", of("native 20+1 guarded", "lua 20"), 0.6),
            ("native, 20+1 in a dictionary, of lua 20", of("native 20+1 dictionary", "lua 20"), 0.3),
            ("wasm, a guard, us", over("wasm 1+1 guarded", "wasm 1+1"), 0.5),
            ("native, a guard, us", over("native 1+1 guarded", "native 1+1"), 0.5),
            ("wasm, metrics as they are by default, us", over("wasm 1+1", "wasm 1+1 metrics none"), 1.5),
            ("native, metrics as they are by default, us", over("native 1+1", "native 1+1 metrics none"), 0.5),
            ("wasm, 50 x 5, p99 at half the load, of no filter", get("p99 wasm 50 x 5"), 1.1),
            ("native, 50 x 5, p99 at half the load, of no filter", get("p99 native 50 x 5"), 1.05),
            ("one decision, ns", get("tidegate decides 1"), 35.0),
            ("1 flag, of the fastest public engine", fastest("1"), 0.5),
            ("20 flags, of the fastest public engine", fastest("20"), 0.5),
            ("200 flags, of the fastest public engine", fastest("200"), 0.5),
            ("the module, KiB", module, 330.0),
            ("memory of a worker in wasm, MiB", over("MiB wasm", "MiB no filter"), 3.0),
            ("wasm, longest request while 500 KiB are pushed, ms", get("longest wasm"), 5.0),
            ("native, longest request while 500 KiB are pushed, ms", get("longest native"), 5.0),
        ];
        let rows = targets.into_iter().map(|(says, now, most)| {
            let met = now.map_or("not measured", |now| if now <= most { "yes" } else { "**no**" });
            vec![says.to_owned(), figure(now, 2), most.to_string(), met.to_owned()]
        });
        table(&["", "now", "at most", "met"], rows)
    }

    /// Writes everything, to `target/bench` or where `REPORT` says, and prints the targets.
    pub fn finish(self) {
        let targets = self.targets();
        let machine = self.begun.since();
        println!("\nTargets\n\n{targets}\n\n{machine}");
        let folder = std::env::var("REPORT").ok().filter(|folder| !folder.is_empty());
        let folder = repository().canonicalize().expect("a folder").join(folder.as_deref().unwrap_or("target/bench"));
        let head = format!(
            "# Speed\n\nWritten by `make bench REPORT=docs`; figures of one run, in which all took turns. Envoy {ENVOY}, one \
             worker alone on a core, kept busy over HTTP/1.1 from another core. {machine}.\n"
        );
        fs::create_dir_all(&folder).expect("the folder can be made");
        let text = format!("{head}\n## Targets\n\n{targets}\n{}", self.text);
        fs::write(folder.join("speed.md"), text).expect("the folder can be written");
        for (name, svg) in self.pictures {
            fs::write(folder.join(name).with_extension("svg"), svg).expect("the folder can be written");
        }
        println!("\n{}", folder.join("speed.md").display());
    }
}

/// Every cell in its own row.
fn cells(run: &Run) -> String {
    let [one, twenty] = ["lua 1", "lua 20"].map(|name| run.adds(name));
    let rows = run.cells.iter().map(|cell| {
        let adds = run.adds(&cell.name);
        let ratio = |to: Option<f64>| to.and_then(|to| Some(adds? / to));
        let figures = [Some(cell.median()), cell.error(), adds, ratio(one), ratio(twenty)];
        std::iter::once(cell.name.clone()).chain(figures.map(|number| figure(number, 2))).collect()
    });
    table(&["", "us/request", "+-", "adds", "of lua 1", "of lua 20"], rows)
}

fn figure(number: Option<f64>, places: usize) -> String {
    number.map_or_else(String::new, |number| format!("{number:.places$}"))
}

/// A table of Markdown whose columns but the first are numbers.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
