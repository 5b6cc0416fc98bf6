//! Turns one run of a real Envoy into a page that shows what Tidegate does: `make demo`.
//!
//! Starts the scene of `envoy/envoy.yaml` on free ports, sends some thousand users through it, and prints what came of
//! it beside what was configured. Each section ends in a claim; a claim that does not hold makes the run fail. Never
//! computes a decision itself: all that it prints, Envoy has answered.
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "shared with the tests")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::print_stderr,
    clippy::return_self_not_must_use,
    clippy::unwrap_used,
    reason = "a driver like the tests, whose harness it shares"
)]

mod page;

use kit::envoy::{ENVOY, Envoy, Pushed};
use kit::http::{Client, Request, Response};
use kit::stage;
use page::{Page, grouped, percent};
use serde_json::Value;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many users are sent through.
const USERS: usize = 5_000;

/// What the headers of one request said: the version that answered, and each flag's variant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    version: String,
    navigation: String,
}

fn main() -> ExitCode {
    let mut page = Page::new();
    let shown = run(&mut page);
    match shown {
        Ok(()) if page.failures() == 0 => ExitCode::SUCCESS,
        // A reader who closes the pipe early has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn run(page: &mut Page) -> io::Result<()> {
    page.title(&format!("Tidegate: one Envoy {ENVOY} with the filter, and two versions of a service behind it"))?;
    let (launch, config) = stage::set();
    let start = Instant::now();
    let envoy = Envoy::launch(launch);
    page.line(&format!("Envoy is up in {} ms.", start.elapsed().as_millis()))?;
    let mut client = envoy.client();

    one_request(page, &mut client)?;
    let before = split(page, &mut client)?;
    again(page, &mut client, &before)?;
    let ramped = ramp(page, &envoy, &mut client, &config, &before)?;
    let user = ramped.iter().position(|answer| answer.version == "v2").unwrap_or_default();
    inspection(page, &mut client, user)?;
    kill(page, &envoy, &mut client, &config, user)?;
    guard(page, &envoy, &mut client, &config)?;

    drop(envoy);
    page.end("Envoy is stopped and its files are gone. `make up` starts it again and leaves it running.")
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

fn one_request(page: &mut Page, client: &mut Client) -> io::Result<()> {
    page.section("One request: what the client sent, what the service got")?;
    let sent = [("x-user-id", "tom"), ("x-flag-checkout", "v2"), ("x-upstream-version", "v2")];
    let request = sent.iter().fold(Request::get("/cart"), |request, (name, value)| request.header(name, value));
    let got = client.send(&request).upstream();
    let forged = |name: &str| name != "x-user-id";
    let mut left = vec!["client".to_owned()];
    left.extend(sent.iter().map(|(name, value)| {
        let note = if forged(name) { "   (forged)" } else { "" };
        format!("{name}: {value}{note}")
    }));
    let told = |name: &str| name.starts_with("x-flag") || name == "x-user-id" || name == "x-upstream-version";
    let mut right = vec![format!("service {}", got.version)];
    right.extend(
        got.headers
            .iter()
            .filter(|(name, _)| told(name))
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))),
    );
    page.columns(&left, &right)?;
    let owned = ["x-flag-checkout", "x-upstream-version"];
    let honest = got.version == "v1" && owned.iter().all(|name| got.all(name) == [b"v1"]);
    page.claim(honest, "the service sees what was decided, and nothing that was forged")
}

/// Sends each user once, in order.
fn ask(client: &mut Client, users: impl Iterator<Item = usize>) -> Vec<Answer> {
    let mut answers = Vec::new();
    let requests = users.map(|user| Request::get("/cart").header("x-user-id", name(user)));
    client.pipeline(requests, |_, response| answers.push(answer(&response)));
    answers
}

fn answer(response: &Response) -> Answer {
    let got = response.upstream();
    let navigation = got.header("x-flag-new-nav").unwrap_or("none").to_owned();
    Answer { version: got.version, navigation }
}

