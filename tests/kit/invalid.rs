//! Turns the files of `tests/invalid` into configs, and what is said of each.
//!
//! A file in `tests/invalid` is a list of cases. A line that begins with `config` is the text of a config with a
//! hole, `$`; each case below it is what stands in the hole, and the indented lines behind it are what is said then:
//! `error`, `unknown` (a field), `warning`, or `ok` where nothing is. So a case stands beside its valid neighbours, and
//! a config is text: with keys that stand twice, and with what is no JSON at all. In it,
//!
//! - `<<3 "f#": {}>>` is that text three times with commas between; `#` counts from 100, to be of one width;
//! - `<<257*a>>` is 257 times `a`, without anything between;
//! - `(nothing)` is no text, `(blank)` a space; a line that begins with a space is what is said, not what is asked.
//!
//! Never judges a config.

use std::fs;
use std::path::{Path, PathBuf};

/// A config, and what is said of it.
#[derive(Debug)]
pub struct Case {
    /// The file and the line.
    pub place: String,
    /// The text in the hole, as it stands in the file.
    pub hole: String,
    /// The config.
    pub text: String,
    /// What should be said.
    pub expect: Vec<String>,
}

/// A case, or a line that is none.
#[derive(Debug)]
pub enum Part {
    Line(String),
    Case(Case),
}

/// The files, by name.
pub fn files() -> Vec<PathBuf> {
    let folder = super::envoy::repository().join("tests/invalid");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|kind| kind == "txt"))
        .collect();
    files.sort();
    files
}

/// The cases and the other lines of a file.
pub fn parts(file: &Path) -> Vec<Part> {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap();
    let mut parts = Vec::new();
    let mut config: Option<&str> = None;
    // The case whose lines are being read, and whether what is said of it has begun.
    let mut open: Option<(Case, bool)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let (Some(said), Some((case, answered))) = (line.strip_prefix("  "), &mut open) {
            let known = ["error ", "unknown ", "warning ", "ok", "?"].iter().any(|kind| said.starts_with(kind));
            assert!(known, "{name}:{number}: what is said begins with its kind, what is asked with one space at most");
            case.expect.push(said.to_owned());
            *answered = true;
            continue;
        }
        if let Some((case, false)) = &mut open {
            assert!(!line.is_empty(), "{}: nothing is said of this case", case.place);
            case.hole.push('\n');
            case.hole.push_str(line);
            continue;
        }
        parts.extend(close(open.take(), config));
        if let Some(base) = line.strip_prefix("config ") {
            config = Some(base);
        }
        if line.is_empty() || line.starts_with("# ") || line.starts_with("config ") || config.is_none() {
            parts.push(Part::Line(line.to_owned()));
        } else {
            let place = format!("{name}.txt:{number}");
            open = Some((Case { place, hole: line.to_owned(), text: String::new(), expect: Vec::new() }, false));
        }
    }
    parts.extend(close(open, config));
    parts
}

fn close(open: Option<(Case, bool)>, config: Option<&str>) -> Option<Part> {
    let (mut case, _) = open?;
    let hole = match case.hole.as_str() {
        "(nothing)" => "",
        "(blank)" => " ",
        text => text,
    };
    case.text = expand(&config.unwrap().replacen('$', hole, 1));
    Some(Part::Case(case))
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let parts = files().into_iter().flat_map(|file| parts(&file));
    parts.filter_map(|part| if let Part::Case(case) = part { Some(case) } else { None }).collect()
}

/// Writes repetitions out.
fn expand(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("<<") {
        let (inside, behind) = behind.split_once(">>").expect("a repetition ends with >>");
        let digits = inside.find(|c: char| !c.is_ascii_digit()).expect("a repetition has a text");
        let count: usize = inside[..digits].parse().expect("a repetition begins with a number");
        let (sign, part) = inside[digits..].split_at(1);
        whole.push_str(before);
        match sign {
            "*" => whole.push_str(&part.repeat(count)),
            " " => {
                let parts: Vec<String> = (100..100 + count).map(|n| part.replace('#', &n.to_string())).collect();
                whole.push_str(&parts.join(", "));
            }
            other => panic!("a repetition takes * or a space, not {other:?}"),
        }
        rest = behind;
    }
    whole.push_str(rest);
    whole
}
