//! What caches are told, in a real Envoy: answers that a decision has chosen are not given to somebody else.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as it should be stops its test, with a message"
)]

use kit::envoy::{Envoy, Pushed};
use kit::http::{Request, Response};
use kit::scene::Scene;
use serde_json::{Value, json};

/// Answers with the response headers that the request asks for: `x-say-vary: accept` gives `vary: accept`.
const SAYS: &str = "function envoy_on_response(response)
  local said = response:streamInfo():dynamicMetadata():get('envoy.filters.http.lua')
  for name, value in pairs(said or {}) do response:headers():add(name, value) end
end
function envoy_on_request(request)
  for name, value in pairs(request:headers()) do
    local said = string.match(name, '^x%-say%-(.*)')
    if said then request:streamInfo():dynamicMetadata():set('envoy.filters.http.lua', said, value) end
  end
end";

fn config(cache: &str, identity: &Value, more: &Value) -> String {
    let mut config = json!({"version": 1, "identity": identity, "flags": {
        "checkout": {
            "match": {"paths": ["/shop"]},
            "route": {"header": "x-upstream-version"},
            "variants": ["v1", "v2"],
            "baseline": "v1",
            "rules": [{"percent": 50, "serve": "v2"}],
        },
        "nav": {"rules": [{"percent": 50, "serve": "on"}]},
    }});
    if !cache.is_empty() {
        config["cache"] = cache.into();
    }
    for (key, flag) in more.as_object().into_iter().flatten() {
        config["flags"][key] = flag.clone();
    }
    config.to_string()
}

fn user() -> Value {
    json!([{"header": "x-user-id"}])
}

/// An Envoy whose upstreams say of caches what they are asked to say.
fn envoy(config: &str) -> Envoy {
    Scene::new(config)
        .edit(|bootstrap| {
            for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
                let name = listener["name"].as_str().unwrap().to_owned();
                if name.starts_with("upstream") {
                    let filters = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
                    filters.as_array_mut().unwrap().insert(
                        0,
                        json!({"name": "says", "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                            "default_source_code": {"inline_string": SAYS},
                        }}),
                    );
                }
            }
        })
        .start()
}

/// What an answer says of caches: `cache-control`, and all `vary` together.
fn said(response: &Response) -> (String, String) {
    let all = |name: &str| {
        let values: Vec<_> =
            response.all(name).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        values.join(", ")
    };
    (all("cache-control"), all("vary"))
}

#[test]
fn an_answer_that_was_chosen_says_by_what() {
    let envoy = envoy(&config("", &user(), &Value::Null));
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(name, value));
        let (control, vary): (String, String) = said(&envoy.client().send(&request.header("x-user-id", "ana")));
        format!("{control}|{}", vary.replace(' ', ""))
    };
    assert_eq!(ask("/shop", &[]), "|x-user-id");
    assert_eq!(ask("/shop", &[("x-say-cache-control", "max-age=60")]), "max-age=60|x-user-id");
    assert_eq!(ask("/shop", &[("x-say-vary", "accept")]), "|accept,x-user-id");
    assert_eq!(ask("/shop", &[("x-say-vary", "X-User-Id")]), "|X-User-Id");
    assert_eq!(ask("/shop", &[("x-say-vary", "*")]), "|*");
    // What nobody else keeps needs nothing; nor does what no decision has chosen.
    assert_eq!(ask("/shop", &[("x-say-cache-control", "Private, max-age=60")]), "Private, max-age=60|");
    assert_eq!(ask("/shop", &[("x-say-cache-control", "no-store")]), "no-store|");
    // What a directive says of one header, or in a string, is not about the answer.
    for control in [r#"private="x", public"#, r#"no-cache="private", max-age=5"#, r#"x="no-store", public"#] {
        assert_eq!(ask("/shop", &[("x-say-cache-control", control)]), format!("{control}|x-user-id"));
    }
    assert_eq!(ask("/", &[("x-say-cache-control", "max-age=60")]), "max-age=60|");
    let mut post = Request::get("/shop");
    post.method = "POST".to_owned();
    assert_eq!(said(&envoy.client().send(&post)), (String::new(), String::new()));

    for (cache, identity, more, due) in [
        (
            "vary",
            json!([{"cookie": "uid"}, {"generate": {"cookie": "tg"}}]),
            Value::Null,
            "s-maxage=9, max-age=60, public|cookie",
        ),
        (
            "vary",
            json!([{"unverifiedClaim": "sub"}, {"header": "x-b"}, {"query": "q"}]),
            Value::Null,
            "s-maxage=9, max-age=60, public|x-b, authorization",
        ),
        ("vary", json!([{"claim": "sub"}, {"header": "x-b"}]), Value::Null, "private, max-age=60|"),
        ("vary", json!([{"address": true}]), Value::Null, "private, max-age=60|"),
        ("private", user(), Value::Null, "private, max-age=60|"),
        ("none", user(), Value::Null, "s-maxage=9, max-age=60, public|"),
        (
            "vary",
            user(),
            json!({"device": {"route": {"header": "x-pool"}, "rules": [{"when": {"device": "bot"}, "serve": "on"}]}}),
            "s-maxage=9, max-age=60, public|x-user-id, user-agent, sec-ch-ua-mobile",
        ),
    ] {
        assert_eq!(envoy.push(&config(cache, &identity, &more)), Pushed::Accepted);
        let seen = ask("/shop", &[("x-say-cache-control", "s-maxage=9, max-age=60, public")]);
        let parts = |text: &str| {
            let mut parts: Vec<String> = text.split(['|', ',']).map(|part| part.trim().to_owned()).collect();
            parts.sort();
            parts
        };
        assert_eq!(parts(&seen), parts(due), "{cache} {identity} {more}: {seen}");
    }
}

