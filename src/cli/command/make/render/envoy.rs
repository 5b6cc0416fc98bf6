//! `tidegate render envoy`: the filter for Envoy's own files.

use clap::ValueEnum;

use super::tree::{at, put, remove, template, text};
use super::typed::object_name;
use super::{FailStrategy, plugin};
use crate::error::CliError;
use tidegate_analysis::source::Document;
use tidegate_engine::config::Node;
use tidegate_engine::plan::Plan;

const DISCOVERY: &str = include_str!("../../../../../envoy/configs/filter.yaml");

/// An HTTP filter for Envoy's own files
#[derive(Debug, clap::Args)]
pub(super) struct Envoy {
    /// The config, YAML or JSON, by itself or in another manifest; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub(super) file: String,
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
enum Form {
    Filter,
    Discovery,
}

pub(super) fn render(args: &Envoy, document: &Document, plan: &Plan) -> Result<Node, CliError> {
    let mut manifest = template(DISCOVERY, None)?;
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
