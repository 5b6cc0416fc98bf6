//! `tidegate watch`: shows flags in running proxies, from the statistics of their Envoys, now and as they change.
//!
//! `source` asks one proxy: `stats` reads what its Envoy says, `series` what Prometheus would read, `about` what it was
//! told. `course` compares looks, `view` shows one. Never changes a proxy.

pub(crate) mod about;
mod course;
mod document;
pub(super) mod series;
pub(crate) mod source;
pub(crate) mod stats;
mod view;

use std::thread;
use std::time::Duration;

use ureq::Agent;

use crate::error::{CliError, Found};
use crate::input::cluster::ClusterArgs;
use crate::input::http::{Asking, span};
use crate::input::time::{clock, now};
use crate::terminal::Screen;
use crate::terminal::live::Live;
use crate::terminal::screen::width;
use crate::terminal::style::{MAIN, paint};
use course::{Course, Look};
use source::{Source, ask_all};
use tidegate_analysis::source::diagnostic::nearest;
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::value::time::Span;
use view::Block;

/// How many events stay on a terminal.
const EVENTS: usize = 8;

/// Watch flags in running proxies: share, rate, errors and latency of each variant, guards, events
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Share: of the decisions for the flag. Errors: 5xx responses, and responses that never came.
Latency: over the same time; Envoy adds to it every five seconds only.
Owner, type, stage, expiry, baseline and what is killed are read from Envoy's dump of its configs.
In a terminal the view is redrawn until Ctrl-C; elsewhere one look is printed after the other, 80 columns wide, or as wide as COLUMNS says.
With --output json each look is one line; with --once there is one document.
Exit code: 1 if at the last look a flag is rolled back, a config was refused or an Envoy is silent.")]
pub(crate) struct Args {
    /// The admin interfaces of Envoys, such as http://localhost:9901; their counts are added up
    #[arg(value_name = "URL", required_unless_present = "selector")]
    urls: Vec<String>,
    /// The labels of Pods whose proxies are watched, such as app=checkout
    #[arg(long, short = 'l', value_name = "LABELS", conflicts_with = "urls")]
    selector: Option<String>,
    /// The port of a Pod that has the page /stats/prometheus: the one of Istio, or of an admin interface
    #[arg(long, value_name = "PORT", default_value_t = 15090, requires = "selector")]
    port: u16,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Look twice, one interval apart, show what happened in between, and exit
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// Show the counts since the Envoys started; with --once one look is enough
    #[arg(long)]
    total: bool,
    /// Show only this flag; may be repeated
    #[arg(long, value_name = "KEY")]
    flag: Vec<String>,
    /// How long to wait between looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    interval: Span,
    /// The time over which to count shares, rates, errors and latency
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = window)]
    window: Span,
    /// Exit after this many looks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

/// The longest window: what was counted between its looks has to be kept.
const WIDEST: u64 = 3_600_000;

fn window(text: &str) -> Result<Span, String> {
    let due = "must be a time of at most 1h, such as 10s";
    span(text).ok().filter(|span| span.millis() <= WIDEST).ok_or_else(|| due.to_owned())
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let sources = match &args.selector {
        Some(selector) => args.cluster.pods(selector, args.port)?.into_iter().map(Source::of_pod).collect(),
        None => args.urls.iter().map(|url| Source::parse(url)).collect::<Result<Vec<_>, _>>()?,
    };
    let names: Vec<String> = sources.iter().map(|source| source.url.clone()).collect();
    let watch = Watch { args, agent: args.asking.agent(), sources };
    let mut course = Course::new(names.into_iter(), duration(args.window), &args.flag);
    watch.look(&mut course, true)?;
    known(args, &course)?;
    let mut shown = Shown::new(args, watch.sources.len() > 1, screen);
    let mut next = clock();
    let mut left = if args.once { 1 } else { args.count.unwrap_or(u64::MAX) };
    if !args.once || args.total {
        shown.show(screen, &course.look(true))?;
        left = left.saturating_sub(1);
    }
    while left > 0 {
        // Looks that take longer than the interval do not pile up.
        next = next.checked_add(duration(args.interval)).unwrap_or(next).max(clock());
        thread::sleep(next.saturating_duration_since(clock()));
        watch.look(&mut course, args.once)?;
        shown.show(screen, &course.look(args.total))?;
        left = left.saturating_sub(1);
    }
    Ok(Found::when(is_bad(&course.look(true))))
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.millis())
}

