//! Holds the Istio manifests against all that will read them: the schemas of their kinds, a real Envoy, and each other.
//!
//! Turns each manifest into what Istio makes of it (a filter in a chain, a discovered resource, routes) and sends
//! requests through that. Never repeats a rule of the engine: what is compared is that the files agree.
//! Invariant: a check that finds nothing wrong is shown to find something in a file that was spoilt on purpose.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a manifest that is not as expected stops its test, with a message"
)]

use kit::envoy::{ENVOY, Envoy, FILTER, OLDEST_ENVOY, module, repository};
use kit::http::{Client, Request, Response};
use kit::istio;
use kit::scene::Scene;
use serde_json::{Number, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const ENVOY_FILTER: &str = "components/envoyfilter/envoyfilter.yaml";
const TRAFFIC_EXTENSION: &str = "components/trafficextension/trafficextension.yaml";
const WASM_PLUGIN: &str = "components/wasmplugin/wasmplugin.yaml";
const ROUTES: &str = "base/routes.yaml";
const TELEMETRY: &str = "components/telemetry/telemetry.yaml";
const AUTHENTICATION: &str = "components/authentication/authentication.yaml";
const STRIP: &str = "components/strip/strip.yaml";
const MANIFESTS: [&str; 7] = [ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN, STRIP, ROUTES, TELEMETRY, AUTHENTICATION];

/// Where the routes of a host lead, and what the flag says there.
const HOST: &str = "www.shop.example";
const PATH: &str = "/api/cart";

// === the schemas ===

#[test]
fn every_manifest_is_what_the_schema_of_its_kind_allows() {
    let Some(schemas) = istio::schemas() else { return };
    for file in MANIFESTS {
        for document in manifest(file) {
            let errors = istio::errors(&schemas, &document);
            assert!(errors.is_empty(), "{file}, {}: {errors:#?}", document["kind"]);
        }
    }
}

#[test]
fn every_field_of_a_manifest_is_caught_when_it_is_misspelt() {
    let Some(schemas) = istio::schemas() else { return };
    for document in MANIFESTS.into_iter().flat_map(manifest) {
        let mut fields = Vec::new();
        list_fields(&document, "", &mut fields);
        assert!(fields.len() >= 10, "{} has only {fields:?}", document["kind"]);
        for (parent, field) in fields {
            let mut spoilt = document.clone();
            misspell(&mut spoilt, &parent, &field);
            let errors = istio::errors(&schemas, &spoilt);
            assert!(!errors.is_empty(), "{}: {parent}/{field}x passed", document["kind"]);
        }
    }
}

/// Maps whose keys are the author's own words.
const NAMES: [&str; 4] = ["customTags", "headers", "labels", "matchLabels"];

/// What no schema of Istio describes: Kubernetes checks the first one, Envoy and the filter the others.
const OPAQUE: [&str; 3] = ["metadata", "pluginConfig", "value"];

/// Every field that the schema should know, as its parent's pointer and its name.
fn list_fields(value: &Value, at: &str, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            let named = at.rsplit('/').next().is_some_and(|last| NAMES.contains(&last));
            for (key, inner) in map {
                if !named {
                    fields.push((at.to_owned(), key.clone()));
                }
                if !OPAQUE.contains(&key.as_str()) {
                    list_fields(inner, &format!("{at}/{key}"), fields);
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                list_fields(inner, &format!("{at}/{index}"), fields);
            }
        }
        _ => {}
    }
}

fn misspell(document: &mut Value, parent: &str, field: &str) {
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).expect("the field's parent is a map");
    let value = parent.remove(field).expect("the field is there");
    parent.insert(format!("{field}x"), value);
}

// === the text ===

#[test]
fn every_word_that_kubernetes_would_read_as_something_else_is_quoted() {
    for file in MANIFESTS {
        assert_eq!(bare_words(&text(file)), [""; 0], "{file}");
    }
    // The check itself: what it must find, and what it must leave alone.
    let spoilt =
        "serve: on\nexpires: 2027-03-01 # soon\nnames: [v1, NO]\nequals: \"off\" # no\nurl: oci://on.example/y";
    assert_eq!(bare_words(spoilt), ["on", "2027-03-01", "NO"]);
}

