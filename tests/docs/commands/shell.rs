//! Turns a command of a page into its output: the real command where it can be, and the harness's own client and
//! ports where a fixed port or a missing `curl` would stand in the way.
//!
//! Never changes what is asked: a part of a command that it does not know is an error.

use kit::envoy::{Envoy, repository};
use kit::http::{Client, Request};
use kit::{past, stage};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// `...` as a line stands for any lines, and inside a line for anything.
#[track_caller]
pub(super) fn compare(command: &str, shown: &[&str], output: &str) {
    let mut actual = output.lines();
    let mut gap = false;
    for line in shown {
        if *line == "..." {
            gap = true;
        } else if gap {
            assert!(actual.any(|actual| fits(line, actual)), "{command} does not print\n{line}\nbut\n{output}");
            gap = false;
        } else {
            let next = actual.next();
            assert!(next.is_some_and(|actual| fits(line, actual)), "{command} prints {next:?} in place of\n{line}");
        }
    }
    assert!(gap || actual.next().is_none(), "{command} prints more than is shown:\n{output}");
}

fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let end = parts.try_fold(rest, |rest, part| rest.find(part).map(|at| &rest[at + part.len()..]));
    end.is_some_and(|rest| rest.is_empty() || pattern.ends_with("..."))
}

/// Runs a page's commands; in place of the ports of `make up`, free ones.
#[derive(Debug)]
pub(super) struct Shell {
    /// Where commands run: the repository's folders, and the page's own files.
    folder: TempDir,
    stage: Option<(Envoy, TempDir)>,
    pushed: u64,
}

