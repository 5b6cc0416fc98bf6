//! Turns options, an HTTP file or a case into a question: a request as a proxy would see it, with what only the proxy
//! knows about it.
//!
//! Bytes all the way, as in the proxy. Never answers a question.

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::Stop;
use super::source;
use tidegate_engine::plan::{Inputs, Property};
use tidegate_engine::request::{Request, host_address, host_claim};
use tidegate_engine::value::time::Timestamp;

/// A request, said in options.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The request")]
pub(super) struct Ask {
    /// A request as text, as it goes over HTTP/1.1, or several with a line of ### between them; the other options are
    /// added to each
    #[arg(long, value_name = "FILE")]
    request: Vec<String>,
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

/// The headers of which Envoy keeps one, with all values that a client sends joined by commas (seen in Envoy 1.40): a
/// filter never meets two of them.
const JOINED: [&str; 24] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-forwarded-host",
    "x-forwarded-port",
];

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
        let whole = !self.request.is_empty();
        (whole || self.method.is_some(), whole || self.host.is_some(), whole || self.path.is_some())
    }

    /// The one question that the options ask.
    pub(super) fn question(&self) -> Result<Question, Stop> {
        self.question_of(Question::new("GET", "localhost", "/"))
    }

    /// The one question that the options ask, which is this one but for what they say.
    pub(super) fn question_of(&self, base: Question) -> Result<Question, Stop> {
        let mut questions = self.questions_of(base)?;
        match (questions.pop(), questions.len()) {
            (Some(question), 0) => Ok(question),
            (_, more) => {
                let many = more.saturating_add(1);
                Err(Stop::Usage(format!("--request gives {many} requests, and only one can be asked about here")))
            }
        }
    }

    /// All questions that the options ask, at least one.
    pub(super) fn questions(&self) -> Result<Vec<Question>, Stop> {
        self.questions_of(Question::new("GET", "localhost", "/"))
    }

    fn questions_of(&self, base: Question) -> Result<Vec<Question>, Stop> {
        let mut questions = Vec::new();
        for file in &self.request {
            questions.append(&mut parse(&source::bytes(file)?).map_err(|why| format!("{file}: {why}"))?);
        }
        if questions.is_empty() {
            questions.push(base);
        }
        questions.iter_mut().try_for_each(|question| self.add_to(question))?;
        Ok(questions)
    }

    /// Adds what the other options say.
    fn add_to(&self, question: &mut Question) -> Result<(), Stop> {
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
        question.join();
        Ok(())
    }
}

impl Question {
    /// A request with nothing but its first line and host.
    pub(super) fn new(method: &str, host: &str, path: &str) -> Self {
        Self::of(method.as_bytes(), host.as_bytes(), path.as_bytes())
    }

    fn of(method: &[u8], host: &[u8], path: &[u8]) -> Self {
        let pseudo = [(":method", method), (":scheme", b"http"), (":authority", host), (":path", path)];
        let headers = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        Self { headers, ..Self::default() }
    }

    /// Makes this the only value of a header.
    pub(super) fn replace(&mut self, name: &str, value: Vec<u8>) {
        match self.headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }

    /// Makes one header of those that Envoy makes one of.
    fn join(&mut self) {
        let mut joined: Vec<(String, Vec<u8>)> = Vec::with_capacity(self.headers.len());
        for (name, value) in self.headers.drain(..) {
            let known = joined.iter_mut().find(|(known, _)| JOINED.contains(&&*name) && *known == name);
            match known {
                Some((_, known)) if known.is_empty() || value.is_empty() => known.extend(value),
                Some((_, known)) => known.extend([b",", value.as_slice()].concat()),
                None => joined.push((name, value)),
            }
        }
        self.headers = joined;
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
                // In the bytes that a proxy hands over.
                let bytes = match claim {
                    Value::String(text) => text.as_bytes().to_vec(),
                    Value::Number(number) => number.as_f64()?.to_le_bytes().to_vec(),
                    Value::Bool(value) => vec![u8::from(*value)],
                    Value::Null | Value::Array(_) | Value::Object(_) => return None,
                };
                Some(host_claim(bytes))
            }
            Property::Peer => self.peer.clone(),
            Property::Address => self.address.as_deref().map(host_address),
            Property::Proxy => self.proxy.clone(),
        }
    }
}

/// `GET shop.example/api`, with what is not readable escaped.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str| self.header(name).unwrap_or_default().escape_ascii();
        write!(f, "{} {}{}", part(":method"), part(":authority"), part(":path"))
    }
}

/// What stands alone on a line between two requests, or with a name behind it: as editors have it.
const BORDER: &[u8] = b"###";

