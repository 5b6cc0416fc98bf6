//! What others are told of the fleet: metrics, and each flag as JSON. Turns what the watcher holds into text; decides
//! nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_analysis::words::time::moment;
use tidegate_engine::config::standing::Phase;
use tidegate_engine::value::time::Timestamp;
use tidegate_judge::flag::{Cause, Event, Flag, STEER};

use super::watcher::{FAILED, Watcher};
use crate::door;

/// All that is told at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Why it is unwell, if it is.
    pub unwell: Option<String>,
    /// Why nothing is seen, if so.
    pub blind: Option<String>,
    /// When proxies were last seen.
    pub last_look: Option<String>,
    /// Seconds between two looks.
    pub every: u64,
    /// In Prometheus' text form.
    pub metrics: String,
    /// Each flag that is judged.
    pub flags: BTreeMap<String, Told>,
    /// The flags that have nothing to judge them by.
    pub unguarded: Vec<String>,
}

/// What is told of a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub phase: Phase,
    /// Why nothing is seen of it, if so.
    pub blind: Option<String>,
    pub json: Value,
}

impl Page {
    #[must_use]
    pub fn new(watcher: &Watcher) -> Self {
        let fleet = watcher.fleet();
        let flags: BTreeMap<String, Told> =
            fleet.flags().iter().map(|flag| (flag.key.clone(), told(watcher, flag))).collect();
        let all = fleet.plan().flags().iter().map(|flag| flag.key().as_str().to_owned());
        let unguarded = all.filter(|key| !flags.contains_key(key)).collect();
        let unwell = watcher.blind().filter(|_| watcher.failed() >= FAILED || watcher.last().is_none());
        Self {
            unwell: unwell.map(str::to_owned),
            blind: watcher.blind().map(str::to_owned),
            last_look: watcher.last().map(moment),
            every: watcher.unit() / 1_000,
            metrics: metrics(watcher),
            flags,
            unguarded,
        }
    }
}

/// Who can be seen to have the flag.
fn proxies(watcher: &Watcher, flag: &Flag) -> usize {
    watcher.fleet().proxies().values().filter(|proxy| proxy.flags.contains_key(&flag.key)).count()
}

fn told(watcher: &Watcher, flag: &Flag) -> Told {
    let proxies = proxies(watcher, flag);
    let none = || (proxies == 0).then(|| "no proxy has metrics of this flag".to_owned());
    let blind = watcher.blind().map(str::to_owned).or_else(none);
    let (mut bits, mut phi) = (0, 1_024);
    let comparisons: Vec<Value> = flag
        .said()
        .map(|(comparison, said)| {
            if said.evidence.tenths() >= bits {
                (bits, phi) = (said.evidence.tenths(), said.phi);
            }
            json!({"rule": comparison.rule, "variant": comparison.variant, "verdict": verdict(&said.verdict),
                "scope": said.scope.to_string(), "bits": number(&tenths(said.evidence.tenths())),
                "phi": number(&parts(said.phi))})
        })
        .collect();
    let steps: BTreeMap<String, u8> = flag.steps().iter().map(|(rule, steps)| (rule.to_string(), *steps)).collect();
    let json = json!({
        "flag": flag.key,
        "generation": format!("{:016x}", flag.generation),
        "phase": flag.phase().name(),
        "judged": flag.is_judged(),
        "running": flag.phase() == Phase::Running && blind.is_none(),
        "since": moment(flag.since()),
        "why": flag.cause().map(why),
        "steps": steps,
        "ready": watcher.fleet().endpoints(&flag.key),
        "bits": number(&tenths(bits)),
        "phi": number(&parts(phi)),
        "comparisons": comparisons,
        "blind": blind,
        "proxies": proxies,
    });
    Told { phase: flag.phase(), blind, json }
}

fn verdict(verdict: &tidegate_proxy::guard::verdict::Verdict) -> &'static str {
    use tidegate_proxy::guard::verdict::Verdict;
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Breached(_) => "breached",
        Verdict::NotEnough => "notEnough",
        Verdict::BothBad(_) => "bothBad",
    }
}

