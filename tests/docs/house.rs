//! Holds the package to the rules of its house: what a map says, and nothing else would notice.
//!
//! Reads the sources as text, and the built module as what Envoy will load. Never runs the engine.

use kit::envoy::{module, repository};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// The longest file that is still one room.
const LINES: usize = 600;

/// The most entries of a folder.
const ENTRIES: usize = 12;

/// The largest module: what a proxy fetches, and each of its threads compiles.
const MODULE_BYTES: usize = 332 * 1024;

/// The crates that go into the module, each worth its KiB.
const CRATES: [&str; 8] = ["base64", "fnv", "ipnet", "log", "percent-encoding", "serde", "serde_json", "time"];

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

/// The files of a package by the paths of their modules: `["decide", "condition"]`, and `[]` for the crate itself.
fn modules(package: &str) -> BTreeMap<Vec<String>, (PathBuf, String)> {
    let root = Path::new("src").join(package);
    let modules = sources(root.to_str().unwrap()).map(|(path, text)| {
        let inside = path.strip_prefix(&root).unwrap().with_extension("");
        let mut names: Vec<String> = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            names.pop();
        }
        (names, (path, text))
    });
    modules.collect()
}

/// The modules that a file names, by the longest path that is a file of the package.
fn named(own: &[String], text: &str, known: &BTreeSet<&Vec<String>>) -> BTreeSet<Vec<String>> {
    // What tests need is no part of the house.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::").chain(line.match_indices("super::")) {
            if line[..at].ends_with("::") || line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let mut path = if line[at..].starts_with("crate") { Vec::new() } else { own.to_vec() };
            let end = line[at..]
                .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                .map_or(line.len(), |end| at + end);
            for step in line[at..end].split("::").filter(|step| !step.is_empty()) {
                match step {
                    "crate" => path.clear(),
                    "super" => drop(path.pop()),
                    step => path.push(step.to_owned()),
                }
            }
            while !known.contains(&path) {
                path.pop();
            }
            found.insert(path);
        }
    }
    found
}

#[test]
fn no_files_need_each_other_in_a_circle() {
    for package in packages() {
        let modules = modules(&package);
        let known: BTreeSet<&Vec<String>> = modules.keys().collect();
        let mut needs: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for (own, (_, text)) in &modules {
            let mut all = named(own, text, &known);
            // A folder's face names what stands in the folder; and the crate's own face is a list.
            all.retain(|other| other != own && !other.starts_with(own) && !other.is_empty());
            needs.insert(own, all);
        }
        // Whoever needs nothing that is left goes.
        loop {
            let done: Vec<&Vec<String>> = needs
                .iter()
                .filter(|(_, others)| others.iter().all(|other| !needs.contains_key(other)))
                .map(|(own, _)| *own)
                .collect();
            if done.is_empty() {
                break;
            }
            for own in &done {
                needs.remove(*own);
            }
        }
        // Likewise whoever nobody needs.
        loop {
            let needed: BTreeSet<Vec<String>> = needs.values().flatten().cloned().collect();
            let before = needs.len();
            needs.retain(|own, _| needed.contains(*own));
            if needs.len() == before {
                break;
            }
        }
        let circle: Vec<String> = needs.keys().map(|own| modules[*own].0.display().to_string()).collect();
        assert!(circle.is_empty(), "files that need each other: {circle:?}");
    }
}

/// The packages below `src`, by their folders.
fn packages() -> Vec<String> {
    let folders = fs::read_dir(repository().join("src")).unwrap();
    let mut names: Vec<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_map_of_each_package_names_its_modules() {
    for package in packages() {
        let face = Path::new("src").join(&package).join("lib.rs");
        let Ok(map) = fs::read_to_string(repository().join(&face)) else { continue };
        let doc: String = map.lines().filter(|line| line.starts_with("//!")).collect();
        let modules =
            map.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
        for name in modules {
            assert!(doc.contains(&format!("`{name}`")), "the map of {} does not name {name}", face.display());
        }
    }
    let page = fs::read_to_string(repository().join("README.md")).unwrap();
    for package in packages() {
        assert!(page.contains(&format!("| `src/{package}/` |")), "the map of the README does not name src/{package}");
    }
}

#[test]
fn a_folder_is_small_enough_to_look_at() {
    let mut folders: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, _) in files("src") {
        for part in path.ancestors().filter(|part| part.starts_with("src")) {
            if let Some(folder) = part.parent() {
                folders.entry(folder.to_owned()).or_default().insert(part.to_owned());
            }
        }
    }
    for (folder, entries) in folders {
        assert!(
            entries.len() <= ENTRIES,
            "{} has {} entries, and {ENTRIES} are the most",
            folder.display(),
            entries.len()
        );
    }
}

