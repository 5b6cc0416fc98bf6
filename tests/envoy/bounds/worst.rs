//! Configs and requests that cost as much as they can: each is about one thing, as far as a config may take it.

use serde_json::{Map, Value, json};

/// A config, and a request that makes it work.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub config: String,
    pub path: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// How many bytes of headers Envoy takes by default, but for some that it needs itself.
pub const BYTES: usize = 58 * 1024;

fn case(name: &'static str, config: &Value) -> Case {
    Case { name, config: config.to_string(), path: b"/".to_vec(), headers: Vec::new() }
}

impl Case {
    fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn path(mut self, path: impl Into<Vec<u8>>) -> Self {
        self.path = path.into();
        self
    }
}

/// A flag for each number, under keys that say it.
fn flags(part: usize, count: usize, flag: impl Fn(usize) -> Value) -> Value {
    let flags: Map<String, Value> = (0..count.div_ceil(part)).map(|n| (format!("f{n}"), flag(n))).collect();
    json!({"version": 1, "identity": [{"header": "x-user"}], "flags": flags})
}

/// So many flags with so many rules each, whose conditions are numbered through.
fn rules(part: usize, count: usize, each: usize, when: impl Fn(usize) -> Value) -> Value {
    flags(part, count, |flag| {
        let rules: Vec<Value> = (0..each).map(|n| json!({"when": when(flag * each + n), "serve": "on"})).collect();
        json!({"rules": rules})
    })
}

/// A value of 4 KiB in which a search has something to do at each byte.
fn hard() -> Vec<u8> {
    b"a".repeat(4_096)
}

fn token(claims: &str) -> Vec<u8> {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    format!("Bearer {}.{}.s", encode(b"{}"), encode(claims.as_bytes())).into_bytes()
}

