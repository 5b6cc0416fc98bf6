//! Holds what others get to see of a decision to the decision: lines of access logs, spans, and baggage.
//!
//! The logs and the tags are those of the files that people are told to copy. What a real Envoy writes and reports is
//! compared with what the engine in this process decides. Never a word of who asked stands there, nor of a draw.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message"
)]

use std::collections::BTreeMap;
use std::fs;

use kit::collector::Collector;
use kit::envoy::{ENVOY, Envoy, OLDEST_ENVOY, module, repository};
use kit::host::{Exchange, Host, Module};
use kit::http::Request;
use kit::scene::Scene;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decisions, decide};
use tidegate_engine::output::baggage::rewritten;
use tidegate_engine::output::effect::on_stream;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request as Seen;
use tidegate_engine::value::time::Timestamp;

/// One routing flag that draws, one flag that draws, one that is killed, and one that answers itself.
fn config(telemetry: &Value) -> String {
    json!({
        "version": 1, "revision": "2026-12-03.1 \"blue\"", "identity": [{"header": "x-user-id"}], "telemetry": telemetry,
        "flags": {
            "checkout": {
                "match": {"paths": ["/shop"]}, "route": {"header": "x-upstream-version"},
                "variants": ["v1", "v2"], "baseline": "v1",
                "rules": [{"when": {"header": "x-employee", "equals": "true"}, "serve": "v2"}, {"percent": 50, "serve": "v2"}],
            },
            "export": {
                "match": {"paths": ["/export"]}, "kill": true, "baseline": "off",
                "variants": ["on", {"name": "off", "reply": {"status": 503}}],
            },
            "nav": {"match": {"paths": ["/shop", "/nav"]}, "rules": [{"percent": 30, "serve": "on"}]},
            "ranking": {"match": {"paths": ["/shop"]}, "variants": ["1st", "2nd"], "baseline": "1st"},
        },
    })
    .to_string()
}

/// Requests of many kinds: who is drawn and who is not, who is nobody, where few flags are decided and where none.
fn requests() -> Vec<Request> {
    let users = (0..40).map(|n| Request::get("/shop").header("x-user-id", format!("canary-{n}")));
    let others = [
        Request::get("/shop").header("x-employee", "true"),
        Request::get("/shop"),
        Request::get("/nav").header("x-user-id", "canary-nav"),
        Request::get("/export").header("x-user-id", "canary-export"),
        Request::get("/about").header("x-user-id", "canary-about"),
    ];
    users.chain(others).collect()
}

