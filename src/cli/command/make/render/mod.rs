//! `tidegate render`: writes the manifest that brings a config to a proxy, or the routes that its answers lead along.
//!
//! Manifests are those of `envoy/`, which are tested in proxies, with only the requested fields replaced. A config
//! with errors is not rendered. Never sends anything anywhere.

mod envoy;
mod gateway;
mod istio;
mod routes;
mod tree;
mod typed;

use clap::{Subcommand, ValueEnum};

use self::tree::{map, put, text};
use crate::error::{CliError, Found};
use crate::input::load;
use crate::terminal::{Screen, diagnostic as drawn, writer};
use tidegate_analysis::source::{Document, diagnostic};
use tidegate_engine::config::Node;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Quoted;

/// Write the manifest that brings a config to proxies, or the routes of its flags, for Istio or for Envoy
#[derive(Debug, clap::Args)]
#[command(
    disable_help_subcommand = true,
    after_long_help = "\
Examples:

  tidegate render istio shop.yaml --url oci://registry.example/tidegate:0.1.0 | kubectl apply -f -
  tidegate render istio shop.yaml --kind envoyfilter --selector app=edge --namespace edge
  tidegate render istio shop.yaml --kind trafficextension --mode waypoint --namespace shop --url oci://...
  tidegate render envoy-gateway shop.yaml --target Gateway/shop --namespace shop --url oci://...
  tidegate render routes shop.yaml --namespace shop --gateway istio-ingress/shop
  tidegate render envoy shop.yaml --form discovery > filter.yaml
"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    Istio(istio::Istio),
    EnvoyGateway(gateway::EnvoyGateway),
    Routes(routes::Routes),
    Envoy(envoy::Envoy),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailStrategy {
    /// Restart it; requests fail meanwhile
    Reload,
    /// Continue without it: forged headers pass
    Open,
    /// Refuse every request
    Close,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let file = match &args.target {
        Target::Istio(args) => &args.file,
        Target::EnvoyGateway(args) => &args.file,
        Target::Routes(args) => &args.file,
        Target::Envoy(args) => &args.file,
    };
    let document = load::one(file)?;
    let plan = faultless(&document, screen)?;
    let manifests = match &args.target {
        Target::Istio(args) => vec![istio::render(args, &document, &plan, screen)?],
        Target::EnvoyGateway(args) => vec![gateway::render(args, &document)?],
        Target::Routes(args) => routes::render(args, &document, &plan)?,
        Target::Envoy(args) => vec![envoy::render(args, &document, &plan)?],
    };
    if screen.is_json() {
        let whole = match <[Node; 1]>::try_from(manifests) {
            Ok([only]) => only,
            // What kubectl reads of several in JSON is a list of them, and never one behind the other.
            Err(several) => map([("apiVersion", text("v1")), ("kind", text("List")), ("items", Node::List(several))]),
        };
        screen.line(writer::json(&whole))?;
        return Ok(Found::Nothing);
    }
    let (from, print) = (Quoted(&document.file), plan.fingerprint());
    screen.line(format!("# Rendered by tidegate from {from}, plan {print:016x}. Change it there, not here."))?;
    for (place, manifest) in manifests.iter().enumerate() {
        if place > 0 {
            screen.line("---")?;
        }
        screen.raw(&writer::yaml(manifest).map_err(CliError::Broken)?)?;
    }
    Ok(Found::Nothing)
}

/// The plan of a config without errors, be they only fields that a proxy would pass over. Warnings stand beside.
fn faultless(document: &Document, screen: &mut Screen) -> Result<Plan, CliError> {
    let (compiled, problems) = Plan::from_bytes(&document.wire);
    let list = diagnostic::all(document, &problems, true);
    for one in &list {
        let text = drawn::render(document, one, screen.is_colored());
        screen.note(text)?;
    }
    let faults = list.iter().any(|one| one.severity == diagnostic::Severity::Error);
    compiled.ready().filter(|_| !faults).ok_or(CliError::Problems)
}

/// The config as a tree, for a manifest that holds it as one.
fn config(document: &Document) -> Result<Node, CliError> {
    serde_json::from_slice(&document.wire).map_err(|error| CliError::Broken(error.to_string()))
}

/// What both forms of the Wasm filter have.
fn plugin(filter: &mut Node, document: &Document, strategy: FailStrategy) -> Result<(), CliError> {
    let policy = match strategy {
        FailStrategy::Reload => "FAIL_RELOAD",
        FailStrategy::Open => "FAIL_OPEN",
        FailStrategy::Close => "FAIL_CLOSED",
    };
    put(filter, &["typed_config", "config", "failure_policy"], text(policy))?;
    // JSON that somebody wrote stays as it was written.
    let wire = String::from_utf8_lossy(&document.wire);
    let config = if wire.trim_end().contains('\n') {
        wire.trim_end().to_owned()
    } else {
        writer::json(&serde_json::from_str(&wire).map_err(|error| CliError::Broken(error.to_string()))?)
    };
    put(filter, &["typed_config", "config", "configuration", "value"], Node::Text(format!("{config}\n").into()))
}