/// What is sent whatever the config is: as much as Envoy takes of one kind.
pub fn requests() -> Vec<Case> {
    let cookie = json!({"version": 1, "identity": [{"cookie": "uid"}], "flags": {"f": {"rules": [{"percent": 50, "serve": "on"}]}}});
    let query = json!({"version": 1, "identity": [{"query": "uid"}], "flags": {"f": {"rules": [{"percent": 50, "serve": "on"}]}}});
    let header = json!({"version": 1, "identity": [{"header": "x-user", "lower": true, "trim": true}], "flags": {"f": {"match": {"paths": ["/api"]}, "rules": [{"percent": 50, "serve": "on"}]}}});
    let device = json!({"version": 1, "flags": {"f": {"rules": [{"when": {"device": "bot"}, "serve": "on"}]}}});
    let claims = |name: &str| json!({"version": 1, "flags": {"f": {"rules": [{"when": {"unverifiedClaim": name, "equals": "x"}, "serve": "on"}]}}});
    let baggage = json!({"version": 1, "telemetry": {"baggage": true}, "flags": {"f": {"rules": [{"serve": "on"}]}}});
    let reply = json!({"version": 1, "flags": {"f": {"variants": [{"name": "off", "reply": {"status": 503, "body": "no"}}], "baseline": "off"}}});
    let one = json!({"version": 1, "flags": {"f": {"rules": [{"serve": "on"}]}}});
    let mut cases = vec![
        case("one long header", &header).header("x-user", "A".repeat(BYTES)),
        case("blanks in a header", &header).header("x-user", [b"a", " ".repeat(BYTES).as_bytes()].concat()),
        case("cookies", &cookie).header("cookie", "a=;".repeat(BYTES / 3)),
        case("one cookie again and again", &cookie).header("cookie", "uid=%41;".repeat(BYTES / 8)),
        case("one long cookie", &cookie).header("cookie", format!("uid={}", "%41".repeat(BYTES / 3))),
        case("query parameters", &query).path(format!("/?{}", "a=&".repeat(BYTES / 3))),
        case("escaped query parameters", &query).path(format!("/?{}", "%61=%41&".repeat(BYTES / 8))),
        case("one long query parameter", &query).path(format!("/?uid={}", "%41".repeat(BYTES / 3))),
        case("a long path", &header).path(format!("/{}", "a".repeat(BYTES))),
        case("a path of slashes", &header).path("/".repeat(BYTES)),
        case("a path of ways back", &header).path("/a/..".repeat(BYTES / 5)),
        case("an escaped path", &header).path("/%61".repeat(BYTES / 4)),
        case("a long host", &header).header(":authority", "A.".repeat(BYTES / 2)),
        case("a long method", &header).header(":method", "A".repeat(BYTES)),
        case("a long user agent", &device).header("user-agent", "bo".repeat(BYTES / 2)),
        case("a user agent", &device).header("user-agent", "bo".repeat(2_040)),
        case("baggage", &baggage).header("baggage", "a,".repeat(BYTES / 2)),
        case("baggage that is nearly ours", &baggage).header("baggage", "%74idegate.,".repeat(BYTES / 12)),
        case("accept", &reply).header("accept", "jso".repeat(1_360)),
        case("a token of claims", &claims("b"))
            .header("authorization", token(&format!("{{{}\"b\":1}}", "\"a\":1,".repeat(1_900)))),
        case("a token of fractions", &claims("b"))
            .header("authorization", token(&format!("{{{}\"b\":1}}", "\"\":.1e1,".replace(".1", "0.1").repeat(1_200)))),
        case("a token of lists", &claims("b"))
            .header("authorization", token(&format!("{{\"a\":[{}0],\"b\":1}}", "[0],".repeat(2_900)))),
        case("a token of long fractions", &claims("b"))
            .header("authorization", token(&format!("{{\"a\":[{}0],\"b\":1}}", "0.1234567890123456789,".repeat(530)))),
        case("a token of text", &claims("b"))
            .header("authorization", token(&format!("{{\"a\":\"{}\",\"b\":1}}", "\\u0041".repeat(1_900)))),
        case("a token that is none", &claims("b"))
            .header("authorization", [b"Bearer ", ".".repeat(BYTES).as_bytes()].concat()),
    ];
    let many = |count: usize, name: &dyn Fn(usize) -> String| {
        (0..count).fold(case("", &one), |case, n| case.header(name(n), "x".repeat(BYTES / count - 20)))
    };
    cases.push(Case { name: "100 headers", ..many(100, &|n| format!("x-some-{n}")) });
    cases.push(Case {
        name: "100 forged headers",
        ..many(100, &|n| {
            format!("{}-flag-f", if n % 2 == 0 { "x" } else { "X" }).replace('-', if n % 3 == 0 { "_" } else { "-" })
        })
    });
    cases.push(Case {
        name: "100 headers with long names",
        ..(0..100).fold(case("", &one), |case, n| case.header(format!("x-{}-{n}", "a".repeat(540)), "x"))
    });
    cases
}

