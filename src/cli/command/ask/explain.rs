//! `tidegate explain`: what is decided for one request, rule by rule, and why.
//!
//! Shows what [`tidegate_analysis::explain`] found.

use crate::error::{CliError, Found};
use crate::input::RequestArgs;
use crate::input::files::{VARIABLE, one_or_usual};
use crate::input::load::load;
use crate::input::time::When;
use crate::terminal::Screen;
use crate::terminal::style::{FAINT, GOOD, MAIN, ODD, paint};
use tidegate_analysis::explain::{Explanation, FlagExplanation, explain};
use tidegate_engine::output::effect::INSPECTION;

/// Explain the decisions for one request: each flag, each rule, the headers that are set
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The config, or a manifest that contains it [default: tidegate.yaml]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    file: Option<String>,
    /// Only these flags
    #[arg(long, value_name = "KEY")]
    flag: Vec<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let file = one_or_usual(args.file.as_ref())?;
    let loaded = load(&file, screen)?;
    let specs = args.request.specs()?;
    loaded.knows(&file, &args.flag)?;
    let now = args.when.time();
    let shown = |key: &str| args.flag.is_empty() || args.flag.iter().any(|wanted| wanted == key);
    if let [spec] = &*specs {
        let explained = explain(&loaded, spec, now);
        if screen.is_json() {
            screen.json(&explained.json(&shown))?;
        } else {
            show(&explained, screen, &shown)?;
        }
        return Ok(Found::Nothing);
    }
    for (place, spec) in specs.iter().enumerate() {
        let explained = explain(&loaded, spec, now);
        if screen.is_json() {
            screen.element(place, &explained.json(&shown))?;
        } else {
            let border = if place == 0 { "" } else { "\n" };
            screen.line(format!("{border}{} {spec}", paint(FAINT, "###")))?;
            show(&explained, screen, &shown)?;
        }
    }
    if screen.is_json() {
        screen.end()?;
    }
    Ok(Found::Nothing)
}

fn show(explained: &Explanation, screen: &mut Screen, shown: &dyn Fn(&str) -> bool) -> Result<(), CliError> {
    for flag in explained.flags.iter().filter(|flag| shown(&flag.key)) {
        show_flag(flag, screen)?;
    }
    for (key, part) in explained.not_matched.iter().filter(|(key, _)| shown(key)) {
        let why = format!("not decided: the {part} does not match");
        screen.line(format!("{}  {}", paint(MAIN, key), paint(FAINT, why)))?;
    }
    screen.line("")?;
    if let Some(status) = explained.reply {
        screen.line(format!("the proxy answers with {status}: the request reaches no upstream"))?;
    } else {
        for name in &explained.removed {
            screen.line(format!("{} {name}   {}", paint(ODD, "-"), paint(FAINT, "sent by the client, removed")))?;
        }
        for (name, value) in &explained.written {
            screen.line(format!("{} {name}: {value}", paint(GOOD, "+")))?;
        }
        if explained.looks_up_route {
            screen.line(paint(FAINT, "the route is looked up again"))?;
        }
    }
    for (name, value) in &explained.filter_state {
        let place = paint(FAINT, "in the filter state");
        screen.line(format!("{} {name}: {value}   {place}", paint(GOOD, "+")))?;
    }
    let cookie = explained.cookie.iter().map(|cookie| ("set-cookie", cookie));
    for (name, value) in cookie.chain(explained.inspection.iter().map(|text| (INSPECTION, text))) {
        screen.line(format!("{} {name}: {value}   {}", paint(GOOD, "+"), paint(FAINT, "on the response")))?;
    }
    Ok(())
}

fn show_flag(told: &FlagExplanation, screen: &mut Screen) -> Result<(), CliError> {
    let FlagExplanation { key, variant, value, reason, .. } = told;
    let value = if value == variant { String::new() } else { format!(" ({value})") };
    let mut head = format!("{}  {}{value}  {reason}", paint(MAIN, key), paint(MAIN, variant));
    if let Some(stands) = told.exposure {
        head.push_str(&paint(FAINT, format!("  drew {stands}")));
    }
    if told.missed_draw && *reason != "no_identity" {
        head.push_str(&paint(ODD, "  a share was skipped: no identity"));
    }
    screen.line(head)?;
    if let Some(standing) = &told.standing {
        screen.line(format!("  {}", paint(ODD, format!("the standing in the config: {standing}"))))?;
    }
    for rule in &told.rules {
        let style = if rule.taken { GOOD } else { FAINT };
        screen.line(format!("  {}", rule.head(|verdict| paint(style, verdict))))?;
        for test in &rule.tests {
            let (sign, style) = if test.holds { ("yes", GOOD) } else { ("no ", FAINT) };
            screen.line(format!("       {} {}", paint(style, sign), test))?;
        }
    }
    Ok(())
}
