//! Changes single fields of the real configs of this repository, as people do by command, in every form they have:
//! files, manifests, texts in manifests, JSON, with line ends of Windows and with a byte order mark.
//!
//! Only the named field differs when the file is read again, every other line is the same byte for byte, every comment
//! is there, and what is undone gives the old bytes. What cannot be changed so is refused, and the file is untouched.
//! Reads the files by itself, and never looks into the command.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// The real configs: each with its text and the end of its name.
fn texts() -> Vec<(String, String)> {
    let root = kit::envoy::repository();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["envoy", "tests/cli/configs", "tests/cli/explain", "tests/ci", "tests/fuzz/seeds/config"]
            .map(|f| root.join(f))
            .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let end = entry.extension().unwrap_or_default().to_string_lossy().into_owned();
            if entry.is_dir() {
                folders.push(entry);
            } else if matches!(&*end, "yaml" | "yml" | "json") && !entry.ends_with("schema.json") {
                found.push((entry.display().to_string(), fs::read_to_string(&entry).unwrap()));
            }
        }
    }
    for page in fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()) {
        if page.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        let blocks = text.split("```yaml").skip(1).zip(1..);
        found.extend(blocks.filter_map(|(block, number)| {
            let block = block.split_once('\n')?.1.split("```").next()?;
            block.contains("flags:").then(|| (format!("{} {number}.yaml", page.display()), block.to_owned()))
        }));
    }
    found.sort();
    found
}

/// The first config in a text, however deep: its values, with texts in values read as well.
fn config(text: &str) -> Option<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text.trim_start_matches('\u{feff}')).ok()?;
    documents.iter().find_map(inside)
}

fn inside(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.get("flags").is_some_and(Value::is_object) => Some(value.clone()),
        Value::Object(map) => map.values().find_map(inside),
        Value::Array(items) => items.iter().find_map(inside),
        Value::String(text) if text.contains("flags") => {
            let inner: Value = serde_saphyr::from_str(text).ok()?;
            if inner.is_string() { None } else { inside(&inner) }
        }
        _ => None,
    }
}

/// How many configs a text has.
fn configs(text: &str) -> usize {
    text.matches("flags:").count() + text.matches("flags\":").count() + text.matches("flags\\\":").count()
}

