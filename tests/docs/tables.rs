//! The tables and numbers of the pages: they are the code's.
//!
//! `TIDEGATE_BLESS=1` writes the reference tables anew from `src/engine/config/schema/reference.rs`; every other
//! difference is for a person to settle.

use crate::limits::{plan, served};
use crate::pages::{blocks_of, page};
use kit::envoy::repository;
use serde_json::{Value, json};
use std::fs;
use tidegate_engine::config::schema::reference::{SECTIONS, Section};
use tidegate_engine::decide::Reason;
use tidegate_engine::value::hash::Salt;
use tidegate_proxy::metrics::catalogue;

const REFERENCE: &str = "docs/reference.md";
const BEGIN: &str = "<!-- reference: written by the tests, from src/engine/config/schema/reference.rs -->\n";
const END: &str = "<!-- /reference -->";

#[test]
fn the_reference_is_that_of_the_code() {
    let page = page(REFERENCE);
    let (before, rest) = page.text.split_once(BEGIN).unwrap();
    let (shown, behind) = rest.split_once(END).unwrap();
    let due: String = SECTIONS.iter().map(|section| reference(section)).collect();
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(repository().join(REFERENCE), [before, BEGIN, &due, END, behind].concat()).unwrap();
    } else {
        assert_eq!(shown, due, "write it anew: TIDEGATE_BLESS=1 cargo test -p tidegate --test docs");
    }
}

fn reference(section: &Section) -> String {
    // Where no field has anything to say about its absence, there is no column for it.
    let absence = section.fields.iter().any(|field| !field.without.is_empty());
    let mut text = format!("\n## {}\n\n", section.title);
    text += if absence {
        "| field | takes | without it | meaning |\n| --- | --- | --- | --- |\n"
    } else {
        "| field | takes | meaning |\n| --- | --- | --- |\n"
    };
    for field in section.fields {
        let without = if absence { format!("| {} ", field.without) } else { String::new() };
        let row = format!("| `{}` | {} {without}| {} |\n", field.name, field.takes(), field.about);
        text += &row.replace("|  |", "| |");
    }
    if std::ptr::eq(section, SECTIONS[SECTIONS.len() - 1]) { text + "\n" } else { text }
}

#[test]
fn the_reasons_are_those_of_the_code() {
    let shown = page("docs/concepts.md").table("| reason | OpenFeature | when |");
    let shown: Vec<[&str; 2]> = shown.iter().map(|row| [row[0].as_str(), row[1].as_str()]).collect();
    assert_eq!(shown, Reason::ALL.map(|reason| [reason.code().to_owned(), reason.open_feature()]));
}

#[test]
fn the_hashes_are_those_of_the_code() {
    for row in page("docs/concepts.md").table("| salt | identity | h |") {
        assert_eq!(format!("{:016x}", Salt::new(&row[0]).point(row[1].as_bytes()).bits()), row[2], "{row:?}");
    }
}

#[test]
fn rules_of_a_flag_share_one_draw() {
    let rules = json!([{"percent": 25, "serve": "a"}, {"percent": 25, "serve": "b"}, {"percent": 40, "serve": "c"}]);
    let flag = json!({"variants": ["none", "a", "b", "c"], "baseline": "none", "rules": rules});
    let plan = plan(&json!({"version": 1, "identity": [{"header": "u"}], "flags": {"f": flag}}));
    let mut counts = std::collections::BTreeMap::new();
    for user in 0..10_000 {
        let served = served(&plan, &[("u", user.to_string().as_str())]);
        *counts.entry(served[0].0.clone()).or_insert(0_usize) += 1;
    }
    let near = |variant: &str, due: usize| counts.get(variant).is_some_and(|count| count.abs_diff(due) < 200);
    assert!(near("a", 2_500) && !counts.contains_key("b") && near("c", 1_500), "{counts:?}");
}

#[test]
fn the_labels_are_those_of_the_code() {
    let due: Value =
        catalogue::Tag::ALL.iter().map(|tag| json!({"tag_name": tag.name(), "regex": tag.pattern()})).collect();
    let shown: Value = serde_saphyr::from_str(&blocks_of("yaml stats")[0]).unwrap();
    assert_eq!(shown["stats_config"]["stats_tags"], due);
    let file = |name: &str| fs::read_to_string(repository().join(name)).unwrap();
    let scene: Value = serde_saphyr::from_str(&file("envoy/envoy.yaml")).unwrap();
    assert_eq!(scene["stats_config"]["stats_tags"], due);
    let names: Vec<&str> = catalogue::Tag::ALL.iter().map(|tag| tag.name()).collect();
    assert!(file("envoy/istio/README.md").contains(&format!("extraStatTags: {}\n", names.join(","))));
}

#[test]
fn the_metrics_are_those_of_the_code() {
    let labels = |metric: &catalogue::Metric| metric.tags.iter().map(|tag| tag.name()).collect::<Vec<_>>().join("`, `");
    let due: Vec<Vec<String>> = catalogue::ALL
        .iter()
        .map(|metric| {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            vec![metric.family(), kind, labels(metric), metric.about.to_owned()]
        })
        .collect();
    assert_eq!(page("docs/metrics.md").table("| metric | kind | labels | what it says |"), due);
}
