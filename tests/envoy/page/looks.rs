//! Looks at the page in a real browser, at three widths, light and dark: all is there, and nothing runs over.
//!
//! Where no Chromium is installed, says so and looks at nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use kit::browser::{Browser, Window};
use kit::envoy::{Envoy, Pushed};
use kit::http::{Client, Request};
use kit::scene::Scene;
use serde_json::{Value, json};

use super::{data, decided, flag, name_listener};

const LIGHT: Window = Window { width: 1_280, height: 900, dark: false, scale: 1 };
const DARK: Window = Window { dark: true, ..LIGHT };
const NARROW: Window = Window { width: 390, height: 844, ..LIGHT };

/// The day so many days from now.
fn day(days: u64) -> String {
    let day = time::OffsetDateTime::from(SystemTime::now() + Duration::from_hours(24 * days));
    day.date().to_string()
}

/// A flag that runs, one whose guard will take it back, one that is killed, and one that should be gone.
fn config(revision: &str) -> String {
    let guard = json!({"errors": {"max": "5%", "overBaseline": "2%"}, "identities": "any"});
    let config = json!({
        "version": 1,
        "revision": revision,
        "identity": [{"header": "x-user-id"}],
        "inspect": {"listener": "page"},
        "flags": {
            "banner": {
                "type": "kill-switch", "owner": "growth", "kill": true, "match": {"paths": ["/api"]},
                "metrics": "counts", "rules": [{"serve": "on"}],
            },
            "checkout": {
                "type": "release", "owner": "payments", "stage": "trusted", "expires": day(30),
                "match": {"paths": ["/api"]}, "route": {"header": "x-upstream-version"},
                "variants": ["v1", "v2"], "baseline": "v1", "guard": guard,
                "rules": [{"when": {"header": "x-employee", "equals": "true"}, "serve": "v2"}, {"percent": 25, "serve": "v2"}],
            },
            "new-nav": {
                "type": "experiment", "owner": "web", "stage": "experimental", "expires": "2024-03-01",
                "match": {"paths": ["/api"]}, "metrics": "counts",
                "rules": [{"serve": "on", "steps": [
                    {"at": "2024-01-01T00:00:00Z", "percent": 10}, {"at": "2024-01-02T00:00:00Z", "percent": 50},
                    {"at": "2099-01-01T00:00:00Z", "percent": 100}]}],
            },
            "search-ranking": {
                "type": "release", "owner": "search", "match": {"paths": ["/search"]}, "guard": guard,
                "variants": ["classic", "learned"], "baseline": "classic", "rules": [{"percent": 50, "serve": "learned"}],
            },
        },
    });
    config.to_string()
}

fn page(envoy: &Envoy) -> Value {
    data(&Client::new(envoy.port("ingress-2")).send(&Request::get("/.tidegate.json")))
}

fn api(user: usize) -> Request {
    Request::get("/api").header("x-user-id", format!("user-{user}"))
}

/// What was counted lately of all variants.
fn lately(flag: &Value) -> u64 {
    flag["variants"].as_array().unwrap().iter().map(|variant| variant["recent"]["decided"].as_u64().unwrap()).sum()
}

/// An Envoy in which all of that has happened.
fn scene() -> Envoy {
    let scene = Scene::new(config("2027-03-01.1")).ingress(2).edit(|bootstrap| name_listener(bootstrap, 1));
    let envoy = scene.concurrency(1).faults().start();
    envoy.poll("counts of the last minute", || page(&envoy)["recent"].as_i64());
    let mut client = envoy.client();
    let mut user = 0;
    for _ in 0..40 {
        client.pipeline((user..user + 60).map(api), |_, _| ());
        // Who gets the new ranking gets nothing.
        let requests =
            (user..user + 20).map(|user| Request::get("/search").header("x-user-id", format!("user-{user}")));
        for request in requests {
            if client.send(&request).upstream().header("x-flag-search-ranking") == Some("learned") {
                client.send(&request.header("x-fail", "1"));
            }
        }
        user += 60;
        if flag(&page(&envoy), "search-ranking")["standing"]["phase"] == "rolled_back" {
            break;
        }
    }
    envoy.poll("the rollback", || {
        let page = page(&envoy);
        let all = decided(flag(&page, "checkout")) == u64::try_from(user).unwrap();
        (all && flag(&page, "search-ranking")["standing"]["phase"] == "rolled_back").then_some(())
    });
    envoy
}

fn open(browser: &mut Browser, envoy: &Envoy, window: Window) {
    let url = format!("http://127.0.0.1:{}/.tidegate", envoy.port("ingress-2"));
    browser.open(&url, window, "document.querySelectorAll('section').length === 5");
}

/// What runs over the window, or over its own cell of a table.
const RUNS_OVER: &str = "[...document.querySelectorAll('body *')].filter(e => \
    e.getBoundingClientRect().right > innerWidth + 0.5 || /^(TD|TH)$/.test(e.tagName) && e.scrollWidth > e.clientWidth + 1\
    ).map(e => e.tagName + ' ' + e.textContent).concat(document.documentElement.scrollWidth > innerWidth ? 'all' : [])";

/// The flags as they are drawn, by key: their text, and what a narrow window says in front of numbers.
const SHOWN: &str = "Object.fromEntries([...document.querySelectorAll('main section')].map(s => \
    [s.querySelector('h2').textContent, s.innerText + ' ' + [...s.querySelectorAll('td + td')].map(e => \
    getComputedStyle(e, '::before').content).join(' ')]))";