/// Whether a flag is rolled back, a config was refused, or an Envoy says nothing.
fn is_bad(look: &Look<'_>) -> bool {
    let back = u64::from(Phase::RolledBack.code());
    let bad = |proxy: &course::Proxy| proxy.silent.is_some() || proxy.configs().any(|(_, config)| config.refused);
    look.flags.values().any(|flag| flag.standings.contains_key(&back)) || look.proxies.iter().any(bad)
}

/// Whether all flags that were asked for are there.
fn known(args: &Args, course: &Course) -> Result<(), CliError> {
    let keys = course.keys();
    let Some(flag) = args.flag.iter().find(|flag| !keys.contains(flag.as_str())) else { return Ok(()) };
    let meant = nearest(flag, keys.iter().copied()).map(|name| format!("; did you mean '{name}'?"));
    Err(format!("there are no metrics of a flag '{flag}'{}", meant.unwrap_or_default()).into())
}

/// Who is asked, and how.
struct Watch<'a> {
    args: &'a Args,
    agent: Agent,
    sources: Vec<Source>,
}

impl Watch<'_> {
    /// Asks all proxies at once. If all must answer, a silent one is an error.
    fn look(&self, course: &mut Course, all: bool) -> Result<(), CliError> {
        let (begun, at) = (clock(), now());
        let said = ask_all(&self.sources, &self.agent, self.args.asking.wait());
        if all {
            for (source, said) in self.sources.iter().zip(&said) {
                if let Err(why) = said {
                    return Err(format!("cannot watch {}: {why}", source.url).into());
                }
            }
        }
        course.take(said, begun, at);
        Ok(())
    }
}

/// What has been shown so far.
struct Shown {
    live: Option<Live>,
    /// Whether it is one document, or a line each time.
    once: bool,
    several: bool,
    begun: bool,
    events: Vec<String>,
}

impl Shown {
    fn new(args: &Args, several: bool, screen: &Screen) -> Self {
        let live = if screen.is_json() || args.once { None } else { Live::new() };
        Self { live, once: args.once, several, begun: false, events: Vec::new() }
    }

    fn show(&mut self, screen: &mut Screen, look: &Look<'_>) -> Result<(), CliError> {
        if screen.is_json() {
            let document = document::of(look);
            if self.once {
                screen.json(&document)?;
            } else {
                screen.line(document)?;
            }
            return Ok(());
        }
        let width = width().unwrap_or(80);
        let block = Block::new(look, width);
        let new = look.events.iter().flat_map(|event| view::event(event, self.several, width));
        match &mut self.live {
            Some(live) => {
                self.events.extend(new);
                let old = self.events.len().saturating_sub(EVENTS);
                self.events.drain(..old);
                live.draw(screen, &block.head, &block.body, &under(&self.events))?;
            }
            None => {
                if std::mem::replace(&mut self.begun, true) {
                    screen.line("")?;
                }
                for line in block.head.iter().chain(&block.body).chain(&under(&new.collect::<Vec<_>>())) {
                    screen.line(line)?;
                }
            }
        }
        Ok(())
    }
}

/// Events, as they stand under the flags.
fn under(events: &[String]) -> Vec<String> {
    if events.is_empty() {
        return Vec::new();
    }
    let head = [String::new(), paint(MAIN, "events")];
    head.into_iter().chain(events.iter().map(|event| format!("  {event}"))).collect()
}