/// What a config can ask for, as often as it can, or a part of that.
pub fn configs(part: usize) -> Vec<Case> {
    let long = "a".repeat(900);
    let text = |n: usize, length: usize| format!("{}{n}", "a".repeat(length));
    let lists = |count: usize, each: usize, value: &dyn Fn(usize) -> String| {
        let mut config = flags(part, 1, |_| json!({"rules": [{"serve": "on"}]}));
        let values: Vec<String> = (0..each).map(value).collect();
        for n in 0..count.div_ceil(part) {
            config["segments"][format!("s{n}")] = json!({"header": "x-v", "in": values});
        }
        config
    };
    let networks: Vec<String> = (0..5_000).map(|n| format!("10.{}.{}.0/24", n / 250, n % 250)).collect();
    let mut chain = flags(part, 900, |n| json!({"rules": [{"when": {"segment": format!("s{n}")}, "serve": "on"}]}));
    for n in 0..900_usize.div_ceil(part) {
        let next: Vec<Value> = (1..=8).map(|step| json!({"segment": format!("s{}", n / 16 + step % 2)})).collect();
        let inner = if n % 2 == 0 {
            json!({"header": "x-v", "contains": "ab"})
        } else {
            json!({"all": [{"header": "x-v", "contains": "ab"}, next[0].clone()]})
        };
        chain["segments"][format!("s{n}")] =
            if n % 2 == 0 { inner } else { json!({"any": [{"header": "x-v", "contains": "ba"}]}) };
    }
    let paths =
        |count: usize, path: &dyn Fn(usize) -> String| flags(part, count, |n| json!({"match": {"paths": [path(n)]}}));
    let claims: Vec<Value> = (0..400_usize.div_ceil(part))
        .map(|n| json!({"unverifiedClaim": ["a", format!("c{n}")], "equals": "x"}))
        .collect();
    let claims: Vec<Value> = claims.chunks(100).map(|part| json!({"any": part})).collect();
    let verified = |n: usize| json!({"claim": ["a", format!("c{n}")], "equals": "x"});
    let sources: Vec<Value> =
        (0..16).map(|n| json!({"header": format!("x-id-{n}"), "lower": true, "trim": true})).collect();
    vec![
        case("flags that all match", &flags(part, 1_000, |_| json!({}))),
        case("flags that all draw", &flags(part, 1_000, |_| json!({"rules": [{"percent": 50, "serve": "on"}]}))).header("x-user", long.get(..256).unwrap()),
        case("flags with many headers", &flags(part, 300, |n| {
            let headers: Map<String, Value> = (0..16).map(|h| (format!("x-h-{n}-{h}"), json!("v"))).collect();
            json!({"variants": [{"name": "a", "headers": headers}], "baseline": "a"})
        })),
        case("flags that share headers", &flags(part, 300, |n| {
            let headers: Map<String, Value> = (0..16).map(|h| (format!("x-h-{}-{h}", n / 2), json!("v"))).collect();
            json!({"variants": [{"name": "a", "headers": headers}], "baseline": "a"})
        })),
        case("rules that draw", &flags(part, 200, |_| json!({"rules": vec![json!({"percent": 0.0001, "serve": "on"}); 50]}))).header("x-user", "ana"),
        case("rules with steps", &flags(part, 20, |_| {
            let steps: Vec<Value> = (0..100).map(|n| json!({"at": format!("20{:02}-01-01T00:00:00Z", n), "percent": 0.0001})).collect();
            json!({"rules": vec![json!({"steps": steps, "serve": "on"}); 5]})
        })).header("x-user", "ana"),
        case("equals", &rules(part, 400, 40, |n| json!({"header": "x-v", "equals": n.to_string()}))).header("x-v", "x"),
        case("equals on the path", &rules(part, 400, 40, |n| json!({"path": n.to_string()}))),
        case("equals, long", &rules(part, 10, 50, |n| json!({"header": "x-v", "equals": text(n, 900)}))).header("x-v", "a".repeat(903)),
        case("startsWith, long", &rules(part, 10, 50, |n| json!({"header": "x-v", "startsWith": text(n, 900)}))).header("x-v", hard()),
        case("contains", &rules(part, 100, 90, |_| json!({"header": "x-v", "contains": "ab"}))).header("x-v", hard()),
        case("contains, long", &rules(part, 10, 50, |_| json!({"header": "x-v", "contains": format!("{long}b")}))).header("x-v", hard()),
        case("glob", &rules(part, 100, 80, |_| json!({"header": "x-v", "glob": "*ab*"}))).header("x-v", hard()),
        case("glob of stars", &rules(part, 10, 50, |_| json!({"header": "x-v", "glob": "*a".repeat(450) + "b"}))).header("x-v", hard()),
        case("glob of any", &rules(part, 10, 50, |_| json!({"header": "x-v", "glob": format!("*{}b*", "?".repeat(900))}))).header("x-v", hard()),
        case("number", &rules(part, 100, 90, |n| json!({"header": "x-v", "number": format!("> {}", n + 1)}))).header("x-v", "0.000000000001"),
        case("semver", &rules(part, 100, 90, |n| json!({"header": "x-v", "semver": format!(">{}.0.0", n + 1)}))).header("x-v", format!("1.0.0-{}", "a.".repeat(120) + "b")),
        case("cidr", &{
            let mut config = flags(part, 1, |_| json!({"rules": [{"serve": "on"}]}));
            config["flags"]["f0"]["rules"] = (0..5).map(|n| json!({"when": {"header": format!("x-{n}"), "cidr": networks}, "serve": "on"})).collect();
            config
        }).header("x-0", "1.1.1.1").header("x-1", "1.1.1.1").header("x-2", "1.1.1.1").header("x-3", "1.1.1.1").header("x-4", "1.1.1.1"),
        case("in, many", &{
            let mut config = lists(50, 400, &|n| text(n, 10));
            config["flags"]["f0"]["rules"] = (0..50_usize.div_ceil(part)).map(|n| json!({"when": {"segment": format!("s{n}")}, "serve": "on"})).collect();
            config
        }).header("x-v", text(7_777, 10)),
        case("in, long", &{
            let mut config = lists(5, 100, &|n| text(n, 900));
            config["flags"]["f0"]["rules"] = (0..5_usize.div_ceil(part)).map(|n| json!({"when": {"segment": format!("s{n}")}, "serve": "on"})).collect();
            config
        }).header("x-v", text(7_777, 900)),
        case("segments", &chain).header("x-v", hard()),
        case("a wide condition", &rules(part, 80, 1, |_| json!({"any": vec![json!({"all": vec![json!({"method": "GET"}); 99]}); 3]}))),
        case("claims that are not verified", &json!({"version": 1, "flags": {"f": {"rules": [{"when": {"any": claims}, "serve": "on"}]}}}))
            .header("authorization", token(&format!("{{\"a\":{{{}\"b\":1}}}}", "\"c\":1,".repeat(1_900)))),
        case("claims", &rules(part, 100, 50, verified)),
        case("identities", &flags(part, 300, |n| {
            let mut sources = sources.clone();
            sources.push(json!({"header": format!("x-last-{n}")}));
            json!({"identity": sources.split_off(1), "rules": [{"percent": 50, "serve": "on"}]})
        })).header("x-id-3", "A".repeat(1_000)),
        case("hosts and paths of one flag", &flags(part, 40, |_| {
            let hosts: Vec<String> = (0..100).map(|n| format!("h{n}.shop.example")).collect();
            let paths: Vec<String> = (0..100).map(|n| format!("/{}", text(n, 60))).collect();
            json!({"match": {"hosts": hosts.iter().map(String::as_str).chain(["shop.example"]).skip(1).collect::<Vec<_>>(), "paths": paths}})
        })).path(format!("/{}", "a".repeat(64))),
        case("deep paths", &paths(400, &|n| format!("{}/{n}", "/a".repeat(480)))).path("/a".repeat(500)),
        case("long paths", &paths(400, &|n| format!("/{}", text(n, 900)))).path(format!("/{}", "a".repeat(903))),
        case("deep hosts", &flags(part, 900, |n| json!({"match": {"hosts": [format!("*.{}{n}.x", "a.".repeat(100))]}}))).header(":authority", "a.".repeat(2_000) + "x"),
        case("names that share a place", &{
            let mut config = flags(part, 1, |_| json!({}));
            config["flags"]["f0"]["rules"] = (0..100).map(|n| json!({"when": {"any": (0..90).map(|m| json!({"header": format!("x-{n}-{m}"), "exists": true})).collect::<Vec<_>>()}, "serve": "on"})).collect();
            config
        }),
    ]
}
