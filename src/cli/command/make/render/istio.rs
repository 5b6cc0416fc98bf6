//! `tidegate render istio`: the filter as a TrafficExtension, a WasmPlugin or an EnvoyFilter.

use clap::ValueEnum;

use super::tree::{add, at, list, map, missing, put, remove, template, text};
use super::typed::{Target, digest, label, object_name, target, url};
use super::{FailStrategy, config, plugin};
use crate::error::CliError;
use crate::terminal::Screen;
use tidegate_analysis::source::Document;
use tidegate_analysis::source::carrier::guarding;
use tidegate_engine::config::Node;
use tidegate_engine::plan::Plan;

const TRAFFIC_EXTENSION: &str =
    include_str!("../../../../../envoy/istio/components/trafficextension/trafficextension.yaml");
const WASM_PLUGIN: &str = include_str!("../../../../../envoy/istio/components/wasmplugin/wasmplugin.yaml");
const ENVOY_FILTER: &str = include_str!("../../../../../envoy/istio/components/envoyfilter/envoyfilter.yaml");

/// A TrafficExtension, a WasmPlugin or an EnvoyFilter, for kubectl
#[derive(Debug, clap::Args)]
pub(super) struct Istio {
    /// The config, YAML or JSON, by itself or in another manifest; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    /// What to write: Istio's short form since 1.30 or before, or the long one with all of Envoy's safety options
    #[arg(long, value_enum, default_value_t = Kind::Wasmplugin)]
    kind: Kind,
    /// The name of the manifest
    #[arg(long, default_value = "tidegate", value_parser = object_name)]
    name: String,
    /// The namespace of the proxies [default: istio-ingress, in mode gateway]
    #[arg(long, value_parser = object_name)]
    namespace: Option<String>,
    /// A label of the proxies, once for each [default: istio=ingress in mode gateway, else the whole namespace]
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    selector: Vec<(String, String)>,
    /// A Gateway or a Service that the filter is for, in place of labels [default: Gateway/waypoint in mode waypoint]
    #[arg(long, value_name = "KIND/NAME", value_parser = target, conflicts_with = "selector")]
    target: Option<Target>,
    /// Where the module is: oci://, https:// or file://; an EnvoyFilter takes no oci://, and has the path of a volume
    /// where nothing is said
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    /// The digest of the module or its image: 64 hexadecimal digits
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<String>,
    /// Which requests are decided: those of a gateway or a waypoint, those that workloads send, or that they receive
    #[arg(long, value_enum, default_value_t = Mode::Gateway)]
    mode: Mode,
    /// What happens to requests when the module cannot run [default: reload for an EnvoyFilter, else open]
    #[arg(long, value_enum, value_name = "STRATEGY")]
    fail_strategy: Option<FailStrategy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Wasmplugin,
    Trafficextension,
    Envoyfilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Client,
    Server,
    Gateway,
    Waypoint,
}

pub(super) fn render(args: &Istio, document: &Document, plan: &Plan, screen: &mut Screen) -> Result<Node, CliError> {
    match args.kind {
        Kind::Envoyfilter => envoy_filter(args, document, plan),
        Kind::Wasmplugin => extension(args, document, screen, "a WasmPlugin", WASM_PLUGIN, &["spec"]),
        Kind::Trafficextension => {
            extension(args, document, screen, "a TrafficExtension", TRAFFIC_EXTENSION, &["spec", "wasm"])
        }
    }
}

/// Istio's short forms: one has in `spec` what the other has in `spec.wasm`.
fn extension(
    args: &Istio,
    document: &Document,
    screen: &mut Screen,
    name: &str,
    file: &str,
    module: &[&str],
) -> Result<Node, CliError> {
    let Some(url) = &args.url else {
        let example = "oci://registry.example/tidegate:0.1.0";
        return Err(format!("{name} needs --url: where the module is, such as {example}").into());
    };
    if url.starts_with("file:") {
        screen
            .note("note: a proxy that starts without this file answers 500 to every request: see --kind envoyfilter")?;
    }
    let mut manifest = template(file, None)?;
    metadata(args, &mut manifest)?;
    select(args, &mut manifest, "selector", "matchLabels")?;
    match args.mode {
        // A gateway sends, too.
        Mode::Client | Mode::Gateway => put(&mut manifest, &["spec", "match", "0", "mode"], text("CLIENT"))?,
        Mode::Server => put(&mut manifest, &["spec", "match", "0", "mode"], text("SERVER"))?,
        Mode::Waypoint => remove(&mut manifest, &["spec", "match"])?,
    }
    let wasm = at(&mut manifest, module)?;
    put(wasm, &["url"], text(url))?;
    if let Some(digest) = &args.sha256 {
        put(wasm, &["sha256"], text(digest))?;
    } else {
        // A tag may move: whether a proxy looks again is then Istio's to say.
        remove(wasm, &["sha256"])?;
        remove(wasm, &["imagePullPolicy"])?;
    }
    let strategy = match args.fail_strategy {
        None | Some(FailStrategy::Open) => "FAIL_OPEN",
        Some(FailStrategy::Close) => "FAIL_CLOSE",
        Some(FailStrategy::Reload) => "FAIL_RELOAD",
    };
    put(wasm, &["failStrategy"], text(strategy))?;
    put(wasm, &["pluginConfig"], config(document)?)?;
    Ok(manifest)
}

