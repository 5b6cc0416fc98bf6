//! `tidegate render`: writes the manifest that brings a config to a proxy, ready to be applied.
//!
//! Manifests are those of `envoy/`, which are tested in proxies, with only the requested fields replaced. A config
//! with errors is not rendered. Never sends anything anywhere.

use clap::{Subcommand, ValueEnum};

use crate::error::{CliError, Found};
use crate::input::load;
use crate::terminal::{Screen, diagnostic as drawn, writer};
use tidegate_analysis::source::tree::Tree;
use tidegate_analysis::source::{Document, diagnostic};
use tidegate_engine::config::Node;
use tidegate_engine::plan::Plan;
use tidegate_engine::problem::Quoted;

const WASM_PLUGIN: &str = include_str!("../../../../envoy/istio/wasmplugin.yaml");
const ENVOY_FILTER: &str = include_str!("../../../../envoy/istio/envoyfilter.yaml");
const DISCOVERY: &str = include_str!("../../../../envoy/configs/filter.yaml");

/// Write the manifest that brings a config to proxies, for Istio or for Envoy
#[derive(Debug, clap::Args)]
#[command(
    disable_help_subcommand = true,
    after_long_help = "\
Examples:

  tidegate render istio shop.yaml --url oci://registry.example/tidegate:0.1.0 | kubectl apply -f -
  tidegate render istio shop.yaml --kind envoyfilter --selector app=edge --namespace edge
  tidegate render envoy shop.yaml --form discovery > filter.yaml
"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    Istio(Istio),
    Envoy(Envoy),
}

/// A WasmPlugin or an EnvoyFilter, for kubectl
#[derive(Debug, clap::Args)]
struct Istio {
    /// The config, YAML or JSON, by itself or in another manifest; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// What to write: Istio's short form, or the long one with all of Envoy's safety options
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
    /// Where the module is: oci://, https:// or file://; an EnvoyFilter takes no oci://, and has the path of a volume
    /// where nothing is said
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    /// The digest of the module or its image: 64 hexadecimal digits
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<String>,
    /// Which requests are decided: those of a gateway, those that workloads send, or those that they receive
    #[arg(long, value_enum, default_value_t = Mode::Gateway)]
    mode: Mode,
    /// What happens to requests when the module cannot run [default: open for a WasmPlugin, reload for an EnvoyFilter]
    #[arg(long, value_enum, value_name = "STRATEGY")]
    fail_strategy: Option<FailStrategy>,
}