#[test]
fn what_counts_more_than_cache_control_goes_where_the_client_alone_may_keep_it() {
    let envoy = envoy(&config("", &user(), &Value::Null));
    let targeted = ["cdn-cache-control", "surrogate-control"];
    let ask = |path: &str, control: &str| {
        let request = Request::get(path).header("x-user-id", "ana").header("x-say-cache-control", control);
        let said = targeted.iter().fold(request, |request, name| request.header(format!("x-say-{name}"), "max-age=60"));
        let response = envoy.client().send(&said);
        let left = targeted.iter().filter(|name| response.header(name).is_some()).count();
        let (control, vary) = self::said(&response);
        (control, vary, left)
    };
    let due = |control: &str, vary: &str, left| (control.to_owned(), vary.to_owned(), left);
    // Who looks at them looks at `vary`, and not at `private`.
    assert_eq!(ask("/shop", "max-age=5"), due("max-age=5", "x-user-id", 2));
    assert_eq!(ask("/shop", "private"), due("private", "x-user-id", 2));
    for (cache, identity) in
        [("private", user()), ("vary", json!([{"claim": "sub"}])), ("vary", json!([{"address": true}]))]
    {
        assert_eq!(envoy.push(&config(cache, &identity, &Value::Null)), Pushed::Accepted);
        assert_eq!(ask("/shop", "public, max-age=5"), due("private, max-age=5", "", 0));
        assert_eq!(ask("/shop", "private"), due("private", "", 0));
        assert_eq!(ask("/shop", "no-store"), due("no-store", "", 0));
        assert_eq!(ask("/", "public"), due("public", "", 2));
    }
    assert_eq!(envoy.push(&config("none", &user(), &Value::Null)), Pushed::Accepted);
    assert_eq!(ask("/shop", "public"), due("public", "", 2));
}

#[test]
fn an_answer_in_the_upstreams_place_says_it_too() {
    let off = json!({"variants": ["on", {"name": "off", "reply": {"status": 503, "body": "paused"}}], "baseline": "on", "match": {"paths": ["/export"]},
        "rules": [{"when": {"header": "x-plan", "equals": "free"}, "serve": "off"}]});
    let envoy = envoy(&config("", &user(), &json!({"export": off})));
    let ask = |plan: &str| {
        let response = envoy.client().send(&Request::get("/export").header("x-plan", plan));
        (response.status, said(&response).1)
    };
    assert_eq!(ask("free"), (503, "x-plan".to_owned()));
    assert_eq!(ask("gold"), (200, "x-plan".to_owned()));
}
