//! `tidegate report`: the debt of flags, for a terminal, a program or an issue.
//!
//! Shows what [`tidegate_analysis::lint::debt`] finds. Never changes a config.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::policy;
use crate::error::{CliError, Found};
use crate::input::files::{self, VARIABLE};
use crate::input::load::load_all;
use crate::input::time::now;
use crate::terminal::Screen;
use crate::terminal::style::{FAINT, GOOD, MAIN, ODD, paint};
use tidegate_analysis::lint::Finding;
use tidegate_analysis::lint::debt::{self, Caps, Measure};
use tidegate_analysis::source::{Loaded, Severity, diagnostic};
use tidegate_analysis::words::markdown::escaped;
use tidegate_analysis::words::number::count;
use tidegate_analysis::words::time;
use tidegate_engine::value::time::{Span, Timestamp};

/// Show flag debt: what has expired, is finished, can never match, or has no owner
#[derive(Debug, clap::Args)]
#[command(after_long_help = CODES)]
pub(crate) struct Args {
    /// The configs, or manifests that contain them [default: tidegate.yaml]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    files: Vec<String>,
    /// The day to report for, such as 2027-03-01 [default: today]
    #[arg(long, value_name = "DATE", value_parser = time::parse)]
    today: Option<Timestamp>,
    /// How long a flag may be at 100 %, or killed, before it is reported
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = span)]
    finished_after: Span,
    /// Take the caps of the stages from a policy: see `tidegate policy`
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Write Markdown, grouped by owner, to paste into an issue
    #[arg(long)]
    markdown: bool,
}

const CODES: &str = "\
Findings:
  expired         its expiry date has passed
  finished        a release or experiment that serves everybody the same variant
  never-matches   a rule that takes nobody: at 0 %, or with a condition that is never true
  shadowed        a rule after another one that takes the same users, and as many
  no-owner        the flag has no owner
  no-expiry       a release or experiment without an expiry date
  over-stage      serves more users than its stage allows: experimental 10 %, trusted 50 %, stable 100 %
  killed-long     killed, and all dates in the flag are old
  unused-segment  no rule uses the segment
Notes, which are no findings:
  expires-soon    within 14 days
  over-stage      a later step is more than the stage allows
  killed-long     killed, and no date in the flag tells since when

Exit code 1 when there are findings.";

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|wrong| wrong.to_string())
}

/// What was found in one config.
struct Reported<'l> {
    loaded: &'l Loaded,
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    if args.markdown && screen.is_json() {
        return Err(CliError::Usage("--markdown cannot be used with --output json".to_owned()));
    }
    let policy = args.policy.as_ref().map(|path| policy::load(path, screen)).transpose()?;
    let caps = policy.map_or_else(Caps::default, |policy| policy.caps());
    let loaded = load_all(&files::or_usual(&args.files)?, screen)?;
    let today = args.today.unwrap_or_else(now);
    let measure = Measure { today, patience: args.finished_after, caps };
    let reported: Vec<Reported<'_>> =
        loaded.iter().map(|loaded| Reported { loaded, findings: debt::all(&loaded.config, measure) }).collect();
    let sum = |notes: bool| {
        let all = reported.iter().flat_map(|reported| &reported.findings);
        all.filter(|finding| (finding.severity == Severity::Note) == notes).count()
    };
    let (findings, notes) = (sum(false), sum(true));
    screen.decide(Found::when(findings > 0));
    let summary =
        format!("{} and {} in {}", count(findings, "finding"), count(notes, "note"), count(reported.len(), "config"));
    if screen.is_json() {
        let list: Vec<Value> = reported.iter().flat_map(Reported::json).collect();
        screen.json(&json!({
            "today": time::day(today),
            "configs": reported.len(),
            "findings": findings,
            "notes": notes,
            "debt": list,
        }))?;
    } else if args.markdown {
        markdown(screen, &reported, today, &summary)?;
    } else {
        for reported in &reported {
            reported.show(screen)?;
        }
        screen.remark(format!("{summary}, on {}", time::day(today)))?;
    }
    Ok(Found::when(findings > 0))
}

