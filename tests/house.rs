//! Holds the package to the rules of its house: what a map says, and nothing else would notice.
//!
//! Reads the sources as text, and the built module as what Envoy will load. Never runs the engine.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a rule that is broken stops its test, with a message"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use support::envoy::{module, repository};

/// The modules of the engine and its door, in the order in which data flows through them.
const FLOW: [&str; 26] = [
    "order",
    "path",
    "search",
    "chain",
    "hash",
    "problem",
    "decimal",
    "share",
    "time",
    "name",
    "reason",
    "metric",
    "baggage",
    "standing",
    "config",
    "plan",
    "request",
    "decide",
    "count",
    "outcome",
    "guard",
    "effect",
    "lifecycle",
    "page",
    "filter",
    "cli",
];

/// The longest file that is still one room.
const LINES: usize = 600;

/// The largest module: what a proxy fetches, and each of its threads compiles.
const MODULE_BYTES: usize = 416 * 1024;

/// The crates that go into the module, each worth its KiB.
const CRATES: [&str; 10] =
    ["base64", "fnv", "ipnet", "percent-encoding", "semver", "serde", "serde_json", "time", "log", "proxy-wasm"];

/// All files of the package below a folder, by their paths from the root; nothing that was built, nothing hidden.
fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(repository()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is nothing below {folder}");
    found
}

fn sources(folder: &str) -> impl Iterator<Item = (PathBuf, String)> {
    files(folder).into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "rs"))
}

/// The module of the engine that a file below `src` belongs to; none for the map itself.
fn room(path: &Path) -> Option<String> {
    let name = path.components().nth(1)?.as_os_str().to_str()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (name != "lib").then(|| name.to_owned())
}

#[test]
fn every_source_begins_with_what_it_is_for() {
    for (path, text) in ["src", "tests", "envoy"].into_iter().flat_map(sources) {
        assert!(text.starts_with("//! "), "{} has no module doc", path.display());
    }
}

#[test]
fn no_source_is_longer_than_one_can_keep_in_mind() {
    for (path, text) in ["src", "tests", "envoy"].into_iter().flat_map(sources) {
        let lines = text.lines().count();
        assert!(lines <= LINES, "{} has {lines} lines, and {LINES} are the most", path.display());
    }
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let place = |name: &str| FLOW.iter().position(|known| *known == name);
    let mut seen = BTreeSet::new();
    for (path, text) in sources("src") {
        let Some(room) = room(&path) else { continue };
        let own = place(&room).unwrap_or_else(|| panic!("{room} has no place in the flow"));
        seen.insert(room);
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let end = used.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(used.len());
                let used = &used[..end];
                let above = place(used).is_some_and(|used| used <= own);
                assert!(above, "{} uses {used:?}, which does not stand above it", path.display());
            }
        }
    }
    assert_eq!(seen, FLOW.map(str::to_owned).into(), "the flow and the folder");
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let doc: String = map.lines().filter(|line| line.starts_with("//!")).collect();
    for name in FLOW.into_iter().filter(|name| map.contains(&format!("pub mod {name};"))) {
        assert!(doc.contains(&format!("[`{name}`]")), "the map of src/lib.rs does not name {name}");
    }
    let code = map.lines().filter(|line| !line.is_empty() && !line.starts_with("//!"));
    for line in code {
        assert!(line.starts_with("#[cfg(") || line.contains("mod "), "the map holds code: {line}");
    }
}

#[test]
fn one_file_names_host_calls_and_only_the_door_knows_the_host() {
    for (path, text) in sources("src") {
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if path != Path::new("src/filter/host.rs") {
            assert!(!code().any(|line| line.contains("hostcalls")), "{} names host calls", path.display());
        }
        if path.starts_with("src/cli") {
            assert!(!code().any(|line| line.contains("proxy_wasm")), "{} knows the host", path.display());
        } else if !path.starts_with("src/filter") {
            for foreign in ["proxy_wasm", "log::", "std::fs", "std::net", "std::env", "std::thread", "SystemTime"] {
                assert!(!code().any(|line| line.contains(foreign)), "{} names {foreign}", path.display());
            }
        }
    }
}

#[test]
fn only_these_crates_go_into_the_module() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let mut crates = BTreeSet::new();
    for section in manifest.split("\n[").filter(|section| {
        let head = section.lines().next().unwrap_or_default();
        head.ends_with("dependencies]") && !head.contains("dev-") && !head.contains("not(target_arch")
    }) {
        crates.extend(section.lines().skip(1).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name));
    }
    assert_eq!(crates, CRATES.into());
}

#[test]
fn the_built_module_is_small_and_asks_for_nothing_but_proxy_wasm() {
    let bytes = fs::read(module()).unwrap();
    assert!(bytes.len() <= MODULE_BYTES, "the module has {} bytes, and {MODULE_BYTES} are the most", bytes.len());
    let module = wasmi::Module::new(&wasmi::Engine::default(), &bytes).unwrap();
    let imports: Vec<(&str, &str)> = module.imports().map(|import| (import.module(), import.name())).collect();
    assert!(!imports.is_empty());
    for (space, name) in imports {
        // A module that asks for WASI asks for a clock, for chance, for files.
        assert!(space == "env" && name.starts_with("proxy_"), "the module imports {space}.{name}");
    }
}

/// Istio's own definitions, which may stand beside the package.
const DEFINITIONS: &str = "../shared/data/istio-crds.yaml";

#[test]
fn no_file_names_a_place_outside_of_the_package() {
    // In pieces, or this file would be the first to break the rule.
    let places = ["home", "root", "Users", "work", "tmp"].map(|place| format!("/{place}/"));
    for (path, text) in files("") {
        // What attackers write is no place of ours.
        if ["tests/hostile", "tests/invalid", "tests/fuzz"].iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let outside = places.iter().find(|place| text.contains(place.as_str()));
        assert_eq!(outside, None, "{}", path.display());
        for (at, _) in text.match_indices("../") {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|before| !before.is_whitespace() && !"\"'`(".contains(before)) {
                continue; // the middle of a path that was looked at from its beginning
            }
            let target = text[at..].split([' ', '\n', '"', '\'', '`', ')', '<', '#']).next().unwrap_or_default();
            let target = target.trim_end_matches([',', '.', ':']);
            if target == DEFINITIONS {
                continue; // tests that need it say so and pass over it where it is not there
            }
            let from = path.parent().unwrap_or(Path::new(""));
            assert!(leads_inside(&from.join(target)), "{} names {target}", path.display());
        }
    }
}

/// Whether a path from the root stays below it, and leads to what is there or is built.
fn leads_inside(path: &Path) -> bool {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !clean.pop() => return false,
            Component::ParentDir => {}
            part => clean.push(part),
        }
    }
    clean.starts_with("target") || repository().join(clean).exists()
}

#[test]
fn the_changelog_is_of_sentences_that_say_what_was_done() {
    let text = fs::read_to_string(repository().join("CHANGELOG.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("\n## {version}")), "there is nothing about {version}");
    let entries = text.split("\n- ").skip(1).map(|entry| entry.split("\n\n").next().unwrap_or_default());
    for entry in entries {
        let begins = ["Add ", "Change ", "Deprecate ", "Remove ", "Fix ", "Secure "];
        let entry = entry.trim_end();
        assert!(begins.iter().any(|word| entry.starts_with(word)) && entry.ends_with('.'), "{entry}");
        assert!(!entry.trim_end_matches('.').contains(". "), "more than one sentence: {entry}");
    }
}
