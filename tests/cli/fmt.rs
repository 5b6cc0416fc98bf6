//! Writes configs as a hurried author would, in every form that YAML has for them, and has them put in order.
//!
//! Whatever the order, the quotes, the indentation and the comments: the values and the fingerprint are the same
//! afterwards, every comment is there and beside what it was beside, and a second time changes nothing. The forms are
//! drawn from numbers that are the same at every run. Never looks into the command.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a form that is not kept stops its test, with a message"
)]

mod change;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tidegate_engine::plan::Plan;

/// How many forms each config is written in.
const FORMS: u64 = 6;

fn tidegate(arguments: &[&str], files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).args(files).output().expect("the command runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn fingerprint(config: &Value) -> Option<u64> {
    let plan = Plan::from_bytes(config.to_string().as_bytes()).0.ready()?;
    Some(plan.fingerprint())
}

/// All configs of the repository that a proxy would take.
fn configs() -> Vec<Value> {
    let mut found = Vec::new();
    for folder in ["tests/cli/configs", "tests/cases", "tests/timelines", "tests/fuzz", "tests/fuzz/seeds/config"] {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(kit::envoy::repository().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if !path.extension().is_some_and(|end| end == "yaml" || end == "json") {
                continue;
            }
            let Ok(value) = serde_saphyr::from_str::<Value>(&fs::read_to_string(&path).unwrap()) else { continue };
            search(&value, &mut found);
        }
    }
    found.sort_by_key(Value::to_string);
    found.dedup();
    assert!(found.len() > 20, "only {} configs", found.len());
    found
}

fn search(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(map) => {
            let mut whole = map.clone();
            whole.values_mut().for_each(name_variants);
            whole.entry("version").or_insert(1.into());
            let whole = Value::Object(whole);
            if map.contains_key("flags") && fingerprint(&whole).is_some() {
                found.push(whole);
            } else {
                map.values().for_each(|value| search(value, found));
            }
        }
        Value::Array(items) => items.iter().for_each(|value| search(value, found)),
        _ => {}
    }
}

/// Calls variants by their names where YAML has made booleans of them.
fn name_variants(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::Bool(is_on) if ["serve", "baseline", "default"].contains(&key.as_str()) => {
                        *value = if *is_on { "on" } else { "off" }.into();
                    }
                    Value::Array(items) if key == "variants" => {
                        for item in items {
                            if let Value::Bool(is_on) = item {
                                *item = if *is_on { "on" } else { "off" }.into();
                            }
                            name_variants(item);
                        }
                    }
                    other => name_variants(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(name_variants),
        _ => {}
    }
}

/// An author who writes one thing now so, now so.
struct Author {
    state: u64,
    text: String,
    remarks: usize,
    /// How deep one thing stands in another, and whether a dash does in a map.
    step: usize,
    dash: usize,
}