fn split(page: &mut Page, client: &mut Client) -> io::Result<Vec<Answer>> {
    page.section(&format!("The split: {} users, one request each", grouped(USERS)))?;
    let answers = ask(client, 0..USERS);
    let checkout = shares(page, "checkout", &answers, |answer| &answer.version, [("v1", 95), ("v2", 5)])?;
    let navigation = shares(page, "new-nav", &answers, |answer| &answer.navigation, [("off", 50), ("on", 50)])?;
    let fair = checkout && navigation;
    page.claim(fair, "each share is what was configured, within 4 sigma of a fair draw")?;
    Ok(answers)
}

/// Shows how many users each variant of a flag has; whether these are all, and each as many as it should be.
fn shares(
    page: &mut Page,
    flag: &str,
    answers: &[Answer],
    of: fn(&Answer) -> &str,
    due: [(&str, usize); 2],
) -> io::Result<bool> {
    let mut fair = true;
    let mut seen = 0;
    for (variant, share) in due {
        let count = answers.iter().filter(|answer| of(answer) == variant).count();
        page.share(flag, variant, count, answers.len(), share)?;
        fair &= within_four_sigma(count, answers.len(), share);
        seen += count;
    }
    Ok(fair && seen == answers.len())
}

/// Whether a count of `total` draws at `share` percent is one that chance makes: all but one in 16,000.
fn within_four_sigma(count: usize, total: usize, share: usize) -> bool {
    // |count - total * share / 100| <= 4 * sqrt(total * share / 100 * (100 - share) / 100), times 100, squared.
    let off = (count * 100).abs_diff(total * share);
    off * off <= 16 * total * share * (100 - share)
}

fn again(page: &mut Page, client: &mut Client, before: &[Answer]) -> io::Result<()> {
    page.section("The same users, asked again")?;
    let after = ask(client, 0..before.len());
    let same = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    let text = format!("{} of {} users got the same answer", grouped(same), grouped(before.len()));
    page.claim(same == before.len(), &text)
}

fn ramp(
    page: &mut Page,
    envoy: &Envoy,
    client: &mut Client,
    config: &Value,
    before: &[Answer],
) -> io::Result<Vec<Answer>> {
    page.section("The ramp: checkout from 5 % to 25 %, by a push")?;
    let start = Instant::now();
    let pushed = envoy.push(&stage::with_percent(config, 25));
    page.line(&format!("A new configuration, renamed into place; all workers use it after {}.", ms(start.elapsed())))?;
    let after = ask(client, 0..before.len());
    let count = |answers: &[Answer]| answers.iter().filter(|answer| answer.version == "v2").count();
    page.share("checkout", "v2", count(&after), after.len(), 25)?;
    let left = before.iter().zip(&after).filter(|(before, after)| before.version == "v2" && after.version != "v2");
    let (left, had) = (left.count(), count(before));
    let grew = pushed == Pushed::Accepted && within_four_sigma(count(&after), after.len(), 25);
    let (more, had) = (grouped(count(&after).saturating_sub(had)), grouped(had));
    page.claim(grew && left == 0, &format!("{left} of {had} users left v2, {more} joined them"))?;
    Ok(after)
}

fn inspection(page: &mut Page, client: &mut Client, user: usize) -> io::Result<()> {
    page.section("Why: the inspection header")?;
    let request = Request::get("/cart").header("x-user-id", name(user));
    let silent = client.send(&request).header("x-tidegate").is_none();
    let response = client.send(&request.header("x-tidegate-inspect", "1"));
    let told = response.header("x-tidegate").unwrap_or("nothing").to_owned();
    page.line(&format!("x-user-id: {}, x-tidegate-inspect: 1", name(user)))?;
    page.line(&format!("-> x-tidegate: {told}"))?;
    let exposure = told.split([';', ',']).find_map(|part| part.trim().strip_prefix("exposure="));
    let exposure: usize = exposure.and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
    let says = told.starts_with("checkout=v2;reason=split") && exposure < 250_000;
    let place = if says { percent(exposure, 1_000_000) } else { "no place".to_owned() };
    page.claim(
        says && silent,
        &format!("the hash puts this user at {place}, below the 25 %; who does not ask is told nothing"),
    )
}