impl Shell {
    /// A shell for a page with these files.
    pub(super) fn new<'p>(files: impl Iterator<Item = (&'p str, &'p str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["docs", "envoy", "src", "tests", "Makefile"] {
            std::os::unix::fs::symlink(repository().join(name), folder.path().join(name)).unwrap();
        }
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, stage: None, pushed: 0 }
    }

    pub(super) fn is_running(&self) -> bool {
        self.stage.is_some()
    }

    pub(super) fn run(&mut self, command: &str) -> String {
        match command {
            "make demo" => {
                run(Command::new(env!("CARGO")).args(["run", "--locked", "--quiet", "--package", "tidegate-demo"]))
            }
            "make help" => run(Command::new("make").arg("help")),
            // This is it.
            "make test" => String::new(),
            "make up" => {
                let envoy = Envoy::launch(stage::set().0);
                // The commands name files below target/up, where `make up` works.
                let folder = tempfile::tempdir().unwrap();
                fs::create_dir(folder.path().join("target")).unwrap();
                std::os::unix::fs::symlink(envoy.dir(), folder.path().join("target/up")).unwrap();
                self.stage = Some((envoy, folder));
                String::new()
            }
            "make down" => {
                self.stage = None;
                String::new()
            }
            command if command.starts_with("tidegate ") => self.tidegate(command),
            curl if curl.starts_with("curl ") => {
                let (status, output) = self.curl(curl);
                assert_eq!(status, 200, "{curl}");
                output
            }
            // Each for itself, whatever comes back.
            many if many.starts_with("for n in $(seq ") => {
                let (count, curl) = many.trim_start_matches("for n in $(seq ").split_once("); do ").unwrap();
                let curl = curl.strip_suffix("; done").unwrap().replace('"', "'");
                for n in 1..=count.parse::<u32>().unwrap() {
                    self.curl(&curl.replace("$n", &n.to_string()));
                }
                String::new()
            }
            other => {
                let (envoy, folder) = self.stage.as_ref().expect("the page has started an Envoy");
                let output = run(Command::new("sh").args(["-c", other]).current_dir(folder.path()));
                if other.starts_with("mv ") {
                    self.pushed += 1;
                    let reloads = "extension_config_discovery.http_filter.tidegate.config_reload";
                    envoy.poll("the push", || envoy.stat(reloads).filter(|count| *count > self.pushed));
                }
                output
            }
        }
    }

    /// What the command says to whoever stands in the repository, in what `make up` has made of it, or, to be told of
    /// the past, in a repository of flags.
    fn tidegate(&self, command: &str) -> String {
        if command.starts_with("tidegate log ") {
            let flags = past::repository();
            return tidegate(past::command("sh", flags.path()).args(["-c", command]));
        }
        if let Some((_, file)) = command.split_once(" --svg ") {
            return drawing(command, file);
        }
        let Some((envoy, folder)) = &self.stage else {
            return tidegate(Command::new("sh").args(["-c", command]).current_dir(self.folder.path()));
        };
        let command = command.replace("localhost:10000", &format!("localhost:{}", envoy.port("ingress")));
        let command = command.replace("localhost:9901", &format!("localhost:{}", envoy.admin_port()));
        tidegate(Command::new("sh").args(["-c", &command]).current_dir(folder.path()))
    }

    /// The request of a curl line, sent by the harness because curl may be absent; what follows it is for the shell.
    fn curl(&self, command: &str) -> (u16, String) {
        let (curl, filter) = command.split_once(" | ").unwrap_or((command, "cat"));
        let mut request = Request::get("/").host("localhost:10000");
        let (mut with_head, mut listener) = (false, "ingress");
        let mut words = words(curl).into_iter().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-s" | "localhost:10000" | "-o/dev/null" => {}
                "-sD-" => with_head = true,
                "-X" => request.method = words.next().unwrap(),
                page if page.starts_with("localhost:9901/") || page.starts_with("localhost:10003/") => {
                    let (host, path) = page.split_once('/').unwrap();
                    listener = if host == "localhost:9901" { "admin" } else { "inspection" };
                    request.path = format!("/{path}").into();
                }
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").unwrap();
                    request = request.header(name, value);
                }
                other => panic!("{other} is no part of a curl line that this test knows"),
            }
        }
        let envoy = &self.stage.as_ref().expect("the page has started an Envoy").0;
        let port = if listener == "admin" { envoy.admin_port() } else { envoy.port(listener) };
        let mut client = Client::new(port);
        let response = client.send(&request);
        let text = if with_head {
            let line = |(name, value): &(String, Vec<u8>)| format!("{name}: {}\n", String::from_utf8_lossy(value));
            response.headers.iter().map(line).collect()
        } else {
            response.text()
        };
        let mut child = Command::new("sh")
            .args(["-c", filter])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        (response.status, String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
    }
}

/// What the command prints, whether it finds something or not.
fn tidegate(shell: &mut Command) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().expect("a binary lies in a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths([built.to_owned()].into_iter().chain(std::env::split_paths(&path))).expect("a path");
    let output = shell.env("PATH", path).env("NO_COLOR", "1").output().expect("a shell can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{shell:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Draws aside, and holds the picture that the page shows to what was drawn; `TIDEGATE_BLESS=1` takes it.
fn drawing(command: &str, file: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let aside = folder.path().join("drawn.svg");
    let command = command.replace(file, &aside.to_string_lossy());
    let output = tidegate(Command::new("sh").args(["-c", &command]).current_dir(repository()));
    let (shown, drawn) = (repository().join(file), fs::read_to_string(aside).unwrap());
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(shown, drawn).unwrap();
    } else {
        assert!(fs::read_to_string(shown).unwrap() == drawn, "{file} is not what is drawn now");
    }
    output
}

pub(super) fn run(command: &mut Command) -> String {
    if command.get_current_dir().is_none() {
        command.current_dir(repository());
    }
    let output = command.env("NO_COLOR", "1").output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// Splits a line as a shell does that knows single quotes only.
pub(super) fn words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate();
    let marked: String =
        quoted.map(|(n, part)| if n % 2 == 0 { part.replace(' ', "\n") } else { part.into() }).collect();
    marked.split('\n').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
