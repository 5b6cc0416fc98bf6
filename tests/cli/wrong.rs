//! Holds what is said of wrong files and of mistyped commands to golden text, and each message to three things: where,
//! what, and how it is mended.
//!
//! `tests/wrong/files` are the files, as people write them who come from Istio, Envoy, Argo, Kubernetes and from other
//! tools for flags; what is said of each stands in `tests/wrong/said`. `tests/wrong/commands.txt` has the command
//! lines, each with what comes back. `TIDEGATE_BLESS=1 cargo test -p tidegate --test cli wrong` writes both anew, for a
//! person to read the difference. Never looks into the command.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a message that is not as it should be stops its test, and is shown"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::envoy::repository;

/// What the command says of a command line, with the exit code in front.
fn run(line: &str) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([built.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(repository()).env("PATH", path).env_remove("TIDEGATE_CONFIG");
    let Output { status, stdout, stderr } = shell.output().expect("a shell runs");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let said: String = said.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n");
    format!("? {}\n{said}", status.code().expect("it ends by itself"))
}

/// The messages in what was said: each begins with its severity.
fn messages(said: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in said.lines().skip(1) {
        let begins = ["error", "warning", "note"]
            .iter()
            .any(|kind| line.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':') || rest.starts_with('[')));
        match found.last_mut() {
            _ if begins => found.push(format!("{line}\n")),
            Some(last) => {
                last.push_str(line);
                last.push('\n');
            }
            None => {}
        }
    }
    found
}

/// Whether a message says where, what and how.
fn is_whole(message: &str, file: &str) -> Result<(), &'static str> {
    let place = message.lines().find_map(|line| line.trim_start().strip_prefix("--> ")).ok_or("has no place")?;
    let mut numbers = place.rsplit(':');
    let number = |text: Option<&str>| text.is_some_and(|text| text.parse::<u32>().is_ok());
    if !place.starts_with(file) || !number(numbers.next()) || !number(numbers.next()) {
        return Err("has a place without a file, a line and a column");
    }
    if !message.lines().any(|line| line.trim_start().starts_with("= help: ")) {
        return Err("does not say how it is mended");
    }
    let what = message.lines().next().unwrap_or_default();
    if what.split_once(": ").is_none_or(|(_, what)| what.split_whitespace().count() < 3) {
        return Err("hardly says what is wrong");
    }
    Ok(())
}

fn check(name: &str, said: &str, file: &str, wrong: &mut String) {
    let messages = messages(said);
    if messages.is_empty() {
        writeln!(wrong, "{name}: nothing is said\n{said}").unwrap();
    }
    for message in messages {
        if let Err(why) = is_whole(&message, file) {
            writeln!(wrong, "{name}: {why}:\n{message}").unwrap();
        }
    }
}

fn files() -> Vec<PathBuf> {
    let folder = repository().join("tests/wrong/files");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn each_wrong_file_is_told_where_what_and_how() {
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let mut wrong = String::new();
    let files = files();
    assert!(files.len() >= 60, "only {} wrong files are left", files.len());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let shown = format!("tests/wrong/files/{name}");
        let said = run(&format!("tidegate validate {shown}"));
        let golden = repository().join("tests/wrong/said").join(format!("{name}.txt"));
        if bless {
            fs::write(&golden, &said).unwrap();
        }
        let due = fs::read_to_string(&golden).unwrap_or_default();
        if due != said {
            writeln!(wrong, "{name}: due\n{due}\ngot\n{said}").unwrap();
        }
        check(&name, &said, &shown, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_mistyped_command_is_told_where_what_and_how() {
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    let path = repository().join("tests/wrong/commands.txt");
    let golden = fs::read_to_string(&path).unwrap();
    let (mut blessed, mut wrong) = (String::new(), String::new());
    let mut count = 0;
    let parts: Vec<&str> = golden.split("\n$ ").collect();
    blessed += parts[0];
    for part in &parts[1..] {
        count += 1;
        let (line, due) = part.split_once('\n').unwrap_or((part, ""));
        let said = run(line);
        let shown = said.trim_end();
        write!(blessed, "\n$ {line}\n{shown}\n").unwrap();
        if due.trim_end() != shown && !bless {
            writeln!(wrong, "$ {line}\ndue\n{due}\ngot\n{said}").unwrap();
        }
        check(line, &said, "command line", &mut wrong);
        if !said.starts_with("? 2\n") {
            writeln!(wrong, "$ {line}\nends with another code than 2:\n{said}").unwrap();
        }
    }
    assert!(count >= 60, "only {count} mistyped commands are left");
    if bless {
        fs::write(&path, blessed).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
}