fn envoy_filter(args: &Istio, document: &Document, plan: &Plan) -> Result<Node, CliError> {
    const PLACE: [&str; 5] = ["spec", "configPatches", "0", "patch", "value"];
    const FILLED: [&str; 5] = ["spec", "configPatches", "1", "patch", "value"];
    let mut manifest = template(ENVOY_FILTER, None)?;
    metadata(args, &mut manifest)?;
    select(args, &mut manifest, "workloadSelector", "labels")?;
    let context = match args.mode {
        Mode::Client => "SIDECAR_OUTBOUND",
        // A waypoint counts as the server.
        Mode::Server | Mode::Waypoint => "SIDECAR_INBOUND",
        Mode::Gateway => "GATEWAY",
    };
    for patch in ["0", "1"] {
        put(&mut manifest, &["spec", "configPatches", patch, "match", "context"], text(context))?;
    }
    let place = at(&mut manifest, &PLACE)?;
    put(place, &["name"], text(&args.name))?;
    let script = at(place, &["config_discovery", "default_config", "default_source_code", "inline_string"])?;
    let Node::Text(example) = script else { return Err(missing("a script")) };
    *script = Node::Text(guarding(example, plan).ok_or_else(|| missing("the names in the script"))?.into());
    let filter = at(&mut manifest, &FILLED)?;
    put(filter, &["name"], text(&args.name))?;
    plugin(filter, document, args.fail_strategy.unwrap_or(FailStrategy::Reload))?;
    let code = at(filter, &["typed_config", "config", "vm_config", "code"])?;
    match args.url.as_deref() {
        None => {}
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => *code = remote(url, args)?,
        Some(url) if url.starts_with("file://") || url.starts_with('/') => {
            put(code, &["local", "filename"], text(url.trim_start_matches("file://")))?;
        }
        Some(_) => return Err("an EnvoyFilter takes its module from --url file:// or https://".to_owned().into()),
    }
    Ok(manifest)
}

/// The code of a module that the proxy's agent downloads.
fn remote(url: &str, args: &Istio) -> Result<Node, CliError> {
    let Some(digest) = &args.sha256 else {
        return Err("a module that a proxy downloads needs --sha256".to_owned().into());
    };
    // The cluster must be there, and is not used.
    let place = map([("uri", text(url)), ("timeout", text("30s")), ("cluster", text("_"))]);
    Ok(map([("remote", map([("http_uri", place), ("sha256", text(digest))]))]))
}

fn metadata(args: &Istio, manifest: &mut Node) -> Result<(), CliError> {
    put(manifest, &["metadata", "name"], text(&args.name))?;
    match (&args.namespace, args.mode) {
        (Some(namespace), _) => put(manifest, &["metadata", "namespace"], text(namespace)),
        (None, Mode::Gateway) => Ok(()),
        (None, Mode::Client | Mode::Server | Mode::Waypoint) => {
            Err("only a gateway has a default namespace: name that of the workloads with --namespace".to_owned().into())
        }
    }
}

/// Whose proxies get the filter.
fn select(args: &Istio, manifest: &mut Node, field: &str, labels: &str) -> Result<(), CliError> {
    if args.mode == Mode::Waypoint && !args.selector.is_empty() {
        return Err("a waypoint is not found by labels: name it with --target Gateway/NAME".to_owned().into());
    }
    let waypoint = || Target { group: "gateway.networking.k8s.io", kind: "Gateway", name: "waypoint".to_owned() };
    let target = args.target.clone().or_else(|| (args.mode == Mode::Waypoint).then(waypoint));
    if let Some(target) = target {
        remove(manifest, &["spec", field])?;
        let target = map([("group", text(target.group)), ("kind", text(target.kind)), ("name", text(&target.name))]);
        return add(manifest, &["spec"], "targetRefs", list([target]));
    }
    if args.selector.is_empty() {
        return if args.mode == Mode::Gateway { Ok(()) } else { remove(manifest, &["spec", field]) };
    }
    let mut entries: Vec<(Box<str>, Node)> = Vec::new();
    for (key, value) in &args.selector {
        if entries.iter().any(|(before, _)| **before == **key) {
            return Err(format!("--selector names {key} twice: a workload has one value of it").into());
        }
        entries.push((key.as_str().into(), text(value)));
    }
    put(manifest, &["spec", field, labels], Node::Map(entries))
}
