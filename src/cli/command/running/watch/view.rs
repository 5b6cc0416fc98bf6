//! Turns a look at proxies into lines for people, which fit into the columns that there are, from 60 on.
//!
//! What is red or yellow is also said in words. Never adds anything up over time.

use std::collections::BTreeMap;
use std::time::Duration;

use anstream::adapter::strip_str;

use super::about::About;
use super::course::{Change, Event, Flag, Look, Proxy, Rule, Variant};
use crate::terminal::Rows;
use crate::terminal::style::{BAD, FAINT, GOOD, MAIN, ODD, paint};
use tidegate_analysis::words::number::{count, thousands};
use tidegate_analysis::words::time::{day, moment, whole};
use tidegate_engine::config::standing::Standing;
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::Timestamp;

/// The plugin whose name is not said.
const USUAL: &str = "tidegate";

/// From how many errors in a thousand responses on they are painted.
const MANY: u64 = 50;

/// The columns, wide enough to stay where they are while numbers grow; where there are totals, there is no rate.
const HEAD: [&str; 6] = ["                ", "> share", ">   req/s", ">errors", ">     p50", ">     p99"];
/// The columns where there is little room: milliseconds say so at the head.
const NARROW: [&str; 6] = ["              ", "> share", ">   req/s", ">errors", ">p50 ms", ">p99 ms"];

/// What is narrow.
const NARROW_BELOW: usize = 80;

/// A look, as lines.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// What is watched, and how long.
    pub(crate) head: Vec<String>,
    /// The flags.
    pub(crate) body: Vec<String>,
}

impl Block {
    pub(crate) fn new(look: &Look<'_>, width: usize) -> Self {
        let mut head = wrap(&title(look), width);
        for proxy in look.proxies {
            if let Some(why) = &proxy.silent {
                head.push(format!("{} {}: {why}", paint(BAD, "silent"), proxy.url));
            }
        }
        head.extend(pushes(look.proxies));
        head.push(String::new());
        Self { head, body: flags(look, width) }
    }
}

/// `2 Envoys, revision 4, over the last 10 s, 18:32:40Z`
fn title(look: &Look<'_>) -> Vec<String> {
    let proxies = match look.proxies {
        [only] => only.url.split_once("://").map_or(&*only.url, |(_, rest)| rest).trim_end_matches('/').to_owned(),
        several => count(several.len(), "Envoy"),
    };
    let over = match look.span {
        Some(span) => format!("over the last {}", seconds(span)),
        None => "since the start of Envoy".to_owned(),
    };
    vec![proxies, revisions(look.proxies), over, clock(look.at)]
}

/// `revision 4`, or where there are several, on how many proxies each is in force.
fn revisions(proxies: &[Proxy]) -> String {
    let mut found: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for proxy in proxies.iter().filter(|proxy| proxy.silent.is_none()) {
        for (plugin, config) in proxy.configs() {
            for revision in &config.revisions {
                let number = found.entry((plugin, revision)).or_default();
                *number += 1;
            }
        }
    }
    let one = |((plugin, revision), number): (&(&str, &str), &usize)| {
        let name = format!("{}{}", of_plugin(plugin), paint(MAIN, revision));
        if proxies.len() > 1 && found.len() > 1 { format!("{name} on {number}") } else { name }
    };
    match found.len() {
        0 => "no revision".to_owned(),
        1 => format!("revision {}", found.iter().map(one).collect::<String>()),
        _ => format!("revisions {}", found.iter().map(one).collect::<Vec<_>>().join(" and ")),
    }
}

/// Configs that did not come into force.
fn pushes(proxies: &[Proxy]) -> Vec<String> {
    let mut lines = Vec::new();
    for proxy in proxies.iter().filter(|proxy| proxy.silent.is_none()) {
        for (plugin, config) in proxy.configs() {
            let whose = format!("{}{}", of_plugin(plugin), proxy.url);
            let stands = match config.state {
                0 => "no config is in force",
                _ => "an older config stays in force",
            };
            if config.refused {
                let number = usize::try_from(config.problems).unwrap_or(usize::MAX);
                lines.push(format!("{} {whose}: {}, {stands}", paint(BAD, "refused"), count(number, "problem")));
            }
        }
    }
    lines
}

/// `edge/`, where it is not the usual one.
fn of_plugin(plugin: &str) -> String {
    if plugin == USUAL { String::new() } else { format!("{plugin}/") }
}

