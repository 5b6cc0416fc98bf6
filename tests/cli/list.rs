//! Runs `tidegate list` over files, histories and a real Envoy, and looks at its page in a real browser.
//!
//! What is looked at is what people and scripts see. Where no Chromium is installed, says so and looks at no page.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on stops, with a message; how long something takes has to be measured"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kit::browser::{Browser, Window};
use kit::scene::Scene;
use serde_json::{Value, json};
use tempfile::TempDir;

const AT: [&str; 2] = ["--at", "2026-12-01"];

/// What comes of `tidegate list` in a folder: the exit code, the output, the errors.
fn list(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("list").args(args).current_dir(folder).env_remove("TIDEGATE_CONFIG").env_remove("COLUMNS");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn data(folder: &Path, args: &[&str]) -> Value {
    let (_, out, err) = list(folder, &[args, &["--output", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

fn folder(files: &[(&str, Value)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, config) in files {
        fs::write(folder.path().join(name), config.to_string()).unwrap();
    }
    folder
}

fn git(folder: &Path, day: &str, args: &[&str]) {
    let at = format!("{day}T12:00:00Z");
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false"]).args(args);
    let output = git.current_dir(folder).env("GIT_AUTHOR_DATE", &at).env("GIT_COMMITTER_DATE", &at).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_flag_is_as_old_as_it_says_or_as_its_history() {
    let config = |keys: &[&str]| {
        let flags = keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>();
        let mut config = json!({"version": 1, "flags": flags});
        config["flags"]["said"] = json!({"created": "2026-11-30"});
        config.to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    git(path, "2026-10-01", &["init", "-q", "-b", "main"]);
    // What went and came again is as old as its second life.
    for (day, keys) in
        [("2026-10-01", &["old", "back"][..]), ("2026-11-01", &["old"]), ("2026-11-21", &["old", "back"])]
    {
        fs::write(path.join("flags.json"), config(keys)).unwrap();
        git(path, day, &["add", "."]);
        git(path, day, &["commit", "-q", "-m", "Change it"]);
    }
    fs::write(path.join("flags.json"), config(&["old", "back", "new"])).unwrap();
    let ages = |args: &[&str]| {
        let data = data(path, &[args, &AT].concat());
        let flags = data["flags"].as_array().unwrap().clone();
        flags
            .iter()
            .map(|flag| (flag["flag"].clone(), flag["ageDays"].clone(), flag["sinceFrom"].clone()))
            .collect::<Vec<_>>()
    };
    let due = [
        (json!("back"), json!(9), json!("git")),
        (json!("new"), json!(null), json!(null)),
        (json!("old"), json!(60), json!("git")),
        (json!("said"), json!(1), json!("created")),
    ];
    assert_eq!(ages(&["flags.json"]), due);
    let without: Vec<_> = due.iter().filter(|(key, ..)| key != "new").cloned().collect();
    assert_eq!(ages(&["HEAD:flags.json"]), without);
    assert_eq!(ages(&["HEAD~1:flags.json"]).len(), 2);
    assert!(ages(&["flags.json", "--no-history"]).iter().all(|(key, age, _)| age.is_null() || key == "said"));
    // Of a clone without its past nobody knows.
    let url = format!("file://{}", path.display());
    git(path, "2026-11-22", &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let (_, out, _) = list(&path.join("shallow"), &["flags.json", "--at", "2026-12-01", "--output", "json"]);
    let cut: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&cut["flags"][1]["flag"], &cut["flags"][1]["ageDays"]), (&json!("old"), &Value::Null), "{cut:#}");
}

#[test]
fn what_runs_is_told_beside_what_is_written() {
    let config = |percent: u32| {
        json!({"version": 1, "revision": format!("r{percent}"), "identity": [{"header": "x-user-id"}], "flags": {
            "checkout": {"owner": "payments", "description": "New", "expires": "2027-03-01", "variants": ["v1", "v2"],
                "baseline": "v1", "route": {"header": "x-upstream-version"}, "rules": [{"percent": percent, "serve": "v2"}]},
            "ramp": {"rules": [{"serve": "on", "steps": [
                {"at": "2020-01-01T00:00:00Z", "percent": 10}, {"at": "2099-01-01T00:00:00Z", "percent": 100}]}]},
            "banner": {"type": "kill-switch", "kill": true, "rules": [{"serve": "on"}]},
        }})
    };
    let envoy = Scene::new(config(25).to_string()).start();
    let url = format!("http://127.0.0.1:{}", envoy.admin_port());
    let folder = folder(&[("flags.json", config(50))]);
    let all = data(folder.path(), &["flags.json", "--proxy", &url]);
    let kinds: Vec<_> = all["from"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["revision"])).collect();
    assert_eq!(kinds, [(&json!("file"), &json!("r50")), (&json!("proxy"), &json!("r25"))]);
    let flag = |place: usize| &all["flags"][place];
    assert_eq!((&flag(0)["flag"], &flag(0)["standing"]), (&json!("banner"), &json!("killed")));
    let checkout = flag(1);
    assert_eq!(checkout["shares"][1], json!({"variant": "v2", "sharePpm": 250_000}), "what runs: {checkout:#}");
    assert_eq!(checkout["where"], json!(["flags.json", url]));
    let differs = json!([{"field": "share", "values": [
        {"value": "v2 50%", "where": ["flags.json"]}, {"value": "v2 25%", "where": [url]}]}]);
    assert_eq!(checkout["differences"], differs);
    assert_eq!((&flag(2)["shares"][0]["sharePpm"], &flag(2)["differences"]), (&json!(100_000), &json!([])));
    assert_eq!(flag(2)["standing"], "running");

    // Only the proxy; and one that says nothing beside it.
    let (code, out, _) = list(folder.path(), &["--proxy", &url, "--search", "checkout"]);
    assert_eq!(code, 0);
    assert!(out.contains("checkout") && out.contains("New") && out.contains("1 of 3 flags in 1 place"), "{out}");
    let (code, out, _) = list(folder.path(), &["--proxy", &url, "--proxy", "http://127.0.0.1:1"]);
    assert_eq!(code, 1, "a silent proxy is a finding");
    assert!(out.contains("silent http://127.0.0.1:1: connection refused"), "{out}");
}

/// What tries to be more than text.
const EVIL: &str = "</th><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\"> ' \" & @SCRIPT@ --> \u{202e}abc";

/// So many flags, in two files: one config may not have all of them.
fn many() -> TempDir {
    let config = |from: usize| {
        let flags = (from..from + 500).map(|number| {
            let kind = ["release", "experiment", "operational", "kill-switch"][number % 4];
            let flag = json!({
                "type": kind,
                "owner": format!("team-{}", number % 17), "description": format!("What {number} does"),
                "created": "2026-11-01", "expires": if number % 3 == 0 { "2026-01-01" } else { "2027-06-01" },
                "rules": [{"percent": number % 101, "serve": "on"}],
            });
            (format!("flag-{number:04}"), flag)
        });
        json!({"version": 1, "flags": flags.collect::<serde_json::Map<_, _>>()})
    };
    folder(&[("one.json", config(0)), ("two.json", config(500))])
}

#[test]
fn a_thousand_flags_are_listed_at_once() {
    let folder = many();
    let begun = Instant::now();
    let (code, out, err) = list(folder.path(), &["."]);
    let took = begun.elapsed();
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("1,000 flags in 2 places"), "{out}");
    eprintln!("1,000 flags: {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let late = data(folder.path(), &[".", "--type", "release", "--expired", "--owner", "team-0", "--sort", "share"]);
    let shares: Vec<u64> =
        late["flags"].as_array().unwrap().iter().map(|flag| flag["shares"][0]["sharePpm"].as_u64().unwrap()).collect();
    assert!(!shares.is_empty() && shares.is_sorted_by(|one, other| one >= other), "{shares:?}");
    assert_eq!(late["all"], 1_000);
    let none = data(folder.path(), &[".", "--search", "nothing has this"]);
    assert_eq!((&none["flags"], &none["all"]), (&json!([]), &json!(1_000)));

    let Some(mut browser) = Browser::start() else { return };
    open(&mut browser, folder.path(), &["."], WIDE);
    assert_eq!(browser.evaluate("document.querySelectorAll('tbody tr').length"), 1_000);
    let search = "(() => { const begun = performance.now(); words.value = 'does flag-0077 '; words.dispatchEvent(new Event('input')); \
                  return performance.now() - begun })()";
    let millis = browser.evaluate(search).as_f64().unwrap();
    eprintln!("a search among 1,000 flags: {millis} ms");
    assert!(millis < 1_000.0, "{millis} ms");
    assert_eq!(browser.evaluate(SHOWN), json!(["flag-0077"]));
}

const WIDE: Window = Window { width: 1_280, height: 900, dark: false, scale: 1 };

/// The keys that are to be seen, in order.
const SHOWN: &str = "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.querySelector('b').textContent)";

/// What runs over the window, or over its own cell of the table.
const RUNS_OVER: &str = "[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && \
    (e.getBoundingClientRect().right > innerWidth + 0.5 || /^(TD|TH)$/.test(e.tagName) && e.scrollWidth > e.clientWidth + 1)\
    ).map(e => e.tagName + ' ' + e.textContent).concat(document.documentElement.scrollWidth > innerWidth ? 'all' : [])";

/// Writes the page, and opens it as the file that it is.
fn open(browser: &mut Browser, folder: &Path, args: &[&str], window: Window) {
    let (code, out, err) = list(folder, &[args, &AT, &["--html", "flags.html"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let url = format!("file://{}", folder.join("flags.html").display());
    browser.open(&url, window, "document.readyState === 'complete' && document.querySelector('table')");
}

fn shop() -> TempDir {
    let one = json!({"version": 1, "revision": "2026-12-01.1", "identity": [{"header": "x-user-id"}], "flags": {
        "checkout": {"owner": "payments", "stage": "trusted", "description": "The new checkout service",
            "created": "2026-10-01", "expires": "2027-03-01", "variants": ["v1", "v2"], "baseline": "v1",
            "rules": [{"when": {"header": "x-staff", "equals": "1"}, "serve": "v2"}, {"percent": 25, "serve": "v2"}]},
        "banner": {"type": "kill-switch", "owner": "growth", "kill": true, "created": "2026-11-30", "rules": [{"serve": "on"}]},
        "new-nav": {"type": "experiment", "owner": "web", "stage": "experimental", "expires": "2026-11-20",
            "created": "2026-06-01", "description": EVIL, "rules": [{"percent": 50, "serve": "on"}]},
        "long": {"owner": EVIL, "description": "word ".repeat(199), "created": "2026-11-01", "expires": "2026-12-24"},
        "a-key-that-is-as-long-as-a-key-may-be-which-is-64-letters-in-all": {"description": "x".repeat(1_000)},
    }});
    let mut two = one.clone();
    two["flags"]["checkout"]["rules"][1]["percent"] = 10.into();
    folder(&[("one.json", one), ("two.json", two)])
}

#[test]
fn the_page_can_be_searched_and_sorted_at_any_width_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = shop();
    let mut grounds = Vec::new();
    for (width, dark) in [390, 768, 1_280].into_iter().flat_map(|width| [(width, false), (width, true)]) {
        open(&mut browser, folder.path(), &["one.json", "two.json"], Window { width, dark, ..WIDE });
        assert_eq!(browser.evaluate("innerWidth"), width);
        assert_eq!(browser.evaluate(RUNS_OVER), json!([]), "at {width}");
        grounds.push((dark, browser.evaluate("getComputedStyle(document.body).backgroundColor")));
        if let Some(to) = std::env::var_os("TIDEGATE_PICTURES") {
            let height = browser.evaluate("Math.ceil(document.body.getBoundingClientRect().bottom)").as_u64().unwrap();
            let picture = browser.picture(width, u32::try_from(height).unwrap().min(2_600));
            fs::write(
                Path::new(&to).join(format!("list-{width}-{}.png", if dark { "dark" } else { "light" })),
                picture,
            )
            .unwrap();
        }
        let text = browser.evaluate("document.body.innerText");
        for fact in [
            "As of 2026-12-01T00:00:00Z",
            "file one.json, revision 2026-12-01.1",
            "v2 25%, and by 1 condition",
            "killed",
            "over since 2026-11-20",
            "11 days ago",
            "61 days",
            "differs in share: v2 25%, and by 1 condition in one.json; v2 10%, and by 1 condition in two.json",
        ] {
            assert!(text.as_str().unwrap().contains(fact), "'{fact}' is missing at {width}: {text}");
        }
    }
    assert!(grounds.iter().all(|(dark, ground)| (*ground == grounds[0].1) != *dark), "{grounds:?}");

    // It is a table for who hears it, also where it looks like cards.
    let roles = "[document.querySelectorAll('[role=row]').length, document.querySelectorAll('[role=rowheader]').length, \
                 document.querySelectorAll('[role=columnheader]').length, \
                 [...document.querySelectorAll('input, select')].every(e => e.labels.length === 1)]";
    assert_eq!(browser.evaluate(roles), json!([6, 5, 8, true]));
    let tell = |browser: &mut Browser, script: &str| browser.evaluate(&format!("{script}; {SHOWN}"));
    assert_eq!(
        tell(&mut browser, "words.value = 'CHECKOUT service'; words.dispatchEvent(new Event('input'))"),
        json!(["checkout"])
    );
    assert_eq!(browser.evaluate("document.getElementById('count').textContent"), "1 of 5 flags");
    assert_eq!(tell(&mut browser, "words.value = ''; over.click()"), json!(["new-nav"]), "only what is over");
    let owner = "over.click(); const owner = document.querySelector('[data-column=\"3\"]'); owner.value = ''; \
                 owner.selectedIndex = [...owner.options].findIndex(o => o.textContent === 'payments'); \
                 owner.dispatchEvent(new Event('input'))";
    assert_eq!(tell(&mut browser, owner), json!(["checkout"]));
    let click = |name: &str| {
        format!("[...document.querySelectorAll('th button')].find(b => b.textContent === '{name}').click()")
    };
    let again = "owner.selectedIndex = 0; owner.dispatchEvent(new Event('input'))";
    let by_age = tell(&mut browser, &format!("{again}; {}", click("Age")));
    let keys =
        ["banner", "long", "checkout", "new-nav", "a-key-that-is-as-long-as-a-key-may-be-which-is-64-letters-in-all"];
    assert_eq!(by_age, json!(keys));
    let by_age = tell(&mut browser, &click("Age"));
    assert_eq!((&by_age[0], &by_age[4]), (&json!("new-nav"), &json!(keys[4])), "what has no age stays last");
    assert_eq!(browser.evaluate("document.querySelectorAll('[aria-sort=descending]').length"), 1);

    // What a flag says is text, and nothing of it runs or is fetched.
    assert_eq!(browser.evaluate("document.title"), "Flags");
    assert_eq!(browser.evaluate("document.querySelectorAll('img, tbody script, link, iframe').length"), 0);
    assert_eq!(browser.evaluate("performance.getEntriesByType('resource').length"), 0);
    let shown = browser.evaluate("[...document.querySelectorAll('tbody th')].map(e => e.textContent).join()");
    assert!(shown.as_str().unwrap().contains(&EVIL.replace('\u{202e}', "\u{fffd}")), "{shown}");
}

#[test]
fn the_page_of_nothing_is_a_page() {
    let folder = folder(&[("none.json", json!({"version": 1, "flags": {}}))]);
    let (code, page, _) = list(folder.path(), &["none.json", "--html", "-"]);
    assert_eq!(code, 0);
    assert!(page.starts_with("<!doctype html>") && page.contains(">0 flags<"), "{page}");
    assert!(list(folder.path(), &["none.json"]).1.starts_with("0 flags in 1 place"));
    let Some(mut browser) = Browser::start() else { return };
    open(&mut browser, folder.path(), &["none.json"], Window { width: 390, ..WIDE });
    assert_eq!((browser.evaluate(RUNS_OVER), browser.evaluate(SHOWN)), (json!([]), json!([])));
}