impl Reported<'_> {
    fn owner(&self, finding: &Finding) -> Option<&str> {
        let key = finding.flag.as_deref()?;
        let flag = self.loaded.config.flag(key)?;
        flag.owner.as_ref().map(|owner| owner.as_str().trim()).filter(|owner| !owner.is_empty())
    }

    /// The file, and the line where there is one.
    fn place(&self, finding: &Finding) -> String {
        let document = &self.loaded.document;
        match finding.diagnostic(document).span {
            Some(span) => format!("{}:{}", document.file, diagnostic::position(&document.text, span.start).0),
            None => document.name(),
        }
    }

    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        if self.findings.is_empty() {
            let flags = count(self.loaded.config.flags.len(), "flag");
            screen.remark(format!("{} {}: {flags}, no debt", paint(GOOD, "ok"), self.loaded.document.name()))?;
            return Ok(());
        }
        let width = self.findings.iter().map(|finding| finding.code.len()).max().unwrap_or_default();
        let places: Vec<String> = self.findings.iter().map(|finding| self.place(finding)).collect();
        let wide = places.iter().map(String::len).max().unwrap_or_default();
        let mut head = None;
        for (finding, place) in self.findings.iter().zip(&places) {
            if head != Some(&finding.flag) {
                head = Some(&finding.flag);
                let title = match (&finding.flag, self.owner(finding)) {
                    (Some(key), Some(owner)) => format!("{}  {owner}", paint(MAIN, key)),
                    (Some(key), None) => paint(MAIN, key),
                    (None, _) => paint(MAIN, "segments"),
                };
                screen.line(title)?;
            }
            let style = if finding.severity == Severity::Note { FAINT } else { ODD };
            let code = paint(style, format!("{:<width$}", finding.code));
            let place = paint(FAINT, format!("{place:<wide$}"));
            screen.line(format!("  {code}  {place}  {}", sentence(finding)))?;
        }
        Ok(())
    }

    fn json(&self) -> impl Iterator<Item = Value> {
        let document = &self.loaded.document;
        self.findings.iter().map(move |finding| {
            let severity = if finding.severity == Severity::Note { "note" } else { "finding" };
            let fields = [
                ("flag", finding.flag.clone().into()),
                ("owner", self.owner(finding).into()),
                ("severity", severity.into()),
            ];
            diagnostic::with(diagnostic::json(document, &finding.diagnostic(document)), fields)
        })
    }
}

/// What was found, with the part of the flag that it is about in front.
fn sentence(finding: &Finding) -> String {
    match (finding.rule, &finding.part) {
        (Some(place), _) => format!("rule {} {}", place + 1, finding.message),
        (None, Some(name)) => format!("segment {name} {}", finding.message),
        (None, None) => finding.message.clone(),
    }
}

fn markdown(screen: &mut Screen, reported: &[Reported<'_>], today: Timestamp, summary: &str) -> Result<(), CliError> {
    screen.line(format!("## Flag debt on {}\n\n{summary}.", time::day(today)))?;
    let mut owners: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for reported in reported {
        for finding in &reported.findings {
            let owner = reported.owner(finding).map(str::to_owned);
            let mark = if finding.severity == Severity::Note { "- " } else { "- [ ] " };
            let flag = finding.flag.as_ref().map_or_else(String::new, |key| format!(" `{key}`:"));
            let (code, place) = (finding.code, reported.place(finding));
            let line = format!("{mark}**{code}**{flag} {} (`{place}`)", escaped(&sentence(finding)));
            owners.entry((owner.is_none(), owner.unwrap_or_default())).or_default().push(line);
        }
    }
    for ((nobody, owner), lines) in owners {
        let title = if nobody { "Nobody's".to_owned() } else { escaped(&owner) };
        screen.line(format!("\n### {title}\n"))?;
        lines.iter().try_for_each(|line| screen.line(line))?;
    }
    Ok(())
}