/// Parts with commas between them, in lines of so many columns, colors not counted.
fn wrap(parts: &[String], width: usize) -> Vec<String> {
    let columns = |text: &str| strip_str(text).to_string().chars().count();
    let mut lines: Vec<String> = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            Some(line) if columns(line) + columns(part) + 3 <= width => {
                line.push_str(", ");
                line.push_str(part);
            }
            Some(line) => {
                line.push(',');
                lines.push(format!("    {part}"));
            }
            None => lines.push(part.clone()),
        }
    }
    lines
}

/// The flags, with their variants in one table.
fn flags(look: &Look<'_>, width: usize) -> Vec<String> {
    if look.flags.is_empty() {
        return vec![paint(FAINT, "no flag was decided yet, or has a rule with a share")];
    }
    let narrow = width < NARROW_BELOW;
    let mut columns = if narrow { NARROW } else { HEAD };
    if look.span.is_none() {
        columns[2] = ">requests";
    }
    let mut rows = Rows::new(&columns);
    for flag in look.flags.values() {
        for (name, variant) in &flag.variants {
            rows.add(row(name, variant, flag, look.span, width));
        }
    }
    let table = rows.to_string();
    let mut table = table.lines().map(|line| line.trim_end().to_owned());
    let mut lines: Vec<String> = table.next().into_iter().collect();
    for (id, flag) in &look.flags {
        let mut parts = state(flag, look);
        let first = format!("{}{}  ", of_plugin(&id.plugin), paint(MAIN, &id.key));
        match parts.first_mut() {
            Some(part) => part.insert_str(0, &first),
            None => parts.push(first.trim_end().to_owned()),
        }
        lines.extend(wrap(&parts, width));
        lines.extend(flag.about.into_iter().flat_map(|about| wrap(&facts(about, look.at), width)));
        let stands = flag.about.and_then(|about| about.stands.as_ref());
        lines.extend(stands.into_iter().flat_map(|standing| wrap(&decided(standing), width)));
        lines.extend(table.by_ref().take(flag.variants.len()));
        if let Some(event) = flag.last {
            let mut parts = change(event, &clock(event.at));
            parts.iter_mut().take(1).for_each(|part| part.insert_str(0, "  "));
            lines.extend(wrap(&parts, width));
        }
    }
    lines
}

/// `release, owner payments, stage trusted, expires in 12 days (2027-03-01)`; nothing where nothing was written.
fn facts(about: &About, now: Timestamp) -> Vec<String> {
    const DAY: i64 = 86_400_000;
    if matches!(about, About { kind: "release", stage: None, owner: None, expires: None, .. }) {
        return Vec::new();
    }
    let mut parts = vec![format!("  {}", about.kind)];
    parts.push(about.owner.as_ref().map_or_else(|| "no owner".to_owned(), |owner| format!("owner {owner}")));
    parts.extend(about.stage.map(|stage| format!("stage {stage}")));
    if let Some(expires) = about.expires {
        let left = expires.millis().saturating_sub(now.millis());
        let days = count(usize::try_from(left.unsigned_abs().div_euclid(DAY.unsigned_abs())).unwrap_or(0), "day");
        let on = day(expires);
        let expiry = if left > 0 { format!("expires in {days}") } else { paint(ODD, format!("expired {days} ago")) };
        parts.push(format!("{expiry} ({on})"));
    }
    parts
}

/// `in the config: held since 2026-12-02T09:14:05Z, by ana, rule 1 may have taken 2 steps, "v2 fails"`: what is in force
/// besides the guard, and stays after it.
fn decided(standing: &Standing) -> Vec<String> {
    let guard = standing.phase.as_guard();
    let name = paint(style(guard.code().into()), phase(guard.code().into()));
    let mut parts = vec![format!("  in the config: {name} since {}", moment(standing.since))];
    parts.extend(standing.by.as_ref().map(|by| format!("by {}", by.as_str())));
    let steps = standing.steps.iter();
    parts.extend(steps.map(|(rule, steps)| format!("rule {rule} may have taken {}", count((*steps).into(), "step"))));
    parts.extend(standing.why.as_ref().map(|why| format!("\"{}\"", why.as_str())));
    parts
}