/// The crates that each package needs in whatever it is built for, from what Cargo resolves.
fn needs(package: &str, target: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--package", package]);
    let output = cargo.args(target).current_dir(repository()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn each_package_knows_only_what_it_may() {
    let terminal = ["clap", "anstream", "anstyle", "indicatif", "comfy-table", "annotate-snippets", "ratatui", "ureq"];
    // The reader of YAML draws the lines that it cannot read: of the analysis only what it names itself counts.
    let all: [(&str, &[&str]); 3] =
        [("tidegate-engine", &[]), ("tidegate-proxy", &[]), ("tidegate-analysis", &["--depth", "1"])];
    for (package, depth) in all {
        let all = needs(package, depth);
        // Of `log` the proxy has the levels, and calls nothing.
        for foreign in terminal.into_iter().chain(["proxy-wasm", "tidegate", "tidegate-filter"]) {
            assert!(!all.contains(foreign), "{package} needs {foreign}");
        }
    }
    let packages = ["tidegate-engine", "tidegate-proxy", "tidegate-filter"];
    let module: BTreeSet<String> = packages
        .iter()
        .flat_map(|package| needs(package, &["--target", "wasm32-unknown-unknown", "--depth", "1"]))
        .collect();
    let own: BTreeSet<&str> = module.iter().map(String::as_str).filter(|name| !name.starts_with("tidegate")).collect();
    let strange: Vec<&&str> = own.iter().filter(|name| !CRATES.contains(name)).collect();
    assert!(strange.is_empty(), "crates that nobody said are worth their KiB: {strange:?}");
}

/// Workspaces of their own, for what few run, are not built by every test: they would fail where `--locked` is asked for.
#[test]
fn locks_beside_the_main_one_follow_the_packages() {
    let locks = files("tests").into_iter().filter(|(path, _)| path.ends_with("Cargo.lock"));
    let ours = packages();
    let mut seen = 0;
    for (path, lock) in locks {
        for block in lock.split("[[package]]").filter(|block| !block.contains("source = ")) {
            let mut quoted = block.lines().filter_map(|line| line.split('"').nth(1));
            let name = quoted.next().unwrap_or_default();
            if !ours.iter().any(|package| name.strip_prefix("tidegate-") == Some(package)) {
                continue;
            }
            // Behind the name comes the version; a dependency may have one behind its name, too.
            let locked: BTreeSet<String> =
                quoted.skip(1).filter_map(|text| text.split(' ').next()).map(str::to_owned).collect();
            let mut wanted = needs(name, &["--depth", "1"]);
            wanted.remove(name);
            assert_eq!(locked, wanted, "{}: {name} has other dependencies: cargo update --workspace", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "no lock names a package of this one");
}

#[test]
fn only_the_doors_name_host_calls_and_the_engine_knows_no_host() {
    for (path, text) in sources("src") {
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let doors = ["src/filter", "src/module", "src/hostcalls"];
        if !doors.iter().any(|door| path.starts_with(door)) {
            assert!(!code().any(|line| line.contains("hostcalls")), "{} names host calls", path.display());
        }
        let pure = ["src/engine", "src/proxy"].iter().any(|folder| path.starts_with(folder));
        for foreign in ["std::fs", "std::net", "std::env", "std::thread", "SystemTime", "Instant"] {
            assert!(!pure || !code().any(|line| line.contains(foreign)), "{} names {foreign}", path.display());
        }
    }
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
        if ["tests/envoy/hostile", "tests/invalid", "tests/fuzz"].iter().any(|folder| path.starts_with(folder)) {
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
