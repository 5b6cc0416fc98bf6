//! Turns what cannot be done with a command line into a message: the word that is wrong, why, and what to type instead.
//!
//! What clap found is told in the form of all other messages. Knows the names that other tools have for the same thing.
//! Never runs anything.

use std::fs;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use tidegate_analysis::source::diagnostic::nearest;

/// What is wrong with a command line.
pub(crate) struct Mistyped {
    title: String,
    /// The words that may be what is wrong, the likeliest first.
    words: Vec<String>,
    help: Vec<String>,
}

/// Commands of other tools, and what they are called here.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["init", "new"],
        "begin tidegate.yaml so: version: 1, flags: {checkout: {rules: [{serve: \"on\"}]}}; then tidegate validate",
    ),
    (
        &["check", "lint", "verify", "vet", "analyze", "analyse", "validat", "val", "kubeconform"],
        "tidegate validate FILE checks configs and manifests",
    ),
    (
        &["apply", "create"],
        "nothing is applied from here: tidegate render istio FILE --url oci://registry.example/tidegate:0.1.0 | kubectl apply -f -",
    ),
    (&["format", "prettier", "fix", "tidy", "gofmt"], "tidegate fmt FILE writes the canonical form"),
    (
        &["eval", "evaluate", "decide", "why", "describe", "trace", "resolve", "get-flag"],
        "tidegate explain FILE -H 'x-user-id: ana' explains one request",
    ),
    (
        &["get", "ls", "show", "flags", "catalog", "catalogue", "inventory", "info"],
        "tidegate list FILE lists the flags; tidegate status and tidegate watch show running proxies",
    ),
    (
        &[
            "enable", "disable", "toggle", "abort", "undo", "pause", "stop", "continue", "retry", "delete", "remove",
            "edit", "patch", "scale", "advance",
        ],
        "a flag is changed by tidegate set FLAG --percent 25, kill and unkill, promote, hold and resume, rollback, retire",
    ),
    (
        &["rollout"],
        "tidegate watch URL shows how far a rollout is, as in tidegate watch http://127.0.0.1:9901; tidegate promote FLAG, hold and rollback move it",
    ),
    (
        &["serve", "start", "run", "up", "server", "daemon", "proxy"],
        "there is no server: the filter runs in Envoy; make up starts the demo, tidegate render writes manifests",
    ),
    (
        &["generate", "scaffold", "template", "manifest", "export", "build", "compile", "install"],
        "tidegate render writes the manifest that brings a config to proxies",
    ),
    (&["version", "ver"], "tidegate --version"),
    (
        &["completion", "autocomplete", "complete"],
        "did you mean tidegate completions? It takes bash, zsh, fish, elvish or powershell",
    ),
    (&["history", "blame", "audit", "changes"], "tidegate log FILE tells who changed which flag when"),
    (&["compare", "plan", "preview", "delta"], "tidegate diff OLD NEW shows what changes, and who moves"),
    (
        &["monitor", "top", "metrics", "logs", "tail", "dashboard", "stats"],
        "tidegate watch URL shows flags in running proxies",
    ),
    (&["spec", "openapi", "explain-schema", "crd", "fields"], "tidegate schema prints the format as a JSON Schema"),
    (&["bench", "load", "ping", "curl", "smoke"], "tidegate probe URL --config FILE asks a running proxy"),
    (&["stale", "debt", "cleanup", "expired", "unused"], "tidegate report FILE shows what has expired or is finished"),
    (
        &["opa", "conftest", "codeowners", "policies"],
        "tidegate policy check POLICY, or tidegate policy codeowners POLICY FILE",
    ),
];

