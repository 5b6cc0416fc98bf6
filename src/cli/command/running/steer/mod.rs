//! `tidegate steer`: follows the judge, and writes what it finds into the config, for every proxy and the next ones.
//!
//! `steering` is what it does. In builds without the feature `fleet` it says so. Without `--apply` it changes nothing.

#[cfg(feature = "fleet")]
mod steering;

use std::net::SocketAddr;

use crate::error::{CliError, Found};
use crate::input::cluster::ClusterArgs;
use crate::input::files::VARIABLE;
use crate::input::http::span;
use crate::terminal::Screen;
use tidegate_engine::value::time::Span;

/// Write what the judge finds into the config as its standing, and nothing else
///
/// Takes a bad version back in all proxies, also in those that start later, holds ramps, and lets them take the steps that wait for the fleet.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --apply it only says what it would write.

Within a generation of a flag it only becomes more careful: rolledBack, held, running. The one
exception is a step that waits for the fleet: of a flag that runs, one at a time, while the judge
sees, and if the policy lets it.
On a cluster one of several leads, by a Lease, and the others stand by. It writes by server-side
apply, as tidegate-steer, onto the state that it has read, and an Event with it. From a ConfigMap
with the annotation tidegate.dev/envoyfilter it renders that EnvoyFilter.
Where the judge or the API server is away it says so, tries again, and changes nothing.

Others ask at --listen: /healthz (200, or 503 and why) and /metrics.

Exit code with --once: 1 if something is not written: in a dry run, or because of the policy.")]
pub(crate) struct Args {
    /// The judge that it follows
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9911")]
    judge: String,
    /// The config to change, or a manifest that contains it [default: tidegate.yaml]
    #[arg(long, value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    config: Option<String>,
    /// The object of a cluster to change in place of a file: wasmplugin/NAME, trafficextension/NAME or configmap/NAME
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "commit")]
    on: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Write, and do not only say what would be written
    #[arg(long)]
    apply: bool,
    /// The policy that steps must keep: caps, freezes; read anew for each step
    #[arg(long, value_name = "POLICY", env = "TIDEGATE_POLICY", hide_env_values = true)]
    policy: Option<String>,
    /// Commit the file to git, and nothing else with it
    #[arg(long, requires = "apply")]
    commit: bool,
    /// How long to wait between two passes
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    every: Span,
    /// Make one pass, without a Lease, and end
    #[arg(long)]
    once: bool,
    /// The Lease under which one of several leads
    #[arg(long, value_name = "NAME", default_value = "tidegate-steer")]
    lease: String,
    /// Its own name in the Lease: the name of its Pod, where it runs in one [default: HOSTNAME, and the number of the process]
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Where others may ask how it is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9912", conflicts_with = "once")]
    listen: SocketAddr,
    /// How long to wait for an answer of the judge
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    timeout: Span,
}

#[cfg(feature = "fleet")]
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    steering::run(args, screen)
}

#[cfg(not(feature = "fleet"))]
pub(crate) fn run(_: &Args, _: &mut Screen) -> Result<Found, CliError> {
    Err(CliError::Trouble {
        what: "this build of tidegate does not steer".to_owned(),
        help: Some("take that of a release, or build it so: cargo install tidegate --features fleet".to_owned()),
    })
}