/// YAML 1.1, which Kubernetes reads, has more booleans than YAML 1.2, and it has dates.
fn bare_words(text: &str) -> Vec<&str> {
    const BOOLEANS: [&str; 6] = ["on", "off", "yes", "no", "y", "n"];
    let code = text.lines().filter_map(|line| line.split(" #").next()).filter(|line| !line.starts_with('#'));
    let words = code.flat_map(|line| line.split(|c: char| c.is_whitespace() || "[]{},".contains(c)));
    let date = |word: &str| word.len() >= 8 && word.starts_with("20") && word.contains('-');
    words.filter(|word| BOOLEANS.contains(&word.to_ascii_lowercase().as_str()) || date(word)).collect()
}

#[test]
fn all_forms_of_the_filter_carry_one_configuration() {
    let in_filter: Value = serde_json::from_str(&envoy_filter_config()).expect("the value is JSON");
    assert_eq!(in_filter, document(WASM_PLUGIN, "WasmPlugin")["spec"]["pluginConfig"]);
    assert_eq!(in_filter, document(TRAFFIC_EXTENSION, "TrafficExtension")["spec"]["wasm"]["pluginConfig"]);
}

#[test]
fn what_strips_headers_by_itself_is_what_stands_in_for_the_filter() {
    let alone = document(STRIP, "TrafficExtension");
    let mut place = patch("HTTP_FILTER", "INSERT_BEFORE");
    let script = at(&mut place, "/config_discovery/default_config/default_source_code/inline_string");
    assert_eq!(alone["spec"]["lua"]["inlineCode"], *script);
    let filter = document(TRAFFIC_EXTENSION, "TrafficExtension");
    assert_eq!(alone["spec"]["phase"], filter["spec"]["phase"]);
    assert!(alone["spec"]["priority"].as_u64() > filter["spec"]["priority"].as_u64(), "it comes first");
}

#[test]
fn the_routes_know_the_hosts_the_header_and_the_variants_of_the_flag() {
    let config = document(WASM_PLUGIN, "WasmPlugin")["spec"]["pluginConfig"].take();
    let flag = &config["flags"]["checkout"];
    let service = document(ROUTES, "VirtualService");
    let rule = document(ROUTES, "DestinationRule");
    let service = &service["spec"];

    // In a VirtualService the full name of a service stands for its short ones; a flag compares what callers write.
    let full = text_of(&rule["spec"]["host"]);
    let short: Vec<&str> = full.match_indices('.').map(|(dot, _)| &full[..dot]).collect();
    let known = list(&service["hosts"]).iter().map(text_of);
    let known: BTreeSet<&str> = known.chain(short.into_iter().filter(|name| !name.ends_with("cluster"))).collect();
    assert_eq!(known, list(&flag["match"]["hosts"]).iter().map(text_of).collect());
    let subsets: Vec<_> = list(&rule["spec"]["subsets"]).iter().map(|subset| subset["name"].clone()).collect();
    assert_eq!(Value::from(subsets), flag["variants"]);

    let mut reached = Vec::new();
    for route in list(&service["http"]) {
        let [target] = list(&route["route"]) else { panic!("one destination a route: {route}") };
        assert_eq!(target["destination"]["host"], rule["spec"]["host"]);
        let wanted = match route.get("match").map(list) {
            Some([only]) => &only["headers"][text_of(&flag["route"]["header"])]["exact"],
            None => &flag["baseline"],
            Some(more) => panic!("one match a route: {more:?}"),
        };
        assert_eq!(&target["destination"]["subset"], wanted, "the subset has the name of the variant");
        reached.push(wanted.clone());
    }
    let last = reached.last();
    assert_eq!(last, Some(&flag["baseline"]), "the last route takes whoever is left");
    reached.sort_by_key(Value::to_string);
    assert_eq!(Value::from(reached), flag["variants"], "each variant is reached by one route");
}

