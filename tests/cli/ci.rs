//! Runs the examples for GitHub Actions and pre-commit: each command line in them that calls the command, on configs
//! that are good, where it must pass, and on configs with one thing wrong, where the one that looks for it must not.
//!
//! What only GitHub or pre-commit can do, such as fetching the command, is read and not run.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an example that does not hold stops its test, with a message"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kit::envoy::repository as at_root;
use serde_json::Value;

const WORKFLOW: &str = "envoy/ci/github-actions.yaml";
const HOOKS: [&str; 2] = ["envoy/ci/pre-commit-config.yaml", ".pre-commit-hooks.yaml"];

/// What is put wrong in a repository, and the command that must find it.
struct Fault {
    command: &'static str,
    file: &'static str,
    is: &'static str,
    becomes: &'static str,
}

const FAULTS: [Fault; 5] = [
    Fault { command: "validate", file: "flags/shop.yaml", is: "owner: web", becomes: "ownr: web" },
    Fault { command: "fmt", file: "flags/shop.yaml", is: "owner: web", becomes: "owner: 'web'" },
    Fault { command: "test", file: "flags/cases/shop.yaml", is: "checkout: v2", becomes: "checkout: v1" },
    Fault { command: "diff", file: "flags/shop.yaml", is: "percent: 5,", becomes: "percent: 60," },
    Fault { command: "report", file: "flags/shop.yaml", is: "2099-01-15", becomes: "2020-01-15" },
];

/// What the expressions of the workflow stand for in a pull request.
const EXPRESSIONS: [(&str, &str); 3] = [
    ("${{ vars.TIDEGATE_REPOSITORY }}", "https://git.example/tidegate"),
    ("${{ github.base_ref }}", "main"),
    ("${{ contains(github.event.pull_request.labels.*.name, 'moves-people') && '100%' || '5%' }}", "5%"),
];

/// A command line of the examples.
#[derive(Clone, Debug)]
struct Line {
    text: String,
    env: BTreeMap<String, String>,
}

impl Line {
    /// The subcommand that it calls.
    fn command(&self) -> &str {
        self.text.split_whitespace().nth(1).unwrap_or_default()
    }

    fn run(&self, folder: &Path) -> Output {
        let built = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([built.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap();
        Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &self.text])
            .current_dir(folder)
            .env("PATH", path)
            .env("GITHUB_STEP_SUMMARY", folder.join("summary.md"))
            .envs(&self.env)
            .output()
            .expect("bash runs")
    }
}

fn read(path: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(at_root().join(path)).unwrap())
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

/// What the environment of a job or step says, with its expressions worked out.
fn env(value: &Value, into: &mut BTreeMap<String, String>) {
    for (name, value) in value["env"].as_object().into_iter().flatten() {
        let mut text = value.as_str().expect("text").to_owned();
        for (expression, means) in EXPRESSIONS {
            text = text.replace(expression, means);
        }
        assert!(!text.contains("${{"), "an expression that nobody has worked out: {text}");
        into.insert(name.clone(), text);
    }
}

/// The command lines of the workflow.
fn steps() -> Vec<Line> {
    let workflow = read(WORKFLOW);
    let mut lines = Vec::new();
    for (name, job) in workflow["jobs"].as_object().expect("jobs") {
        assert!(job["runs-on"].is_string() && job["if"].is_string(), "{name}");
        for step in list(&job["steps"]) {
            assert!(step["uses"].is_string() != step["run"].is_string(), "a step does one thing: {step}");
            let Some(run) = step["run"].as_str() else { continue };
            // What an author of a pull request can write must not become a part of a command line.
            assert!(!run.contains("${{"), "{run}");
            let mut line = Line { text: run.to_owned(), env: BTreeMap::new() };
            for level in [&workflow, job, step] {
                env(level, &mut line.env);
            }
            lines.extend(run.starts_with("tidegate ").then_some(line));
        }
    }
    lines
}

