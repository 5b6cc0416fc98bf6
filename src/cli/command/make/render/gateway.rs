//! `tidegate render envoy-gateway`: the filter as an EnvoyExtensionPolicy.

use clap::ValueEnum;

use super::tree::{at, list, map, put, remove, template, text};
use super::typed::{Target, digest, object_name, target, url};
use super::{FailStrategy, config};
use crate::error::CliError;
use tidegate_analysis::source::Document;
use tidegate_engine::config::Node;

const WASM: &str = include_str!("../../../../../envoy/gateway/policy.yaml");
const NATIVE: &str = include_str!("../../../../../envoy/native/gateway.yaml");

/// An EnvoyExtensionPolicy of Envoy Gateway, for kubectl
#[derive(Debug, clap::Args)]
pub(super) struct EnvoyGateway {
    /// The config, YAML or JSON, by itself or in another manifest; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    /// What runs in the proxy: the Wasm module, or the library that an EnvoyProxy names as `tidegate`
    #[arg(long, value_enum, default_value_t = Door::Wasm)]
    door: Door,
    /// The name of the manifest
    #[arg(long, default_value = "tidegate", value_parser = object_name)]
    name: String,
    /// The namespace of what the policy is for
    #[arg(long, value_parser = object_name)]
    namespace: String,
    /// What the policy is for: a Gateway, or one HTTPRoute
    #[arg(long, value_name = "KIND/NAME", value_parser = target)]
    target: Target,
    /// Where the module is: oci:// or https://
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    /// The digest of the module or its image: 64 hexadecimal digits
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<String>,
    /// What happens to requests when the module cannot run: open or close
    #[arg(long, value_enum, value_name = "STRATEGY", default_value_t = FailStrategy::Open)]
    fail_strategy: FailStrategy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Door {
    Wasm,
    Native,
}

pub(super) fn render(args: &EnvoyGateway, document: &Document) -> Result<Node, CliError> {
    let mut policy = match args.door {
        Door::Wasm => template(WASM, None)?,
        Door::Native => template(NATIVE, Some("EnvoyExtensionPolicy"))?,
    };
    put(&mut policy, &["metadata", "name"], text(&args.name))?;
    put(&mut policy, &["metadata", "namespace"], text(&args.namespace))?;
    let Target { group, kind, name } = &args.target;
    let target = map([("group", text(group)), ("kind", text(kind)), ("name", text(name))]);
    put(&mut policy, &["spec", "targetRefs"], list([target]))?;
    match args.door {
        Door::Wasm => wasm(args, at(&mut policy, &["spec", "wasm", "0"])?, document)?,
        Door::Native if args.url.is_some() => {
            return Err("a library is named by an EnvoyProxy, not by --url".to_owned().into());
        }
        Door::Native => put(&mut policy, &["spec", "dynamicModule", "0", "config"], config(document)?)?,
    }
    Ok(policy)
}

fn wasm(args: &EnvoyGateway, wasm: &mut Node, document: &Document) -> Result<(), CliError> {
    let image = args.url.as_deref().and_then(|url| url.strip_prefix("oci://"));
    let (kind, field, url) = match (image, args.url.as_deref()) {
        (Some(image), _) => ("Image", "image", image),
        (None, Some(url)) if url.starts_with("https://") || url.starts_with("http://") => ("HTTP", "http", url),
        (None, _) => {
            return Err("a module for Envoy Gateway needs --url oci:// or https://".to_owned().into());
        }
    };
    let code = match &args.sha256 {
        Some(digest) => map([("url", text(url)), ("sha256", text(digest))]),
        None => map([("url", text(url))]),
    };
    put(wasm, &["code"], map([("type", text(kind)), (field, code)]))?;
    match args.fail_strategy {
        FailStrategy::Open => {}
        FailStrategy::Close => remove(wasm, &["failOpen"])?,
        FailStrategy::Reload => {
            return Err("Envoy Gateway knows no reload: take --fail-strategy open or close".to_owned().into());
        }
    }
    put(wasm, &["config"], config(document)?)
}
