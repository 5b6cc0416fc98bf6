//! The filter at an ingress gateway.

use std::time::{Duration, Instant};
use std::{fs, thread};

use kit::envoy::{module, repository};
use kit::http::Client;
use serde_json::{Value, json};

use super::Course;
use super::crowd::{HOST, Load, Seen, ask, baseline, decides, expected, forged, user};
use super::forms::{ENVOY_FILTER, TRAFFIC_EXTENSION, WASM_PLUGIN, config, everybody, overlay, push, rendered};
use crate::cluster::Cluster;
use crate::keys::Key;
use crate::land::{open, poll};
use crate::pod::{Pod, Proxy};

/// Waits until each of many users is at this version.
fn await_all(client: &mut Client, version: &str) {
    poll(&format!("all at {version}"), 60, || {
        (0..20).all(|number| ask(client, &user(number)).version == version).then_some(())
    });
}

fn push_under_load(cluster: &Cluster, gateway: &Proxy, form: &str) -> String {
    let mut client = gateway.client(80);
    let load = Load::start(gateway.address(80));
    thread::sleep(Duration::from_secs(1));
    push(cluster, form, &everybody("under-load"), &[]);
    let begin = Instant::now();
    await_all(&mut client, "v2");
    let after = begin.elapsed();
    thread::sleep(Duration::from_secs(1));
    format!("{}, in force {after:.2?} after kubectl", load.end())
}

/// A config that no proxy takes: the one before it serves on, and istiod says so.
fn bad_config(
    cluster: &Cluster,
    gateway: &Proxy,
    form: &str,
    namespace: &str,
    spoil: impl Fn(&str) -> String,
) -> String {
    let rejects = || cluster.istiod_count("pilot_total_xds_rejects", "type=\"ecds\"");
    let before = rejects();
    let good = rendered(cluster, form, &everybody("bad"), &[]);
    let bad = spoil(&good);
    assert_ne!(good, bad);
    cluster.kube.apply(&bad);
    poll("istiod to count the refusal", 60, || (rejects() > before).then_some(()));
    let mut client = gateway.client(80);
    await_all(&mut client, "v2");
    assert!(cluster.istiod_log().contains("Unable to create Wasm"), "istiod's log: no word of {namespace}");
    let told = metrics(gateway, "tidegate_config_refused");
    assert!(told.len() == 1 && told[0].ends_with(" 1"), "{told:?}");
    format!("the one before it serves, istiod counts pilot_total_xds_rejects{{type=\"ecds\"}}, and {}", told[0])
}

/// The lines of a family, with the names of series that begin so.
fn metrics(proxy: &Proxy, name: &str) -> Vec<String> {
    proxy.metrics().lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

fn away(cluster: &mut Cluster, gateway: &Proxy, form: &str) -> String {
    let mut client = gateway.client(80);
    let load = Load::start(gateway.address(80));
    cluster.stop_istiod();
    thread::sleep(Duration::from_secs(2));
    cluster.start_istiod();
    push(cluster, form, &config(), &[]);
    let due: Vec<Seen> = expected(&config(), HOST);
    poll("the push", 60, || {
        due.iter().enumerate().take(40).all(|(n, due)| ask(&mut client, &user(n)) == *due).then_some(())
    });
    load.end() + ", the next push arrives"
}

/// What the alerts read: that it is there, and by which names.
fn alerts(gateway: &Proxy, plugin: &str, reloads: &str) -> String {
    let label = if plugin == "tidegate" { String::new() } else { format!("plugin=\"{plugin}\"") };
    for family in ["tidegate_config_state", "tidegate_config_refused", "tidegate_decisions_total"] {
        let lines = metrics(gateway, family);
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(&label)), "{family}: {lines:?}");
    }
    let reloads = format!("envoy_wasm_{reloads}_vm_reload_success");
    assert_eq!(metrics(gateway, &reloads).len(), 1, "{:?}", metrics(gateway, "envoy_wasm"));
    let asked = metrics(gateway, "envoy_extension_config_discovery_http_filter");
    let asked: Vec<&String> = asked.iter().filter(|line| line.contains("_update_attempt")).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    format!("{label} {reloads} {}", asked[0].split('{').next().unwrap_or_default())
}