fn kill(page: &mut Page, envoy: &Envoy, client: &mut Client, config: &Value, user: usize) -> io::Result<()> {
    page.section("The kill: everybody back to v1, by a push")?;
    let request = Request::get("/cart").header("x-user-id", name(user));
    let was = answer(&client.send(&request)).version;
    let start = Instant::now();
    let ticket = envoy.publish(&stage::killed(config));
    let mut before = 0;
    while answer(&client.send(&request)).version != "v1" && start.elapsed() < Duration::from_secs(10) {
        before += 1;
    }
    let took = start.elapsed();
    let pushed = envoy.settle(&ticket);
    page.line(&format!("A user on {was} asks without a pause: v1 answers {} after the rename.", ms(took)))?;
    page.line(&format!("Answers from v2 before it: {before}. Failed requests: 0."))?;
    let back = ask(client, 0..USERS).iter().filter(|answer| answer.version == "v1").count();
    let text = format!("{} of {} users are on v1", grouped(back), grouped(USERS));
    page.claim(pushed == Pushed::Accepted && back == USERS, &text)
}

/// How often a row is shown, and how many requests a row has.
const ROW: Duration = Duration::from_millis(250);
const REQUESTS: u32 = 100;

fn guard(page: &mut Page, envoy: &Envoy, client: &mut Client, config: &Value) -> io::Result<()> {
    page.section("The guard: v2 begins to fail a fifth of its requests, and nobody pushes anything")?;
    let pushed = envoy.push(&stage::with_percent(config, 25));
    let start = Instant::now();
    let at = |rows: u32| format!("{}.{:02} s", rows * 25 / 100, rows * 25 % 100);
    let (mut rows, mut failing, mut back) = (0, None, None);
    let (mut since, mut failed_since) = (0, 0);
    // Four healthy rows, and six behind the rollback.
    while rows < 200 && back.is_none_or(|row| rows < row + 6) {
        if rows == 4 {
            envoy.set_runtime("fail.v2", 20);
            page.line(&format!("{}  v2 begins to fail", at(rows)))?;
            failing = Some(rows);
        }
        let (mut on_v2, mut failed) = (0, 0);
        for n in 0..REQUESTS {
            let due = start + ROW * rows + ROW * n / REQUESTS;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let user = usize::try_from(rows * REQUESTS + n).unwrap_or_default();
            let request = Request::get("/cart").header("x-user-id", name(user)).header("x-tidegate-inspect", "1");
            let response = client.send(&request);
            let told = response.header("x-tidegate").unwrap_or_default();
            on_v2 += usize::from(told.starts_with("checkout=v2"));
            failed += usize::from(response.status != 200);
            if back.is_none() && told.contains("reason=rolled_back") {
                back = Some(rows);
            }
        }
        if back.is_some_and(|row| row < rows) {
            since += REQUESTS;
            failed_since += failed;
        }
        let (good, bad) = ("#".repeat(on_v2.saturating_sub(failed)), "x".repeat(failed));
        let row = format!("{}  v2 answers {on_v2:2} of {REQUESTS}, {failed:2} fail  {good}{bad}", at(rows));
        page.line(row.trim_end())?;
        rows += 1;
    }
    let log = envoy.poll("the event", || {
        let log = envoy.log();
        log.lines().find_map(|line| line.split_once("guard: ")).map(|(_, event)| event.trim().to_owned())
    });
    let (what, evidence) = log.split_once(" variant_rate").unwrap_or((&log, ""));
    page.line(&format!("the log: {what}"))?;
    page.line(&format!("         variant_rate{evidence}"))?;
    let took = back.zip(failing).map_or(0, |(back, failing)| back - failing);
    let holds = pushed == Pushed::Accepted && back.is_some() && since > 0 && failed_since == 0;
    page.claim(
        holds,
        &format!("v2 was taken back within {}; {failed_since} of {since} requests failed since", at(took + 1)),
    )
}

fn ms(time: Duration) -> String {
    format!("{}.{} ms", time.as_millis(), time.subsec_micros() / 100 % 10)
}