/// The command lines of the hooks, with the file that a commit changes.
fn hooks() -> Vec<Line> {
    let mut lines = Vec::new();
    for path in HOOKS {
        let file = read(path);
        let hooks = if file.is_array() { list(&file) } else { list(&file["repos"][0]["hooks"]) };
        for hook in hooks {
            for field in ["id", "name", "entry", "language"] {
                assert!(hook[field].is_string(), "{path}: a hook has no {field}");
            }
            let mut text = format!("{} flags/shop.yaml", hook["entry"].as_str().unwrap());
            // A script stands in the repository of the hooks, which is another one than that of the flags.
            if hook["language"] == "script" {
                text = format!("{}/{text}", at_root().display());
            }
            lines.push(Line { text, env: BTreeMap::new() });
        }
    }
    lines
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=Ana", "-c", "user.email=ana@shop.example", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A clone of a repository whose flags are good.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("flags/cases")).unwrap();
    for file in ["flags/shop.yaml", "flags/cases/shop.yaml"] {
        fs::copy(at_root().join("tests/ci").join(file), folder.path().join(file)).unwrap();
    }
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "-m", "Add the flags of the shop"]);
    git(folder.path(), &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    folder
}

#[test]
fn good_flags_pass_every_line_of_the_examples() {
    let folder = repository();
    let lines: Vec<Line> = steps().into_iter().chain(hooks()).collect();
    for fault in &FAULTS {
        assert!(lines.iter().any(|line| line.command() == fault.command), "no line calls {}", fault.command);
    }
    for line in lines {
        let output = line.run(folder.path());
        assert!(output.status.success(), "{}\n{}", line.text, said(&output));
    }
    let summary = fs::read_to_string(folder.path().join("summary.md")).unwrap();
    assert!(!summary.trim().is_empty(), "the report is on the page");
}

/// Files of a repository of Kubernetes, of which the last carries a config.
const OTHERS: [(&str, &str); 6] = [
    ("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"),
    ("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\nappVersion: '7'\n"),
    ("chart/templates/web.yaml", "metadata:\n  name: {{ .Release.Name }}-tidegate\n"),
    ("kustomization.yaml", "resources: [deployment.yaml]\n"),
    ("package.json", "{\"name\": \"shop\", \"version\": \"1.0.0\"}\n"),
    (
        "plugin.yaml",
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: tidegate}\nspec:\n  url: oci://registry.example/tidegate\n  \
         pluginConfig: {version: 1, flags: {banner: {rules: [{serve: \"on\"}]}}}\n",
    ),
];

#[test]
fn the_hooks_work_in_a_repository_of_kubernetes() {
    let folder = repository();
    let names: Vec<&str> = OTHERS.iter().map(|(name, _)| *name).collect();
    for (name, text) in OTHERS {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for hook in hooks() {
        let with = |files: &str| Line { text: hook.text.replace("flags/shop.yaml", files), env: BTreeMap::new() };
        // A commit may change one of them, or all.
        for files in names.iter().map(|name| (*name).to_owned()).chain([names.join(" ")]) {
            let output = with(&files).run(folder.path());
            assert!(output.status.success(), "{} {files}\n{}", hook.text, said(&output));
        }
    }
    let plugin = folder.path().join("plugin.yaml");
    let text = fs::read_to_string(&plugin).unwrap();
    fs::write(&plugin, text.replace("serve", "serves")).unwrap();
    for hook in hooks().into_iter().filter(|hook| hook.command() == "validate") {
        let line = Line { text: hook.text.replace("flags/shop.yaml", &names.join(" ")), env: BTreeMap::new() };
        let output = line.run(folder.path());
        assert_eq!(output.status.code(), Some(1), "{}\n{}", line.text, said(&output));
    }
}

#[test]
fn each_line_finds_what_it_looks_for() {
    for fault in &FAULTS {
        let folder = repository();
        let file = folder.path().join(fault.file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(fault.is), "{} has no {}", fault.file, fault.is);
        fs::write(&file, text.replace(fault.is, fault.becomes)).unwrap();
        for line in steps().into_iter().chain(hooks()).filter(|line| line.command() == fault.command) {
            let output = line.run(folder.path());
            assert_eq!(output.status.code(), Some(1), "{}\n{}", line.text, said(&output));
        }
    }
}
