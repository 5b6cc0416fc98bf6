//! Turns options and HTTP files into requests.
//!
//! Never decides what becomes of them.

use serde_json::Value;

use super::files;
use crate::error::CliError;
use tidegate_analysis::request::{Given, RequestSpec, http_file};

/// A request, said in options.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The request")]
pub(crate) struct RequestArgs {
    /// A file with a request as HTTP/1.1 text, or several with a line of ### between them; the other options are
    /// added to each
    #[arg(long, value_name = "FILE")]
    request: Vec<String>,
    /// A header; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A cookie; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    cookie: Vec<String>,
    /// The path, with the query
    #[arg(long)]
    path: Option<String>,
    /// The host
    #[arg(long)]
    host: Option<String>,
    /// The method
    #[arg(long, short = 'X')]
    method: Option<String>,
    /// A verified claim; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
    /// All verified claims, as the payload of a token
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// The principal of the caller's certificate
    #[arg(long, value_name = "SPIFFE-ID")]
    peer: Option<String>,
    /// The trusted address of the client
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The node id of the proxy
    #[arg(long, value_name = "ID")]
    proxy: Option<String>,
}

impl RequestArgs {
    /// Whether a method, a host and a path have been said, or are as good as any.
    pub(crate) fn given(&self) -> Given {
        let whole = !self.request.is_empty();
        Given {
            method: whole || self.method.is_some(),
            host: whole || self.host.is_some(),
            path: whole || self.path.is_some(),
        }
    }

    /// The one spec that the options ask.
    pub(crate) fn spec(&self) -> Result<RequestSpec, CliError> {
        self.spec_of(RequestSpec::new("GET", "localhost", "/"))
    }

    /// The one spec that the options ask, which is this one but for what they say.
    pub(crate) fn spec_of(&self, base: RequestSpec) -> Result<RequestSpec, CliError> {
        let mut specs = self.specs_of(base)?;
        match (specs.pop(), specs.len()) {
            (Some(spec), 0) => Ok(spec),
            (_, more) => {
                let many = more + 1;
                Err(CliError::Usage(format!("--request has {many} requests, and this command takes one")))
            }
        }
    }

    /// All specs that the options ask, at least one.
    pub(crate) fn specs(&self) -> Result<Vec<RequestSpec>, CliError> {
        self.specs_of(RequestSpec::new("GET", "localhost", "/"))
    }

    fn specs_of(&self, base: RequestSpec) -> Result<Vec<RequestSpec>, CliError> {
        let mut specs = Vec::new();
        for file in &self.request {
            specs.append(&mut http_file::parse(&files::bytes(file)?).map_err(|why| format!("{file}: {why}"))?);
        }
        if specs.is_empty() {
            specs.push(base);
        }
        specs.iter_mut().try_for_each(|spec| self.add_to(spec))?;
        Ok(specs)
    }

    /// Adds what the other options say.
    fn add_to(&self, spec: &mut RequestSpec) -> Result<(), CliError> {
        let bytes = |text: &String| text.as_bytes().to_vec();
        for (name, value) in [(":method", &self.method), (":authority", &self.host), (":path", &self.path)] {
            if let Some(value) = value {
                spec.replace(name, bytes(value));
            }
        }
        for header in &self.header {
            let (name, value) = header
                .split_once(':')
                .filter(|(name, _)| !name.trim().is_empty())
                .ok_or_else(|| format!("--header '{header}' is not 'name: value'"))?;
            spec.headers.push((name.trim().to_ascii_lowercase(), value.trim().as_bytes().to_vec()));
        }
        let cookies: Vec<&str> = self.cookie.iter().map(String::as_str).collect();
        if let Some(other) = cookies.iter().find(|cookie| !cookie.contains('=')) {
            return Err(CliError::Usage(format!("--cookie '{other}' is not 'name=value'")));
        }
        if !cookies.is_empty() {
            spec.headers.push(("cookie".to_owned(), cookies.join("; ").into_bytes()));
        }
        if let Some(claims) = &self.claims {
            let parsed =
                serde_json::from_str(claims).map_err(|error| format!("--claims is not a JSON object: {error}"))?;
            spec.claims = parsed;
        }
        for claim in &self.claim {
            let (name, value) =
                claim.split_once('=').ok_or_else(|| format!("--claim '{claim}' is not 'name=value'"))?;
            spec.claims.insert(name.to_owned(), Value::String(value.to_owned()));
        }
        spec.peer = self.peer.as_ref().map(bytes);
        spec.address = self.address.as_ref().map(bytes);
        spec.proxy = self.proxy.as_ref().map(bytes);
        spec.join();
        Ok(())
    }
}