/// An HTTP filter for Envoy's own files
#[derive(Debug, clap::Args)]
struct Envoy {
    /// The config, YAML or JSON, by itself or in another manifest; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// What to write: an element of http_filters, or a file that Envoy watches (path_config_source)
    #[arg(long, value_enum, default_value_t = Form::Filter)]
    form: Form,
    /// The name of the filter
    #[arg(long, default_value = "tidegate", value_parser = object_name)]
    name: String,
    /// Where Envoy finds the module
    #[arg(long, value_name = "PATH", default_value = "tidegate.wasm")]
    module: String,
    /// What happens to requests when the module cannot run
    #[arg(long, value_enum, value_name = "STRATEGY", default_value_t = FailStrategy::Reload)]
    fail_strategy: FailStrategy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Wasmplugin,
    Envoyfilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Filter,
    Discovery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Client,
    Server,
    Gateway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailStrategy {
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
        Target::Envoy(args) => &args.file,
    };
    let document = load::one(file)?;
    let plan = faultless(&document, screen)?;
    let manifest = match &args.target {
        Target::Istio(args) => match args.kind {
            Kind::Wasmplugin => wasm_plugin(args, &document)?,
            Kind::Envoyfilter => envoy_filter(args, &document, &plan)?,
        },
        Target::Envoy(args) => envoy(args, &document, &plan)?,
    };
    if screen.is_json() {
        screen.line(writer::json(&manifest))?;
    } else {
        let (from, print) = (Quoted(&document.file), plan.fingerprint());
        screen.line(format!("# Rendered by tidegate from {from}, plan {print:016x}. Change it there, not here."))?;
        screen.raw(&writer::yaml(&manifest).map_err(CliError::Broken)?)?;
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

fn wasm_plugin(args: &Istio, document: &Document) -> Result<Node, CliError> {
    let Some(url) = &args.url else {
        let example = "oci://registry.example/tidegate:0.1.0";
        return Err(format!("a WasmPlugin needs --url: where the module is, such as {example}").into());
    };
    let mut manifest = template(WASM_PLUGIN)?;
    metadata(args, &mut manifest)?;
    select(args, &mut manifest, &["spec", "selector"], "matchLabels")?;
    put(&mut manifest, &["spec", "url"], text(url))?;
    if let Some(digest) = &args.sha256 {
        put(&mut manifest, &["spec", "sha256"], text(digest))?;
    } else {
        // A tag may move: whether a proxy looks again is then Istio's to say.
        remove(&mut manifest, &["spec", "sha256"])?;
        remove(&mut manifest, &["spec", "imagePullPolicy"])?;
    }
    let mode = match args.mode {
        // A gateway sends, too.
        Mode::Client | Mode::Gateway => "CLIENT",
        Mode::Server => "SERVER",
    };
    put(&mut manifest, &["spec", "match", "0", "mode"], text(mode))?;
    let strategy = match args.fail_strategy {
        None | Some(FailStrategy::Open) => "FAIL_OPEN",
        Some(FailStrategy::Close) => "FAIL_CLOSE",
        Some(FailStrategy::Reload) => "FAIL_RELOAD",
    };
    put(&mut manifest, &["spec", "failStrategy"], text(strategy))?;
    let config = serde_json::from_slice(&document.wire).map_err(|error| CliError::Broken(error.to_string()))?;
    put(&mut manifest, &["spec", "pluginConfig"], config)?;
    Ok(manifest)
}

fn envoy_filter(args: &Istio, document: &Document, plan: &Plan) -> Result<Node, CliError> {
    const PLACE: [&str; 5] = ["spec", "configPatches", "0", "patch", "value"];
    const FILLED: [&str; 5] = ["spec", "configPatches", "1", "patch", "value"];
    let mut manifest = template(ENVOY_FILTER)?;
    metadata(args, &mut manifest)?;
    select(args, &mut manifest, &["spec", "workloadSelector"], "labels")?;
    let context = match args.mode {
        Mode::Client => "SIDECAR_OUTBOUND",
        Mode::Server => "SIDECAR_INBOUND",
        Mode::Gateway => "GATEWAY",
    };
    for patch in ["0", "1"] {
        put(&mut manifest, &["spec", "configPatches", patch, "match", "context"], text(context))?;
    }
    let place = at(&mut manifest, &PLACE)?;
    put(place, &["name"], text(&args.name))?;
    let script = at(place, &["config_discovery", "default_config", "default_source_code", "inline_string"])?;
    *script = Node::Text(guarding(script, plan)?.into());
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
    let map = |entries: Vec<(&str, Node)>| Node::Map(entries.into_iter().map(|(key, v)| (key.into(), v)).collect());
    // The cluster must be there, and is not used.
    let place = map(vec![("uri", text(url)), ("timeout", text("30s")), ("cluster", text("_"))]);
    Ok(map(vec![("remote", map(vec![("http_uri", place), ("sha256", text(digest))]))]))
}

/// The script of a proxy without the module, which takes away what only the filter may say: the names of this config.
fn guarding(script: &Node, plan: &Plan) -> Result<String, CliError> {
    const EXAMPLE: &str = "folded == \"x-upstream-version\" or ";
    let Node::Text(script) = script else { return Err(missing("a script")) };
    let mut names: Vec<String> = plan.owned_headers().iter().map(|name| name.as_str().replace('_', "-")).collect();
    names.retain(|name| !name.starts_with("x-flag"));
    names.sort_unstable();
    names.dedup();
    let tests = names.iter().map(|name| format!("folded == \"{name}\" or ")).collect::<Vec<_>>().concat();
    if script.contains(EXAMPLE) { Ok(script.replace(EXAMPLE, &tests)) } else { Err(missing("the names in the script")) }
}

fn envoy(args: &Envoy, document: &Document, plan: &Plan) -> Result<Node, CliError> {
    let mut manifest = template(DISCOVERY)?;
    let filter = at(&mut manifest, &["resources", "0"])?;
    put(filter, &["name"], text(&args.name))?;
    plugin(filter, document, args.fail_strategy)?;
    let code = at(filter, &["typed_config", "config", "vm_config", "code", "local", "filename"])?;
    *code = text(&args.module);
    if args.form == Form::Filter {
        let mut filter = filter.clone();
        remove(&mut filter, &["@type"])?;
        return Ok(filter);
    }
    let version = plan.revision().map_or_else(|| format!("{:016x}", plan.fingerprint()), ToString::to_string);
    put(&mut manifest, &["version_info"], text(&version))?;
    Ok(manifest)
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

fn metadata(args: &Istio, manifest: &mut Node) -> Result<(), CliError> {
    put(manifest, &["metadata", "name"], text(&args.name))?;
    match (&args.namespace, args.mode) {
        (Some(namespace), _) => put(manifest, &["metadata", "namespace"], text(namespace)),
        (None, Mode::Gateway) => Ok(()),
        (None, Mode::Client | Mode::Server) => {
            Err("only a gateway has a default namespace: name that of the workloads with --namespace".to_owned().into())
        }
    }
}

/// Whose proxies get the filter.
fn select(args: &Istio, manifest: &mut Node, path: &[&str; 2], labels: &str) -> Result<(), CliError> {
    if args.selector.is_empty() {
        return if args.mode == Mode::Gateway { Ok(()) } else { remove(manifest, path) };
    }
    let mut entries: Vec<(Box<str>, Node)> = Vec::new();
    for (key, value) in &args.selector {
        if entries.iter().any(|(before, _)| **before == **key) {
            return Err(format!("--selector names {key} twice: a workload has one value of it").into());
        }
        entries.push((key.as_str().into(), text(value)));
    }
    put(manifest, &[path.as_slice(), &[labels]].concat(), Node::Map(entries))
}

// === trees ===

fn text(text: &str) -> Node {
    Node::Text(text.into())
}

/// The tree of a committed manifest.
fn template(text: &str) -> Result<Node, CliError> {
    let trees = Tree::read(text, "the manifest").map_err(CliError::Broken)?;
    trees.first().map(Tree::node).ok_or_else(|| missing("a document"))
}

/// The manifests are part of the command, and tests render each of them: nobody meets this.
fn missing(what: &str) -> CliError {
    CliError::Broken(format!("the manifest that this command was built with lacks {what}"))
}

/// What stands at a path of keys and places.
fn at<'n>(node: &'n mut Node, path: &[&str]) -> Result<&'n mut Node, CliError> {
    path.iter()
        .try_fold(node, |node, step| match node {
            Node::Map(entries) => entries.iter_mut().find(|(key, _)| **key == **step).map(|(_, value)| value),
            Node::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => None,
        })
        .ok_or_else(|| missing(&path.join(".")))
}

/// Writes over what stands at a path.
fn put(node: &mut Node, path: &[&str], value: Node) -> Result<(), CliError> {
    *at(node, path)? = value;
    Ok(())
}

fn remove(node: &mut Node, path: &[&str]) -> Result<(), CliError> {
    let Some((last, parents)) = path.split_last() else { return Ok(()) };
    if let Node::Map(entries) = at(node, parents)? {
        entries.retain(|(key, _)| **key != **last);
    }
    Ok(())
}

// === what is typed ===

/// A name that Kubernetes takes.
fn object_name(text: &str) -> Result<String, String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (1..=253).contains(&text.len()) && text.chars().all(inside) && text.starts_with(ends) && text.ends_with(ends) {
        return Ok(text.to_owned());
    }
    Err("must be lower-case letters, digits, - and ., with a letter or digit at both ends".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    let fits = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && fits(key) && fits(value) => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be a label, such as app=checkout".to_owned()),
    }
}

fn url(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must be a URL, such as oci://registry.example/tidegate:0.1.0".to_owned());
    }
    Ok(text.to_owned())
}

fn digest(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    Err("must be 64 hexadecimal digits, as sha256sum prints them".to_owned())
}
