//! Holds what `tidegate explain` says of ten thousand random requests against what a real Envoy did with each of them.
//!
//! The bytes that go over a connection are the bytes that the command reads from its file. Requests come from seeds:
//! a run that fails fails again. Never knows itself what a decision should be.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

mod requests;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use kit::envoy::{Envoy, repository};
use kit::http::Response;
use kit::scene::Scene;
use requests::{Sent, shown};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many requests are compared.
const REQUESTS: usize = 10_000;

const CONFIG: &str = "tests/cli/explain/config.yaml";

/// Chooses the verified claims of a request; Envoy takes it away before the filter runs.
const CLAIMS: &str = "x-claims";

/// Over how many connections at a time.
const CONNECTIONS: usize = 4;

/// Who the proxy has verified the caller to be: the requests of each have a file of their own.
fn claims() -> [Value; 7] {
    [
        json!({}),
        json!({"sub": "ana", "email": "ana@example.com", "age": 18}),
        json!({"sub": "user-7", "email": "jo@elsewhere.test", "age": 17.5, "beta": true}),
        json!({"sub": 4711, "account": {"id": "acme"}, "beta": false}),
        json!({"sub": "", "account": {"id": 12, "name": "x"}, "age": "20"}),
        json!({"email": "b@example.com", "account": "none", "sub": {"id": "inside"}, "beta": ["true"]}),
        json!({"sub": "Zo\u{eb}", "beta": "true", "age": -1}),
    ]
}

/// What the command says of a request; its rules are for people.
#[derive(Debug, Deserialize)]
struct Told {
    flags: Vec<ToldFlag>,
    upstream: ToldUpstream,
    response: ToldResponse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldFlag {
    flag: String,
    variant: String,
    reason: String,
    exposure: Option<u32>,
    missed_draw: bool,
}

#[derive(Debug, Deserialize)]
struct ToldUpstream {
    set: BTreeMap<String, String>,
    removed: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldResponse {
    reply: Option<u16>,
    set_cookie: Option<String>,
    inspection: Option<String>,
}

/// What became of a request, in one form for both sides.
#[derive(Debug, PartialEq, Eq)]
struct Became {
    /// Flags with variants, reasons and draws, as inspection has them; nothing where the request does not ask.
    decided: Option<String>,
    /// The status, where the proxy answers itself.
    reply: Option<u16>,
    cookie: Option<String>,
    /// The version that answers, and the headers that reach it, sorted.
    upstream: Option<(String, Vec<(String, String)>)>,
}

impl Became {
    /// What the one has and the other has not, piece by piece.
    fn unlike(&self, explained: &Self) -> String {
        let (envoy, explain) = (self.pieces(), explained.pieces());
        let only = |who: &'static str, own: &[String], other: &[String]| -> Vec<String> {
            own.iter().filter(|piece| !other.contains(piece)).map(|piece| format!("  only {who}: {piece}")).collect()
        };
        [only("Envoy", &envoy, &explain), only("explain", &explain, &envoy)].concat().join("\n")
    }

    fn pieces(&self) -> Vec<String> {
        let mut pieces = vec![format!("reply {:?}", self.reply), format!("cookie {:?}", self.cookie)];
        pieces.extend(self.decided.iter().flat_map(|all| all.split(", ")).map(|member| format!("decision {member}")));
        if let Some((version, headers)) = &self.upstream {
            pieces.push(format!("upstream {version}"));
            pieces.extend(headers.iter().map(|(name, value)| format!("header {name}: {value}")));
        }
        pieces
    }
}

#[test]
fn explain_says_what_a_real_envoy_does() {
    let sets = claims();
    let sent: Vec<Sent> = (0..REQUESTS).map(|n| Sent::random(n, n % sets.len())).collect();
    let folder = tempfile::tempdir().unwrap();
    let (told, seen) = thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let commands = sets.iter().enumerate().map(|(caller, claims)| ask(folder.path(), &sent, caller, claims));
            let commands: Vec<Child> = commands.collect();
            let each = commands.into_iter().enumerate();
            each.flat_map(|(caller, command)| {
                of_caller(&sent, caller).map(|(n, _)| n).zip(said(command)).collect::<Vec<_>>()
            })
            .collect::<BTreeMap<usize, Told>>()
        });
        let seen = send(&proxy(&sets), &sent);
        (asked.join().unwrap(), seen)
    });
    assert!(told.keys().copied().eq(0..REQUESTS), "explain tells of {} requests", told.len());
    let mut differences: Vec<String> = Vec::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ((sent, seen), told) in sent.iter().zip(&seen).zip(told.values()) {
        let (due, became) = (explained(sent, told), observed(sent, seen));
        if became != due {
            differences.push(format!("{}{}", String::from_utf8_lossy(&sent.bytes()), became.unlike(&due)));
        }
        for flag in &told.flags {
            *reasons.entry(&flag.reason).or_default() += 1;
        }
        for (what, there) in [
            ("(not asked)", due.decided.is_none()),
            ("(answered here)", due.reply.is_some()),
            ("(cookie)", due.cookie.is_some()),
            ("(v2)", due.upstream.is_some_and(|(version, _)| version == "v2")),
            ("(forged)", told.upstream.removed.len() > 1),
        ] {
            *reasons.entry(what).or_default() += usize::from(there);
        }
    }
    let some = differences.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} differ, such as these:\n{some}", differences.len());
    println!("{REQUESTS} requests compared; decisions by reason, and requests by (kind): {reasons:?}");
    for kind in ["static", "default", "no_identity", "targeting_match", "split", "killed"] {
        assert!(reasons.get(kind).is_some_and(|count| *count >= 1_000), "too few are {kind}");
    }
    assert!(reasons.values().all(|count| *count >= 100), "too few of a kind");
}

