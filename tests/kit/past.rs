//! Makes a repository of flags with a past: dates and authors of its own, so that nothing depends on who runs the test.
//!
//! Never reads the configuration of whoever runs it.

use std::fs;
use std::path::Path;
use std::process::Command;

pub const FLAGS: &str = r#"version: 1
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
pub fn repository() -> tempfile::TempDir {
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

/// A program in a folder, knowing no git configuration but what we say.
pub fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(name);
    }
    command
}

fn git(folder: &Path, args: &[&str], author: &str, date: &str) {
    let mut git = command("git", folder);
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), author)
            .env(format!("GIT_{role}_EMAIL"), format!("{}@shop.example", author.to_lowercase()))
            .env(format!("GIT_{role}_DATE"), date);
    }
    let output = git.args(args).output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
