//! Runs the manifests of `envoy/istio` in a real Istio: an API server, istiod with its webhook, the agent, Envoy, and a
//! registry, all on this machine and in namespaces of their own.
//!
//! Not a test of the harness of Rust: it starts itself anew in namespaces, where ports, addresses and names are as in a
//! cluster, so that the manifests are applied as they stand, and where everything ends with it. `make test-istio` builds
//! what it needs. What it checks are the sentences of `envoy/istio/README.md`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a check stops where it fails; a cluster has to be waited for"
)]

mod checks;
mod cluster;
mod echo;
mod keys;
mod kube;
mod land;
mod pod;
mod registry;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

/// What the program is called with where it is started anew.
const INSIDE: &str = "--inside";
const ECHO: &str = "--echo";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [INSIDE, ..] => checks::run(&args[1..]),
        [ECHO, address, version] => echo::serve(address, version),
        _ => outside(&args),
    }
}

/// Namespaces of network, files and processes; of users as well, for whoever is not root.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

fn outside(args: &[String]) -> ExitCode {
    let mut trial = unshare();
    trial.args(["sh", "-c", "ip link set lo up && mount -t tmpfs tmpfs /run"]).stderr(Stdio::null());
    if !trial.status().is_ok_and(|status| status.success()) {
        println!("\nSKIPPED: no namespaces (unshare, ip, mount) for this user, so nothing was run in Istio\n");
        return ExitCode::SUCCESS;
    }
    let program = env::current_exe().expect("the program has a path");
    // In place of this program: whoever stops it stops all that runs in them.
    let error = unshare().arg(program).arg(INSIDE).args(args).exec();
    println!("unshare: {error}");
    ExitCode::FAILURE
}
