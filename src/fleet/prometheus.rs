//! A Prometheus, or what speaks like one: turns a query and a time into series with their values.
//!
//! All calls wait for their answer, and no longer than they were told. Knows no metric. Never writes anything.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tidegate_engine::value::time::Timestamp;
use ureq::Agent;
use ureq::http::Uri;

/// The largest answer that is read.
const MOST: u64 = 512 * 1024 * 1024;

/// Why there is no answer, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    pub what: String,
    pub help: &'static str,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// One series: its labels, its name among them as `__name__`, and its values by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub values: Vec<(Timestamp, u64)>,
}

/// Who asks.
#[derive(Clone, Default)]
pub enum Login {
    #[default]
    Nobody,
    /// A bearer token.
    Token(String),
    Name {
        user: String,
        password: String,
    },
}

impl fmt::Debug for Login {
    /// Keeps what is secret out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Token(_) => "Token",
            Self::Name { .. } => "Name",
        })
    }
}

/// A Prometheus that can be asked.
#[derive(Debug)]
pub struct Prometheus {
    /// Without a slash at its end, and without a password.
    base: String,
    header: Option<String>,
    wait: Duration,
    agent: Agent,
}

impl Prometheus {
    /// One at this address, `http://user:password@prometheus:9090/path`; the login wins over what stands in it.
    ///
    /// # Errors
    /// If it is no address.
    pub fn new(url: &str, login: Login, wait: Duration, insecure: bool) -> Result<Self, Unanswered> {
        let wrong = || Unanswered {
            what: format!("'{url}' is not the URL of a Prometheus"),
            help: "--prometheus takes its address, such as http://localhost:9090",
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let (user, host) = authority.as_str().rsplit_once('@').map_or((None, authority.as_str()), |(user, host)| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            (Some((user.to_owned(), password.to_owned())), host)
        });
        let login = match (login, user) {
            (Login::Nobody, Some((user, password))) => Login::Name { user, password },
            (login, _) => login,
        };
        let header = match login {
            Login::Nobody => None,
            Login::Token(token) => Some(format!("Bearer {}", token.trim())),
            Login::Name { user, password } => {
                Some(format!("Basic {}", base64(format!("{user}:{password}").as_bytes())))
            }
        };
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(wait));
        let tls = ureq::tls::TlsConfig::builder().disable_verification(insecure).build();
        let base = format!("{scheme}://{host}{}", uri.path().trim_end_matches('/'));
        Ok(Self { base, header, wait, agent: config.tls_config(tls).build().new_agent() })
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.base
    }

    /// What a query says at one time.
    ///
    /// # Errors
    /// If there is no answer, or a refusal.
    pub fn at(&self, query: &str, time: Timestamp) -> Result<Vec<Series>, Unanswered> {
        self.ask("query", &[("query", query), ("time", &seconds(time))])
    }

    /// What a query says from one time to another, once every so many milliseconds.
    ///
    /// # Errors
    /// If there is no answer, or a refusal.
    pub fn range(&self, query: &str, from: Timestamp, to: Timestamp, step: u64) -> Result<Vec<Series>, Unanswered> {
        let step = seconds(Timestamp::from_millis(i64::try_from(step).unwrap_or(i64::MAX)));
        let form = [("query", query), ("start", &*seconds(from)), ("end", &*seconds(to)), ("step", &*step)];
        self.ask("query_range", &form)
    }

    fn ask(&self, page: &str, form: &[(&str, &str)]) -> Result<Vec<Series>, Unanswered> {
        let failed = |why: String| Unanswered {
            what: format!("the Prometheus {} cannot be asked: {why}", self.base),
            help: "is it there, and is that its address? It is asked under /api/v1/query and /api/v1/query_range",
        };
        let mut request = self.agent.post(format!("{}/api/v1/{page}", self.base));
        if let Some(header) = &self.header {
            request = request.header("authorization", header);
        }
        let sent = request.send_form(form.iter().copied());
        let mut response = sent.map_err(|error| failed(unanswered(&error, self.wait)))?;
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            return Err(Unanswered {
                what: format!("the Prometheus {} refuses the login (status {status})", self.base),
                help: "give a token with --token-file, or a user in the URL: https://user:password@HOST",
            });
        }
        let read = response.body_mut().with_config().limit(MOST).read_json::<Answer>();
        let answer = read.map_err(|error| match error {
            ureq::Error::Timeout(_) => failed(unanswered(&error, self.wait)),
            _ => failed(format!("this is no answer of one (status {status})")),
        })?;
        let Some(data) = answer.data else {
            return Err(failed(answer.error.unwrap_or_else(|| format!("status {status}"))));
        };
        Ok(data.result.into_iter().map(One::series).collect())
    }
}

/// Why there is no answer, in plain words.
pub(crate) fn unanswered(error: &ureq::Error, wait: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} ms", wait.as_millis()),
        ureq::Error::HostNotFound => "the name of the host cannot be resolved".to_owned(),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        other => other.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// A time as Prometheus takes it.
fn seconds(time: Timestamp) -> String {
    let millis = time.millis().max(0);
    format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000))
}

/// What a Prometheus answers.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<One>,
}

#[derive(Debug, Deserialize)]
struct One {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl One {
    fn series(self) -> Series {
        let all = self.value.into_iter().chain(self.values);
        // What is no number was not counted.
        let values = all.filter_map(|(time, text)| Some((moment(time), whole(text.parse().ok()?)?))).collect();
        Series { labels: self.metric, values }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::float_arithmetic, reason = "Prometheus tells milliseconds so")]
fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1_000.0).round() as i64)
}

/// A count; Prometheus tells it as a number with a fraction.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only what fits is taken")]
fn whole(value: f64) -> Option<u64> {
    (0.0..9e15).contains(&value).then(|| value.round() as u64)
}

/// Basic authentication is the only place for it here.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let letter = LETTERS.get((bits >> (18_usize.saturating_sub(place.saturating_mul(6))) & 63) as usize);
            let letter = letter.filter(|_| place <= three.len()).copied().unwrap_or(b'=');
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_sent_as_browsers_send_it() {
        for (plain, sent) in [
            ("a:b", "YTpi"),
            ("user:pass", "dXNlcjpwYXNz"),
            ("u:pw12", "dTpwdzEy"),
            ("ab:", "YWI6"),
            ("abcd", "YWJjZA=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), sent);
        }
    }

    #[test]
    fn an_address_is_told_without_its_password() {
        let made = Prometheus::new("https://ana:secret@prom.example/x/", Login::Nobody, Duration::from_secs(1), false);
        let made = made.unwrap();
        assert_eq!(made.address(), "https://prom.example/x");
        assert_eq!(made.header.as_deref(), Some("Basic YW5hOnNlY3JldA=="));
        for wrong in ["prom:9090", "localhost", "ftp://prom"] {
            assert!(Prometheus::new(wrong, Login::Nobody, Duration::from_secs(1), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_of_prometheus_are_whole() {
        let text = r#"{"metric":{"a":"b"},"values":[[1.5,"7"],[2,"NaN"],[3.001,"2.5e+03"]]}"#;
        let one: One = serde_json::from_str(text).unwrap();
        let at = Timestamp::from_millis;
        assert_eq!(one.series().values, [(at(1_500), 7), (at(3_001), 2_500)]);
    }
}
