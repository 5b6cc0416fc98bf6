//! Turns a case file into requests with expectations, and one case into what each door made of it.
//!
//! A case file is YAML: a config, and cases of a request and what is expected of it. The same file is run by the
//! engine natively, by the built module in a fake host, and by the module in a real Envoy. Text in requests and
//! expectations is Latin-1: `"\xFF"` is the byte 255. Never knows what a decision should be.

use super::host::{Exchange, Host, Module};
use super::http::{Client, Request as HttpRequest};
use base64::Engine as _;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tidegate::decide::decide;
use tidegate::effect::{INSPECTION, OnResponse, on_request, rewritten};
use tidegate::plan::{Plan, Property};
use tidegate::request::Request;
use tidegate::standing::Standing;
use tidegate::time::Timestamp;

/// What asks for inspection where a config has no key of its own.
const KEY: &str = "x-tidegate-inspect";

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

/// A file of cases under one config.
#[derive(Debug)]
pub struct Suite {
    /// The file's name.
    pub name: String,
    /// The config as JSON, with an inspection key.
    pub config: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A request and what is expected of it.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Headers in order, with pseudo-headers first.
    pub headers: Vec<(String, Vec<u8>)>,
    claims: Value,
    peer: Option<Vec<u8>>,
    address: Option<Vec<u8>>,
    proxy: Option<Vec<u8>>,
    at: Option<Timestamp>,
    expect: Value,
}

/// What a request became.
#[derive(Debug)]
pub struct Seen {
    upstream: Vec<(String, Vec<u8>)>,
    response: Vec<(String, Vec<u8>)>,
}

/// All suites of the repository, by name.
pub fn suites() -> Vec<Suite> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("tests/cases").map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| Suite::read(file)).collect()
}

impl Suite {
    fn read(file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        let suite: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        only(&suite, &["about", "config", "cases"], &name);
        let mut config = suite["config"].clone();
        config["version"] = json!(1);
        if config["inspect"].is_null() {
            config["inspect"] = json!({"header": KEY});
        }
        let inspect = config["inspect"].clone();
        let cases = suite["cases"].as_array().unwrap_or_else(|| panic!("{name} has no cases"));
        let cases = cases.iter().map(|case| Case::read(case, &inspect, &name)).collect();
        Self { name, config: config.to_string(), cases }
    }

    /// The plan of the suite's config.
    pub fn plan(&self) -> Plan {
        let (plan, problems) = Plan::from_bytes(self.config.as_bytes());
        assert!(problems.unknown_fields().is_empty(), "{}: {:?}", self.name, problems.unknown_fields());
        plan.ready().unwrap_or_else(|| panic!("{}: {problems}", self.name))
    }
}

impl Case {
    fn read(case: &Value, inspect: &Value, suite: &str) -> Self {
        let name = format!("{suite}: {}", case["name"].as_str().expect("a case has a name"));
        only(case, &["name", "request", "at", "expect"], &name);
        let request = &case["request"];
        only(request, &["method", "host", "path", "headers", "claims", "peer", "address", "proxy", "token"], &name);
        let text = |value: &Value| value.as_str().map(latin1);
        let or = |field: &str, default: &str| text(&request[field]).unwrap_or_else(|| default.into());
        let mut headers = vec![
            (":authority".to_owned(), or("host", "shop.example")),
            (":path".to_owned(), or("path", "/")),
            (":method".to_owned(), or("method", "GET")),
            (":scheme".to_owned(), b"http".to_vec()),
        ];
        match &request["headers"] {
            Value::Null => {}
            Value::Object(map) => {
                headers.extend(map.iter().map(|(name, value)| (name.clone(), latin1(value.as_str().expect("text")))));
            }
            Value::Array(pairs) => headers.extend(
                pairs
                    .iter()
                    .map(|pair| (pair[0].as_str().expect("name").to_owned(), latin1(pair[1].as_str().expect("value")))),
            ),
            other => panic!("{name}: {other}"),
        }
        if !request["token"].is_null() {
            let part = |json: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
            let token = format!("Bearer {}.{}.c2ln", part(&json!({"alg": "none"})), part(&request["token"]));
            headers.push(("authorization".to_owned(), token.into_bytes()));
        }
        headers
            .push((inspect["header"].as_str().unwrap().to_owned(), latin1(inspect["equals"].as_str().unwrap_or("1"))));
        let at = case["at"].as_str().map(|at| Timestamp::parse(at).unwrap());
        let expect = case["expect"].clone();
        only(&expect, &["decide", "upstream", "response", "inspection"], &name);
        let (peer, address, proxy) = (text(&request["peer"]), text(&request["address"]), text(&request["proxy"]));
        Self { name, headers, claims: request["claims"].clone(), peer, address, proxy, at, expect }
    }