/// What is decided for a request, by the engine in this process.
fn decided<T>(plan: &Plan, request: &Request, look: impl FnOnce(&Decisions<'_>) -> T) -> T {
    let pseudo =
        [(&b":method"[..], request.method.as_bytes()), (b":path", &request.path), (b":authority", &request.host)];
    let named = request.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    let seen = Seen::new(plan.inputs(), pseudo.into_iter().chain(named), std::iter::empty());
    look(&decide(plan, &seen, &Standing::NONE, Timestamp::from_millis(0)))
}

fn plan(config: &str) -> Plan {
    Plan::from_bytes(config.as_bytes()).0.ready().expect("a good config")
}

/// All decisions in words, made without the code that writes them.
fn in_words(decisions: &Decisions<'_>) -> Option<String> {
    let each = decisions.list().iter().map(|decision| {
        let (key, name, reason) = (decision.flag().key(), decision.variant().name().as_str(), decision.reason().code());
        let name = if name.starts_with(char::is_numeric) { format!("\"{name}\"") } else { name.to_owned() };
        let missed = if decision.missed_draw() && reason != "no_identity" { ";no_identity" } else { "" };
        format!("{key}={name};reason={reason}{missed}")
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// The tags that a span has to have of a request.
fn tags_due(decisions: &Decisions<'_>) -> BTreeMap<&'static str, String> {
    let mut due = BTreeMap::from([("feature_flag.set.id", "shop".to_owned())]);
    due.insert("feature_flag.provider.name", "tidegate".to_owned());
    due.extend(in_words(decisions).map(|words| ("tidegate.decisions", words)));
    if let Some(checkout) = decisions.find("checkout") {
        due.insert("feature_flag.key", "checkout".to_owned());
        due.insert("feature_flag.result.variant", checkout.variant().name().to_string());
        due.insert("feature_flag.result.reason", checkout.reason().telemetry().to_owned());
        due.insert("feature_flag.version", "2026-12-03.1 \"blue\"".to_owned());
        due.insert("tidegate.checkout", checkout.variant().name().to_string());
    }
    due
}

fn example(file: &str) -> Value {
    let path = repository().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).expect("the example is YAML")
}

/// A log of an example, which goes into the file that the harness reads.
fn log(example: &Value, place: usize) -> Value {
    let mut log = example["access_log"][place].clone();
    assert_eq!(log["typed_config"]["path"], "/dev/stdout");
    log["typed_config"]["path"] = "access.log".into();
    json!({"access_log": [log]})
}

/// The fields of `mesh.yaml` as Istio makes a log of them.
fn log_of_istio() -> Value {
    let mesh = example("envoy/istio/mesh.yaml");
    let provider = &mesh["meshConfig"]["extensionProviders"][0];
    assert_eq!(provider["name"], "tidegate-log");
    json!({"access_log": [{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": "access.log",
        "log_format": {"json_format": provider["envoyFileAccessLog"]["logFormat"]["labels"]},
    }}]})
}

/// Sends all requests, and gives the lines that were logged of them.
fn lines(envoy: &Envoy) -> Vec<String> {
    let mut client = envoy.client();
    let requests = requests();
    for request in &requests {
        client.send(request);
    }
    envoy.poll("all lines of the log", || Some(envoy.access_log()).filter(|lines| lines.len() == requests.len()))
}

// === access logs ===

#[test]
fn a_line_of_text_ends_with_exactly_the_decisions() {
    let config = config(&json!({"accessLog": true}));
    let plan = plan(&config);
    for version in [ENVOY, OLDEST_ENVOY] {
        let fields = log(&example("envoy/observability/access-log.yaml"), 0);
        let envoy = Scene::new(config.as_str()).envoy(version).fields(fields).start();
        let lines = lines(&envoy);
        assert!(
            lines.iter().any(|line| line.contains("checkout=v1")) && lines.iter().any(|line| line.contains("nav=on"))
        );
        for (line, request) in lines.iter().zip(requests()) {
            let due = decided(&plan, &request, in_words).unwrap_or_else(|| "-".to_owned());
            assert!(line.ends_with(&format!(" \"{due}\"")), "{due}: {line}");
            let path = String::from_utf8_lossy(&request.path);
            assert!(line.contains(&format!("\"GET {path} HTTP/1.1\" ")), "{path}: {line}");
            assert!(!line.contains("canary") && !line.contains("exposure"), "{line}");
        }
    }
}

#[test]
fn the_fields_of_a_json_line_are_exactly_the_decisions_in_envoy_and_in_istio() {
    let config = config(&json!({"accessLog": true, "spans": true}));
    let plan = plan(&config);
    for fields in [log(&example("envoy/observability/access-log.yaml"), 1), log_of_istio()] {
        let envoy = Scene::new(config.as_str()).fields(fields).start();
        for (line, request) in lines(&envoy).iter().zip(requests()) {
            assert!(!line.contains("canary"), "{line}");
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let due = decided(&plan, &request, tags_due);
            assert_eq!(line["decisions"].as_str(), due.get("tidegate.decisions").map(String::as_str), "{line}");
            for name in ["key", "result.variant", "result.reason", "version"].map(|name| format!("feature_flag.{name}"))
            {
                assert_eq!(line[&name].as_str(), due.get(name.as_str()).map(String::as_str), "{name}: {line}");
            }
            assert_eq!(line["path"].as_str().map(str::as_bytes), Some(&*request.path));
            assert_eq!(line["status"], if line["path"] == "/export" { 503 } else { 200 });
        }
    }
}

#[test]
fn a_line_of_the_event_has_the_evaluation_under_the_names_of_opentelemetry() {
    let config = config(&json!({"spans": true}));
    let plan = plan(&config);
    let fields = log(&example("envoy/observability/access-log.yaml"), 2);
    let envoy = Scene::new(config.as_str()).fields(fields).start();
    for (line, request) in lines(&envoy).iter().zip(requests()) {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(line["event.name"], "feature_flag.evaluation");
        let mut due = decided(&plan, &request, tags_due);
        due.retain(|name, _| name.starts_with("feature_flag."));
        let fields = line.as_object().expect("fields").iter().filter(|(name, _)| name.starts_with("feature_flag."));
        let told: BTreeMap<&str, String> =
            fields.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?.to_owned()))).collect();
        assert_eq!(told, due, "{line}");
    }
}