/// The decision of one request, in the log that mesh.yaml and the Telemetry make.
fn logged(gateway: &Proxy) -> String {
    let request = user(7).header("x-request-id", "01234567-89ab-4def-8123-456789abcdef");
    let seen = ask(&mut gateway.client(80), &request);
    let due = format!("\"feature_flag.result.variant\":\"{}\"", seen.version);
    let line = poll("the line", 30, || gateway.log().lines().rev().find(|line| line.contains(&due)).map(str::to_owned));
    assert!(line.contains("\"feature_flag.key\":\"checkout\""), "{line}");
    "a line of JSON with key, variant, reason and version".to_owned()
}

pub(super) fn envoy_filter(course: &mut Course, cluster: &mut Cluster) {
    cluster.kube.apply_overlay("dev");
    let due = expected(&config(), HOST);
    let gateway = Proxy::start(cluster, Pod::gateway(Some(module()))).ready().listening(80);
    course.claim("a gateway", ENVOY_FILTER, || decides(&mut gateway.client(80), HOST, &due));
    course.claim("a push under load", ENVOY_FILTER, || push_under_load(cluster, &gateway, ENVOY_FILTER));
    course.claim("a config with an error", ENVOY_FILTER, || {
        let spoil = |good: &str| good.replace("\"baseline\": \"v1\"", "\"baseline\": \"v9\"");
        bad_config(cluster, &gateway, ENVOY_FILTER, "istio-ingress", spoil)
    });
    push(cluster, ENVOY_FILTER, &everybody("good again"), &[]);
    course.claim("istiod is away, and comes back", ENVOY_FILTER, || away(cluster, &gateway, ENVOY_FILTER));
    course.claim("another module", ENVOY_FILTER, || {
        // A section without a meaning: other bytes that do the same.
        let mut bytes = fs::read(module()).expect("the module is built");
        bytes.extend_from_slice(&[0, 5, 4, b'n', b'e', b'x', b't']);
        let load = Load::start(gateway.address(80));
        let next = gateway.volume.join("next");
        fs::write(&next, bytes).and_then(|()| fs::rename(&next, gateway.volume.join("tidegate.wasm"))).expect("a file");
        let forged = || metrics(&gateway, "tidegate_forged_headers_total").concat();
        assert!(!forged().ends_with(" 0"), "{}", forged());
        push(cluster, ENVOY_FILTER, &everybody("another module"), &[]);
        await_all(&mut gateway.client(80), "v2");
        // A counter that has counted nothing yet may not be there at all.
        poll("the counters to begin anew", 20, || (forged().is_empty() || forged().ends_with(" 0")).then_some(()));
        load.end() + ", in force with the push, counters begin at 0"
    });
    course.claim("alerts", ENVOY_FILTER, || alerts(&gateway, "tidegate", "tidegate"));
    course.claim("telemetry.yaml, mesh.yaml", ENVOY_FILTER, || logged(&gateway));
    course.claim("a config of 400 KB", ENVOY_FILTER, || {
        let mut config = everybody("large");
        let text = "x".repeat(700);
        for n in 0..550 {
            config["flags"][format!("flag-{n}")] =
                json!({"description": text, "rules": [{"percent": 50, "serve": "on"}]});
        }
        let manifest = rendered(cluster, ENVOY_FILTER, &config, &[]);
        let refused =
            cluster.kube.attempt(&["apply", "-f", "-"], &manifest).expect_err("it is too long for an annotation");
        assert!(refused.contains("262144"), "{refused}");
        cluster.kube.apply(&manifest);
        poll("the revision", 60, || {
            metrics(&gateway, "tidegate_config_info")
                .iter()
                .any(|line| line.contains("large") && line.ends_with(" 1"))
                .then_some(())
        });
        format!("{} bytes arrive with --server-side, and are refused without", config.to_string().len())
    });
    drop(gateway);
    cluster.kube.apply_overlay("dev");
    course.claim("a proxy starts without the module", ENVOY_FILTER, || {
        let gateway = Proxy::start(cluster, Pod::gateway(None)).ready().listening(80);
        let told = baseline(&mut gateway.client(80), false);
        told
    });
    course.claim("nothing for the filter comes from istiod", ENVOY_FILTER, || {
        let file = fs::read_to_string(repository().join("envoy/istio/components/envoyfilter/envoyfilter.yaml"))
            .expect("a file");
        let mut manifest: Value = serde_saphyr::from_str(&file).expect("YAML");
        manifest["spec"]["configPatches"].as_array_mut().expect("a list").truncate(1);
        cluster.kube.apply(&manifest.to_string());
        let begin = Instant::now();
        let gateway = Proxy::start(cluster, Pod::gateway(Some(module()))).ready().listening(80);
        let after = begin.elapsed();
        assert!((14..30).contains(&after.as_secs()), "{after:?}");
        baseline(&mut gateway.client(80), false) + &format!(", after {after:.0?}")
    });
    cluster.kube.apply_overlay("dev");
    course.claim("istiod is away while a proxy starts", ENVOY_FILTER, || {
        cluster.stop_istiod();
        let gateway = Proxy::start(cluster, Pod::gateway(Some(module())));
        thread::sleep(Duration::from_secs(20));
        let address = gateway.address(80).to_string();
        assert!(!open(&address), "the port is open");
        cluster.start_istiod();
        poll("the port", 60, || open(&address).then_some(()));
        decides(&mut gateway.client(80), HOST, &due);
        "no port is open, for 20 s; with istiod it is, and all is decided".to_owned()
    });
}