impl Author {
    fn draw(&mut self, of: u64) -> bool {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33).is_multiple_of(of)
    }

    fn shuffled<'m>(&mut self, map: &'m serde_json::Map<String, Value>) -> Vec<(&'m String, &'m Value)> {
        let mut entries: Vec<_> = map.iter().collect();
        for at in 1..entries.len() {
            if self.draw(2) {
                entries.swap(at, at / 2);
            }
        }
        entries
    }

    fn remark(&mut self, what: &str) -> String {
        self.remarks += 1;
        format!("# {} {what} (it's: \"so\", [x] #not)", self.remarks)
    }

    fn scalar(&mut self, value: &Value, in_flow: bool) -> String {
        const WORDS: [&str; 9] = ["y", "n", "yes", "no", "true", "false", "null", "inf", "nan"];
        let Value::String(text) = value else { return value.to_string() };
        let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
            && !WORDS.contains(&text.as_str())
            && !["on", "off"].contains(&text.as_str());
        if plain && !self.draw(3) || !in_flow && text.starts_with("202") && self.draw(2) {
            text.clone()
        } else if self.draw(2) && !text.contains(char::is_control) {
            format!("'{}'", text.replace('\'', "''"))
        } else {
            value.to_string()
        }
    }

    fn flow(&mut self, value: &Value, spread: bool, indent: usize) -> String {
        let parts: Vec<String> = match value {
            Value::Array(items) => items.iter().map(|item| self.flow(item, spread, indent)).collect(),
            Value::Object(map) => self
                .shuffled(map)
                .into_iter()
                .map(|(key, value)| {
                    let key = self.scalar(&Value::String(key.clone()), true);
                    format!("{key}: {}", self.flow(value, spread, indent))
                })
                .collect(),
            scalar => return self.scalar(scalar, true),
        };
        let mut inside = String::new();
        let count = parts.len();
        for (place, part) in parts.into_iter().enumerate() {
            inside.push_str(&part);
            if place + 1 < count {
                inside.push(',');
            }
            if spread && self.draw(3) {
                let remark = self.remark("inside");
                let gap = " ".repeat(indent + 1);
                inside.push_str(&format!(" {remark}\n{gap}"));
            } else {
                inside.push(' ');
            }
        }
        if value.is_array() { format!("[ {inside}]") } else { format!("{{{inside}}}") }
    }

    fn gap(&mut self) {
        if self.draw(6) {
            self.text.push('\n');
        }
    }

    /// A comment on a line of its own, and what it is about.
    fn above(&mut self, indent: usize, what: &str) {
        self.gap();
        while self.draw(4) {
            let remark = self.remark(&format!("above {what}"));
            self.text.push_str(&" ".repeat(indent));
            self.text.push_str(&remark);
            self.text.push('\n');
        }
    }

    fn behind(&mut self, what: &str) {
        if self.draw(4) {
            let remark = self.remark(&format!("beside {what}"));
            self.text.push_str("   ");
            self.text.push_str(&remark);
        }
        self.text.push('\n');
    }

    fn block(&mut self, value: &Value, indent: usize, begun: bool) {
        let mut begun = begun;
        match value {
            Value::Object(map) => {
                for (key, value) in self.shuffled(map) {
                    if !begun {
                        // What stands at the very top may be about the file.
                        if !self.text.is_empty() {
                            self.above(indent, key);
                        }
                        self.text.push_str(&" ".repeat(indent));
                    }
                    begun = false;
                    let written = self.scalar(&Value::String(key.clone()), false);
                    self.text.push_str(&format!("{written}:"));
                    self.value(value, indent, if value.is_array() { self.dash } else { self.step }, key);
                }
            }
            Value::Array(items) => {
                for item in items {
                    if !begun {
                        self.gap();
                        self.text.push_str(&" ".repeat(indent));
                    }
                    begun = false;
                    self.text.push('-');
                    if item.is_object() && self.draw(2) {
                        self.text.push(' ');
                        self.block(item, indent + 2, true);
                    } else {
                        self.value(item, indent, self.step.max(2), "-");
                    }
                }
                if self.draw(5) {
                    let remark = self.remark("at the end");
                    self.text.push_str(&format!("{}{remark}\n", " ".repeat(indent + usize::from(self.dash == 0))));
                }
            }
            _ => unreachable!("only lists and maps stand in lines"),
        }
    }

    fn value(&mut self, value: &Value, indent: usize, step: usize, key: &str) {
        let is_empty =
            value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty);
        let is_deep = (value.is_array() || value.is_object()) && !is_empty;
        let variant = matches!(key, "serve" | "baseline" | "default");
        match value {
            Value::String(text) if variant && (text == "on" || text == "off") && self.draw(2) => {
                self.text.push_str(&format!(" {text}"));
                self.behind(key);
            }
            Value::String(text) if text.contains(' ') && !text.contains(char::is_control) && self.draw(3) => {
                let sign = if self.draw(2) { "|-" } else { ">-" };
                self.text.push_str(&format!(" {sign}\n{}{text}\n", " ".repeat(indent + step.max(1))));
            }
            _ if is_deep && key != "version" && !self.draw(3) => {
                self.behind(key);
                self.block(value, indent + step, false);
            }
            _ => {
                let spread = self.draw(3);
                let text = self.flow(value, spread, indent);
                self.text.push_str(&format!(" {text}"));
                self.behind(key);
            }
        }
    }
}

/// A config in some form, and how many comments it has.
fn written(config: &Value, form: u64) -> (String, usize) {
    let mut author = Author {
        state: form,
        text: String::new(),
        remarks: 0,
        step: 1 + (form % 6) as usize,
        dash: (form % 3) as usize,
    };
    if author.draw(2) {
        let remark = author.remark("about the file");
        author.text.push_str(&format!("{remark}\n---\n"));
    }
    author.block(config, 0, false);
    if author.draw(4) {
        author.text = author.text.replace('\n', "\r\n");
    }
    (author.text, author.remarks)
}

