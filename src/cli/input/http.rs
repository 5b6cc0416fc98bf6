//! An HTTP client for running proxies, with errors in one line.
//!
//! Uses no proxy of the environment, adds no headers, and follows no redirects.

use std::io::ErrorKind;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::TlsConfig;

use crate::error::CliError;
use tidegate_engine::value::time::Span;

/// Where to send requests.
#[derive(Debug)]
pub(crate) struct Target {
    /// `http://shop.example:8080`
    pub(crate) origin: String,
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Target {
    /// Reads a URL; the example is for the error.
    pub(crate) fn parse(url: &str, example: &str) -> Result<Self, CliError> {
        let parsed = url.parse::<Uri>().ok();
        let parts = parsed.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?, uri)));
        match parts {
            Some((scheme @ ("http" | "https"), authority, uri)) if !authority.as_str().contains('@') => Ok(Self {
                origin: format!("{scheme}://{authority}"),
                host: authority.to_string(),
                path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            }),
            _ => Err(CliError::Usage(format!("'{url}' is not a URL, such as {example}"))),
        }
    }
}

/// Reads how long something may take.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    let due = "must be a time above 0, such as 500ms or 2s";
    Span::parse(text).ok().filter(|span| span.millis() > 0).ok_or_else(|| due.to_owned())
}

/// How proxies are asked.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Asking {
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
    timeout: Span,
    /// Accept any certificate
    #[arg(long, short = 'k')]
    insecure: bool,
}

impl Asking {
    /// How long an answer may take.
    pub(crate) fn wait(self) -> Duration {
        Duration::from_millis(self.timeout.millis())
    }

    /// A client that asks so.
    pub(crate) fn agent(self) -> Agent {
        agent(self.wait(), self.insecure)
    }
}

/// A client that adds no headers of its own, uses no proxy and follows no redirect.
pub(crate) fn agent(wait: Duration, insecure: bool) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .timeout_global(Some(wait))
        .tls_config(TlsConfig::builder().disable_verification(insecure).build());
    config.build().new_agent()
}

/// Why there is no answer, in one line.
pub(crate) fn why(error: &ureq::Error, wait: Duration) -> String {
    const UNKNOWN: &str = "the name of the host cannot be resolved";
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} ms", wait.as_millis()),
        ureq::Error::HostNotFound => UNKNOWN.to_owned(),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof => {
                format!("the connection was closed without an answer ({error})")
            }
            // Resolvers have no kind of their own.
            _ if error.to_string().starts_with("failed to lookup address") => UNKNOWN.to_owned(),
            _ => one_line(&error.to_string()),
        },
        other => one_line(&other.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