/// For whom a token speaks decides, and what a client says of itself does not.
pub(super) fn authentication(course: &mut Course, cluster: &mut Cluster) {
    let keys = Key::new();
    let due = expected(&config(), HOST);
    cluster.kube.apply_overlay("dev");
    cluster.kube.apply_overlay("prod");
    // The placeholder: an issuer, and its keys.
    let rule = json!([{"op": "replace", "path": "/spec/jwtRules/0/issuer", "value": "https://login.example"},
        {"op": "remove", "path": "/spec/jwtRules/0/jwksUri"},
        {"op": "add", "path": "/spec/jwtRules/0/jwks", "value": keys.jwks()}]);
    let kind = "requestauthentication";
    cluster.kube.run(&["patch", kind, "tidegate", "-n", "istio-ingress", "--type=json", "-p", &rule.to_string()]);
    let gateway = Proxy::start(cluster, Pod::gateway(Some(module()))).ready().listening(80);
    let mut client = gateway.client(80);
    let token = |n: usize, employee: bool| {
        let claims = json!({"iss": "https://login.example", "sub": format!("user-{n}"), "exp": 4_000_000_000_u64,
            "employee": if employee { "true" } else { "false" }});
        format!("Bearer {}", keys.token(&claims))
    };
    course.claim("a verified token", ENVOY_FILTER, || {
        for (n, due) in due.iter().enumerate().take(100) {
            // Another identity, and a forged employee: of no account beside a token.
            let request = user(n + 1000).header("authorization", token(n, false)).header("x-employee", "true");
            assert_eq!(ask(&mut client, &request), *due, "user-{n}");
        }
        let employee = user(1).header("authorization", token(1, true));
        assert_eq!(ask(&mut client, &employee).version, "v2");
        "100 of 100 by `sub`, whatever else they say; employees by their claim".to_owned()
    });
    course.claim("a token that is not good", ENVOY_FILTER, || {
        let other =
            Key::new().token(&json!({"iss": "https://login.example", "sub": "user-1", "exp": 4_000_000_000_u64}));
        let decided = |gateway: &Proxy| metrics(gateway, "tidegate_decisions_total").join("");
        thread::sleep(Duration::from_secs(1));
        let before = decided(&gateway);
        let response = client.send(&user(1).header("authorization", format!("Bearer {other}")));
        assert_eq!(response.status, 401);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(decided(&gateway), before, "it was decided");
        "401, and not decided".to_owned()
    });
    drop(gateway);
    cluster.kube.delete(kind, "istio-ingress");
}