/// Checks that each comment is there once, beside or above what it is about.
fn check_remarks(text: &str, remarks: usize) -> Result<(), String> {
    for number in 1..=remarks {
        let begins = format!("# {number} ");
        let mut lines = text.lines().skip_while(|line| !line.contains(&begins));
        let line = lines.next().ok_or(format!("comment {number} is lost"))?;
        if text.matches(&begins).count() != 1 {
            return Err(format!("comment {number} stands twice"));
        }
        let (front, remark) = line.split_once(&begins).unwrap();
        if !remark.ends_with("(it's: \"so\", [x] #not)") {
            return Err(format!("comment {number} is cut: {line}"));
        }
        let mut words = remark.split(' ');
        let (place, key) = (words.next().unwrap(), words.next().unwrap());
        let about = match place {
            "beside" if key == "-" => continue,
            // A comment beside what has become lines of its own stands above it.
            "beside" if front.trim().is_empty() => return Err(format!("comment {number} stands alone: {line}")),
            "beside" => front,
            "above" => lines.find(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).unwrap_or_default(),
            _ => continue,
        };
        let about = about.trim_start_matches([' ', '-', '"']);
        if !about.starts_with(key) {
            return Err(format!("comment {number} is about {key}, and stands with {about}"));
        }
    }
    Ok(())
}

#[test]
fn every_form_of_a_config_becomes_one_with_the_same_meaning_and_comments() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs();
    let mut files = Vec::new();
    let mut sources = Vec::new();
    for (number, config) in configs.iter().enumerate() {
        for form in 0..FORMS {
            let (text, remarks) = written(config, number as u64 * 1_000 + form);
            let path = folder.path().join(format!("{number}-{form}.yaml"));
            fs::write(&path, &text).unwrap();
            files.push(path);
            sources.push((config, text, remarks));
        }
    }
    let output = tidegate(&["fmt"], &files);
    assert!(output.status.success(), "{}", said(&output));
    for (path, (config, before, remarks)) in files.iter().zip(&sources) {
        let after = fs::read_to_string(path).unwrap();
        let shown = || format!("--- before\n{before}\n--- after\n{after}");
        let value: Value = serde_saphyr::from_str(&after).unwrap();
        assert_eq!(&value, *config, "{}", shown());
        assert_eq!(fingerprint(&value), fingerprint(config), "{}", shown());
        check_remarks(&after, *remarks).unwrap_or_else(|why| panic!("{why}\n{}", shown()));
    }
    let output = tidegate(&["fmt", "--check"], &files);
    assert!(output.status.success(), "a second time changes something:\n{}", said(&output));
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("shop.yaml"), folder.path().join("link.yaml"));
    fs::write(&file, "flags: {}\nversion: 1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    let output = tidegate(&["fmt"], std::slice::from_ref(&link));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), "version: 1\nflags: {}\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(names(folder.path()), ["link.yaml", "shop.yaml"], "nothing is left beside it");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(kit::envoy::repository().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A config up to the body of a reply.
macro_rules! reply {
    () => {
        "version: 1\nflags:\n  a:\n    variants:\n      - name: \"off\"\n        reply:\n          status: 503\n          body: "
    };
}

/// What cannot be kept, with the place and the words of the refusal.
const REFUSED: [(&str, &str); 8] = [
    ("version: 1\nflags: {a: &x {}}\n", ":2:12: an anchor cannot be kept"),
    ("version: 1\nflags: {a: &x {}, b: *x}\n", ":2:12: an anchor cannot be kept"),
    ("version: !!int 1\nflags: {}\n", ":1:10: a tag cannot be kept"),
    ("%YAML 1.2\n---\nversion: 1\nflags: {}\n", ":1:1: a directive cannot be kept"),
    ("version: 1\nflags: {}\n---\nversion: 1\nflags: {}\n", ":3:1: a second document begins here"),
    ("? version\n: 1\nflags: {}\n", ":1:1: a form of YAML that cannot be kept"),
    (concat!(reply!(), "|+\n              x\n    baseline: \"off\"\n"), ":8:17: only | and > without further signs"),
    (concat!(reply!(), ">2-\n              x\n    baseline: \"off\"\n"), ":8:17: only | and > without further signs"),
];

#[test]
fn what_cannot_be_kept_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (text, why)) in REFUSED.into_iter().enumerate() {
        let file = folder.path().join(format!("{number}.yaml"));
        fs::write(&file, text).unwrap();
        let output = tidegate(&["fmt"], std::slice::from_ref(&file));
        assert_eq!(output.status.code(), Some(1), "{text}\n{}", said(&output));
        assert!(said(&output).contains(why), "{text}\n{}", said(&output));
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}