fn tidegate(file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).arg("--config").arg(file).args(["--users", "1", "--yes", "--at", "2026-11-28T12:00:00Z"]);
    command.stdin(Stdio::null()).env_remove("TIDEGATE_POLICY").output().expect("the command runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The comments, line by line: what begins with a `#` behind a blank and outside of quotes.
fn remarks(text: &str) -> Vec<&str> {
    text.lines().filter_map(remark).collect()
}

fn remark(line: &str) -> Option<&str> {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match quote {
            None if c == '#' && before.is_whitespace() => return Some(line[at..].trim_end()),
            None if (c == '"' || c == '\'') && !before.is_alphanumeric() => quote = Some(c),
            Some(open) if c == open && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    None
}

/// How many lines of one text are not in the other, in order.
fn gone(old: &str, new: &str) -> usize {
    let diff = similar::TextDiff::from_lines(old, new);
    diff.iter_all_changes().filter(|change| change.tag() == similar::ChangeTag::Delete).count()
}

/// Makes one change of a file and checks all that it must keep; the new text, or nothing where it was refused.
fn changed(file: &Path, name: &str, arguments: &[&str], due: impl Fn(&mut Value)) -> Option<String> {
    let old = fs::read_to_string(file).unwrap();
    let output = tidegate(file, arguments);
    let new = fs::read_to_string(file).unwrap();
    if !output.status.success() {
        assert_eq!(old, new, "{name}: {arguments:?} was refused, and wrote: {}", said(&output));
        assert!(matches!(output.status.code(), Some(1 | 2)), "{name}: {arguments:?}: {}", said(&output));
        return None;
    }
    let mut wanted = config(&old).unwrap_or_else(|| panic!("{name} has no config"));
    due(&mut wanted);
    assert_eq!(config(&new), Some(wanted), "{name}: {arguments:?}\n{new}");
    assert!(gone(&old, &new) <= 1, "{name}: {arguments:?} touches several lines\n{new}");
    assert!(gone(&new, &old) <= 1, "{name}: {arguments:?} adds several lines\n{new}");
    let kept = remarks(&new);
    for remark in remarks(&old) {
        assert!(kept.iter().any(|kept| kept.starts_with(remark)), "{name}: {arguments:?} loses {remark:?}\n{new}");
    }
    Some(new)
}

#[test]
fn only_the_named_field_changes_and_every_comment_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut changes, mut refused) = (BTreeSet::new(), 0_usize, 0_usize);
    for (name, text) in texts() {
        let Some(values) = config(&text).filter(|_| configs(&text) == 1) else { continue };
        let end = name.rsplit('.').next().unwrap();
        let forms = [text.clone(), text.replace('\n', "\r\n"), format!("\u{feff}{text}")];
        for (form, text) in forms.iter().enumerate() {
            let file = folder.path().join(format!("config.{end}"));
            let flags = values["flags"].as_object().unwrap();
            for (place, (key, flag)) in flags.iter().enumerate() {
                // All forms of all flags would take minutes.
                if form > 0 && place > 0 || place > 5 {
                    continue;
                }
                fs::write(&file, text).unwrap();
                let name = format!("{name}, form {form}");
                let owner = changed(&file, &name, &["set", key, "--owner", "team #7: \"x\""], |config| {
                    config["flags"][key]["owner"] = json!("team #7: \"x\"");
                });
                refused += usize::from(owner.is_none());
                if owner.is_none() {
                    continue;
                }
                files.insert(name.split(',').next().unwrap().to_owned());
                changes += 1;
                let rules = flag["rules"].as_array().cloned().unwrap_or_default();
                for (rule, number) in rules.iter().zip(1_usize..).filter(|(rule, _)| !rule["percent"].is_null()) {
                    let before = fs::read_to_string(&file).unwrap();
                    let number = number.to_string();
                    let is_text = rule["percent"].as_str().is_some_and(|text| text.ends_with('%'));
                    let (new, back) = ("37.5", rule["percent"].to_string());
                    let there = changed(&file, &name, &["set", key, "--rule", &number, "--percent", new], |config| {
                        let at = number.parse::<usize>().unwrap() - 1;
                        config["flags"][key]["rules"][at]["percent"] =
                            if is_text { json!("37.5%") } else { json!(37.5) };
                    });
                    assert!(there.is_some(), "{name}: a share of {key} cannot be set");
                    let output = tidegate(&file, &["set", key, "--rule", &number, "--percent", back.trim_matches('"')]);
                    assert!(output.status.success(), "{name}: {}", said(&output));
                    // A number that was written with zeros behind it comes back without them.
                    let is_short = !name.contains("numbers.json") && (is_text || !back.contains('"'));
                    if is_short && !back.ends_with(".0") {
                        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{name}: a share set, and set back");
                    }
                    changes += 2;
                }
                if flag["kill"].is_null() {
                    let before = fs::read_to_string(&file).unwrap();
                    let killed = changed(&file, &name, &["kill", key, "--why", "odd, \"very\" # odd"], |config| {
                        config["flags"][key]["kill"] = json!(true);
                    });
                    assert!(killed.is_some(), "{name}: {key} cannot be killed");
                    let output = tidegate(&file, &["unkill", key]);
                    assert!(output.status.success(), "{name}: {}", said(&output));
                    assert_eq!(fs::read_to_string(&file).unwrap(), before, "{name}: {key} killed, and unkilled");
                    changes += 2;
                }
            }
        }
    }
    assert!(files.len() >= 30, "only {} files were changed: {files:?}", files.len());
    assert!(changes > 500, "only {changes} changes, and {refused} were refused");
}

const SMALL: &str = "version: 1\nidentity: [{header: x-user-id}]\nflags:\n  checkout:   # ours\n    rules: [{percent: 5, serve: \"on\"}]\n  other: {rules: [{percent: 5, serve: \"on\"}]}\n";

/// A folder with a file in it, under git or not.
fn scene(under_git: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.yaml");
    fs::write(&file, SMALL).unwrap();
    if under_git {
        git(&file, &["init", "--quiet"]);
        git(&file, &["config", "user.name", "Ana"]);
        git(&file, &["config", "user.email", "ana@shop.example"]);
        git(&file, &["add", "."]);
        git(&file, &["commit", "--quiet", "-m", "Begin"]);
    }
    (folder, file)
}