/// Options of other tools, and what they are called here.
const OPTIONS: &[(&[&str], &str)] = &[
    (
        &["-f", "--file", "--filename", "--config", "--input", "-i", "--manifest", "--values"],
        "files are named without an option: tidegate validate FILE",
    ),
    (&["--json", "-j"], "for programs: --output json"),
    (&["--yaml"], "programs read --output json; manifests come from tidegate render"),
    (
        &["--format"],
        "tidegate validate has --format (text, json, sarif, github), tidegate test --format junit; all have --output json",
    ),
    (
        &["--sarif", "--github", "--junit", "--reporter"],
        "it is a format of validate or test: tidegate validate --format sarif, --format github, tidegate test --format junit",
    ),
    (
        &["-n", "--namespace", "--context", "--kubeconfig", "-A", "--all-namespaces", "--cluster"],
        "no cluster is asked: pipe what it says, kubectl get wasmplugin -A -o yaml | tidegate validate -",
    ),
    (
        &[
            "--strict",
            "--fail-on-warnings",
            "--fail-on-warning",
            "--werror",
            "-W",
            "--warnings-as-errors",
            "--max-warnings",
        ],
        "to fail on warnings: --deny-warnings",
    ),
    (
        &["--fix", "--write", "-w", "--in-place", "--inplace"],
        "tidegate fmt FILE writes the file, and --check only looks",
    ),
    (
        &["--diff", "--list", "-l", "--dry-run", "--noop"],
        "to look and change nothing: tidegate fmt --check FILE; set, kill and the like have --dry-run",
    ),
    (
        &["--user", "--user-id", "--userid", "--uid", "--targeting-key", "--identity", "--id", "-u"],
        "a user is in the request, where identity looks: -H 'x-user-id: ana' or --cookie uid=ana",
    ),
    (&["--time", "--date", "--now", "--when"], "the time to decide at: --at 2026-12-01T09:00:00Z"),
    (&["-v", "--verbose", "--debug", "-vv"], "take it away: messages are whole already, and -q says less"),
    (&["--silent", "-s", "--no-output"], "to hear only what is wrong: --quiet"),
    (
        &["--no-color", "--no-colour", "--colour", "--nocolor"],
        "without colors: --color never, or NO_COLOR in the environment",
    ),
    (
        &["-r", "-R", "--recursive", "--dir", "--directory", "-d", "--path-prefix"],
        "a folder is named like a file, and read with all below it: tidegate validate flags/",
    ),
    (&["--header", "-h"], "a header of the request: -H 'x-user-id: ana'"),
    (&["--data", "-X", "--request-method"], "the request of explain has --method, --host, --path, -H and --cookie"),
    (&["--flags", "--flag-key", "--key", "--feature"], "only one flag: --flag checkout"),
    (
        &["--percent", "--percentage", "--rollout", "--weight"],
        "a share stands in the config: rules: [{percent: 10, serve: v2}]",
    ),
    (&["--count", "--limit", "--samples", "--requests", "-c", "-N"], "how many generated users: --users 10000"),
    (
        &["--follow", "--watch", "--interval-ms", "--refresh"],
        "tidegate watch URL goes on until it is stopped; --once asks once",
    ),
    (
        &["--url", "--address", "--admin", "--endpoint", "--host-port"],
        "a proxy is named without an option: tidegate watch http://127.0.0.1:9901",
    ),
    (
        &["--case", "--filter", "--grep", "-t", "-k", "--run", "--name"],
        "only cases with a text in their name: --only TEXT",
    ),
    (
        &["--ignore", "--exclude", "--skip"],
        "files that carry no config are passed over: --skip-foreign where none is found at all",
    ),
    (&["--schema", "--rules", "--opa"], "rules of your own are a policy: --policy FILE"),
    (
        &["--from", "--base", "--against", "--rev"],
        "two sides are named one after the other: tidegate diff main:flags.yaml flags.yaml",
    ),
    (&["--output-file", "--out", "--stdout-file", "-O"], "write the output where you want it: tidegate ... > FILE"),
];

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// What another tool's name for something is called here.
fn habit(table: &[(&[&str], &'static str)], typed: &str) -> Option<&'static str> {
    let bare = typed.split('=').next().unwrap_or(typed);
    table.iter().find(|(names, _)| names.contains(&bare)).map(|(_, instead)| *instead)
}

impl Mistyped {
    /// What clap found; nothing where it was asked for help.
    pub(crate) fn of(error: &Error, typed: &[String]) -> Option<Self> {
        let line = typed;
        let whole = error.to_string();
        // The first lines say what is wrong, the ones behind them what is allowed.
        let title = whole.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let title = title.lines().map(str::trim).filter(|line| !line.starts_with('[')).collect::<Vec<_>>().join(" ");
        // Words for programmers are none for people.
        let title = match title.split_once(" is not in ").zip(title.rsplit_once(": ")) {
            Some(((_, range), (front, _))) if range.contains("..=") => {
                format!("{front}: must be from {}", range.replace("..=", " to "))
            }
            _ => title.replace("invalid digit found in string", "must be a whole number"),
        };
        let usage = whole.lines().find_map(|line| line.strip_prefix("Usage: ")).map(|usage| format!("usage: {usage}"));
        let (mut words, mut help) = (Vec::new(), Vec::new());
        match error.kind() {
            ErrorKind::InvalidSubcommand => {
                let typed = text(error, ContextKind::InvalidSubcommand)?;
                let near = texts(error, ContextKind::SuggestedSubcommand);
                let before = line.iter().skip(1).map(String::as_str).take_while(|word| *word != typed);
                let before: Vec<&str> = before.filter(|word| !word.starts_with('-')).collect();
                let is_file = typed.contains(['/', '.']) || Path::new(&typed).exists();
                help.push(match (habit(COMMANDS, &typed), near.last()) {
                    (Some(instead), _) => instead.to_owned(),
                    (None, _) if is_file => in_front(&before, &typed),
                    (None, Some(near)) => format!("did you mean tidegate {near}?"),
                    (None, None) if before.is_empty() => "tidegate help lists the commands".to_owned(),
                    (None, None) if before == ["render"] => {
                        "write one of the kinds there are: istio, envoy-gateway, routes or envoy, as in tidegate render istio FILE"
                            .to_owned()
                    }
                    (None, None) => format!("tidegate {} --help lists the commands", before.join(" ")),
                });
                words.push(typed);
            }
            ErrorKind::UnknownArgument => {
                let typed = text(error, ContextKind::InvalidArg)?;
                let near = text(error, ContextKind::SuggestedArg);
                help.push(match (habit(OPTIONS, &typed), near) {
                    (Some(instead), _) => instead.to_owned(),
                    (None, Some(near)) => format!("did you mean {near}?"),
                    (None, None) if typed.starts_with('-') => "--help lists the options of the command".to_owned(),
                    (None, None) if matches!(line.get(1).map(String::as_str), Some("explain" | "simulate")) => {
                        format!("one flag of a config is --flag {typed}; the command takes one file")
                    }
                    (None, None) => too_many(&typed),
                });
                words.push(typed);
                help.extend(usage);
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
                let option = text(error, ContextKind::InvalidArg).unwrap_or_default();
                let name = option.split([' ', '=']).next().unwrap_or_default().to_owned();
                let valid = texts(error, ContextKind::ValidValue);
                let near = text(error, ContextKind::SuggestedValue)
                    .or_else(|| nearest(&value, valid.iter().map(String::as_str)).map(str::to_owned));
                help.push(match (near, valid.is_empty()) {
                    (Some(near), _) if name.starts_with('<') => {
                        format!("did you mean {near}? It takes {}", valid.join(", "))
                    }
                    (Some(near), _) => format!("did you mean {name} {near}? It takes {}", valid.join(", ")),
                    (None, false) if name.starts_with('<') => format!("write one of {}", valid.join(", ")),
                    (None, false) if value.is_empty() => {
                        let each: Vec<String> = valid.iter().map(|value| format!("{name} {value}")).collect();
                        format!("write one behind it: {}", each.join(" or "))
                    }
                    (None, false) => format!("write {name} with one of {}", valid.join(", ")),
                    (None, true) => of_value(&name, &value),
                });
                words.extend([value.clone(), format!("{name}={value}"), name]);
            }
            ErrorKind::MissingRequiredArgument => {
                let missing = texts(error, ContextKind::InvalidArg).join(" and ");
                let (title, instead) = of_missing(line, &missing);
                help.push(instead);
                help.extend(usage);
                return Some(Self { title, words, help });
            }
            ErrorKind::ArgumentConflict => {
                let typed = text(error, ContextKind::InvalidArg).unwrap_or_default();
                let prior = texts(error, ContextKind::PriorArg).join(", ");
                let name = typed.split(' ').next().unwrap_or_default().to_owned();
                help.push(if prior.is_empty() || prior == typed {
                    format!("write {name} once")
                } else {
                    format!("take one of the two away: {typed}, {prior}")
                });
                words.push(name);
            }
            ErrorKind::WrongNumberOfValues
            | ErrorKind::TooFewValues
            | ErrorKind::TooManyValues
            | ErrorKind::NoEquals => {
                let typed = text(error, ContextKind::InvalidArg).unwrap_or_default();
                help.push(format!("write it so: {typed}"));
                words.push(typed.split(' ').next().unwrap_or_default().to_owned());
                help.extend(usage);
            }
            ErrorKind::InvalidUtf8 => help.push("write the command line as UTF-8".to_owned()),
            _ => return None,
        }
        Some(Self { title, words, help })
    }

    /// What a command found that it was asked for.
    pub(crate) fn said(said: &str, typed: &[String]) -> Self {
        // What is named last in the message is the likeliest; of a file with a number, the file is.
        let bare = |word: &str| word.split('#').next().unwrap_or(word).to_owned();
        let at = |word: &String| said.rfind(&*bare(word)).map(|at| at + bare(word).len());
        let after = typed.iter().skip(2).filter(|word| word.len() > 1);
        let mut words: Vec<String> = after.filter(|word| at(word).is_some()).cloned().collect();
        words.sort_by_key(|word| core::cmp::Reverse((at(word), word.len())));
        let meant = said.split_once(": did you mean ").or_else(|| said.split_once("; did you mean "));
        if let Some((title, meant)) = meant {
            return Self { title: title.to_owned(), words, help: vec![format!("did you mean {meant}")] };
        }
        let help = of_said(said, words.first().map(String::as_str));
        Self { title: said.to_owned(), words, help: help.into_iter().collect() }
    }

    /// The message, with the command line and the word that is meant.
    pub(crate) fn render(&self, typed: &[String], colored: bool) -> String {
        let (line, places) = written(typed);
        let found = self.words.iter().find_map(|word| {
            let whole = places.iter().skip(1).find(|(at, _)| *at == *word);
            let part = || places.iter().skip(1).find(|(at, _)| at.split('=').next() == Some(word));
            whole.or_else(part).map(|(_, span)| span.clone())
        });
        let end = line.len();
        let span = found.unwrap_or(end..end.saturating_add(1));
        let line = format!("{line} ");
        let snippet =
            Snippet::source(line.as_str()).path("command line").annotation(AnnotationKind::Primary.span(span));
        let mut group = Level::ERROR.primary_title(self.title.as_str()).element(snippet);
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
        let text = renderer.render(&[group]);
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// The words of a command line as they would be typed, and where each stands in it.
fn written(typed: &[String]) -> (String, Vec<(String, core::ops::Range<usize>)>) {
    let (mut line, mut places) = (String::new(), Vec::new());
    for (place, word) in typed.iter().enumerate() {
        let shown = if place == 0 { "tidegate".to_owned() } else { quoted(word) };
        if place > 0 {
            line.push(' ');
        }
        places.push((word.clone(), line.len()..line.len() + shown.len().max(1)));
        line.push_str(&shown);
    }
    (line, places)
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+#".contains(c);
    let shown: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if !shown.is_empty() && shown.chars().all(plain) { shown } else { format!("'{}'", shown.replace('\'', "'\\''")) }
}

/// What becomes of a word that a command has no place for.
fn too_many(typed: &str) -> String {
    match typed.split_once('=') {
        Some((name, value)) => format!("what is set is an option: --{name} {value}"),
        None => format!("take {typed} away: the command takes no more of them"),
    }
}

/// What is missing of a command line, and how it is typed with it.
fn of_missing(line: &[String], missing: &str) -> (String, String) {
    let command = line.get(1).map(String::as_str).unwrap_or_default();
    let rest: Vec<&str> = line.iter().skip(2).map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let file = rest.first().copied();
    let title = format!("{missing} is missing at the end");
    let has = |option: &str| line.iter().any(|word| word.split('=').next() == Some(option));
    let instead = match command {
        "probe" => {
            let is_url = |word: &&&str| word.contains("://");
            let url = rest.iter().find(is_url).copied();
            let named = rest.iter().find(|word| Path::new(word).is_file()).copied();
            if let (None, Some(named), false) = (url, named, has("--config")) {
                return (
                    format!("{named} is a config, and a URL is needed"),
                    format!("write tidegate probe --config {named} http://127.0.0.1:10000"),
                );
            }
            let config = if has("--config") { "flags.yaml" } else { named.unwrap_or("flags.yaml") };
            format!("write tidegate probe --config {config} {}", url.unwrap_or("http://127.0.0.1:10000"))
        }
        "diff" => {
            let file = file.unwrap_or("shop.yaml");
            let bare = file.split_once(':').map_or(file, |(_, bare)| bare);
            format!("two sides are compared: tidegate diff main:{bare} {bare}")
        }
        "test" => "name the file with the cases: tidegate test cases/shop.yaml".to_owned(),
        "watch" => "name the admin address of an Envoy: tidegate watch http://127.0.0.1:9901".to_owned(),
        "policy" if file == Some("codeowners") => {
            "name the policy and the configs: tidegate policy codeowners policy.yaml flags.yaml".to_owned()
        }
        "policy" => "name the policy: tidegate policy check policy.yaml".to_owned(),
        "completions" => "name the shell: tidegate completions bash".to_owned(),
        _ if missing.starts_with("--policy") && has("--today") => {
            return (
                "--today is the day for a policy, and there is no --policy".to_owned(),
                "add --policy policy.yaml, or take --today away".to_owned(),
            );
        }
        _ if missing.starts_with("--over") && has("--svg") => {
            return ("--svg draws a span of time, and there is no --over".to_owned(), "add --over 14d".to_owned());
        }
        _ if missing.starts_with("--why") => {
            return (
                "--why is missing: it is recorded with the change".to_owned(),
                format!("write tidegate {command} {} --why 'errors of v2 doubled'", file.unwrap_or("checkout")),
            );
        }
        "set" if missing.contains("--percent") => {
            return (
                "what is to be set is missing at the end".to_owned(),
                format!(
                    "write tidegate set {} --percent 25, or --weights, --default, --expires, --stage, --owner, --description",
                    file.unwrap_or("checkout")
                ),
            );
        }
        _ if missing.starts_with("<FLAG>") => format!("name the flag: tidegate {command} checkout"),
        _ if missing.starts_with("--config") => "add --config flags.yaml".to_owned(),
        _ if missing.starts_with("<FILE>") => "add the file with the config: flags.yaml".to_owned(),
        _ => format!("add {missing}"),
    };
    (title, instead)
}

/// What to type in front of a file that stands where a command is due.
fn in_front(before: &[&str], file: &str) -> String {
    match before {
        [] => format!("name the command in front of the file: tidegate validate {file}"),
        ["policy", ..] => format!("name what to do in front of the file: tidegate policy check {file}"),
        ["render", ..] => {
            format!("name the form in front of the file: tidegate render istio {file}, or tidegate render envoy {file}")
        }
        before => format!("name what to do in front of the file: tidegate {} --help lists it", before.join(" ")),
    }
}

/// How the value of an option is written.
fn of_value(name: &str, value: &str) -> String {
    match name {
        "--at" | "--today" => format!("write {name} 2026-12-01T09:00:00Z, or a day: {name} 2026-12-01"),
        "--over" | "--finished-after" | "--interval" | "--window" | "--timeout" => {
            format!("write a number and its unit (ms, s, m, h, d), as in {name} 30s or {name} 14d")
        }
        "--max-moved" => "write a share of the users: --max-moved 5%".to_owned(),
        "--users" | "--each" | "--count" => {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            let digits = digits.trim_start_matches('0');
            let thousands = if value.ends_with(['k', 'K']) { "000" } else { "" };
            format!("write a whole number: {name} {}{thousands}", if digits.is_empty() { "1000" } else { digits })
        }
        "--url" => "write where the module is, without spaces: --url oci://registry.example/tidegate:0.1.0".to_owned(),
        "--selector" => "write a label and its value: --selector app=shop".to_owned(),
        "--sha256" => {
            "write the 64 hexadecimal digits of the module's checksum, as sha256sum tidegate.wasm prints them"
                .to_owned()
        }
        "--name" | "--namespace" => {
            format!("write a name as Kubernetes takes it, lower-case letters, digits and -: {name} tidegate")
        }
        _ => format!("write another value behind {name}: the command's --help says what it takes"),
    }
}

/// A path that is there and nearly the one that was named: each of its parts is, or is near.
fn near_path(path: &Path) -> Option<String> {
    let mut found = std::path::PathBuf::new();
    for part in path {
        let next = found.join(part);
        if next.exists() {
            found = next;
            continue;
        }
        let folder = if found.as_os_str().is_empty() { Path::new(".") } else { &found };
        let mut names: Vec<String> =
            fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        let near = nearest(part.to_str()?, names.iter().map(String::as_str))?.to_owned();
        found.push(near);
    }
    Some(found.display().to_string())
}

/// What helps where a command could not do what it was asked for.
fn of_said(said: &str, word: Option<&str>) -> Option<String> {
    let has = |part: &str| said.contains(part);
    let text = match () {
        () if has("No such file") => {
            let path = Path::new(word.unwrap_or_default());
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                if let Some(near) = near_path(path) {
                    return Some(format!("did you mean {near}?"));
                }
                return Some(format!(
                    "there is no folder {}: paths begin in the folder that the command is called in",
                    folder.display()
                ));
            }
            let names: Vec<String> = fs::read_dir(folder)
                .ok()?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| !name.starts_with('.'))
                .collect();
            let written = path.file_name()?.to_string_lossy().into_owned();
            let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
            let near = nearest(&written, sorted.iter().copied())
                .or_else(|| sorted.iter().copied().find(|name| stem(name) == stem(&written)));
            return Some(match near {
                Some(near) => {
                    format!("did you mean {}?", folder.join(near).display().to_string().trim_start_matches("./"))
                }
                None => "name a file that is there: paths begin in the folder that the command is called in".to_owned(),
            });
        }
        () if has("Is a directory") => {
            "name a file in it: folders are for validate and report, as in tidegate validate flags/"
        }
        () if has("Not a directory") || has("cannot write") => {
            "name a folder that you may write into, or one that is not there yet"
        }
        () if has("Permission denied") => {
            "make the file readable for you, or pipe it: sudo cat FILE | tidegate validate -"
        }
        () if has("CODEOWNERS") => "name the file by its path from the root of the repository, without .. in it",
        () if has("no YAML and no JSON") => "name a folder with files that end in .yaml, .yml or .json, or a file",
        () if has("none of ") && has("has a config") => {
            "name a file with version and flags, or a manifest that carries one; a hook takes --skip-foreign"
        }
        () if has("and no config: ") => "name the file with the config: YAML or JSON with version and flags",
        () if has("no file is named") => "name one: tidegate validate flags.yaml, or call it tidegate.yaml",
        () if has("has no flag") => "name a flag of the config as it stands there, without --flag for all of them",
        () if has("no metrics of a flag") => "name a flag that the proxy decides, without --flag for all of them",
        () if has("choose one, such as") => "add # and the number of the config to the name of the file",
        () if has("contains one config") => {
            let number = word.and_then(|word| word.rsplit_once('#')).map_or("the number", |(_, number)| number);
            let sign = if number.starts_with("the") { "" } else { "#" };
            return Some(format!("leave {sign}{number} out"));
        }
        () if has("and no config") && has("contains") => "count from 1, in the order of the file",
        () if has("nobody can be asked here") => "--yes makes the change, --dry-run only shows it",
        () if has("name one with --rule") || has("has no such rule") => "rules are counted from 1: --rule 2",
        () if has("name the file itself") || has("cannot be changed: name a file") => {
            "name a file that is here: --config tidegate.yaml"
        }
        () if has("--commit") => "commit the file as it is first, or leave --commit out",
        () if has("--why") => "write the reason in a line of text: --why 'errors of v2 doubled'",
        () if has("is not 'name: value'") => "write the name, a colon and the value: -H 'x-user-id: ana'",
        () if has("--cookie") => "write the name, an equals sign and the value: --cookie uid=ana",
        () if has("--claims") => "write a JSON object in single quotes: --claims '{\"sub\": \"ana\"}'",
        () if has("--claim") => "write the name, an equals sign and the value: --claim sub=ana",
        () if has("needs --url") => "add --url and where the module is, with its digest: --sha256 ...",
        () if has("is not a URL") => "write the scheme, the host and the port: http://127.0.0.1:9901",
        () if has("cannot watch") || has("cannot probe") => {
            "name the address of an Envoy that runs: for watch its admin, for probe its listener"
        }
        () if has("--request has") => "keep one request in the file, or name another",
        () if has("no case name contains") => "take --only away, and see the names of all cases with -o json",
        () if has("contains no identity") => "write one identity a line",
        () if has("twice") => "name each once",
        () if has("no flag has the owner") => "name an owner as the flags have it: tidegate list shows them",
        () if has("cannot be used with") || has("one file at a time") => "take one of the two away",
        () if has("has no ramp") || has("no decided flag") => "name a config whose rules have steps",
        () if has("git knows no commit") => {
            "name a file that is in git, by its path from here: tidegate log flags/shop.yaml"
        }
        () if has("does not exist in")
            || has("revision")
            || has("git knows")
            || has("git cannot")
            || has("object name") =>
        {
            "name a revision that git knows, and the path from the root: main:flags/shop.yaml"
        }
        () if has("is not UTF-8") => "save the file as UTF-8",
        () if has("contains no cases") => "name a file with cases:, as tidegate test --help shows it",
        () if has("name it as `file` in a case file") => {
            "write file: FILE at the head of the case file, with cases: below it"
        }
        () if has("documents instead of one") => "keep one document in the file: --- begins a second one",
        () => return None,
    };
    Some(text.to_owned())
}