    /// Whether a real Envoy can be asked: its clock, its address and its certificate are its own.
    pub fn fits_envoy(&self) -> bool {
        self.at.is_none() && self.peer.is_none() && self.address.is_none() && self.proxy.is_none()
    }

    /// Runs the engine in this process.
    pub fn natively(&self, plan: &Plan) -> Seen {
        let headers = || self.headers.iter().map(|(name, value)| (&**name, &**value));
        let properties = plan.inputs().properties().map(|property| match property {
            Property::Claim(path) => {
                let claim = path.0.iter().fold(&self.claims, |claims, name| &claims[&**name]);
                host_bytes(claim).map(tidegate::request::host_claim)
            }
            Property::Peer => self.peer.clone(),
            Property::Address => self.address.as_deref().map(tidegate::request::host_address),
            Property::Proxy => self.proxy.clone(),
        });
        let request = Request::new(plan.inputs(), headers(), properties);
        let decisions = decide(plan, &request, &Standing::NONE, self.at.unwrap_or(Timestamp::from_millis(0)));
        let effects = on_request(plan, &request, &decisions);
        let upstream = rewritten(&self.headers, &effects);
        let upstream = upstream.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let carry = OnResponse::new(plan, &request, &decisions);
        let mut response = vec![(":status".to_owned(), b"200".to_vec())];
        response.extend(carry.cookie.map(|cookie| ("set-cookie".to_owned(), cookie.into_bytes())));
        response.extend(carry.inspection.map(|text| (INSPECTION.to_owned(), text.into_bytes())));
        Seen { upstream, response }
    }