/// The requests of one caller, with their numbers.
fn of_caller(sent: &[Sent], caller: usize) -> impl Iterator<Item = (usize, &Sent)> {
    sent.iter().enumerate().filter(move |(_, sent)| sent.caller == caller)
}

/// Starts the command on all requests of one caller.
fn ask(folder: &Path, sent: &[Sent], caller: usize, claims: &Value) -> Child {
    let file = folder.join(format!("{caller}.http"));
    let requests: Vec<Vec<u8>> = of_caller(sent, caller).map(|(_, sent)| sent.bytes()).collect();
    fs::write(&file, requests.join(&b"###\n"[..])).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(repository()).args(["explain", CONFIG, "--output", "json", "--request"]).arg(&file);
    command.args(["--claims", &claims.to_string(), "--address", "127.0.0.1:4711", "--proxy", "proxy-1"]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// What the command says, request by request.
fn said(mut command: Child) -> Vec<Told> {
    let lines = BufReader::new(command.stdout.take().unwrap()).lines().map(Result::unwrap);
    let elements = lines.filter(|line| line.starts_with('{'));
    let said = elements.map(|line| serde_json::from_str(line.trim_end_matches(',')).unwrap()).collect();
    assert!(command.wait().unwrap().success());
    said
}

/// An Envoy with this config, which knows callers by the number of their claims and believes their request ids.
fn proxy(sets: &[Value]) -> Envoy {
    let config: Value = serde_saphyr::from_str(&fs::read_to_string(repository().join(CONFIG)).unwrap()).unwrap();
    let tables: Vec<String> = sets.iter().map(lua).collect();
    let script = format!(
        "local sets = {{{}}}
        function envoy_on_request(handle)
          local set = sets[tonumber(handle:headers():get('{CLAIMS}')) + 1]
          handle:headers():remove('{CLAIMS}')
          handle:streamInfo():dynamicMetadata():set('envoy.filters.http.jwt_authn', 'payload', set)
        end",
        tables.join(", ")
    );
    let believe = |bootstrap: &mut Value| {
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let manager = bootstrap.pointer_mut(manager).expect("the ingress comes first");
        manager["preserve_external_request_id"] = json!(true);
    };
    Scene::new(config.to_string()).lua(&script).edit(believe).concurrency(2).start()
}

/// A value as a script writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("[{name:?}] = {}", lua(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(", ")),
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

/// Sends all requests, each connection its part of them, and gives the answers in their order.
fn send(envoy: &Envoy, sent: &[Sent]) -> Vec<Response> {
    let answers = thread::scope(|scope| {
        let parts = (0..CONNECTIONS).map(|part| {
            let own = sent.iter().enumerate().skip(part).step_by(CONNECTIONS);
            scope.spawn(move || {
                let mut client = envoy.client();
                own.map(|(n, sent)| {
                    let answer = client.raw(&sent.on_the_wire(CLAIMS));
                    (n, answer.unwrap_or_else(|error| panic!("{error}: {}", sent.bytes().escape_ascii())))
                })
                .collect::<Vec<_>>()
            })
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect::<BTreeMap<_, _>>()
    });
    answers.into_values().collect()
}

/// What the command says, with what the request brought along.
fn explained(sent: &Sent, told: &Told) -> Became {
    let Told { flags, upstream, response } = told;
    let members = flags.iter().map(|flag| {
        let ToldFlag { flag, variant, reason, exposure, missed_draw } = flag;
        let exposure = exposure.map_or_else(String::new, |exposure| format!(";exposure={exposure}"));
        let missed = if *missed_draw && reason != "no_identity" { ";no_identity" } else { "" };
        format!("{flag}={variant};reason={reason}{exposure}{missed}")
    });
    let kept = sent.arriving().into_iter().filter(|(name, _)| !upstream.removed.contains(name) && !is_envoys(name));
    let mut headers: Vec<_> = kept.chain(upstream.set.clone()).collect();
    headers.sort();
    let version = upstream.set.get("x-upstream-version").filter(|version| *version == "v2");
    Became {
        decided: response.inspection.as_ref().map(|_| members.collect::<Vec<_>>().join(", ")),
        reply: response.reply,
        cookie: response.set_cookie.clone(),
        upstream: response.reply.is_none().then(|| (version.map_or("v1", String::as_str).to_owned(), headers)),
    }
}

/// What Envoy did.
fn observed(sent: &Sent, seen: &Response) -> Became {
    let here = seen.status != 200;
    assert!(
        !here || seen.text() == "Export is paused.",
        "{} {}: {}",
        seen.status,
        seen.text(),
        sent.bytes().escape_ascii()
    );
    let upstream = (!here).then(|| {
        let upstream = seen.upstream();
        let headers = upstream.headers.iter().filter(|(name, _)| !is_envoys(name));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.clone(), shown(value))).collect();
        headers.sort();
        (upstream.version, headers)
    });
    let header = |name: &str| seen.header(name).map(str::to_owned);
    Became { decided: header("x-tidegate"), reply: here.then_some(seen.status), cookie: header("set-cookie"), upstream }
}

/// Whether Envoy writes this header, whatever the filter does.
fn is_envoys(name: &str) -> bool {
    let own = ["x-forwarded-for", "x-forwarded-proto", "content-length"];
    name.starts_with(':') || name.starts_with("x-envoy-") || own.contains(&name)
}