fn git(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(file.parent().unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_commit_has_one_file_with_who_why_and_who_moves() {
    let (folder, file) = scene(true);
    fs::write(folder.path().join("beside.txt"), "staged, and not ours").unwrap();
    git(&file, &["add", "beside.txt"]);
    let output = tidegate(&file, &["kill", "checkout", "--why", "errors doubled", "--commit"]);
    assert!(output.status.success(), "{}", said(&output));
    let shown = git(&file, &["show", "--stat=200", "--format=%s%n%b"]);
    assert!(shown.starts_with("Kill checkout\nWhy: errors doubled\n\n- checkout: kill: off -> on\n"), "{shown}");
    assert!(shown.contains("users move"), "{shown}");
    assert!(shown.contains("flags.yaml") && !shown.contains("beside.txt"), "{shown}");
    assert_eq!(git(&file, &["status", "--porcelain"]), "A  beside.txt\n", "what else was staged stays so");
}

#[test]
fn a_commit_is_refused_where_it_would_take_more_along() {
    let (_folder, file) = scene(false);
    let output = tidegate(&file, &["kill", "checkout", "--why", "x", "--commit"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), SMALL);
    let (_folder, file) = scene(true);
    let text = format!("{SMALL}# not committed\n");
    fs::write(&file, &text).unwrap();
    let output = tidegate(&file, &["kill", "checkout", "--why", "x", "--commit"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("has changes that are not committed"), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_commit_that_a_hook_refuses_leaves_the_file_as_it_was() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, file) = scene(true);
    let hook = folder.path().join(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho not today >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let output = tidegate(&file, &["kill", "checkout", "--why", "x", "--commit"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("not today"), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), SMALL);
}

#[test]
fn of_two_people_at_once_the_second_is_told_and_nothing_is_lost() {
    // Many pairs write at the same time: whoever was told that it is written finds it written.
    for round in 0..20 {
        let (folder, file) = scene(false);
        let both: Vec<_> = ["checkout", "other"]
            .map(|flag| {
                let file = file.clone();
                std::thread::spawn(move || (flag, tidegate(&file, &["kill", flag, "--why", "at once"])))
            })
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect();
        let text = fs::read_to_string(&file).unwrap();
        let config: Value = serde_saphyr::from_str(&text).unwrap();
        for (flag, output) in &both {
            let killed = config["flags"][flag]["kill"] == json!(true);
            assert_eq!(output.status.success(), killed, "round {round}: {flag}: {}\n{text}", said(output));
            let told = said(output).contains("changed meanwhile") || said(output).contains("somebody else is writing");
            assert!(killed || told, "round {round}: {flag}: {}", said(output));
        }
        assert!(both.iter().any(|(_, output)| output.status.success()), "round {round}: nobody got through");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["flags.yaml"], "nothing is left lying about");
    }
}

#[test]
fn what_has_an_anchor_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.yaml");
    let text = "version: 1\nidentity: [{header: x-user-id}]\nflags:\n  one: &one\n    rules: [{percent: 5, serve: \"on\"}]\n  two: *one\n  three:\n    <<: *one\n    owner: web\n";
    fs::write(&file, text).unwrap();
    for (flag, place, why) in [("one", "4:8", "an anchor stands here"), ("two", "6:8", "an alias stands here")] {
        let output = tidegate(&file, &["kill", flag, "--why", "x"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let said = said(&output);
        assert!(said.contains(&format!("flags.yaml:{place}: {why}")) || said.contains(why), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    // Beside a merge, a field of one's own is safe; inside of what is merged, nothing is.
    let output = tidegate(&file, &["kill", "three", "--why", "x"]);
    assert!(output.status.success(), "{}", said(&output));
    let output = tidegate(&file, &["set", "three", "--percent", "7"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("comes from a merge"), "{}", said(&output));
}

#[test]
fn one_of_several_configs_in_a_file_changes_and_the_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.yaml");
    let map = |name: &str| {
        let inner = format!("    {}\n", SMALL.trim_end().replace('\n', "\n    "));
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  flags.yaml: |\n{inner}")
    };
    let text = format!("{}---\n{}", map("one"), map("two"));
    fs::write(&file, &text).unwrap();
    let second = PathBuf::from(format!("{}#2", file.display()));
    let output = tidegate(&second, &["set", "checkout", "--percent", "7"]);
    assert!(output.status.success(), "{}", said(&output));
    let (first, second) = text.split_at(text.find("---").unwrap());
    let due = format!("{first}{}", second.replacen("percent: 5", "percent: 7", 1));
    assert_eq!(fs::read_to_string(&file).unwrap(), due);
    let output = tidegate(&file, &["set", "checkout", "--percent", "7"]);
    assert_eq!(output.status.code(), Some(2), "two configs, and none is named: {}", said(&output));
}

#[test]
fn a_change_that_ends_a_rollback_says_so() {
    let (_folder, file) = scene(false);
    let output = tidegate(&file, &["rollback", "checkout", "--why", "errors"]);
    assert!(output.status.success(), "{}", said(&output));
    let held = fs::read_to_string(&file).unwrap();
    let owner = tidegate(&file, &["set", "checkout", "--owner", "web"]);
    assert!(owner.status.success() && !said(&owner).contains("its standing ends"), "{}", said(&owner));
    fs::write(&file, &held).unwrap();
    let share = tidegate(&file, &["set", "checkout", "--percent", "6"]);
    assert!(said(&share).contains("its standing ends with this change"), "{}", said(&share));
    // Once it is taken away, the file is as it was before it.
    fs::write(&file, &held).unwrap();
    let resumed = tidegate(&file, &["resume", "checkout"]);
    assert!(resumed.status.success(), "{}", said(&resumed));
    assert_eq!(fs::read_to_string(&file).unwrap(), SMALL);
}