/// Reads the requests of a file.
fn parse(text: &[u8]) -> Result<Vec<Question>, String> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let parts = lines.split(|line| line.starts_with(BORDER)).map(|part| (part, begins(part).count() > 0));
    let found: Vec<&[&[u8]]> = parts.filter(|(_, holds)| *holds).map(|(part, _)| part).collect();
    let several = found.len() > 1;
    let place = |number: usize, why: String| if several { format!("request {number}: {why}") } else { why };
    let questions: Result<Vec<_>, _> =
        (1..).zip(&found).map(|(number, part)| parse_one(part).map_err(|why| place(number, why))).collect();
    match questions {
        Ok(questions) if questions.is_empty() => Err("holds no request".to_owned()),
        other => other,
    }
}

/// The lines of a request, from its first one on: those in front of it that begin with `#` are comments.
fn begins<'t>(lines: &[&'t [u8]]) -> impl Iterator<Item = &'t [u8]> {
    let lines = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.skip_while(|line| line.trim_ascii().is_empty() || line.starts_with(b"#"))
}

/// Reads a request as it goes over HTTP/1.1. A body is not looked at.
fn parse_one(lines: &[&[u8]]) -> Result<Question, String> {
    let shown = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let mut lines = begins(lines);
    let first = lines.next().unwrap_or_default();
    let mut parts = first.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return Err(format!("'{}' is no request line, such as GET /path HTTP/1.1", shown(first)));
    };
    // A whole URL, as editors' HTTP files and proxies have it: the host that it names counts.
    let whole = target.windows(3).position(|part| part == b"://").and_then(|at| target.get(at.checked_add(3)?..));
    let whole = whole.filter(|_| !target.starts_with(b"/"));
    let (host, path) = match whole {
        Some(rest) => {
            let path = rest.iter().position(|byte| *byte == b'/').and_then(|at| rest.split_at_checked(at));
            path.unwrap_or((rest, b"/"))
        }
        None => (&b"localhost"[..], target),
    };
    let mut question = Question::of(method, host, path);
    for line in lines.take_while(|line| !line.trim_ascii().is_empty()) {
        let wrong = || format!("'{}' is no header, such as x-user-id: ana", shown(line));
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let name = core::str::from_utf8(name.trim_ascii()).ok().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii().to_vec();
        if !name.eq_ignore_ascii_case("host") {
            question.headers.push((name.to_ascii_lowercase(), value));
        } else if whole.is_none() {
            question.replace(":authority", value);
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

/// A clock that never goes back, for how long things take.
#[expect(clippy::disallowed_methods, reason = "a command runs in its user's time")]
pub(super) fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request in one line.
    fn shown(question: &Question) -> String {
        let headers = question.headers.iter().filter(|(name, _)| name != ":scheme");
        headers.map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_request_is_read_as_text() {
        let read = |text: &[u8]| parse(text).unwrap().iter().map(shown).collect::<Vec<_>>();
        let text =
            b"# asked by ana\nPOST https://shop.example/api?x=1 HTTP/1.1\nX-User-Id:  ana \ncookie: a=b\n\nx: y\n";
        assert_eq!(read(text), [":method=POST :authority=shop.example :path=/api?x=1 x-user-id=ana cookie=a=b"]);
        let bytes = b"GET /?to=http://\xff HTTP/1.1\r\nHost: a\r\nx-odd:\t\xc3\xff\r\n\r\n";
        assert_eq!(read(bytes), [":method=GET :authority=a :path=/?to=http://\\xff x-odd=\\xc3\\xff"]);
    }

    #[test]
    fn the_host_of_a_whole_url_counts() {
        let one = parse(b"GET http://a.example HTTP/1.1\nhost: b.example\n").unwrap();
        assert_eq!(one.iter().map(shown).collect::<Vec<_>>(), [":method=GET :authority=a.example :path=/"]);
    }

    #[test]
    fn several_requests_stand_between_lines() {
        let text = b"### first\n\nGET /a\nhost: a\n\nbody\n###\n# second\nGET /b\n###\n";
        let read: Vec<String> = parse(text).unwrap().iter().map(shown).collect();
        assert_eq!(read, [":method=GET :authority=a :path=/a", ":method=GET :authority=localhost :path=/b"]);
    }

    #[test]
    fn what_envoy_joins_is_one_header() {
        let mut one = parse(b"GET /\nAccept: a\nx: 1\naccept: \naccept: b\nx: 2\n").unwrap().remove(0);
        one.join();
        assert_eq!(shown(&one), ":method=GET :authority=localhost :path=/ accept=a,b x=1 x=2");
    }

    #[test]
    fn what_is_no_request_says_where() {
        let wrong = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(wrong("GET"), "'GET' is no request line, such as GET /path HTTP/1.1");
        assert_eq!(wrong("GET /\nhello\n"), "'hello' is no header, such as x-user-id: ana");
        assert_eq!(wrong("GET /\n###\nGET /\n: x\n"), "request 2: ': x' is no header, such as x-user-id: ana");
        assert_eq!(wrong("\n"), "holds no request");
        assert_eq!(wrong("###\n# nothing\n"), "holds no request");
    }
}
