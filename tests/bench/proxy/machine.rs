//! What the machine says of itself: which core a process runs on, what it has used, and how busy the rest was.
//!
//! Reads `/proc`, and asks `taskset` to pin and `chrt` to hurry. Where there is none of these, nothing is pinned, nobody
//! hurries, and times come in ticks.

use std::fs;
use std::process::{Command, Stdio};

/// The core of the proxy that is measured, and that of everything else.
pub const PROXY: &str = "1";
/// See [`PROXY`].
pub const REST: &str = "0";

/// Keeps all threads of a process on one core, if there are two, and says whether it does.
pub fn pin(pid: u32, core: &str) -> bool {
    asked("taskset", &["--all-tasks", "--cpu-list", "--pid", core, &pid.to_string()])
}

/// Lets all threads of a process run before any other, and says whether that is allowed: it needs root.
///
/// Two that wait for each other on one core otherwise stand back for slices of milliseconds, which is many times what is
/// measured.
pub fn hurry(pid: u32) -> bool {
    asked("chrt", &["--all-tasks", "--fifo", "--pid", "10", &pid.to_string()])
}

/// Runs a program that says nothing, and tells whether it did its job.
fn asked(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What all threads of a process have had so far, in nanoseconds.
#[derive(Clone, Copy, Default)]
pub struct Time {
    /// On a core.
    pub busy: u64,
    /// With work to do, and no core to do it on.
    pub waited: u64,
}

impl Time {
    /// None where there is no `/proc`.
    pub fn of(pid: u32) -> Option<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let exact = threads.flatten().map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let mut fields = text.split_whitespace().map_while(|field| field.parse().ok());
            Some(Self { busy: fields.next()?, waited: fields.next()? })
        });
        let exact: Option<Vec<Self>> = exact.collect();
        let sum = |sum: Self, time: &Self| Self { busy: sum.busy + time.busy, waited: sum.waited + time.waited };
        exact.map(|times| times.iter().fold(Self::default(), sum)).filter(|time| time.busy > 0).or_else(|| ticks(pid))
    }

    pub fn since(self, before: Self) -> Self {
        Self { busy: self.busy.saturating_sub(before.busy), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// The same from a clock of 10 ms: good for long visits only.
fn ticks(pid: u32) -> Option<Time> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the command may hold blanks, so fields are counted from its closing bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Time { busy: (user + system) * 10_000_000, waited: 0 })
}

/// What the whole machine has done so far, in ticks: all, idle, taken by its host for others.
#[derive(Clone, Copy, Default)]
pub struct Machine([u64; 3]);

impl Machine {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields: Vec<u64> =
            stat.lines().next().unwrap_or("").split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let at = |place: usize| fields.get(place).copied().unwrap_or(0);
        Self([fields.iter().take(8).sum(), at(3) + at(4), at(7)])
    }

    /// One line: the processor, how busy it was since then, the time stolen, and the load average.
    pub fn since(self) -> String {
        let Self([all, idle, stolen]) = Self::now();
        let percent = |now: u64, before: u64| 100.0 * (now - before) as f64 / (all - self.0[0]).max(1) as f64;
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        format!(
            "{} x {}, {:.0} % busy, {:.1} % stolen, load {}",
            cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            model.trim_start_matches(['\t', ' ', ':']),
            100.0 - percent(idle, self.0[1]),
            percent(stolen, self.0[2]),
            load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        )
    }
}