fn row(name: &str, variant: &Variant<'_>, flag: &Flag<'_>, span: Option<Duration>, width: usize) -> [String; 6] {
    let narrow = width < NARROW_BELOW;
    let (answers, errors) = (variant.answers(), variant.errors());
    let permille = errors.saturating_mul(1_000).checked_div(answers).unwrap_or(0);
    let share = if answers == 0 { String::new() } else { percent(errors, answers) };
    let errors = match errors {
        0 => share,
        _ if permille >= MANY => paint(BAD, share),
        _ => paint(ODD, share),
    };
    let millis = |percent| {
        let time = variant.percentile(percent).map_or_else(String::new, millis);
        if narrow { time.trim_end_matches(" ms").to_owned() } else { time }
    };
    let (number, of) = (variant.decisions(), flag.decisions());
    let rate = span.map_or_else(|| thousands(number), |span| rate(number, span));
    let share = if of == 0 { String::new() } else { percent(number, of) };
    // What the columns of numbers take, and the spaces in front of the name.
    let (word, taken) = if narrow { (" (base)", 44) } else { (" (baseline)", 48) };
    let mark = if flag.about.is_some_and(|about| about.baseline == name) { word } else { "" };
    let room = width.saturating_sub(taken).saturating_sub(mark.len());
    let name = if name.chars().count() > room {
        name.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    } else {
        name.to_owned()
    };
    [format!("  {name}{mark}"), share, rate, errors, millis(50), millis(99)]
}

/// `running, rule 2 at 5%`
fn state(flag: &Flag<'_>, look: &Look<'_>) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    if let Some(about) = flag.about.filter(|_| flag.killed > 0) {
        let on = if look.proxies.len() > 1 { format!(" on {}", flag.killed) } else { String::new() };
        parts.push(format!("{}{on}", paint(BAD, "killed")));
        parts.push(format!("everybody gets {}", about.baseline));
    }
    let several = flag.standings.len() > 1;
    for (code, proxies) in flag.standings.iter().rev() {
        let name = paint(style(*code), phase(*code));
        parts.push(if several { format!("{name} on {proxies}") } else { name });
    }
    for (number, rule) in &flag.rules {
        let step = rule.step.map_or_else(String::new, |step| format!(" (step {step})"));
        parts.push(format!("rule {number} at {}{step}", exposure(*rule)));
    }
    for (number, what) in [(flag.throttled, "throttled"), (flag.rescued, "rescued")] {
        if number > 0 {
            parts.push(paint(ODD, format!("{} {what}", thousands(number))));
        }
    }
    if look.span.is_none() && flag.rollbacks > 0 {
        parts.push(count(usize::try_from(flag.rollbacks).unwrap_or(usize::MAX), "rollback"));
    }
    parts
}

fn exposure(rule: Rule) -> String {
    let ppm = |parts: u64| Ppm::of(u32::try_from(parts).unwrap_or(u32::MAX)).to_string();
    if rule.least == rule.most { ppm(rule.most) } else { format!("{} to {}", ppm(rule.least), ppm(rule.most)) }
}

pub(super) fn known(code: u64) -> Option<Phase> {
    Phase::of_code(u8::try_from(code).ok()?)
}

fn phase(code: u64) -> String {
    known(code).map_or_else(|| format!("standing {code}"), |phase| phase.name().replace('_', " "))
}

fn style(code: u64) -> anstyle::Style {
    match known(code) {
        Some(Phase::Running) => GOOD,
        Some(Phase::RolledBack) => BAD,
        _ => ODD,
    }
}

/// An event, as it stands under the flags.
pub(crate) fn event(event: &Event, several: bool, width: usize) -> Vec<String> {
    let at = if several { format!("  {}", paint(FAINT, &event.url)) } else { String::new() };
    let mut parts = change(event, &clock(event.at));
    parts.iter_mut().take(1).for_each(|part| part.push_str(&at));
    wrap(&parts, width.saturating_sub(2))
}

