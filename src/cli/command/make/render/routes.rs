//! `tidegate render routes`: where each variant of a flag that routes leads, as Istio's routes or as the Gateway API's.
//!
//! Reads the names of a config and nothing else: what is decided has no part in it.

use clap::ValueEnum;

use super::tree::{list, map, text};
use super::typed::{object_name, place};
use crate::error::CliError;
use tidegate_analysis::source::Document;
use tidegate_engine::config::Node;
use tidegate_engine::plan::{Flag, Plan, Variant};

/// The routes that lead each variant of a flag to its version
#[derive(Debug, clap::Args)]
pub(super) struct Routes {
    /// The config, YAML or JSON, by itself or in another manifest; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    /// What to write: a VirtualService with its DestinationRule, or an HTTPRoute of the Gateway API
    #[arg(long, value_enum, default_value_t = Kind::Virtualservice)]
    kind: Kind,
    /// Only these flags [default: all that route]
    #[arg(long, value_name = "KEY")]
    flag: Vec<String>,
    /// The namespace of the service, and of what is written
    #[arg(long, value_parser = object_name)]
    namespace: String,
    /// The service whose versions the variants are [default: the name of the flag]
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    service: Option<String>,
    /// A gateway that the routes are for, once for each; callers in the mesh are always meant
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = place)]
    gateway: Vec<(String, String)>,
    /// The label of Pods that says which version they are, for a VirtualService
    #[arg(long, value_name = "KEY", default_value = "version")]
    label: String,
    /// The port of the services, for an HTTPRoute
    #[arg(long, default_value_t = 80)]
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Virtualservice,
    Httproute,
}

pub(super) fn render(args: &Routes, document: &Document, plan: &Plan) -> Result<Vec<Node>, CliError> {
    let headers = headers(document)?;
    let wanted = |flag: &&Flag| args.flag.is_empty() || args.flag.iter().any(|key| *key == flag.key().as_str());
    let flags: Vec<&Flag> = plan.flags().iter().filter(|flag| flag.routes).filter(wanted).collect();
    for key in &args.flag {
        if flags.iter().all(|flag| flag.key().as_str() != key) {
            return Err(format!("{key} is no flag that routes in {}", document.file).into());
        }
    }
    if flags.is_empty() {
        return Err(format!("no flag in {} routes: none has a `route`", document.file).into());
    }
    if args.service.is_some() && flags.len() > 1 {
        return Err("--service is for one flag: name it with --flag".to_owned().into());
    }
    let mut hosts_before: Vec<(String, &str)> = Vec::new();
    let mut manifests = Vec::new();
    for flag in flags {
        let key = flag.key().as_str();
        let header = headers.iter().find(|(name, _)| name == key).map(|(_, header)| header.as_str());
        let header = header.ok_or_else(|| CliError::Broken(format!("{key} has no header that routes")))?;
        let one = Route { args, flag, header, service: args.service.as_deref().unwrap_or(key) };
        object_name(one.service).map_err(|why| format!("{key} is no name of a service ({why}): say --service"))?;
        for host in one.hosts() {
            if let Some((_, other)) = hosts_before.iter().find(|(before, _)| *before == host) {
                return Err(format!(
                    "{other} and {key} both route {host}, and a host has one list of routes: write one with --flag, \
                     and add the other's by hand"
                )
                .into());
            }
            hosts_before.push((host, key));
        }
        match args.kind {
            Kind::Virtualservice => manifests.extend([one.destination_rule()?, one.virtual_service()?]),
            Kind::Httproute => manifests.push(one.http_route()?),
        }
    }
    Ok(manifests)
}

/// The header by which each flag routes.
fn headers(document: &Document) -> Result<Vec<(String, String)>, CliError> {
    let config = super::config(document)?;
    let field = |node: &Node, name: &str| match node {
        Node::Map(entries) => entries.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.clone()),
        _ => None,
    };
    let Some(Node::Map(flags)) = field(&config, "flags") else { return Ok(Vec::new()) };
    let header = |flag: &Node| match field(&field(flag, "route")?, "header")? {
        Node::Text(name) => Some(name.to_lowercase()),
        _ => None,
    };
    Ok(flags.iter().filter_map(|(key, flag)| Some((key.to_string(), header(flag)?))).collect())
}

struct Route<'r> {
    args: &'r Routes,
    flag: &'r Flag,
    header: &'r str,
    service: &'r str,
}