#[test]
fn a_line_keeps_its_size_and_says_how_many_decisions_had_no_room() {
    let flags: Value = (0..300).map(|n| (format!("a-flag-with-a-long-name-{n:03}"), json!({}))).collect();
    let config = json!({"version": 1, "telemetry": {"accessLog": true}, "flags": flags}).to_string();
    let envoy = Scene::new(config).access_log("%FILTER_STATE(wasm.tidegate:PLAIN)%").start();
    envoy.client().send(&Request::get("/"));
    let line = envoy.poll("the line", || envoy.access_log().pop());
    assert!(line.len() <= 4 * 1024 + 16, "{} bytes", line.len());
    let (kept, more) = line.rsplit_once(", *more=").expect("a last member");
    assert_eq!(kept.split(", ").count() + more.parse::<usize>().unwrap(), 300);
}

#[test]
fn nothing_is_kept_unless_it_is_asked_for_and_each_value_costs_one_call() {
    let module = Module::load(module()).unwrap();
    // One call is for the next instance in the chain, which has to know what this one has written.
    for (telemetry, on_shop, on_nav) in [
        (json!({}), 1, 1),
        (json!({"baggage": true}), 1, 1),
        (json!({"accessLog": true}), 2, 2),
        (json!({"spans": true}), 5, 1),
        (json!({"accessLog": true, "spans": true}), 6, 2),
    ] {
        let mut host = Host::new(&module).unwrap();
        assert!(host.configure("tidegate", config(&telemetry).as_bytes()).unwrap());
        for (path, due) in [("/shop", on_shop), ("/nav", on_nav), ("/about", 0)] {
            let calls = |host: &Host| host.calls().get("proxy_set_property").copied().unwrap_or_default();
            let before = calls(&host);
            host.request(&Exchange::get(path)).unwrap();
            assert_eq!(calls(&host) - before, due, "{telemetry} {path}");
        }
    }
}

// === spans ===

/// An Envoy that reports a span of each request, with these tags.
fn traced(version: &str, config: &str, collector: &Collector, tags: &[Value]) -> Envoy {
    let mut tracing = example("envoy/observability/tracing.yaml");
    tracing["tracing"]["custom_tags"] = tags.into();
    let scene = Scene::new(config).envoy(version).fields(tracing).cluster(collector.cluster());
    let envoy = scene.start();
    envoy.set_runtime("tracing.zipkin.min_flush_spans", 1);
    envoy
}

/// The tags of an example, as Envoy has them.
fn tags(example: &Value) -> Vec<Value> {
    example["tracing"]["custom_tags"].as_array().expect("a list of tags").clone()
}

/// The tags of `telemetry.yaml`, as Istio makes tags of Envoy of them.
fn tags_of_istio() -> Vec<Value> {
    let telemetry = example("envoy/istio/components/telemetry/telemetry.yaml");
    let tags = telemetry["spec"]["tracing"][0]["customTags"].as_object().expect("a map of tags");
    let kinds = [("formatter", "value"), ("literal", "literal"), ("header", "request_header")];
    let one = |(tag, how): (&String, &Value)| {
        let (kind, to) = kinds.iter().find(|(kind, _)| how.get(kind).is_some()).expect("a known kind of tag");
        let value = if *kind == "formatter" { &how[kind]["value"] } else { &how[kind] };
        json!({"tag": tag, *to: value})
    };
    tags.iter().map(one).collect()
}

