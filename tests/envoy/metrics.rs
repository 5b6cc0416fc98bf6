//! The metrics as an operator sees them: on the page for Prometheus of a real Envoy, and by their own names.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test stops where it fails"
)]

use std::process::{Command, Stdio};

use kit::envoy::{Door, Envoy, Pushed};
use kit::http::Request;
use kit::scene::Scene;
use kit::scrape::Scrape;
use serde_json::{Value, json};
use tidegate_proxy::metrics::catalogue::{self, MOST};
use tidegate_proxy::metrics::series::Series;

/// Flags whose names are as odd as names may be.
fn config() -> Value {
    json!({"version": 1, "revision": "2026-11-26.1", "identity": [{"header": "x-user-id"}, {"cookie": "uid"}], "flags": {
        "checkout.v2_new-1": {
            "route": {"header": "x-upstream-version"}, "variants": ["v1", {"name": "V_2.x", "value": "v2"}],
            "baseline": "v1", "rules": [
                {"when": {"header": "x-employee", "equals": "true"}, "serve": "V_2.x"},
                {"percent": 50, "serve": "V_2.x"}],
            "guard": {"errors": {"max": "90%"}}},
        "new-nav": {"metrics": "counts", "rules": [
            {"steps": [{"at": "2020-01-01T00:00:00Z", "percent": 10}, {"at": "2020-02-01T00:00:00Z", "percent": 25},
                       {"at": "2120-01-01T00:00:00Z", "percent": 100}], "serve": "on"}]},
        "quiet": {"metrics": "none", "rules": [{"serve": "on"}]},
        "off-duty": {"metrics": "counts", "kill": true, "rules": [{"serve": "on"}]},
        "plain": {"rules": [{"serve": "on"}]},
    }})
}

/// Waits until as many decisions for a flag can be seen.
fn seen(envoy: &Envoy, family: &str, flag: &str, count: u64) -> Scrape {
    envoy.poll(&format!("{count} in {family}"), || {
        let scrape = Scrape::of(envoy);
        (scrape.sum(family, &[("flag", flag)]) >= count).then_some(scrape)
    })
}

