//! Holds `diff` and `log` to what they promise: a config is as itself, the counts are those of asking one by one, and
//! the past is told as it was.
//!
//! Repositories are made anew, with dates and authors of their own, so that nothing depends on who runs the test.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a promise that is broken stops its test, with a message"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate::decide::decide;
use tidegate::plan::Plan;
use tidegate::request::Request;
use tidegate::standing::Standing;
use tidegate::time::Timestamp;

const GOLDEN: &str = "tests/cli/log.txt";

/// The command, in a folder, knowing no git configuration but what we say.
fn tidegate(folder: &Path, args: &[&str]) -> Output {
    command(env!("CARGO_BIN_EXE_tidegate"), folder).args(args).output().expect("the command runs")
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(name);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn git(folder: &Path, args: &[&str], author: &str, date: &str) {
    let mut git = command("git", folder);
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), author)
            .env(format!("GIT_{role}_EMAIL"), format!("{}@shop.example", author.to_lowercase()))
            .env(format!("GIT_{role}_DATE"), date);
    }
    let output = git.args(args).output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
}

const FLAGS: &str = r#"version: 1
identity: [{header: x-user-id}]
flags:
  basket:
    owner: web
    rules: [{percent: 5, serve: "on"}]
  checkout:
    owner: payments
    variants: [v1, v2]
    baseline: v1
    rules:
      - steps: [{at: "2026-11-02T09:00:00Z", percent: 1}, {at: "2026-11-09T09:00:00Z", percent: 10}]
        serve: v2
"#;

/// A repository in which a flag comes, grows, goes, breaks, comes back as another one and moves to a file of another
/// name.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let file = at.join("flags.yaml");
    let commit = |author: &str, date: &str, subject: &str, text: &str| {
        fs::write(&file, text).unwrap();
        git(at, &["add", "-A"], author, date);
        git(at, &["commit", "--quiet", "-m", subject], author, date);
    };
    git(at, &["init", "--quiet", "--initial-branch", "main"], "Ana", "2026-11-01T08:00:00Z");
    commit("Ana", "2026-11-01T09:00:00Z", "Add two flags", FLAGS);
    git(at, &["tag", "first"], "Ana", "2026-11-01T09:00:00Z");
    let more = FLAGS.replace("percent: 5", "percent: 25");
    commit("Bo", "2026-11-10T11:00:00+02:00", "Take a quarter into the basket", &more);
    let without = |text: &str| {
        let (head, tail) = text.split_once("  basket:").unwrap();
        format!("{head}  checkout:{}", tail.split_once("  checkout:").unwrap().1)
    };
    commit("Cy", "2026-11-11T09:00:00Z", "Drop the basket", &without(&more));
    commit("Cy", "2026-11-12T09:00:00Z", "Hurry", &without(&more).replace("percent: 10", "percent: 1000"));
    let other =
        without(&more).replace("flags:", "flags:\n  basket: {owner: ads, rules: [{percent: 10, serve: \"on\"}]}");
    commit("Ana", "2026-11-13T09:00:00Z", "Try another basket", &other.replace("percent: 10}]", "percent: 5}]"));
    git(at, &["mv", "flags.yaml", "shop.yaml"], "Ana", "2026-11-14T09:00:00Z");
    git(at, &["commit", "--quiet", "-m", "Name the file for what it is"], "Ana", "2026-11-14T09:00:00Z");
    folder
}

#[test]
fn the_past_is_told_as_it_was() {
    let folder = repository();
    let mut told = String::new();
    let cases: [&[&str]; 8] = [
        &["log", "shop.yaml", "--users", "1000"],
        &["log", "shop.yaml", "--users", "1000", "--since", "HEAD~2"],
        &["log", "shop.yaml", "--users", "1000", "--since", "HEAD~1", "--output", "json"],
        &["log", "shop.yaml", "--since", "HEAD"],
        &["log", "shop.yaml", "--since", "nowhere"],
        &["log", "other.yaml"],
        &["diff", "HEAD~3:flags.yaml", "shop.yaml", "--users", "1000", "--at", "2026-11-13"],
        &["diff", "first:flags.yaml", "main:nothing.yaml"],
    ];
    for args in cases {
        let Output { status, stdout, stderr } = tidegate(folder.path(), args);
        let (out, err) = (text(&stdout), text(&stderr));
        let (typed, code) = (args.join(" "), status.code().unwrap());
        told.extend([format!("$ tidegate {typed}\n? {code}\n{out}{err}\n")]);
    }
    if std::env::var_os("TRYCMD").is_some_and(|how| how == "overwrite") {
        fs::write(GOLDEN, &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(GOLDEN).unwrap());
}

#[test]
fn outside_of_a_repository_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("flags.yaml"), FLAGS).unwrap();
    for args in [&["log", "flags.yaml"][..], &["diff", "HEAD:flags.yaml", "flags.yaml"]] {
        let mut command = command(env!("CARGO_BIN_EXE_tidegate"), folder.path());
        // A repository around the folder of temporary files would be found.
        let output =
            command.env("GIT_CEILING_DIRECTORIES", folder.path().parent().unwrap()).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("not a git repository"), "{}", text(&output.stderr));
    }
}