#[test]
fn all_is_there_at_any_width_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let envoy = scene();
    let mut grounds = Vec::new();
    for (width, dark) in [390, 768, 1_280].into_iter().flat_map(|width| [(width, false), (width, true)]) {
        open(&mut browser, &envoy, Window { width, dark, ..LIGHT });
        assert_eq!(browser.evaluate("innerWidth"), width);
        assert_eq!(browser.evaluate(RUNS_OVER), json!([]), "at {width}");
        grounds.push((dark, browser.evaluate("getComputedStyle(document.body).backgroundColor")));
        let shown = browser.evaluate(SHOWN);
        for (flag, facts) in [
            ("banner", &["killed", "everybody gets off", "off (baseline)", "kill-switch", "owner growth"][..]),
            ("banner", &["rule 1: killed, 0 % get on"]),
            (
                "checkout",
                &["running", "exposed now: 25 %", "v1 (baseline)", "release", "owner payments", "stage trusted"],
            ),
            ("checkout", &["expires in ", "variant, last ", "share", "per s", "failed", "p50", "p99", "in all", " ms"]),
            (
                "checkout",
                &["rule 1: where its condition holds, 100 % get v2", "rule 2: 25 % get v2", "guard, last 64 s"],
            ),
            ("new-nav", &["experiment", "owner web", "stage experimental", "expired ", " d ago, 2024-03-01"]),
            ("new-nav", &["rule 1: 50 % get on; step 2 of 3, then 100 % at 2099-01-01 00:00:00 UTC"]),
            ("search-ranking", &["rolled back", "everybody gets classic", "classic (baseline)", "owner search"]),
            (
                "search-ranking",
                &["rule 1: rolled back, 0 % get learned", "last event, ", " ago: rolled back, errors of"],
            ),
            ("search-ranking", &["of learned ", "of the baseline ", "evidence ", " bits"]),
        ] {
            let text = shown[flag].as_str().unwrap();
            for fact in facts {
                assert!(text.contains(fact), "{flag} does not say '{fact}' at {width}: {text}");
            }
        }
        let times = "[...document.querySelectorAll('main section')].find(s => s.innerText.startsWith('checkout'))\
                     .innerText.match(/\\d ms/g).length";
        assert_eq!(browser.evaluate(times), 4, "two percentiles of two variants");
    }
    assert!(grounds.iter().all(|(dark, ground)| (*ground == grounds[0].1) != *dark), "{grounds:?}");
}

#[test]
fn the_bar_is_of_the_last_minute() {
    let envoy = scene();
    let before = decided(flag(&page(&envoy), "checkout"));
    // What was counted before a push is not of the new config, which counts on from there.
    assert_eq!(envoy.push(&config("2027-03-01.2")), Pushed::Accepted);
    envoy.poll("counts since the push", || {
        let page = page(&envoy);
        (page["revision"] == "2027-03-01.2" && page["recent"].is_i64()).then_some(())
    });
    let employees = (0..30).map(|user| api(user).header("x-employee", "true"));
    envoy.client().pipeline(employees, |_, _| ());
    let page = envoy.poll("what was sent since", || {
        Some(page(&envoy)).filter(|page| decided(flag(page, "checkout")) == before + 30)
    });
    let checkout = flag(&page, "checkout");
    assert_eq!(lately(checkout), 30);
    assert_eq!(checkout["variants"][1]["recent"], json!({"decided": 30, "answered": 30, "failed": 0}));
    // The verdict holds on, and so does what it was based on.
    let ranking = flag(&page, "search-ranking");
    assert_eq!((&ranking["standing"]["phase"], &ranking["rules"][0]["share"]), (&json!("rolled_back"), &json!(0)));
    let told = page["events"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap();
    assert!(told.starts_with("flag=search-ranking ") && told.contains(" evidence_bits="), "{told}");

    let Some(mut browser) = Browser::start() else { return };
    open(&mut browser, &envoy, LIGHT);
    let bar = "[...document.querySelectorAll('section:nth-child(2) .bar i')].map(i => i.style.width)";
    assert_eq!(browser.evaluate(bar), json!(["0%", "100%"]));
}

/// Draws the pictures of the docs anew: `make pictures`.
#[test]
#[ignore = "writes pictures into docs"]
fn pictures() {
    let mut browser = Browser::start().expect("a browser that draws them");
    let envoy = scene();
    // The page as it is when what has failed is no longer of the last minute.
    for user in (0..3_600).step_by(5) {
        envoy.client().pipeline((user..user + 5).map(api), |_, _| ());
        let search = |user| Request::get("/search").header("x-user-id", format!("user-{user}"));
        envoy.client().pipeline((user..user + 2).map(search), |_, _| ());
        std::thread::sleep(Duration::from_millis(100));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/pictures");
    for (name, window) in [
        ("page-light.png", Window { width: 900, ..LIGHT }),
        ("page-dark.png", Window { width: 900, ..DARK }),
        ("page-narrow.png", NARROW),
    ] {
        open(&mut browser, &envoy, window);
        let height = browser.evaluate("Math.ceil(document.querySelector('main').getBoundingClientRect().bottom) + 12");
        let height = u32::try_from(height.as_u64().unwrap()).unwrap();
        let picture = browser.picture(window.width, height);
        assert!(picture.len() < 150 * 1024, "{name} has {} bytes", picture.len());
        std::fs::write(folder.join(name), picture).unwrap();
    }
}