/// What has changed, and by what answers that was known.
fn change(event: &Event, at: &str) -> Vec<String> {
    let plugin = event.plugin.as_deref().map(of_plugin).unwrap_or_default();
    let what = match &event.change {
        Change::Standing { flag, from, to } => {
            format!("{plugin}{}: {} -> {}", paint(MAIN, flag), phase(*from), paint(style(*to), phase(*to)))
        }
        Change::RolledBack { flag } => {
            format!("{plugin}{}: {}, and back between two looks", paint(MAIN, flag), paint(BAD, "rolled back"))
        }
        Change::Revision { from, to } => format!("{plugin}revision {from} -> {}", paint(MAIN, to)),
        Change::Refused { problems } => {
            let problems = count(usize::try_from(*problems).unwrap_or(usize::MAX), "problem");
            format!("{plugin}a push was {}: {problems}", paint(BAD, "refused"))
        }
        Change::Silent(why) => format!("{}: {why}", paint(BAD, "silent")),
        Change::Back => "answers again".to_owned(),
        Change::Restarted => "all counts were reset".to_owned(),
    };
    let answers = |(variant, (answers, errors)): (&String, &(u64, u64))| {
        format!("{variant} failed {} of {}", thousands(*errors), thousands(*answers))
    };
    [format!("{at}  {what}")].into_iter().chain(event.evidence.iter().map(answers)).collect()
}

/// The time of day in UTC.
fn clock(at: Timestamp) -> String {
    let text = moment(whole(at));
    text.split_once('T').map_or(text.clone(), |(_, time)| time.to_owned())
}

/// `10 s`, `1.5 s`
fn seconds(span: Duration) -> String {
    let tenths = span.as_millis().saturating_add(50).div_euclid(100);
    let (whole, rest) = (tenths.div_euclid(10), tenths.rem_euclid(10));
    if rest == 0 { format!("{whole} s") } else { format!("{whole}.{rest} s") }
}

/// `4.9%`; what is little is not nothing.
fn percent(part: u64, of: u64) -> String {
    let ppm = ppm(part, of);
    if part > 0 && ppm < 1_000 {
        return "<0.1%".to_owned();
    }
    let tenths = ppm.saturating_add(500).div_euclid(1_000);
    if tenths >= 1_000 && part < of {
        return ">99.9%".to_owned();
    }
    format!("{}.{}%", tenths.div_euclid(10), tenths.rem_euclid(10))
}

pub(super) fn ppm(part: u64, of: u64) -> u64 {
    u128::from(part).saturating_mul(1_000_000).checked_div(u128::from(of)).map_or(0, |ppm| ppm.try_into().unwrap_or(0))
}

/// `94.1`, `9,400`
fn rate(number: u64, span: Duration) -> String {
    let tenths = tenths(number, span);
    if tenths >= 10_000 {
        return thousands(tenths.saturating_add(5).div_euclid(10));
    }
    format!("{}.{}", tenths.div_euclid(10), tenths.rem_euclid(10))
}

/// Ten times how many a second.
pub(super) fn tenths(number: u64, span: Duration) -> u64 {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    number.saturating_mul(10_000).saturating_add(millis.div_euclid(2)).div_euclid(millis)
}

/// `12 ms`; what is counted as 0 took less than half of one.
fn millis(number: u64) -> String {
    if number == 0 { "<1 ms".to_owned() } else { format!("{} ms", thousands(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_nothing() {
        for (part, of, text) in [
            (0, 7, "0.0%"),
            (1, 3, "33.3%"),
            (1, 100_000, "<0.1%"),
            (99_999, 100_000, ">99.9%"),
            (1, 2_000, "<0.1%"),
            (1, 1_000, "0.1%"),
            (5, 5, "100.0%"),
            (u64::MAX, u64::MAX, "100.0%"),
        ] {
            assert_eq!(percent(part, of), text, "{part} of {of}");
        }
    }

    #[test]
    fn parts_are_wrapped_where_there_is_no_room() {
        let parts = ["one".to_owned(), paint(BAD, "two"), String::new(), "three".to_owned()];
        let plain = |width| wrap(&parts, width).iter().map(|line| strip_str(line).to_string()).collect::<Vec<_>>();
        assert_eq!(plain(16), ["one, two, three"]);
        assert_eq!(plain(15), ["one, two,", "    three"]);
        assert_eq!(plain(1), ["one,", "    two,", "    three"]);
    }

    #[test]
    fn rates_and_times_are_short() {
        let second = Duration::from_secs(1);
        assert_eq!([0, 5, 999, 1_234_567].map(|number| rate(number, second)), ["0.0", "5.0", "999.0", "1,234,567"]);
        assert_eq!(rate(7, Duration::ZERO), "7,000");
        assert_eq!([0, 1, 1_500].map(millis), ["<1 ms", "1 ms", "1,500 ms"]);
        assert_eq!([1_000, 1_049, 9_960].map(|ms| seconds(Duration::from_millis(ms))), ["1 s", "1 s", "10 s"]);
    }
}