#[test]
fn every_request_is_counted_once_over_all_workers() {
    const REQUESTS: u64 = 10_000;
    let envoy = Scene::new(config().to_string()).concurrency(2).start();
    // Several connections, so that both workers have some.
    let mut clients: Vec<_> = (0..8).map(|_| envoy.client()).collect();
    let mut expected = [0_u64; 3];
    for (place, client) in clients.iter_mut().enumerate() {
        let requests = (0..REQUESTS / 8).map(|n| {
            let n = n * 8 + place as u64;
            let request = Request::get("/");
            match n % 10 {
                0 => request,
                1 => request.header("cookie", format!("uid=user-{n}")),
                2 => request.header("x-user-id", format!("user-{n}")).header("x-employee", "true"),
                3 => request
                    .header("x-user-id", format!("user-{n}"))
                    .header("X-Flag-New-Nav", "on")
                    .header("x_flag_new-nav", "on"),
                _ => request.header("x-user-id", format!("user-{n}")),
            }
        });
        client.pipeline(requests, |_, response| {
            let version = response.upstream().version;
            expected[usize::from(version == "v2")] += 1;
            expected[2] += 1;
        });
    }
    assert_eq!(expected[2], REQUESTS);

    let checkout = "checkout.v2_new-1";
    let scrape = seen(&envoy, "tidegate_responses_total", checkout, REQUESTS);
    let decided = |labels: &[(&str, &str)]| scrape.sum("tidegate_decisions_total", labels);
    for flag in [checkout, "new-nav", "off-duty"] {
        assert_eq!(decided(&[("flag", flag)]), REQUESTS, "{flag}");
        assert_eq!(scrape.sum("tidegate_responses_total", &[("flag", flag)]), REQUESTS, "{flag}");
        assert_eq!(scrape.sum("tidegate_responses_total", &[("flag", flag), ("class", "2xx")]), REQUESTS, "{flag}");
    }
    assert_eq!(decided(&[("flag", checkout), ("variant", "v1")]), expected[0]);
    assert_eq!(decided(&[("flag", checkout), ("variant", "V_2.x")]), expected[1]);
    assert_eq!(decided(&[("flag", checkout), ("reason", "targeting_match")]), REQUESTS / 10);
    assert_eq!(decided(&[("flag", checkout), ("reason", "no_identity")]), REQUESTS / 10);
    assert_eq!(decided(&[("flag", "off-duty"), ("variant", "off"), ("reason", "killed")]), REQUESTS);
    assert_eq!(decided(&[("flag", "quiet")]), 0);
    assert_eq!(decided(&[("flag", "plain")]), REQUESTS);
    assert_eq!(scrape.sum("tidegate_responses_total", &[("flag", "plain")]), 0, "answers cost a look at each");

    // Envoy shows a histogram some time later than its counters.
    let counts = |flag| {
        envoy.poll("times", || {
            let count = Scrape::of(&envoy).sum("tidegate_latency_milliseconds_count", &[("flag", flag)]);
            (count >= REQUESTS || flag != checkout).then_some(count)
        })
    };
    assert_eq!((counts(checkout), counts("new-nav")), (REQUESTS, 0), "only what routes or is guarded is timed");

    let source = |name| scrape.sum("tidegate_identities_total", &[("source", name)]);
    assert_eq!((source("none"), source("cookie")), (REQUESTS / 10, REQUESTS / 10));
    assert_eq!(source("header"), REQUESTS * 8 / 10);
    assert_eq!(scrape.sum("tidegate_forged_headers_total", &[]), REQUESTS / 10 * 2);
    assert_eq!(scrape.sum("tidegate_errors_total", &[]), 0);

    let gauge = |name, flag, rule| scrape.sum(name, &[("flag", flag), ("rule", rule)]);
    assert_eq!(gauge("tidegate_rule_exposure_ppm", checkout, "2"), 500_000);
    assert_eq!(gauge("tidegate_rule_exposure_ppm", "new-nav", "1"), 250_000);
    assert_eq!(gauge("tidegate_rule_step", "new-nav", "1"), 2);
    assert_eq!(scrape.sum("tidegate_config_info", &[("revision", "2026-11-26.1")]), 1);
    assert_eq!(scrape.sum("tidegate_guard_standing", &[("flag", checkout)]), 0);

    // All that a dashboard groups by is a name of the config, letter for letter.
    assert_eq!(scrape.values("tidegate_decisions_total", "flag"), [checkout, "new-nav", "off-duty", "plain"]);
    assert_eq!(scrape.values("tidegate_decisions_total", "variant"), ["V_2.x", "off", "on", "v1"]);
    assert_eq!(scrape.values("tidegate_latency_milliseconds_count", "variant"), ["V_2.x", "v1"]);
    for one in scrape.0.iter().filter(|one| one.name.starts_with("tidegate")) {
        let known = |metric: &&&catalogue::Metric| {
            let family = metric.family();
            one.name.strip_prefix(&family).is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
        };
        let metric = catalogue::ALL.iter().find(known).unwrap_or_else(|| panic!("{one:?}"));
        // Seven proxies in eight have no groups.
        let tags = metric.tags.iter().filter(|tag| **tag != catalogue::Tag::Group);
        let tags: Vec<&str> = tags.map(|tag| tag.name()).collect();
        let mut labels: Vec<&str> = one.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        labels.retain(|label| *label != "group" || !one.label("group").is_empty());
        labels.sort_by_key(|label| tags.iter().position(|tag| tag == label));
        assert_eq!(labels, tags, "{one:?}");
    }

    // A name says the same without any pattern.
    let stats = envoy.admin_get("/stats?filter=tidegate.decisions");
    let name = match Door::default() {
        Door::Wasm => "tidegate.decisions.flag=.=new-nav;.;variant=.=on;.;reason=.=split;.;total",
        Door::Native => "tidegate.decisions.total.flag.new-nav.variant.on.reason.split",
    };
    assert!(stats.contains(name), "{stats}");
    check_with_promtool(&envoy);
}