    /// Runs the built module in a fake host that has taken the suite's config.
    pub fn through_module(&self, host: &mut Host) -> Seen {
        let mut exchange = Exchange::get("/");
        for (name, value) in &self.headers {
            exchange = exchange.header(&name.to_ascii_lowercase(), value);
        }
        let mut open = vec![(PAYLOAD.map(str::to_owned).to_vec(), &self.claims)];
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
            (&self.peer, &["connection", "uri_san_peer_certificate"][..]),
            (&self.address, &["source", "address"]),
            (&self.proxy, &["xds", "node", "id"]),
        ];
        for (value, path) in properties {
            if let Some(value) = value {
                exchange = exchange.property(path, value);
            }
        }
        host.set_now(u64::try_from(self.at.map_or(0, Timestamp::millis)).unwrap() * 1_000_000);
        let outcome = host.request(&exchange).unwrap_or_else(|trap| panic!("{}: {trap}", self.name));
        let list = |headers: &super::host::Headers| headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
        Seen { upstream: list(&outcome.request), response: list(&outcome.response.expect("an answer")) }
    }

    /// Sends the request through a real Envoy that has taken the suite's config.
    pub fn through_envoy(&self, client: &mut Client) -> Seen {
        let pseudo = |wanted: &str| &self.headers.iter().find(|(name, _)| name == wanted).unwrap().1;
        let method = String::from_utf8(pseudo(":method").clone()).unwrap();
        let mut request = HttpRequest::new(&method, pseudo(":path")).host(pseudo(":authority"));
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
            request = request.header(name, value);
        }
        if let Some(claims) = self.claims.as_object() {
            let kind = |claim: &Value| match claim {
                Value::Number(number) => format!("n:{number}"),
                Value::Bool(value) => format!("b:{value}"),
                other => format!("s:{}", escape(&latin1(other.as_str().expect("a flat claim")))),
            };
            let claims: Vec<String> =
                claims.iter().map(|(name, claim)| format!("{}={}", escape(name.as_bytes()), kind(claim))).collect();
            request = request.header(CLAIMS, claims.join("&"));
        }
        let response = client.send(&request);
        assert_eq!(response.status, 200, "{}: {}", self.name, response.text());
        Seen { upstream: response.upstream().headers, response: response.headers }
    }

    /// Holds what was seen against what was expected.
    #[track_caller]
    pub fn check(&self, seen: &Seen, door: &str) {
        let name = format!("{} ({door})", self.name);
        let inspection = values(&seen.response, INSPECTION);
        let inspection = inspection.first().map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned());
        if let Some(expected) = self.expect["decide"].as_object() {
            let mut expected: Vec<String> = expected
                .iter()
                .map(|(flag, said)| format!("{flag} {}", said.as_str().expect("variant reason")))
                .collect();
            let mut decided: Vec<String> =
                inspection.split(", ").filter(|member| !member.is_empty()).map(in_words).collect();
            expected.sort();
            decided.sort();
            assert_eq!(decided, expected, "{name}: {inspection}");
        }
        if let Some(expected) = self.expect["inspection"].as_str() {
            assert_eq!(inspection, expected, "{name}");
        }
        for (part, headers) in [("upstream", &seen.upstream), ("response", &seen.response)] {
            for (header, expected) in self.expect[part].as_object().into_iter().flatten() {
                let expected: Vec<Vec<u8>> = match expected {
                    Value::Null => vec![],
                    Value::Array(values) => values.iter().map(|value| latin1(value.as_str().unwrap())).collect(),
                    one => vec![latin1(one.as_str().unwrap_or_else(|| panic!("{name}: quote {one}")))],
                };
                let shown = |values: &[Vec<u8>]| {
                    values.iter().map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>()
                };
                assert_eq!(shown(&values(headers, header)), shown(&expected), "{name}: {part} {header}");
            }
        }
    }
}

/// A host that has taken the suite's config.
pub fn host(module: &Module, suite: &Suite) -> Host {
    let mut host = Host::new(module).unwrap_or_else(|trap| panic!("{trap}"));
    let taken = host.configure("tidegate", suite.config.as_bytes());
    assert!(taken.unwrap_or_else(|trap| panic!("{trap}")), "{}: {:?}", suite.name, host.logs());
    host
}

/// `checkout=v2;reason=split;exposure=5` as `checkout v2 split`.
fn in_words(member: &str) -> String {
    let mut parts = member.split(';');
    let flag = parts.next().unwrap().replacen('=', " ", 1).replace('"', "");
    let rest: Vec<&str> = parts
        .filter(|part| !part.starts_with("exposure="))
        .map(|part| part.strip_prefix("reason=").unwrap_or(part))
        .collect();
    format!("{flag} {}", rest.join(" "))
}

fn values(headers: &[(String, Vec<u8>)], wanted: &str) -> Vec<Vec<u8>> {
    headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone()).collect()
}

/// A claim in the bytes in which Envoy hands it to a filter.
fn host_bytes(claim: &Value) -> Option<Vec<u8>> {
    match claim {
        Value::String(text) => Some(latin1(text)),
        Value::Number(number) => Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::Bool(value) => Some(vec![u8::from(*value)]),
        _ => None,
    }
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or_else(|_| panic!("{c:?} is no byte: write \\xNN")))
        .collect()
}

fn escape(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn only(value: &Value, known: &[&str], name: &str) {
    for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
        assert!(known.contains(&key.as_str()), "{name}: {key} is not known here");
    }
}
