//! Takes the cases of the repository's case files through each door to the engine.
//!
//! The same file is run by the engine natively, by the built module in a fake host, and by the module in a real Envoy;
//! `tidegate test` reads it by the same code. Never knows what a decision should be.

use super::host::{Exchange, Host, Module};
use super::http::{Client, Request as HttpRequest};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_analysis::case::{self as suite, Case, Seen};
use tidegate_analysis::source::{Document, ReadError};
use tidegate_engine::plan::Plan;

/// Where a filter finds verified claims.
const PAYLOAD: [&str; 4] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload"];

/// Where the claims of a case travel to a real Envoy.
pub const CLAIMS: &str = "x-case-claims";

/// A Lua filter that puts the claims of a case where `jwt_authn` puts them.
pub const CLAIMS_LUA: &str = r#"
function envoy_on_request(handle)
  local claims = handle:headers():get("x-case-claims")
  if claims == nil then return end
  handle:headers():remove("x-case-claims")
  local payload = {}
  for name, kind, value in string.gmatch(claims, "([^=&]+)=(%a):([^&]*)") do
    value = value:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
    if kind == "n" then payload[name] = tonumber(value)
    elseif kind == "b" then payload[name] = value == "true"
    else payload[name] = value end
  end
  handle:streamInfo():dynamicMetadata():set("envoy.filters.http.jwt_authn", "payload", payload)
end"#;

/// A case file of the repository.
#[derive(Debug)]
pub struct Suite {
    /// The file's name.
    pub name: String,
    read: suite::Suite,
}

/// All suites of the repository, by name.
pub fn suites() -> Vec<Suite> {
    let folder = super::envoy::repository().join("tests/cases");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("tests/cases").map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| Suite::read(file)).collect()
}

impl Suite {
    fn read(file: &Path) -> Vec<Self> {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        let read = suite::within(file.to_str().unwrap(), &text, &configs).unwrap_or_else(|wrong| panic!("{wrong}"));
        let problems = read.problems.iter();
        let problems = problems.flat_map(|(document, list)| list.iter().map(|one| one.line(document).to_string()));
        let wrong: Vec<String> = problems.chain(read.broken).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        read.suites.into_iter().map(|read| Self { name: name.clone(), read }).collect()
    }

    /// The config as a proxy would get it.
    pub fn config(&self) -> String {
        self.read.config()
    }

    /// The plan of the suite's config.
    pub fn plan(&self) -> &Plan {
        self.read.plan()
    }

    /// The cases.
    pub fn cases(&self) -> impl Iterator<Item = Door<'_>> {
        self.read.cases.iter().map(|case| Door { name: format!("{}: {}", self.name, case.name), case })
    }
}

/// The config of a file that a case file names.
fn configs(path: &str) -> Result<Vec<Document>, ReadError> {
    let text = fs::read_to_string(path).map_err(|error| ReadError::Unfit(error.to_string()))?;
    Ok(vec![Document::only(path, &text)?])
}

/// A case in front of the doors to the engine.
#[derive(Debug)]
pub struct Door<'s> {
    name: String,
    case: &'s Case,
}

impl Door<'_> {
    /// Whether a real Envoy can be asked: its clock, its address and its certificate are its own.
    pub fn fits_envoy(&self) -> bool {
        let case = self.case;
        case.at.is_none() && case.peer().is_none() && case.address().is_none() && case.proxy().is_none()
    }

    /// Runs the engine in this process.
    pub fn natively(&self, plan: &Plan) -> Seen {
        self.case.natively(plan)
    }

    /// Runs the built module in a fake host that has taken the suite's config.
    pub fn through_module(&self, host: &mut Host) -> Seen {
        let mut exchange = Exchange::get("/");
        for (name, value) in self.case.headers() {
            exchange = exchange.header(&name.to_ascii_lowercase(), value);
        }
        let claims = Value::Object(self.case.claims().clone());
        let mut open = vec![(PAYLOAD.map(str::to_owned).to_vec(), &claims)];
        while let Some((path, claim)) = open.pop() {
            if let Some(bytes) = host_bytes(claim) {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                exchange = exchange.property(&path, bytes);
            }
            for (name, inside) in claim.as_object().into_iter().flatten() {
                open.push((path.iter().cloned().chain([name.clone()]).collect(), inside));
            }
        }
        let properties = [
            (self.case.peer(), &["connection", "uri_san_peer_certificate"][..]),
            (self.case.address(), &["source", "address"]),
            (self.case.proxy(), &["xds", "node", "id"]),
        ];
        for (value, path) in properties {
            if let Some(value) = value {
                exchange = exchange.property(path, value);
            }
        }
        host.set_now(u64::try_from(self.case.time().millis()).unwrap() * 1_000_000);
        let outcome = host.request(&exchange).unwrap_or_else(|trap| panic!("{}: {trap}", self.name));
        let list = |headers: &super::host::Headers| headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
        Seen::through(list(&outcome.request), list(&outcome.response.expect("an answer")))
    }

    /// Sends the request through a real Envoy that has taken the suite's config.
    pub fn through_envoy(&self, client: &mut Client) -> Seen {
        let pseudo = |wanted: &str| &self.case.headers().iter().find(|(name, _)| name == wanted).unwrap().1;
        let method = String::from_utf8(pseudo(":method").clone()).unwrap();
        let mut request = HttpRequest::new(&method, pseudo(":path")).host(pseudo(":authority"));
        for (name, value) in self.case.headers().iter().filter(|(name, _)| !name.starts_with(':')) {
            request = request.header(name, value);
        }
        let claims = self.case.claims();
        if !claims.is_empty() {
            let kind = |claim: &Value| match claim {
                Value::Number(number) => format!("n:{number}"),
                Value::Bool(value) => format!("b:{value}"),
                other => format!("s:{}", escape(other.as_str().expect("a flat claim").as_bytes())),
            };
            let claims: Vec<String> =
                claims.iter().map(|(name, claim)| format!("{}={}", escape(name.as_bytes()), kind(claim))).collect();
            request = request.header(CLAIMS, claims.join("&"));
        }
        let response = client.send(&request);
        assert_eq!(response.status, 200, "{}: {}", self.name, response.text());
        Seen::through(response.upstream().headers, response.headers)
    }

    /// Holds what was seen against what was expected.
    #[track_caller]
    pub fn check(&self, seen: &Seen, door: &str) {
        let wrong: Vec<String> = self.case.differences(seen).iter().map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{} ({door}): {}", self.name, wrong.join("; "));
    }
}

/// A host that has taken the suite's config.
pub fn host(module: &Module, suite: &Suite) -> Host {
    let mut host = Host::new(module).unwrap_or_else(|trap| panic!("{trap}"));
    let taken = host.configure("tidegate", suite.config().as_bytes());
    assert!(taken.unwrap_or_else(|trap| panic!("{trap}")), "{}: {:?}", suite.name, host.logs());
    host
}

/// A claim in the bytes in which Envoy hands it to a filter.
fn host_bytes(claim: &Value) -> Option<Vec<u8>> {
    match claim {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Number(number) => Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::Bool(value) => Some(vec![u8::from(*value)]),
        _ => None,
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