/// Asks, and holds the span of each request to what was decided.
fn check_spans(envoy: &Envoy, plan: &Plan, collector: &Collector, due: impl Fn(&mut BTreeMap<&'static str, String>)) {
    let mut client = envoy.client();
    for request in requests() {
        client.send(&request);
        let span = collector.span();
        let mut tags_due = decided(plan, &request, tags_due);
        due(&mut tags_due);
        let tags = span["tags"].as_object().expect("a span has tags");
        let path = String::from_utf8_lossy(&request.path);
        assert!(tags["http.url"].as_str().is_some_and(|url| url.ends_with(&*path)), "the span of {path}: {span}");
        let ours = tags.iter().filter(|(name, _)| name.starts_with("feature_flag") || name.starts_with("tidegate"));
        let ours: BTreeMap<&str, String> =
            ours.map(|(name, value)| (name.as_str(), value.as_str().expect("text").to_owned())).collect();
        assert_eq!(ours, tags_due, "{span}");
        assert!(!span.to_string().contains("canary"), "{span}");
    }
}

#[test]
fn a_span_has_the_decision_under_the_names_of_opentelemetry() {
    let config = config(&json!({"accessLog": true, "spans": true}));
    let plan = plan(&config);
    for tags in [tags(&example("envoy/observability/tracing.yaml")), tags_of_istio()] {
        let collector = Collector::start();
        let envoy = traced(ENVOY, &config, &collector, &tags);
        check_spans(&envoy, &plan, &collector, |_| {});
    }
}

#[test]
fn a_span_of_the_oldest_envoy_has_what_headers_tell() {
    let config = config(&json!({}));
    let plan = plan(&config);
    let mut tags = tags(&example("envoy/observability/tracing.yaml"));
    tags.retain(|tag| tag.get("value").is_none());
    assert_eq!(tags.len(), 3);
    let collector = Collector::start();
    let envoy = traced(OLDEST_ENVOY, &config, &collector, &tags);
    check_spans(&envoy, &plan, &collector, |due| {
        let kept = ["feature_flag.provider.name", "feature_flag.set.id", "tidegate.checkout"];
        due.retain(|name, _| kept.contains(name));
    });
}

#[test]
fn spans_are_of_the_first_flag_that_routes() {
    let routing = |header: &str| json!({"route": {"header": header}, "variants": ["v1"], "baseline": "v1"});
    let config = json!({"version": 1, "telemetry": {"spans": true}, "flags": {
        "a": {}, "b": routing("x-b"), "c": routing("x-c"), "d": routing("x-b"),
    }});
    let plan = plan(&config.to_string());
    let states = |plan: &Plan| {
        decided(plan, &Request::get("/"), |decisions| {
            on_stream(plan, decisions).into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        })
    };
    // No name of the config, no version.
    assert_eq!(states(&plan), ["tidegate.key: b", "tidegate.variant: v1", "tidegate.reason: static"]);
}

// === baggage ===

const KEYS: [&str; 3] = ["checkout", "nav", "search.new"];

/// Members as clients send them: good ones, forged ones in several spellings, and what is none.
fn member() -> impl Strategy<Value = String> {
    let key = prop::sample::select(KEYS.to_vec());
    let forged = (key, 0..6_usize, "[a-z0-9=;% ]{0,6}").prop_map(|(key, spelling, rest)| match spelling {
        0 => format!("tidegate.{key}={rest}"),
        1 => format!(" tidegate%2e{key} ={rest}"),
        2 => format!("%74idegate.{key};{rest}"),
        3 => format!("TideGate.{key}={rest}"),
        4 => format!("+tidegate.{key}+={rest}"),
        _ => format!("tidegate.{key}"),
    });
    let other =
        "[ \t]{0,2}[a-zA-Z0-9.*_~|!#$&'^`+%-]{1,12}(=[!#-+.-:<-\\[\\]-~]{0,12}(;[a-z]{1,3}(=[a-z]{0,2})?)?)?[ \t]{0,2}";
    let noise = "[ -~\u{80}-\u{ff}]{0,12}";
    let long = (4_000..4_200_usize).prop_map(|size| format!("long={}", "x".repeat(size)));
    prop_oneof![4 => other, 4 => forged, 2 => noise, 1 => "tidegate\\.[a-z]{1,3}=x", 1 => long]
}

fn headers() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let many = prop::collection::vec("[a-z]=1", 170..190);
    let few = prop::collection::vec(member(), 0..6);
    let header = prop_oneof![5 => few, 1 => many].prop_map(|members| members.join(","));
    prop::collection::vec(
        header.prop_map(|header| header.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()),
        0..4,
    )
}

