//! `tidegate judge`: one verdict for each flag over all proxies that a Prometheus reads, look by look.
//!
//! `watching` is what it does, `source` the config and the cluster (`ready` the Pods there), `view` shows it. In builds without the feature `fleet` it says so. Never changes
//! anything.

#[cfg(feature = "fleet")]
mod ready;
#[cfg(feature = "fleet")]
mod source;
#[cfg(feature = "fleet")]
mod view;
#[cfg(feature = "fleet")]
mod watching;

use std::net::SocketAddr;

use crate::error::{CliError, Found};
use crate::input::cluster::ClusterArgs;
use crate::input::files::VARIABLE;
use crate::input::http::span;
use crate::terminal::Screen;
use tidegate_engine::value::time::Span;

/// Judge the guarded flags over all proxies, from what their Prometheus has read of them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Counts go into the windows and to the judge of a proxy's guard, of all proxies together.
A proxy whose config is not the judge's counts for a flag only if that flag is the same in it.
After a restart it reads back what it needs. It only says what it finds: nothing is changed.
If the Prometheus is away it says so and goes on: what holds goes on to hold.

Others ask at --listen:
  /healthz                   200, or 503 and why
  /metrics                   for Prometheus
  /v1/flags/KEY              a flag as JSON
  /v1/flags/KEY/running      200, or 409 if it does not run or is not seen
  /v1/flags/KEY/rolledBack   200, or 409 if it is not rolled back

Exit code with --once: 1 if a verdict holds a flag or rolls it back, or if nothing was seen.")]
pub(crate) struct Args {
    /// The Prometheus that reads the proxies, such as http://localhost:9090; it may hold user:password@
    #[arg(long, value_name = "URL")]
    prometheus: String,
    /// The config that the proxies run: a file, or REV:PATH as git has it [default: tidegate.yaml]
    #[arg(long, value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    config: Option<String>,
    /// The object of a cluster whose config the proxies run, in place of a file, such as wasmplugin/tidegate
    #[arg(long, value_name = "KIND/NAME")]
    on: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The Pods that serve the variants of a flag, by their labels, such as
    /// 'checkout=shop/app=checkout,version={variant}': steps with `requires: {ready: N}` wait until N of them are ready
    #[arg(long, value_name = "FLAG=[NAMESPACE/]SELECTOR")]
    ready: Vec<String>,
    /// How long to wait between looks, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = seconds)]
    every: Span,
    /// Look back over the guards' windows, show the verdicts, and end
    #[arg(long)]
    once: bool,
    /// Where others may ask for the verdicts
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9911", conflicts_with = "once")]
    listen: SocketAddr,
    /// Read only series with these labels, such as 'namespace="shop",plugin="tidegate"'
    #[arg(long, value_name = "MATCHERS", default_value = "", hide_default_value = true)]
    selector: String,
    /// The label that names a proxy
    #[arg(long, value_name = "LABEL", default_value = "instance")]
    proxy_label: String,
    /// The label that names a proxy's zone
    #[arg(long, value_name = "LABEL", default_value = "zone")]
    zone_label: String,
    /// The label that names a proxy's workload
    #[arg(long, value_name = "LABEL", default_value = "workload")]
    workload_label: String,
    /// A file with a token for the Prometheus
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    timeout: Span,
    /// Accept any certificate
    #[arg(long, short = 'k')]
    insecure: bool,
}

/// Reads a time of whole seconds.
fn seconds(text: &str) -> Result<Span, String> {
    let due = "must be a time of whole seconds up to 5m, such as 5s";
    let fits = |span: &Span| span.millis().is_multiple_of(1_000) && span.millis() <= 300_000;
    self::span(text).ok().filter(fits).ok_or_else(|| due.to_owned())
}

#[cfg(feature = "fleet")]
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    watching::run(args, screen)
}

#[cfg(not(feature = "fleet"))]
pub(crate) fn run(_: &Args, _: &mut Screen) -> Result<Found, CliError> {
    Err(CliError::Trouble {
        what: "this build of tidegate has no judge over many proxies".to_owned(),
        help: Some("take that of a release, or build it so: cargo install tidegate --features fleet".to_owned()),
    })
}