/// Prometheus' own opinion of the page, where its tool is there.
fn check_with_promtool(envoy: &Envoy) {
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else {
        eprintln!("SKIPPED: no promtool to check the metrics with");
        return;
    };
    let page = envoy.admin_get("/stats/prometheus");
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    // Envoy writes no help, for any of its metrics; and milliseconds are what its buckets are made for.
    let ours = said.lines().filter(|line| line.starts_with("tidegate"));
    let odd: Vec<&str> =
        ours.filter(|line| !line.contains("no help text") && !line.contains("use base unit \"seconds\"")).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn a_config_that_goes_takes_its_gauges_with_it_and_loses_no_count() {
    let envoy = Scene::new(config().to_string()).start();
    let mut client = envoy.client();
    client.pipeline((0..100).map(|n| Request::get("/").header("x-user-id", n.to_string())), |_, _| {});
    let mut next = config();
    next["revision"] = "next".into();
    next["flags"].as_object_mut().unwrap().remove("new-nav");
    assert_eq!(envoy.push(&next.to_string()), Pushed::Accepted);
    client.pipeline((0..100).map(|n| Request::get("/").header("x-user-id", n.to_string())), |_, _| {});
    let scrape = seen(&envoy, "tidegate_responses_total", "checkout.v2_new-1", 200);
    assert_eq!(scrape.sum("tidegate_decisions_total", &[("flag", "checkout.v2_new-1")]), 200);
    assert_eq!(scrape.sum("tidegate_decisions_total", &[("flag", "new-nav")]), 100);
    assert_eq!(scrape.sum("tidegate_rule_exposure_ppm", &[("flag", "new-nav")]), 0);
    assert_eq!(scrape.sum("tidegate_config_info", &[("revision", "next")]), 1);
    assert_eq!(scrape.sum("tidegate_config_info", &[("revision", "2026-11-26.1")]), 0);
}

#[test]
fn a_config_of_many_flags_makes_no_more_series_than_it_may() {
    let flags: serde_json::Map<String, Value> = (0..400)
        .map(|n| {
            let mut flag = json!({"metrics": "counts", "rules": [{"percent": 50, "serve": "on"}]});
            if n == 399 {
                flag["route"] = json!({"header": "x-upstream-version"});
            }
            (format!("flag-{n:03}"), flag)
        })
        .collect();
    let config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": flags}).to_string();
    let (compiled, problems) = tidegate_proxy::read(config.as_bytes());
    let plan = compiled.ready().unwrap();
    let series = Series::new(&plan);
    let together = series.together(&plan).count();
    let warning = problems.warnings().iter().map(ToString::to_string).find(|warning| warning.contains("series"));
    let due = format!("flags: make more than 2000 series of metrics: {together} of them are counted as one, `other`");
    assert_eq!(warning.as_deref(), Some(&*due));
    assert!(together > 200 && series.count() <= MOST);

    let envoy = Scene::new(config).start();
    let mut client = envoy.client();
    client.pipeline((0..50).map(|n| Request::get("/").header("x-user-id", n.to_string())), |_, _| {});
    let scrape = envoy.poll("all counts", || {
        let scrape = Scrape::of(&envoy);
        (scrape.sum("tidegate_responses_total", &[]) >= 50 * 400).then_some(scrape)
    });
    assert_eq!(scrape.sum("tidegate_decisions_total", &[]), 50 * 400);
    assert_eq!(
        scrape.sum("tidegate_decisions_total", &[("flag", "other"), ("variant", "other")]),
        50 * together as u64
    );
    assert_eq!(scrape.sum("tidegate_decisions_total", &[("flag", "flag-399")]), 50, "what routes comes first");
    assert!(envoy.stats("tidegate").len() <= MOST, "{}", envoy.stats("tidegate").len());
    assert_eq!(scrape.sum("tidegate_config_series", &[]), series.count() as u64);
}

#[test]
fn plugins_of_one_proxy_are_told_apart() {
    let envoy = Scene::new(config().to_string()).plugin_name("edge/1").start();
    envoy.client().send(&Request::get("/"));
    let scrape = seen(&envoy, "tidegate_responses_total", "new-nav", 1);
    let ours = [("plugin", "edge_1")];
    assert_eq!(scrape.sum("tidegate_decisions_total", &ours), 4);
    assert_eq!(scrape.sum("tidegate_config_state", &ours), 1);
}

/// Who asked is in none of what operators see, whatever they ask Envoy for.
#[test]
fn no_identity_and_no_token_is_seen_anywhere() {
    const CANARY: &str = "canary-4711";
    let mut config = config();
    config["identity"] = json!([
        {"unverifiedClaim": "sub"}, {"header": "x-user-id"}, {"cookie": "uid"}, {"query": "user"}
    ]);
    config["inspect"] = json!({"header": "x-tidegate-inspect", "equals": "the-word", "page": true});
    config["dictionary"] = true.into();
    let envoy = Scene::new(config.to_string()).log_levels("info", "trace").concurrency(2).start();
    let mut client = envoy.client();
    let token = |payload: &str| {
        let part = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
        format!("Bearer {}.{}.{}", part("{}"), part(payload), part(CANARY))
    };
    let asks = |path: &str| Request::get(path).header("x-tidegate-inspect", "the-word");
    let mut shown = String::new();
    for path in ["/", "/.tidegate", "/.tidegate.json", "/.tidegate/explain"] {
        for request in [
            asks(path).header("authorization", token(&format!(r#"{{"sub": "{CANARY}"}}"#))),
            asks(path).header("authorization", format!("Bearer {CANARY}.{CANARY}.{CANARY}")),
            asks(path).header("x-user-id", CANARY),
            asks(path).header("x-user-id", CANARY).header("x-user-id", CANARY),
            asks(path).header("cookie", format!("uid={CANARY}; broken{CANARY}; x")),
            asks(&format!("{path}?user={CANARY}&x=%{CANARY}")),
            asks(path).header("x-flag-new-nav", CANARY),
        ] {
            let response = client.send(&request);
            let headers = response.headers.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
            shown.extend(headers);
            if path != "/" {
                shown.push_str(&response.text());
            }
        }
    }
    seen(&envoy, "tidegate_responses_total", "new-nav", 7);
    for page in ["/stats", "/stats/prometheus", "/stats?format=json", "/config_dump", "/clusters", "/listeners"] {
        shown.push_str(&envoy.admin_get(page));
    }
    // All that the filter says, at its finest level.
    let ours = envoy
        .log()
        .lines()
        .filter(|line| line.contains("wasm log") || line.contains("[dynamic_modules]"))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(ours.contains("is active"), "{ours}");
    shown.push_str(&ours);
    assert!(
        !shown.contains(CANARY),
        "{}",
        shown.split(CANARY).next().map_or("", |before| &before[before.len().saturating_sub(300)..])
    );
    assert!(!ours.contains("the-word") && !envoy.admin_get("/stats").contains("the-word"));
}

#[test]
fn a_push_begins_no_count_anew() {
    let config = |revision: u64| {
        let mut config = config();
        config["revision"] = revision.to_string().into();
        config.to_string()
    };
    let envoy = Scene::new(config(0)).concurrency(2).start();
    let request = |n: u64| Request::get("/").header("x-user-id", n.to_string()).header("x-flag-plain", "forged");
    for n in 1..=4 {
        envoy.client().pipeline((0..10).map(request), |_, _| {});
        // The counts of a replaced config, too, were seen before Envoy drops it.
        let scrape = seen(&envoy, "tidegate_responses_total", "checkout.v2_new-1", 10 * n);
        for (family, due) in
            [("decisions_total", 40 * n), ("responses_total", 30 * n), ("forged_headers_total", 10 * n)]
        {
            assert_eq!(scrape.sum(&format!("tidegate_{family}"), &[]), due, "{family}");
        }
        assert_eq!(envoy.push(&config(n)), Pushed::Accepted);
    }
}