// === a real Envoy ===

#[test]
fn the_envoyfilter_takes_people_to_their_version_whatever_they_forge() {
    for version in [ENVOY, OLDEST_ENVOY] {
        let mesh = Mesh::start(version, &resource());
        let mut client = mesh.envoy.client();
        let ana = || Request::get(PATH).host(HOST).header("x-user-id", "ana");
        let drawn = ask(&mut client, &ana());
        let employed = |request: Request| request.header("x-employee", "true");
        for (request, version, checkout) in [
            (ana(), drawn.version.as_str(), drawn.checkout.as_deref()),
            (employed(ana()), "v2", Some("v2")),
            (employed(ana().host("checkout.shop.svc.cluster.local:8080")), "v2", Some("v2")),
            (employed(ana().host("other.example")), "v1", None),
            (employed(Request::get("/about").host(HOST)), "v1", None),
        ] {
            for request in [request.clone(), forge(request)] {
                let seen = ask(&mut client, &request);
                assert_eq!((seen.version.as_str(), seen.checkout.as_deref()), (version, checkout), "{request:?}");
                assert!(matches!(seen.new_nav.as_deref(), Some("on" | "off")), "{seen:?}");
            }
        }
        assert_eq!(mesh.unknown_fields(), 0, "Envoy passes over a field of a patch");
    }
}

#[test]
fn the_wasmplugin_decides_as_the_envoyfilter_does() {
    let plugin = document(WASM_PLUGIN, "WasmPlugin")["spec"].take();
    let pushed = as_struct(&plugin["pluginConfig"]).to_string();
    assert!(pushed.contains("50.0"), "a Struct has no other number than the double: {pushed}");
    let scene = Scene::new(pushed).routes(routes()).plugin_name("istio-ingress.tidegate");
    let by_plugin = scene.failure_policy(text_of(&plugin["failStrategy"])).start();
    let by_filter = Mesh::start(ENVOY, &resource());

    let crowd = crowd(&mut by_filter.envoy.client());
    assert_eq!(crowd, self::crowd(&mut by_plugin.client()));
    // Both could be equally blind: a draw of 5 % of 2,000 has a standard deviation of 9.7, one of 50 % has 22.4.
    let count = |hit: fn(&&Seen) -> bool| crowd.iter().filter(hit).count();
    let (moved, on) = (count(|seen| seen.version == "v2"), count(|seen| seen.new_nav.as_deref() == Some("on")));
    assert!((61..=139).contains(&moved), "{moved} of 2,000 at v2");
    assert!((911..=1089).contains(&on), "{on} of 2,000 have the new navigation");
    assert!(crowd.iter().all(|seen| seen.checkout.as_ref() == Some(&seen.version)), "routes follow the flag");
}

#[test]
fn a_cold_proxy_that_cannot_load_the_filter_serves_the_baseline_and_lets_no_forged_header_pass() {
    let mut broken = resource();
    *at(&mut broken, CODE) = "/nowhere/tidegate.wasm".into();
    let employee = Request::get(PATH).host(HOST).header("x-employee", "true");
    for version in [ENVOY, OLDEST_ENVOY] {
        let mesh = Mesh::start(version, &broken);
        let mut client = mesh.envoy.client();
        for request in [employee.clone(), forge(employee.clone())] {
            let baseline = Seen { version: "v1".to_owned(), checkout: None, new_nav: None };
            assert_eq!(ask(&mut client, &request), baseline, "{request:?}");
        }

        // What an agent sends that could not fetch a module: were it taken, everybody would get a 403.
        let refused = || mesh.envoy.stat("extension_config_discovery.http_filter.tidegate.update_rejected");
        let before = refused();
        mesh.deliver(&json!({"name": FILTER, "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW"},
        }}));
        mesh.envoy.poll("the deny-all filter to be refused", || (refused() > before).then_some(()));
        assert_eq!(ask(&mut client, &employee).version, "v1");

        // Envoy 1.36.4 itself crashes on some machines when a filter follows one that it could not load.
        if version == ENVOY {
            mesh.deliver(&resource());
            mesh.envoy.poll("the filter to come", || (ask(&mut client, &employee).version == "v2").then_some(()));
        }
    }
}

