//! What the command takes from where it runs, and what it leaves there: exit codes behind a closed pipe, the config
//! that is meant where none is named, and results for other programs.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold stops its test, with a message"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kit::envoy::repository;
use serde_json::Value;

const WRONG: &str = "tests/cli/configs/wrong.yaml";

fn tidegate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).current_dir(folder).env_remove("TIDEGATE_CONFIG").env_remove("GITHUB_ACTIONS");
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_closed_pipe_changes_no_verdict() {
    for (arguments, code) in [
        (&["validate", WRONG][..], 1),
        (&["validate", "-o", "json", WRONG], 1),
        (&["validate", "tests/cli/configs/shop.yaml"], 0),
        (&["report", "--today", "2026-12-01", "tests/cli/configs/debt.yaml"], 1),
        (&["diff", "--max-moved", "0%", "tests/cli/configs/shop.yaml", "tests/cli/configs/small.yaml"], 1),
        (&["test", "--only", "gold", "tests/cli/cases/shop.yaml"], 0),
        (&["fmt", "--check", "tests/cli/configs/rough.yaml"], 1),
    ] {
        let mut command = tidegate(repository(), arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // The reader is gone before the first line is written.
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn the_usual_config_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = tidegate(folder.path(), arguments);
        command.envs(variable.map(|file| ("TIDEGATE_CONFIG", file))).output().unwrap()
    };
    assert_eq!(run(&["validate"], None).status.code(), Some(2));
    fs::write(folder.path().join("tidegate.yaml"), "version: 1\nflags: {usual: {}}\n").unwrap();
    fs::write(folder.path().join("other.yaml"), "version: 1\nflags: {other: {}}\n").unwrap();
    for command in [
        &["validate", "-o", "json"][..],
        &["explain"],
        &["report"],
        &["simulate", "--users", "10", "--at", "2026-12-01"],
        &["fmt", "--check"],
    ] {
        let (usual, other) = (run(command, None), run(command, Some("other.yaml")));
        assert!(usual.status.code().is_some_and(|code| code < 2), "{command:?}: {usual:?}");
        assert!(other.status.code().is_some_and(|code| code < 2), "{command:?}: {other:?}");
        let named = run(&[command, &["other.yaml"]].concat(), Some("nothing.yaml"));
        assert_eq!(named.stdout.len(), other.stdout.len(), "{command:?}: what is named wins");
    }
    assert!(String::from_utf8_lossy(&run(&["explain"], None).stdout).contains("usual"));
    assert!(String::from_utf8_lossy(&run(&["explain"], Some("other.yaml")).stdout).contains("other"));
}

#[test]
fn json_has_a_version_and_each_place() {
    let output = tidegate(repository(), &["validate", "--format", "json", WRONG]).output().unwrap();
    let told = json(&output);
    assert_eq!((&told["version"], &told["errors"]), (&1.into(), &8.into()));
    for problem in told["problems"].as_array().unwrap() {
        for field in ["line", "column", "endLine", "endColumn"] {
            assert!(problem[field].as_u64().is_some_and(|number| number > 0), "{problem}");
        }
        for field in ["file", "path", "severity", "code", "message", "help"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
    }
}

#[test]
fn each_code_is_in_the_page() {
    let page = fs::read_to_string(repository().join("envoy/ci/README.md")).unwrap();
    let folder = repository().join("tests/wrong/files");
    let mut files: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    files.sort();
    let mut arguments = vec!["validate", "--format", "json"];
    arguments.extend(files.iter().map(String::as_str));
    let told = json(&tidegate(repository(), &arguments).output().unwrap());
    assert_eq!(told["files"], files.len());
    let problems = told["problems"].as_array().unwrap();
    assert!(problems.len() > 100 && told["skipped"].as_u64() > Some(8), "{told}");
    for problem in problems {
        let code = problem["code"].as_str().unwrap();
        assert!(page.contains(&format!("`{code}`")), "{code} is not in the page");
    }
}

#[test]
fn sarif_names_the_rule_and_the_region_of_each_problem() {
    let output = tidegate(repository(), &["validate", "--format", "sarif", WRONG]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = json(&output);
    assert_eq!(told["version"], "2.1.0");
    let run = &told["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 8);
    for result in results {
        let place = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[place]["id"], result["ruleId"]);
        let at = &result["locations"][0]["physicalLocation"];
        assert_eq!(at["artifactLocation"]["uri"], WRONG);
        assert!(at["region"]["startLine"].as_u64() <= at["region"]["endLine"].as_u64());
        assert!(at["region"]["startColumn"].as_u64() >= Some(1));
    }
}

#[test]
fn github_gets_one_command_a_problem() {
    let output = tidegate(repository(), &["validate", "--format", "github", WRONG]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 8);
    assert!(text.starts_with("::error file=tests/cli/configs/wrong.yaml,line=5,endLine=5,col=15,endColumn=17,title=tidegate unknown-name::flags.checkout.baseline: "), "{text}");
}

#[test]
fn junit_has_a_test_for_each_case() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["flags/shop.yaml", "flags/cases/shop.yaml"] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(repository().join("tests/ci").join(file), path).unwrap();
    }
    let cases = "flags/cases/shop.yaml";
    let run = || tidegate(folder.path(), &["test", "--format", "junit", cases]).output().unwrap();
    let good = run();
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success() && text.contains("tests=\"1\" failures=\"0\" errors=\"0\""), "{text}");
    let path = folder.path().join(cases);
    let wrong = fs::read_to_string(&path).unwrap().replace("checkout: v2", "checkout: v1");
    fs::write(&path, wrong).unwrap();
    let bad = run();
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        text.contains("failures=\"1\"") && text.contains("<failure message=\"line 6: flags checkout: expected"),
        "{text}"
    );
}

#[test]
fn quiet_says_only_what_is_wrong() {
    let run = |arguments: &[&str]| tidegate(repository(), arguments).output().unwrap();
    let fine = run(&["validate", "-q", "envoy/"]);
    assert!(fine.status.success() && fine.stdout.is_empty() && fine.stderr.is_empty(), "{fine:?}");
    let wrong = String::from_utf8(run(&["validate", "-q", WRONG]).stdout).unwrap();
    assert!(wrong.starts_with("error: ") && !wrong.contains("8 errors"), "{wrong}");
}

#[test]
fn a_folder_is_read_and_what_is_not_ours_is_counted() {
    let output = tidegate(repository(), &["validate", "envoy/"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let last = text.lines().last().unwrap_or_default();
    let numbers: Vec<usize> =
        last.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let [files, ours, skipped] = numbers[..] else { panic!("{last}") };
    assert!(ours >= 4 && files == ours + skipped && last.contains("with Tidegate configs"), "{last}");
}