impl Route<'_> {
    /// The service's name in full: a short one would depend on who reads it.
    fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.service, self.args.namespace)
    }

    /// The hosts of the flag. The short names of the service stand for its full one, which is always among them.
    fn hosts(&self) -> Vec<String> {
        let (full, namespace) = (self.host(), &self.args.namespace);
        let short = ["", ".svc"].map(|end| format!("{}.{namespace}{end}", self.service));
        let own = |host: &str| host == self.service || host == full || short.iter().any(|name| name == host);
        let hosts = self.flag.matches.hosts.iter().map(|host| host.as_str().to_owned());
        let mut hosts: Vec<String> = hosts.filter(|host| !own(host)).collect();
        if self.args.gateway.is_empty() {
            hosts.clear();
        }
        hosts.push(full);
        hosts
    }

    /// The variants that lead somewhere, and last the baseline, which has no condition.
    fn versions(&self) -> Result<Vec<(String, Option<&Variant>)>, CliError> {
        let baseline = self.flag.variant(self.flag.baseline);
        let others = self.flag.variants.iter().filter(|variant| variant.reply.is_none());
        let others = others.filter(|variant| baseline.is_none_or(|baseline| baseline.name() != variant.name()));
        let mut versions = Vec::new();
        for variant in others {
            versions.push((version(self.flag, variant)?, Some(variant)));
        }
        if let Some(baseline) = baseline {
            versions.push((version(self.flag, baseline)?, None));
        }
        Ok(versions)
    }

    fn metadata(&self) -> Node {
        map([("name", text(self.service)), ("namespace", text(&self.args.namespace))])
    }

    fn destination_rule(&self) -> Result<Node, CliError> {
        let mut subsets = Vec::new();
        for variant in self.flag.variants.iter().filter(|variant| variant.reply.is_none()) {
            let label = map([(self.args.label.as_str(), text(variant.name().as_str()))]);
            subsets.push(map([("name", text(&version(self.flag, variant)?)), ("labels", label)]));
        }
        Ok(map([
            ("apiVersion", text("networking.istio.io/v1")),
            ("kind", text("DestinationRule")),
            ("metadata", self.metadata()),
            ("spec", map([("host", text(&self.host())), ("subsets", Node::List(subsets))])),
        ]))
    }

    fn virtual_service(&self) -> Result<Node, CliError> {
        let routes = self.versions()?.into_iter().map(|(subset, variant)| {
            let destination = map([("host", text(&self.host())), ("subset", text(&subset))]);
            let route = ("route", list([map([("destination", destination)])]));
            let name = ("name", text(&format!("{}-{subset}", self.service)));
            match variant {
                None => map([name, route]),
                Some(variant) => {
                    let exact = map([(self.header, map([("exact", text(variant.value().as_str()))]))]);
                    map([name, ("match", list([map([("headers", exact)])])), route])
                }
            }
        });
        let gateways = self.args.gateway.iter().map(|(namespace, name)| text(&format!("{namespace}/{name}")));
        let spec = map([
            ("hosts", list(self.hosts().iter().map(|host| text(host)))),
            ("gateways", list(gateways.chain([text("mesh")]))),
            ("http", list(routes)),
        ]);
        Ok(map([
            ("apiVersion", text("networking.istio.io/v1")),
            ("kind", text("VirtualService")),
            ("metadata", self.metadata()),
            ("spec", spec),
        ]))
    }

    fn http_route(&self) -> Result<Node, CliError> {
        let port = || Node::Number(self.args.port.to_string().into());
        let rules = self.versions()?.into_iter().map(|(version, variant)| {
            let backend = map([("name", text(&format!("{}-{version}", self.service))), ("port", port())]);
            let backends = ("backendRefs", list([backend]));
            match variant {
                None => map([backends]),
                Some(variant) => {
                    let header = map([
                        ("type", text("Exact")),
                        ("name", text(self.header)),
                        ("value", text(variant.value().as_str())),
                    ]);
                    map([("matches", list([map([("headers", list([header]))])])), backends])
                }
            }
        });
        let rules = ("rules", list(rules));
        let gateways = self.args.gateway.iter();
        let gateways = gateways.map(|(namespace, name)| map([("name", text(name)), ("namespace", text(namespace))]));
        let spec = if self.args.gateway.is_empty() {
            // Callers in the mesh: the parent is the service itself, and its name is the host.
            let service = map([("group", text("")), ("kind", text("Service")), ("name", text(self.service))]);
            map([("parentRefs", list([service])), rules])
        } else {
            let full = self.host();
            let hosts = self.hosts().into_iter().filter(|host| *host != full).map(|host| text(&host));
            map([("parentRefs", list(gateways)), ("hostnames", list(hosts)), rules])
        };
        Ok(map([
            ("apiVersion", text("gateway.networking.k8s.io/v1")),
            ("kind", text("HTTPRoute")),
            ("metadata", self.metadata()),
            ("spec", spec),
        ]))
    }
}

/// What a variant is called where Kubernetes names its version.
fn version(flag: &Flag, variant: &Variant) -> Result<String, CliError> {
    let name = variant.name().as_str();
    let own = |why: String| format!("{}: the variant {name} is no name of a version: {why}", flag.key().as_str());
    let fits = object_name(name).map_err(own)?;
    if fits.contains('.') {
        return Err(own("a subset holds no dot".to_owned()).into());
    }
    Ok(fits)
}
