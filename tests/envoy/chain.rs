//! Several instances of the filter in one chain, and requests that come through it twice, in a real Envoy: what an
//! instance wrote stays, what a client wrote goes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as it should be stops its test, with a message"
)]

use kit::envoy::{Door, Envoy, Pushed, library, module};
use kit::http::{Request, Upstream};
use kit::scene::Scene;
use serde_json::{Value, json};

/// Neither of the two is a config of its own: an instance that has nothing else is inert.
const INERT: &str = r#"{"version": 1, "flags": {"shop": {"rules": [{"serve": "nothing"}]}}}"#;

/// A config with one flag that is on, and another for one path only.
fn config(key: &str) -> String {
    let only = format!("{key}-only");
    let mut config = json!({"version": 1, "dictionary": true, "flags": {key: {"rules": [{"serve": "on"}]}}});
    config["flags"][only] = json!({"match": {"paths": ["/only"]}, "rules": [{"serve": "on"}]});
    config.to_string()
}

/// An instance in front of the one that is delivered.
fn instance(name: &str, config: &str) -> Value {
    instance_by(Door::default(), name, config)
}

/// The same, through this door.
fn instance_by(door: Door, name: &str, config: &str) -> Value {
    let configuration = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config});
    if door == Door::Native {
        return json!({"name": name, "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"module": {"local": {"filename": library()}}, "metrics_namespace": "wasmcustom"},
            "filter_name": name,
            "filter_config": configuration,
        }});
    }
    let code = json!({"local": {"filename": module()}});
    json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "root_id": name,
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": code},
            "configuration": configuration,
        },
    }})
}

fn chain(configs: &[String]) -> Envoy {
    let (last, before) = configs.split_last().unwrap();
    let names = ["first", "second", "third"];
    let scene = before
        .iter()
        .zip(names)
        .fold(Scene::new(last.clone()), |scene, (config, name)| scene.filter(instance(name, config)));
    scene.start()
}

/// What comes through for a client that forges all that it can.
fn forged(envoy: &Envoy, owned: &[&str]) -> Upstream {
    let names = ["x-flag-a", "x_flag_a", "x-flag-b", "x-flag-c", "x-flag-a-only", "x-flag-b-only", "x-flags"];
    let forged = names.iter().fold(Request::get("/"), |request, name| request.header(name, "forged"));
    let upstream = envoy.client().send(&forged).upstream();
    let left: Vec<_> = upstream.headers.iter().filter(|(_, value)| value == b"forged").collect();
    assert!(left.iter().all(|(name, _)| !owned.contains(&&**name)), "{left:?}");
    upstream
}

/// The names that one of these configs owns.
fn names_of(configs: &[String]) -> impl Iterator<Item = &'static str> {
    const ALL: [&str; 6] = ["x-flag-a", "x_flag_a", "x-flag-a-only", "x-flag-b", "x-flag-b-only", "x-flags"];
    let owns = |name: &str| {
        let flag = if name.contains("flag-a") || name.contains("flag_a") { "\"a\"" } else { "\"b\"" };
        name == "x-flags" || configs.iter().any(|config| config == INERT || config.contains(flag))
    };
    ALL.into_iter().filter(move |name| owns(name)).collect::<Vec<_>>().into_iter()
}

fn forgeries(envoy: &Envoy) -> u64 {
    envoy.stats("tidegate.forged").values().sum()
}

#[test]
fn what_an_instance_before_wrote_stays() {
    let (a, b) = (config("a"), config("b"));
    let inert = INERT.to_owned();
    for (name, configs, flags, dictionary) in [
        ("good, good", vec![a.clone(), b.clone()], vec!["x-flag-a", "x-flag-b"], Some("a=?1, b=?1")),
        ("good, inert", vec![a.clone(), inert.clone()], vec!["x-flag-a"], Some("a=?1")),
        ("inert, good", vec![inert.clone(), b.clone()], vec!["x-flag-b"], Some("b=?1")),
        ("inert, inert", vec![inert.clone(), inert.clone()], vec![], None),
        (
            "good, good, inert",
            vec![a.clone(), b.clone(), inert.clone()],
            vec!["x-flag-a", "x-flag-b"],
            Some("a=?1, b=?1"),
        ),
        ("good, inert, good", vec![a.clone(), inert, b.clone()], vec!["x-flag-a", "x-flag-b"], Some("a=?1, b=?1")),
    ] {
        let envoy = chain(&configs);
        let plain = envoy.client().send(&Request::get("/")).upstream();
        // What no instance owns is an ordinary header.
        let owned: Vec<&str> = names_of(&configs).collect();
        let forged = forged(&envoy, &owned);
        // Who knows no config does not know which flags there are.
        assert_eq!(forged.header("x-flag-c").is_none(), configs.iter().any(|config| config == INERT), "{name}");
        for upstream in [plain, forged] {
            for flag in ["x-flag-a", "x-flag-b"] {
                let due = flags.contains(&flag).then_some("on");
                assert_eq!(upstream.header(flag), due, "{name}: {flag}");
            }
            assert_eq!(upstream.header("x-flags"), dictionary, "{name}");
        }
        let only = envoy.client().send(&Request::get("/only")).upstream();
        let both: Vec<_> = only.headers.iter().filter(|(name, _)| name.ends_with("-only")).collect();
        assert_eq!(both.len(), flags.len(), "{name}: {both:?}");
    }
}