pub(super) fn image(course: &mut Course, cluster: &mut Cluster) {
    cluster.kube.apply_overlay("dev");
    cluster.kube.delete("envoyfilter", "istio-ingress");
    let due = expected(&config(), HOST);
    for (form, plugin) in [
        (TRAFFIC_EXTENSION, "istio-ingress.tidegate"),
        (WASM_PLUGIN, "istio-ingress.tidegate_istio-translated-wasmplugin"),
    ] {
        cluster.kube.apply(&overlay(cluster, "gateway", form));
        let gateway = Proxy::start(cluster, Pod::gateway(None)).ready().listening(80);
        course.claim("a gateway", form, || {
            assert!(gateway.log().contains("fetching image tidegate"), "the agent has fetched nothing");
            decides(&mut gateway.client(80), HOST, &due) + ", the image pinned by its digest"
        });
        course.claim("a push under load", form, || push_under_load(cluster, &gateway, form));
        course.claim("a config with an error", form, || {
            bad_config(cluster, &gateway, form, "istio-ingress", |good| good.replace("baseline: v1", "baseline: v9"))
        });
        push(cluster, form, &everybody("good again"), &[]);
        course.claim("istiod is away, and comes back", form, || away(cluster, &gateway, form));
        course.claim("alerts", form, || alerts(&gateway, plugin, &plugin.replace(['-', '.'], "_")));
        course.claim("telemetry.yaml, mesh.yaml", form, || logged(&gateway));
        cluster.registry.away();
        course.claim("a push of a config while the registry is away", form, || {
            push(cluster, form, &everybody("no registry"), &[]);
            await_all(&mut gateway.client(80), "v2");
            "in force: the agent has the module".to_owned()
        });
        course.claim("a push of a module that cannot be fetched", form, || {
            let other = ["--url", "oci://10.96.0.20/tidegate:0.2.0", "--sha256", &"1".repeat(64)];
            push(cluster, form, &config(), &other);
            poll("the agent to give up", 120, || gateway.log().contains("applying allow RBAC filter").then_some(()));
            thread::sleep(Duration::from_secs(2));
            let told = baseline(&mut gateway.client(80), true);
            assert!(metrics(&gateway, "tidegate_config_state").is_empty(), "its gauges have gone with it");
            assert_eq!(metrics(&gateway, "envoy_wasm_wasm_vm_count{} 0").len(), 1);
            told
        });
        course.claim("the same, with components/strip", form, || {
            let strip = repository().join("envoy/istio/components/strip/strip.yaml");
            cluster.kube.apply(&fs::read_to_string(strip).expect("a file"));
            let stripped = || ask(&mut gateway.client(80), &forged(user(1))).version == "v1";
            poll("forged headers to be removed", 60, || stripped().then_some(()));
            let told = baseline(&mut gateway.client(80), false);
            // The filter's own headers come after it, and stay.
            cluster.registry.back();
            push(cluster, form, &config(), &[]);
            poll("the filter", 60, || {
                let seen = gateway.client(80).send(&user(1)).upstream();
                seen.header("x-flag-new-nav").map(drop)
            });
            decides(&mut gateway.client(80), HOST, &due);
            cluster.registry.away();
            cluster.kube.run(&["delete", "trafficextension", "tidegate-strip", "-n", "istio-ingress"]);
            told
        });
        drop(gateway);
        push(cluster, form, &config(), &[]);
        let cold = Proxy::start(cluster, Pod::gateway(None)).ready().listening(80);
        course.claim("a proxy starts without the module", form, || baseline(&mut cold.client(80), true));
        cluster.registry.back();
        course.claim("the registry comes back", form, || {
            thread::sleep(Duration::from_secs(10));
            baseline(&mut cold.client(80), true);
            // An annotation alone is no push, except of a WasmPlugin.
            let mut config = config();
            config["revision"] = "again".into();
            push(cluster, form, &config, &[]);
            poll("the filter", 60, || {
                let seen = cold.client(80).send(&user(1)).upstream();
                seen.header("x-flag-new-nav").map(drop)
            });
            decides(&mut cold.client(80), HOST, &due);
            "nothing for 10 s, in force with the next push".to_owned()
        });
        drop(cold);
        course.claim("the registry says nothing while a proxy starts", form, || {
            cluster.registry.silent();
            let begin = Instant::now();
            let slow = Proxy::start(cluster, Pod::gateway(None)).listening(80);
            let after = begin.elapsed();
            cluster.registry.back();
            assert!((20..60).contains(&after.as_secs()), "{after:?}");
            baseline(&mut slow.client(80), true) + &format!(", the port is closed for {after:.0?}")
        });
        course.claim("a module by file://, and the file is not there", form, || {
            push(cluster, form, &config(), &["--url", "file:///nowhere/tidegate.wasm"]);
            let broken = Proxy::start(cluster, Pod::gateway(None)).ready().listening(80);
            let response = broken.client(80).send(&user(1));
            assert_eq!(response.status, 500);
            "500 for every request".to_owned()
        });
        cluster.kube.delete(&form.to_lowercase(), "istio-ingress");
    }
}