fn json_of(folder: &Path, args: &[&str]) -> Value {
    let output = tidegate(folder, &[args, &["--output", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {}", text(&output.stderr)))
}

/// By flag: how many go from which variant to which.
type Ways = BTreeMap<(String, String, String), u64>;

fn ways(diff: &Value) -> Ways {
    let mut ways = Ways::new();
    for flag in diff["flags"].as_array().unwrap() {
        for way in flag["moves"]["ways"].as_array().into_iter().flatten() {
            let name = |end: &str| way[end].as_str().unwrap().to_owned();
            let key = (flag["flag"].as_str().unwrap().to_owned(), name("from"), name("to"));
            ways.insert(key, way["users"].as_u64().unwrap());
        }
    }
    ways
}

#[test]
fn the_counts_are_those_of_explaining_both_to_each_user() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (old, new) = ("tests/cli/configs/before.yaml", "tests/cli/configs/after.yaml");
    let mut naive = Ways::new();
    for user in 0..60 {
        let ids = [format!("x-user-id: user-{user}"), format!("x-account-id: user-{user}")];
        let variants = |file: &str| -> BTreeMap<String, String> {
            let explained = json_of(root, &["explain", file, "-H", &ids[0], "-H", &ids[1]]);
            let flags = explained["flags"].as_array().unwrap().iter();
            let text = |flag: &Value, field: &str| flag[field].as_str().unwrap().to_owned();
            flags.map(|flag| (text(flag, "flag"), text(flag, "variant"))).collect()
        };
        let (before, after) = (variants(old), variants(new));
        for (flag, was) in before {
            let is = after[&flag].clone();
            if was != is {
                *naive.entry((flag, was, is)).or_default() += 1;
            }
        }
    }
    assert!(naive.len() >= 3, "{naive:?}");
    assert_eq!(ways(&json_of(root, &["diff", old, new, "--users", "60"])), naive);
}

/// A config with two flags, of numbers.
fn config(salt: &str, percents: [u32; 2], weight: u32, switches: [bool; 2]) -> Value {
    json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": {
        "a": {"salt": salt, "kill": switches[0], "rules": [{"percent": percents[0], "serve": "on"}]},
        "b": {"variants": ["x", "y", "z"], "baseline": "x", "default": if switches[1] { "z" } else { "x" }, "rules": [
            {"when": {"header": "x-user-id", "glob": "*7"}, "serve": "y"},
            {"percent": percents[1], "serve": [{"variant": "y", "weight": weight}, {"variant": "z", "weight": 3}]}
        ]}
    }})
}

fn any_config() -> impl Strategy<Value = Value> {
    (prop_oneof!["one", "two"], [0_u32..=100, 0_u32..=100], 0_u32..4, any::<[bool; 2]>())
        .prop_map(|(salt, percents, weight, switches)| config(&salt, percents, weight, switches))
}

/// What everybody is served, by asking the engine one by one.
fn served(config: &Value, users: u32) -> Vec<Vec<(String, String)>> {
    let plan = Plan::from_bytes(config.to_string().as_bytes()).0.ready().expect("a config");
    let one = |user: u32| {
        let id = format!("user-{user}");
        let headers = [(":authority", b"localhost".as_slice()), (":path", b"/"), ("x-user-id", id.as_bytes())];
        let request = Request::new(plan.inputs(), headers.into_iter(), std::iter::empty());
        let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
        let name = |decision: &tidegate::decide::Decision<'_>| {
            (decision.flag().key().to_string(), decision.variant().name().to_string())
        };
        decisions.list().iter().map(name).collect()
    };
    (0..users).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_counts_are_those_of_asking_one_by_one(old in any_config(), new in any_config()) {
        const USERS: u32 = 500;
        let folder = tempfile::tempdir().unwrap();
        for (name, config) in [("old.json", &old), ("new.json", &new)] {
            fs::write(folder.path().join(name), config.to_string()).unwrap();
        }
        let mut naive = Ways::new();
        for (before, after) in served(&old, USERS).into_iter().zip(served(&new, USERS)) {
            for ((flag, was), (_, is)) in before.into_iter().zip(after).filter(|(was, is)| was != is) {
                *naive.entry((flag, was, is)).or_default() += 1;
            }
        }
        let users = USERS.to_string();
        let diff = json_of(folder.path(), &["diff", "old.json", "new.json", "--users", &users]);
        prop_assert_eq!(ways(&diff), naive);
        let same = json_of(folder.path(), &["diff", "new.json", "new.json", "--users", &users]);
        prop_assert_eq!(&same["flags"], &json!([]));
        prop_assert_eq!(&same["findings"], &json!([]));
    }
}