#[test]
fn what_an_instance_of_another_door_wrote_stays() {
    let other = if Door::default() == Door::Native { Door::Wasm } else { Door::Native };
    let [a, b] = ["a", "b"].map(config);
    let two = Scene::new(b.as_str()).filter(instance_by(other, "first", &a)).start();
    let first = instance_by(Door::default(), "first", &a);
    let three = Scene::new(config("d")).filter(first).filter(instance_by(other, "second", &b)).start();
    for (envoy, flags) in [(two, "a=?1, b=?1"), (three, "a=?1, b=?1, d=?1")] {
        let plain = envoy.client().send(&Request::get("/")).upstream();
        for upstream in [plain, forged(&envoy, &["x-flag-a", "x_flag_a", "x-flag-b", "x-flags"])] {
            assert_eq!([upstream.header("x-flag-a"), upstream.header("x-flag-b")], [Some("on"); 2], "{flags}");
            assert_eq!(upstream.header("x-flags"), Some(flags));
        }
        assert!(!envoy.log().contains("envoy bug"), "{}", envoy.log());
    }
    let envoy = Scene::new(INERT).filter(instance_by(other, "first", &a)).start();
    let upstream = forged(&envoy, &["x-flag-a", "x_flag_a", "x-flag-b", "x-flags"]);
    assert_eq!([upstream.header("x-flag-a"), upstream.header("x-flags")], [Some("on"), Some("a=?1")]);
}

#[test]
fn only_what_a_client_wrote_is_counted() {
    let envoy = chain(&[config("a"), config("b")]);
    for _ in 0..3 {
        envoy.client().send(&Request::get("/"));
    }
    // What is counted reaches Envoy with the next tick: the forgery tells that the others have.
    envoy.client().send(&Request::get("/").header("x-flag-b", "forged"));
    envoy.poll("the forgery", || (forgeries(&envoy) > 0).then_some(()));
    assert_eq!(forgeries(&envoy), 1);
}

/// Sends whoever asks for `/only` to `/new`.
const REDIRECTS: &str = "function envoy_on_request(request)
  if request:headers():get(':path') == '/only' then
    request:respond({[':status'] = '302', ['location'] = 'http://shop.example/new'}, '')
  end
end";

#[test]
fn a_redirect_inside_is_no_forgery_and_leaves_nothing_behind() {
    let mut routes = kit::scene::by_header(&["v1".to_owned(), "v2".to_owned()]);
    for route in routes.as_array_mut().unwrap() {
        route["route"]["internal_redirect_policy"] = json!({"max_internal_redirects": 2});
    }
    let envoy = Scene::new(config("b"))
        .filter(instance("first", &config("a")))
        .routes(routes)
        .edit(|bootstrap| {
            for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
                if listener["name"] == "upstream-v1" {
                    let filters = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
                    filters.as_array_mut().unwrap().insert(
                        0,
                        json!({"name": "redirects", "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                            "default_source_code": {"inline_string": REDIRECTS},
                        }}),
                    );
                }
            }
        })
        .start();
    let response = envoy.client().send(&Request::get("/only"));
    assert_eq!(response.status, 200, "{}", response.text());
    let upstream = response.upstream();
    assert_eq!(upstream.header(":path"), Some("/new"));
    assert_eq!([upstream.header("x-flag-a"), upstream.header("x-flag-b")], [Some("on"); 2]);
    // What was decided for the old path is gone.
    assert_eq!([upstream.header("x-flag-a-only"), upstream.header("x-flag-b-only")], [None; 2]);
    assert_eq!(upstream.header("x-flags"), Some("a=?1, b=?1"));
    envoy.client().send(&Request::get("/").header("x-flag-b", "forged"));
    envoy.poll("the forgery", || (forgeries(&envoy) > 0).then_some(()));
    assert_eq!(forgeries(&envoy), 1);
    // A push changes nothing of that.
    assert_eq!(envoy.push(&config("c")), Pushed::Accepted);
    let upstream = envoy.client().send(&Request::get("/only")).upstream();
    assert_eq!(upstream.header("x-flags"), Some("a=?1, c=?1"));
}
