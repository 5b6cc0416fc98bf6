//! `tidegate status`: says which config the proxies run, whether it is the one that they should run, and how the flags
//! stand; waits for it, if so asked.
//!
//! `due` is what should run, [`survey`] asks the proxies, `state` holds one against the other, `view` and `document`
//! show it. Never changes anything.

mod document;
mod due;
mod state;
mod survey;
mod view;

use std::io::IsTerminal as _;
use std::thread;
use std::time::Duration;

use crate::error::{CliError, Found};
use crate::input::cluster::ClusterArgs;
use crate::input::http::span;
use crate::input::time::{clock, now};
use crate::terminal::Screen;
use crate::terminal::live::Live;
use due::Due;
use state::{State, Verdict};
use survey::Survey;
use tidegate_analysis::source::diagnostic::nearest;
use tidegate_analysis::words::time;
use tidegate_engine::value::time::Span;

/// Show which config the proxies run and how its flags stand, or wait for one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The proxies are those of --proxy, of --selector (Pods, read by way of the API server), or all that a Prometheus knows.
What should run is --config, --on, --revision, or several of them: then it is shown where these differ.
Configs are told apart by the fingerprint of what they decide: another order, or a comment, is no difference.
With --wait: until every proxy runs it, and no guard holds a flag or has rolled it back; the last line of a deployment.
A proxy that begins to refuse ends it at once; one that refused before, after ten seconds.
Exit code: 1 if a proxy runs another config, refuses one or is silent, if a guard objects, or if the time is over.")]
pub(crate) struct Args {
    /// Show this flag only, and wait for its guard only
    #[arg(value_name = "FLAG")]
    flag: Option<String>,
    /// The admin interface of an Envoy, such as http://localhost:9901; may be repeated
    #[arg(long, value_name = "URL")]
    proxy: Vec<String>,
    /// The labels of Pods whose proxies are asked, such as app=checkout
    #[arg(long, short = 'l', value_name = "LABELS", conflicts_with = "proxy")]
    selector: Option<String>,
    /// The port of a Pod that has the page /stats/prometheus: the one of Istio, or of an admin interface
    #[arg(long, value_name = "PORT", default_value_t = 15090, requires = "selector")]
    port: u16,
    /// The Prometheus that reads the proxies
    #[arg(long, value_name = "URL", conflicts_with_all = ["proxy", "selector"])]
    prometheus: Option<String>,
    /// Only the series with this label, such as namespace=shop; may be repeated
    #[arg(long = "match", value_name = "LABEL=VALUE", value_parser = label, requires = "prometheus")]
    matching: Vec<(String, String)>,
    /// The config that should run: a file, or REV:PATH as git has it
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// The object of the cluster whose config should run, such as wasmplugin/tidegate
    #[arg(long, value_name = "KIND/NAME")]
    on: Option<String>,
    /// The revision that should run
    #[arg(long, value_name = "TEXT")]
    revision: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Wait until all proxies run it, and no guard objects
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = span, requires = "wait")]
    timeout: Span,
    /// How long to wait between looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    interval: Span,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
    patience: Span,
    /// Accept any certificate
    #[arg(long, short = 'k')]
    insecure: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let plain = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let (name, value) = text.split_once('=').ok_or("must be a label and its value, such as namespace=shop")?;
    Some(name).filter(plain).ok_or("must begin with the name of a label, such as namespace=shop")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// How long a refusal may be one of an older push, where it is there from the beginning.
const STALE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    if args.wait && args.config.is_none() && args.on.is_none() && args.revision.is_none() {
        return Err(CliError::Trouble {
            what: "--wait needs to know what should run".to_owned(),
            help: Some(
                "name a file or REV:PATH with --config, an object of the cluster with --on, or a --revision".to_owned(),
            ),
        });
    }
    let mut due = due::read(args, screen)?;
    let mut survey = Survey::new(args)?;
    let mut state = State::new(now(), &due, survey.ask()?, args.flag.as_deref());
    known(args, &state)?;
    if args.wait {
        state = wait(args, screen, &mut due, &mut survey, state)?;
    }
    let ended = args.wait.then(|| state.verdict(true));
    screen.decide(Found::when(!state.is_well()));
    if screen.is_json() {
        screen.json(&document::of(&state))?;
    } else {
        for line in view::lines(&state, &survey.hint()) {
            screen.line(line)?;
        }
        if let Some(ended) = ended {
            screen.line("")?;
            screen.line(view::ended(&ended, &time::span(args.timeout)))?;
        }
    }
    Ok(screen.verdict())
}

/// Looks again and again, until it is clear how it ends.
fn wait(
    args: &Args,
    screen: &mut Screen,
    due: &mut [Due],
    survey: &mut Survey,
    mut state: State,
) -> Result<State, CliError> {
    let begun = clock();
    let first = state.refusing();
    let mut live = if screen.is_json() || screen.is_quiet() { None } else { Live::new() };
    let mut told = None;
    loop {
        let passed = clock().saturating_duration_since(begun);
        let fresh = passed >= STALE || state.refusing().iter().any(|name| !first.contains(name));
        let verdict = state.verdict(fresh);
        if !matches!(verdict, Verdict::Pending(_)) || passed >= Duration::from_millis(args.timeout.millis()) {
            if let Some(live) = &mut live {
                live.draw(screen, &[], &[], &[])?;
            }
            return Ok(state);
        }
        let word = view::waits(&state);
        match &mut live {
            Some(live) => live.draw(screen, &[word], &[], &[])?,
            // In a log, each change is one line.
            None if !std::io::stderr().is_terminal() && !screen.is_quiet() && told.as_ref() != Some(&word) => {
                screen.note(&word)?;
                told = Some(word);
            }
            None => {}
        }
        thread::sleep(Duration::from_millis(args.interval.millis()));
        // What the cluster has may come after what Git has.
        due::renew(args, due, screen)?;
        // Who is away for a moment is waited for.
        state = State::new(now(), due, survey.ask()?, args.flag.as_deref());
    }
}

/// Whether the flag that was asked for is there.
fn known(args: &Args, state: &State) -> Result<(), CliError> {
    let Some(flag) = &args.flag else { return Ok(()) };
    let keys = state.keys();
    if keys.is_empty() || keys.contains(flag) {
        return Ok(());
    }
    let meant = nearest(flag, keys.iter().map(String::as_str)).map(|name| format!("; did you mean '{name}'?"));
    Err(format!("there are no metrics of a flag '{flag}'{}", meant.unwrap_or_default()).into())
}