/// Why a flag is where it is, as a standing tells it.
#[must_use]
pub fn why(cause: &Cause) -> String {
    match cause {
        Cause::Breach { variant, rule: _, breach, scope, proxies } => format!(
            "{} {variant} {} over baseline {}, {} bits, {}s, {proxies} proxies, {scope}",
            breach.measure.code(),
            breach.variant.rate(),
            breach.baseline.rate(),
            breach.evidence.tenths() / 10,
            breach.seconds,
        ),
        Cause::Alarmed { proxies, of } => {
            format!("{proxies} of {of} proxies went back by themselves within ten minutes")
        }
        // Its own words, from before it was started anew.
        Cause::Config { why, by } if by == STEER && !why.is_empty() => why.clone(),
        Cause::Config { why, .. } if why.is_empty() => "it stands in the config".to_owned(),
        Cause::Config { why, .. } => format!("it stands in the config: {why}"),
    }
}

/// An event of a flag in one line.
#[must_use]
pub fn event(at: Timestamp, flag: &str, event: &Event) -> String {
    let what = match event {
        Event::Phase { from, to, cause } => format!("{} -> {}: {}", from.name(), to.name(), why(cause)),
        Event::Alert(cause) => format!("alert: {}", why(cause)),
        Event::BothBad { variant, breach } => {
            format!("{variant} and the baseline are both bad ({}): the fault is elsewhere", breach.measure.code())
        }
        Event::Step { rule, steps } => format!("rule {rule} may take step {steps}"),
    };
    format!("{} {flag}: {what}", moment(at))
}

/// Tenths as a number.
#[must_use]
pub fn tenths(tenths: u32) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// 1024ths as a number.
#[must_use]
pub fn parts(parts: u64) -> String {
    let hundredths = parts.saturating_mul(100) / 1_024;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn number(text: &str) -> Value {
    text.parse().ok().map_or(Value::Null, |number: f64| json!(number))
}

fn metrics(watcher: &Watcher) -> String {
    let mut text = String::new();
    let mut family = |name: &str, about: &str, values: &[(String, String)]| {
        door::family(&mut text, "gauge", &format!("tidegate_judge_{name}"), about, values);
    };
    let one = |value: String| [(String::new(), value)];
    let fleet = watcher.fleet();
    let flags = || fleet.flags().iter();
    let of_flag = |flag: &Flag| format!("{{flag=\"{}\"}}", escaped(&flag.key));
    family(
        "up",
        "1 if the Prometheus has answered",
        &one(u8::from(watcher.failed() == 0 && watcher.last().is_some()).to_string()),
    );
    family(
        "blind",
        "1 if nothing is seen: what holds goes on to hold",
        &one(u8::from(watcher.blind().is_some()).to_string()),
    );
    let last = watcher.last().map_or(0, Timestamp::millis);
    family(
        "last_look_timestamp_seconds",
        "when proxies were last seen",
        &one(format!("{}.{:03}", last.div_euclid(1_000), last.rem_euclid(1_000))),
    );
    family("proxies", "the proxies that are seen", &one(fleet.proxies().len().to_string()));
    family("current_proxies", "those that have a config which the judge knows", &one(watcher.known().to_string()));
    let phases: Vec<_> = flags().map(|flag| (of_flag(flag), flag.phase().as_guard().code().to_string())).collect();
    family("phase", "0 running, 2 held, 3 rolled back", &phases);
    let steps = flags().flat_map(|flag| {
        let label = |rule: u8| format!("{{flag=\"{}\",rule=\"{rule}\"}}", escaped(&flag.key));
        flag.steps().into_iter().map(move |(rule, steps)| (label(rule), steps.to_string())).collect::<Vec<_>>()
    });
    family("steps", "how many steps a ramp may have taken, where it does not go by itself", &steps.collect::<Vec<_>>());
    let ready = flags().flat_map(|flag| {
        let variants = fleet.endpoints(&flag.key).into_iter().flatten();
        let label = |name: &str| format!("{{flag=\"{}\",variant=\"{}\"}}", escaped(&flag.key), escaped(name));
        variants.filter_map(move |(name, ready)| Some((label(name), ready.as_ref()?.to_string())))
    });
    family("ready", "the Pods of a variant that are ready", &ready.collect::<Vec<_>>());
    let (mut bits, mut phi) = (Vec::new(), Vec::new());
    for flag in flags() {
        for (comparison, said) in flag.said() {
            let labels = format!(
                "{{flag=\"{}\",rule=\"{}\",variant=\"{}\"}}",
                escaped(&flag.key),
                comparison.rule,
                escaped(&comparison.variant)
            );
            bits.push((labels.clone(), tenths(said.evidence.tenths())));
            phi.push((labels, parts(said.phi)));
        }
    }
    family("bits", "the evidence against a variant", &bits);
    family("phi", "by how much failures are fewer signs than they are failures", &phi);
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
