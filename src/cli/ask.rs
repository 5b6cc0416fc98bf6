//! Turns options, an HTTP file or a case into a question: a request as a proxy would see it, with what only the proxy
//! knows about it.
//!
//! Bytes all the way, as in the proxy. Never answers a question.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::Stop;
use super::source;
use crate::plan::{Inputs, Property};
use crate::request::{Request, host_address};
use crate::time::Timestamp;

/// A request, said in options.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The request")]
pub(super) struct Ask {
    /// A request as text, as it goes over HTTP/1.1; the other options are added to it
    #[arg(long, value_name = "FILE")]
    request: Option<String>,
    /// A header, as often as you like
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A cookie, as often as you like
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
    /// A verified claim, as often as you like
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

/// A request, and what only a proxy knows about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// In order, with the pseudo-headers first.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) claims: Map<String, Value>,
    pub(super) peer: Option<Vec<u8>>,
    pub(super) address: Option<Vec<u8>>,
    pub(super) proxy: Option<Vec<u8>>,
}

impl Ask {
    /// Whether a method, a host and a path have been said, or are as good as any.
    pub(super) fn says(&self) -> (bool, bool, bool) {
        let whole = self.request.is_some();
        (whole || self.method.is_some(), whole || self.host.is_some(), whole || self.path.is_some())
    }

    /// The question that the options ask.
    pub(super) fn question(&self) -> Result<Question, Stop> {
        let mut question = match &self.request {
            Some(file) => parse(&source::text(file)?).map_err(|why| format!("{file}: {why}"))?,
            None => Question::new("GET", "localhost", "/"),
        };
        let bytes = |text: &String| text.as_bytes().to_vec();
        for (name, value) in [(":method", &self.method), (":authority", &self.host), (":path", &self.path)] {
            if let Some(value) = value {
                question.replace(name, bytes(value));
            }
        }
        for header in &self.header {
            let (name, value) = header
                .split_once(':')
                .filter(|(name, _)| !name.trim().is_empty())
                .ok_or_else(|| format!("--header '{header}' is not 'name: value'"))?;
            question.headers.push((name.trim().to_ascii_lowercase(), value.trim().as_bytes().to_vec()));
        }
        let cookies: Vec<&str> = self.cookie.iter().map(String::as_str).collect();
        if let Some(other) = cookies.iter().find(|cookie| !cookie.contains('=')) {
            return Err(Stop::Usage(format!("--cookie '{other}' is not 'name=value'")));
        }
        if !cookies.is_empty() {
            question.headers.push(("cookie".to_owned(), cookies.join("; ").into_bytes()));
        }
        if let Some(claims) = &self.claims {
            let parsed =
                serde_json::from_str(claims).map_err(|error| format!("--claims is no JSON object: {error}"))?;
            question.claims = parsed;
        }
        for claim in &self.claim {
            let (name, value) =
                claim.split_once('=').ok_or_else(|| format!("--claim '{claim}' is not 'name=value'"))?;
            question.claims.insert(name.to_owned(), Value::String(value.to_owned()));
        }
        question.peer = self.peer.as_ref().map(bytes);
        question.address = self.address.as_ref().map(bytes);
        question.proxy = self.proxy.as_ref().map(bytes);
        Ok(question)
    }
}

impl Question {
    /// A request with nothing but its first line and host.
    pub(super) fn new(method: &str, host: &str, path: &str) -> Self {
        let pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)];
        let headers = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        Self { headers, ..Self::default() }
    }

    /// Makes this the only value of a header.
    pub(super) fn replace(&mut self, name: &str, value: Vec<u8>) {
        match self.headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }

    /// The value of the first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Its first line and host, in one: `GET shop.example/api`.
    pub(super) fn place(&self) -> String {
        let part = |name: &str| String::from_utf8_lossy(self.header(name).unwrap_or_default()).into_owned();
        format!("{} {}{}", part(":method"), part(":authority"), part(":path"))
    }

    /// What a plan sees of it.
    pub(super) fn seen<'r>(&'r self, inputs: &'r Inputs) -> Request<'r> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        Request::new(inputs, headers, inputs.properties().map(|property| self.property(property)))
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        match property {
            Property::Claim(path) => {
                let mut names = path.0.iter();
                let first = self.claims.get(&**names.next()?)?;
                let claim = names.try_fold(first, |claims, name| claims.get(&**name))?;
                match claim {
                    Value::String(text) => Some(text.as_bytes().to_vec()),
                    // As the proxy has it: claims come as doubles there, and are read as their shortest text.
                    Value::Number(number) => Some(crate::request::host_claim(number.as_f64()?.to_le_bytes().to_vec())),
                    Value::Bool(value) => Some(value.to_string().into_bytes()),
                    Value::Null | Value::Array(_) | Value::Object(_) => None,
                }
            }
            Property::Peer => self.peer.clone(),
            Property::Address => self.address.as_deref().map(host_address),
            Property::Proxy => self.proxy.clone(),
        }
    }
}

/// Reads a request as it goes over HTTP/1.1. Lines in front of it that begin with `#` are comments, and a body is not
/// looked at.
pub(super) fn parse(text: &str) -> Result<Question, String> {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty() || line.starts_with('#'));
    let first = lines.next().ok_or("holds no request")?;
    let mut parts = first.split_ascii_whitespace();
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return Err(format!("'{first}' is no request line, such as GET /path HTTP/1.1"));
    };
    // A whole URL, as editors' HTTP files and proxies have it.
    let (host, path) = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "/")),
        None => ("localhost", target),
    };
    let mut question = Question::new(method, host, path);
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or_else(|| format!("'{line}' is no header, such as x-user-id: ana"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().as_bytes().to_vec());
        if name == "host" {
            question.replace(":authority", value);
        } else {
            question.headers.push((name, value));
        }
    }
    Ok(question)
}

/// The time that is asked about.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct When {
    /// The time to decide at, such as 2026-12-01T09:00:00Z; now, if left out
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
}

impl When {
    /// The time that was said, or that it is.
    pub(super) fn time(self) -> Timestamp {
        self.at.unwrap_or_else(now)
    }
}

/// Reads a time or a day.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_date(text).map_err(|_| "must be a time or a day, such as 2026-12-01T09:00:00Z".to_owned())
}

/// What the clock of this machine says.
#[expect(clippy::disallowed_methods, reason = "a command runs in its user's time")]
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_text() {
        let text =
            "# asked by ana\nPOST https://shop.example/api?x=1 HTTP/1.1\nX-User-Id:  ana \ncookie: a=b\n\nx: y\n";
        let question = parse(text).unwrap();
        let shown: Vec<String> =
            question.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
        let due = [
            ":method=POST",
            ":scheme=http",
            ":authority=shop.example",
            ":path=/api?x=1",
            "x-user-id=ana",
            "cookie=a=b",
        ];
        assert_eq!(shown, due);
        assert_eq!(parse("GET").unwrap_err(), "'GET' is no request line, such as GET /path HTTP/1.1");
        assert_eq!(parse("GET /\nhello\n").unwrap_err(), "'hello' is no header, such as x-user-id: ana");
        assert_eq!(parse("\n").unwrap_err(), "holds no request");
    }
}
