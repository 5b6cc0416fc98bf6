//! Turns a folder of configuration into a running Prometheus, and an expression into what it answers.
//!
//! A [`Prometheus`] is the process: it is killed and waited for when the value is dropped, and a guard kills it should
//! this program itself be killed. Its port is the kernel's choice. Where the program is not installed there is none:
//! a test says so and passes over what needs it.

use super::envoy::guard;
use super::http::{Client, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to start, or to see what it is asked for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The pause between two looks.
const POLL: Duration = Duration::from_millis(50);

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    guard: Child,
    port: u16,
    dir: TempDir,
}

impl Prometheus {
    /// Starts one in a folder with these files, `prometheus.yaml` among them; none where it is not installed.
    pub fn start(files: &[(&str, &str)]) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("a file can be written");
        }
        let log = fs::File::create(dir.path().join("log")).expect("a file can be made");
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]);
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
        let Ok(child) = command.spawn() else {
            eprintln!("SKIPPED: no prometheus to ask");
            return None;
        };
        let guard = guard(child.id(), dir.path());
        let mut prometheus = Self { child, guard, port: 0, dir };
        let port = |log: &str| {
            let line = log.lines().find(|line| line.contains("Listening on"))?;
            line.split("127.0.0.1:").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        prometheus.port = prometheus.poll("a port", || port(&prometheus.log()));
        prometheus.poll("readiness", || {
            (Client::new(prometheus.port).try_send(&Request::get("/-/ready")).ok()?.status == 200).then_some(())
        });
        Some(prometheus)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Polls until there is an answer; panics after a minute.
    #[track_caller]
    pub fn poll<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "waited a minute for {what}; Prometheus' log:\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    /// What an expression says now: each series with its labels, as `metric`, and its value.
    ///
    /// # Errors
    /// What Prometheus has against the expression.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        match self.ask("query", &format!("query={}", encode(expression)))? {
            Value::Array(series) => Ok(series),
            other => Err(format!("no series, but {other}")),
        }
    }

    /// All values of a label among series that match.
    ///
    /// # Errors
    /// What Prometheus has against the question.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>, String> {
        let answer = self.ask(&format!("label/{label}/values?match[]={}", encode(selector)), "")?;
        let values = answer.as_array().cloned().unwrap_or_default();
        Ok(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    }

    /// The alerts that fire or are about to, by their names.
    ///
    /// # Errors
    /// When Prometheus does not say.
    pub fn alerts(&self) -> Result<Vec<String>, String> {
        let answer = self.ask("alerts", "")?;
        let alerts = answer["alerts"].as_array().cloned().unwrap_or_default();
        Ok(alerts.iter().filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect())
    }

    fn ask(&self, page: &str, form: &str) -> Result<Value, String> {
        let path = format!("/api/v1/{page}");
        let request = if form.is_empty() {
            Request::get(path)
        } else {
            Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded").body(form)
        };
        let response = Client::new(self.port).try_send(&request).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&response.body).map_err(|_| response.text())?;
        match answer["status"].as_str() {
            Some("success") => {
                let mut data = answer["data"].take();
                Ok(data.get_mut("result").map(Value::take).unwrap_or(data))
            }
            _ => Err(answer["error"].to_string()),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The guard goes first, so that it can never kill a stranger that got the same process id.
        for child in [&mut self.guard, &mut self.child] {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Runs Prometheus' own tool in a folder; none where it is not installed.
pub fn promtool(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let run = Command::new("promtool").args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    if run.is_err() {
        eprintln!("SKIPPED: no promtool to run {}", arguments.join(" "));
    }
    run.ok()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
