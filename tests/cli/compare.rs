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
use std::process::Output;

use kit::past::{FLAGS, command, repository};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

const GOLDEN: &str = "tests/cli/log.txt";

/// The command, in a folder, knowing no git configuration but what we say.
fn tidegate(folder: &Path, args: &[&str]) -> Output {
    command(env!("CARGO_BIN_EXE_tidegate"), folder).args(args).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
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
        fs::write(kit::envoy::repository().join(GOLDEN), &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(kit::envoy::repository().join(GOLDEN)).unwrap());
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
    let root = kit::envoy::repository();
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
        let request = Request::new(
            plan.inputs(),
            headers.map(|(name, value)| (name.as_bytes(), value)).into_iter(),
            std::iter::empty(),
        );
        let decisions = decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0));
        let name = |decision: &tidegate_engine::decide::Decision<'_>| {
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