#[test]
fn a_proxy_that_hears_nothing_from_the_mesh_opens_all_the_same() {
    let mut place = patch("HTTP_FILTER", "INSERT_BEFORE");
    let patience = at(&mut place, "/config_discovery/config_source/initial_fetch_timeout");
    assert_eq!(patience.take(), "15s", "0s would be for ever");
    *patience = "0.2s".into(); // nothing else is changed: here the way to istiod is part of the test
    let envoy = Scene::bare().filter(place).routes(routes()).edit(dead_control_plane).start();
    let request = forge(Request::get(PATH).host(HOST).header("x-employee", "true"));
    assert_eq!(ask(&mut envoy.client(), &request).version, "v1");
}

/// A stream to a control plane whose port is closed.
fn dead_control_plane(bootstrap: &mut Value) {
    bootstrap["dynamic_resources"]["ads_config"] = json!({
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "mesh"}}],
    });
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 1}});
    let clusters = at(bootstrap, "/static_resources/clusters").as_array_mut().expect("a list of clusters");
    clusters.push(json!({
        "name": "mesh",
        "typed_extension_protocol_options": {options: {
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
        "load_assignment": {
            "cluster_name": "mesh",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }));
}

#[test]
fn a_field_of_the_filter_that_envoy_does_not_know_is_seen() {
    let mut spoilt = resource();
    misspell(&mut spoilt, "/typed_config/config", "failure_policy");
    assert!(Mesh::start(ENVOY, &spoilt).unknown_fields() > 0);
}

/// Where the second patch names the module.
const CODE: &str = "/typed_config/config/vm_config/code/local/filename";

/// A proxy with the patches of the `EnvoyFilter`, and the routes of the `VirtualService`.
struct Mesh {
    envoy: Envoy,
    files: TempDir,
}

impl Mesh {
    /// Puts the first patch into the chain as it stands, but for the way to istiod, and delivers the resource to it.
    fn start(version: &str, resource: &Value) -> Self {
        let files = tempfile::tempdir().expect("a temporary folder");
        let mut place = patch("HTTP_FILTER", "INSERT_BEFORE");
        let source = at(&mut place, "/config_discovery/config_source").as_object_mut().expect("a source");
        assert_eq!(source.remove("ads"), Some(json!({})), "the proxy asks istiod");
        source.insert("path_config_source".to_owned(), json!({"path": files.path().join(RESOURCE)}));
        deliver(files.path(), resource);
        let envoy = Scene::bare().envoy(version).filter(place).routes(routes()).start();
        Self { envoy, files }
    }

    fn deliver(&self, resource: &Value) {
        deliver(self.files.path(), resource);
    }

    /// Fields that Envoy has met and does not know; it only counts those that come by discovery.
    fn unknown_fields(&self) -> u64 {
        let names = ["server.static_unknown_fields", "server.dynamic_unknown_fields"];
        names.iter().map(|name| self.envoy.stat(name).expect("Envoy counts them")).sum()
    }
}

const RESOURCE: &str = "resource.json";

/// By atomic rename: Envoy never sees half of it.
fn deliver(folder: &Path, resource: &Value) {
    let mut resource = resource.clone();
    resource["@type"] = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".into();
    let (next, file) = (folder.join("next.json"), folder.join(RESOURCE));
    let text = json!({"resources": [resource]}).to_string();
    fs::write(&next, text).and_then(|()| fs::rename(&next, &file)).expect("a file can be replaced");
}

/// The second patch, with the built module in place of the mounted one.
fn resource() -> Value {
    let mut resource = patch("EXTENSION_CONFIG", "ADD");
    *at(&mut resource, CODE) = module().to_str().expect("a path of text").into();
    resource
}

/// The `VirtualService` as Envoy's routes: each subset is the cluster of its version.
fn routes() -> Value {
    let rule = document(ROUTES, "DestinationRule");
    let version = |subset: &Value| {
        let found = list(&rule["spec"]["subsets"]).iter().find(|known| &known["name"] == subset);
        found.expect("the rule has the subset")["labels"]["version"].clone()
    };
    let service = document(ROUTES, "VirtualService");
    let routes = list(&service["spec"]["http"]).iter().map(|route| {
        let wanted = route["match"][0]["headers"].as_object().into_iter().flatten();
        let headers = wanted.map(|(name, value)| json!({"name": name, "string_match": value})).collect::<Value>();
        let cluster = version(&route["route"][0]["destination"]["subset"]);
        json!({"name": route["name"], "match": {"prefix": "/", "headers": headers}, "route": {"cluster": cluster}})
    });
    routes.collect()
}

/// What Istio makes of a `pluginConfig` on its way: all numbers are doubles, all keys in the order of the alphabet.
fn as_struct(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().and_then(Number::from_f64).map(Value::Number).expect("a double"),
        Value::Array(items) => items.iter().map(as_struct).collect(),
        Value::Object(map) => map.iter().map(|(key, inner)| (key.clone(), as_struct(inner))).collect(),
        other => other.clone(),
    }
}

/// What became of a request, as the version that answered has seen it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    version: String,
    checkout: Option<String>,
    new_nav: Option<String>,
}