fn members(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// What a reader who decodes, trims and folds as much as any makes of a member's name.
fn name(member: &[u8]) -> String {
    let text: String = member.iter().map(|byte| char::from(*byte)).collect();
    let name = text.split(['=', ';']).next().unwrap();
    let decoded = percent_encoding(name).replace('+', " ");
    decoded.chars().filter(char::is_ascii_graphic).collect::<String>().to_ascii_lowercase()
}

fn percent_encoding(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix('%').and_then(|after| after.get(..2));
        let byte = hex
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(|hex| u8::from_str_radix(hex, 16).unwrap());
        out.push(byte.map_or(c, char::from));
        rest = &rest[if byte.is_some() { 3 } else { c.len_utf8() }..];
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn others_stay_as_they_are_forged_ones_go_and_ours_come_whole_or_not_at_all(
        sent in headers(),
        decided in prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", 0..4),
    ) {
        let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        let owned = |key: &[u8]| KEYS.iter().any(|known| known.as_bytes() == key);
        let after = |sent: &[&[u8]]| rewritten(sent, decided.iter().map(|(key, name)| (*key, name.as_str())), owned);
        let forged = |member: &&[u8]| name(member).strip_prefix("tidegate.").is_some_and(|key| KEYS.contains(&key));
        let all: Vec<&[u8]> = sent.iter().flat_map(|header| members(header)).collect();
        let kept: Vec<&[u8]> = all.iter().copied().filter(|member| !forged(member)).collect();
        let ours: Vec<Vec<u8>> = decided.iter().map(|(key, name)| format!("tidegate.{key}={name}").into_bytes()).collect();

        let whole = kept.iter().copied().chain(ours.iter().map(Vec::as_slice)).collect::<Vec<_>>();
        let fits = whole.join(&b',').len() <= 8_192 && whole.len() <= 180;
        let due = if fits { whole } else { kept.clone() };
        match after(&sent) {
            None => prop_assert!(kept.len() == all.len() && (ours.is_empty() || !fits)),
            Some(bytes) => {
                prop_assert_eq!(&bytes, &due.join(&b','));
                prop_assert!(kept.len() < all.len() || !ours.is_empty() && fits);
                // A second proxy with the same flags changes nothing more, and one that has none of them nothing at all.
                let again = after(&[&bytes]);
                prop_assert!(again.as_ref().is_none_or(|again| *again == bytes));
                prop_assert_eq!(rewritten(&[&bytes], std::iter::empty(), |_| false), None);
            }
        }
    }
}

/// Keys of flags and names of variants need no escapes: every one is a name, and a value, of the standard.
#[test]
fn ours_are_members_of_the_standard() {
    use tidegate_engine::value::name::{FlagKey, VariantName, is_token};
    let octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte);
    for byte in (0..=127_u8).map(char::from) {
        if FlagKey::parse(&format!("a{byte}")).is_ok() {
            assert!(is_token(byte as u8), "{byte:?}");
        }
        if VariantName::parse(&format!("a{byte}")).is_ok() {
            assert!(octet(byte as u8), "{byte:?}");
        }
    }
    assert!("tidegate.".bytes().all(is_token));
}