fn ask(client: &mut Client, request: &Request) -> Seen {
    seen(&client.send(request))
}

#[track_caller]
fn seen(response: &Response) -> Seen {
    let upstream = response.upstream();
    for twin in ["x_upstream_version", "x_flag_checkout", "x-flag_new-nav", "x-flags"] {
        assert_eq!(upstream.header(twin), None, "a forged {twin} has passed");
    }
    let flag = |name| upstream.header(name).map(str::to_owned);
    Seen { checkout: flag("x-flag-checkout"), new_nav: flag("x-flag-new-nav"), version: upstream.version.clone() }
}

/// A request that claims everything which only the filter may say.
fn forge(request: Request) -> Request {
    let names = ["X-Upstream-Version", "x-upstream-version", "x_upstream_version", "X-Flag-Checkout"];
    let names = names.into_iter().chain(["x_flag_checkout", "X-Flag-New-Nav", "x-flag_new-nav"]);
    names.fold(request, |request, name| request.header(name, "v2"))
}

/// Two thousand users, once each.
fn crowd(client: &mut Client) -> Vec<Seen> {
    let mut crowd = Vec::new();
    let users = (0..2000).map(|user| Request::get(PATH).host(HOST).header("x-user-id", format!("user-{user}")));
    client.pipeline(users, |_, response| crowd.push(seen(&response)));
    crowd
}

// === the files ===

fn text(file: &str) -> String {
    let path = repository().join("envoy/istio").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("the text is YAML")
}

fn manifest(file: &str) -> Vec<Value> {
    documents(&text(file))
}

fn document(file: &str, kind: &str) -> Value {
    let found = manifest(file).into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {file}"))
}

/// The value of one patch of the `EnvoyFilter`.
fn patch(place: &str, operation: &str) -> Value {
    let filter = document(ENVOY_FILTER, "EnvoyFilter");
    let mut patches = list(&filter["spec"]["configPatches"]).iter().filter(|patch| patch["applyTo"] == place);
    let (Some(patch), None) = (patches.next(), patches.next()) else { panic!("not one {place}") };
    assert_eq!(patch["patch"]["operation"], operation);
    patch["patch"]["value"].clone()
}

fn envoy_filter_config() -> String {
    let mut resource = patch("EXTENSION_CONFIG", "ADD");
    text_of(at(&mut resource, "/typed_config/config/configuration/value")).to_owned()
}

#[track_caller]
fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}"))
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

#[track_caller]
fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
