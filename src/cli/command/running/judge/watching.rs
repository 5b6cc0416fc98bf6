//! Reads the Prometheus again and again, and hands on what the judge says: to a terminal, to programs, to those who ask
//! at its door.
//!
//! What cannot be read is told once, and tried again. Never ends by itself, if it is not to look once only.

use std::time::{Duration, Instant};

use super::super::wrong::Wrong;
use super::source::Source;
use super::{Args, view};
use crate::error::{CliError, Found};
use crate::input::files;
use crate::input::time::{clock, now};
use crate::terminal::Screen;
use crate::terminal::live::Live;
use tidegate_analysis::source::Loaded;
use tidegate_analysis::words::time::moment;
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::door::Door;
use tidegate_fleet::judge::door;
use tidegate_fleet::judge::page::{Page, event};
use tidegate_fleet::judge::reading::Labels;
use tidegate_fleet::judge::watcher::{Happened, Watcher};
use tidegate_fleet::prometheus::{Login, Prometheus, Unanswered};

/// How many events are shown below the table.
const SHOWN: usize = 8;

impl From<Unanswered> for CliError {
    fn from(unanswered: Unanswered) -> Self {
        Self::Trouble { what: unanswered.what, help: Some(unanswered.help.to_owned()) }
    }
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let login = match &args.token_file {
        Some(file) => Login::Token(files::text(file)?),
        None => Login::Nobody,
    };
    let wait = Duration::from_millis(args.timeout.millis());
    let prometheus = Prometheus::new(&args.prometheus, login, wait, args.insecure)?;
    let mut source = Source::new(args)?;
    let Loaded { config, plan, .. } = source.first(args, screen)?;
    let labels = Labels {
        zone: args.zone_label.clone(),
        workload: args.workload_label.clone(),
        proxy: args.proxy_label.clone(),
    };
    let mut watcher = Watcher::new(&config, plan, args.every.seconds(), labels, &args.selector, now());
    source.check(&watcher, screen)?;
    if args.once {
        source.once(&mut watcher, screen)?;
        return once(&mut watcher, &prometheus, screen);
    }
    let door = door::open(args.listen).map_err(|error| CliError::Trouble {
        what: format!("{} cannot be listened at: {error}", args.listen),
        help: Some("choose another address with --listen; port 0 takes a free one".to_owned()),
    })?;
    if !screen.is_quiet() {
        screen.note(format!("judge: others may ask at http://{}", door.address()))?;
    }
    watch(args, screen, &mut watcher, &prometheus, &door, &mut source)?;
    Ok(Found::Nothing)
}

fn once(watcher: &mut Watcher, prometheus: &Prometheus, screen: &mut Screen) -> Result<Found, CliError> {
    watcher.refill(prometheus, now())?;
    let page = Page::new(watcher);
    screen.decide(Found::when(watcher.blind().is_some() || view::is_judged(watcher)));
    if screen.is_json() {
        screen.json(&view::document(watcher, &page))?;
    } else {
        for line in view::table(watcher).into_iter().chain(view::state(watcher, now())) {
            screen.line(line)?;
        }
    }
    Ok(screen.verdict())
}

/// What goes on until a signal ends it.
fn watch(
    args: &Args,
    screen: &mut Screen,
    watcher: &mut Watcher,
    prometheus: &Prometheus,
    door: &Door<Page>,
    source: &mut Source,
) -> Result<(), CliError> {
    let mut live = if screen.is_json() || screen.is_quiet() { None } else { Live::new() };
    let mut away = Wrong::default();
    let mut events: Vec<String> = Vec::new();
    let every = Duration::from_millis(args.every.millis());
    let mut due: Instant = clock();
    let mut is_full = false;
    loop {
        let at = now();
        source.renew(args, screen, watcher, at)?;
        // Windows are refilled as soon as there is an answer.
        let (happened, unanswered) = if is_full {
            watcher.look(prometheus, at)
        } else {
            match watcher.refill(prometheus, at) {
                Ok(happened) => {
                    is_full = true;
                    (happened, None)
                }
                Err(why) => (Vec::new(), Some(why)),
            }
        };
        tell(screen, live.is_some(), &mut away, unanswered.as_ref(), watcher, &mut events)?;
        show(screen, live.as_mut(), watcher, &happened, &mut events, at)?;
        door.show(Page::new(watcher));
        due += every;
        let late = clock().saturating_duration_since(due);
        let missed = u64::try_from(late.as_millis().checked_div(every.as_millis()).unwrap_or(0)).unwrap_or(0);
        if missed > 0 {
            watcher.missed(missed, now());
            due += every.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
        }
        if door.ends_within(due.saturating_duration_since(clock())) {
            return Ok(());
        }
    }
}

/// Tells that the Prometheus is away, or that it is back.
fn tell(
    screen: &mut Screen,
    is_live: bool,
    away: &mut Wrong,
    unanswered: Option<&Unanswered>,
    watcher: &Watcher,
    events: &mut Vec<String>,
) -> Result<(), CliError> {
    let why = unanswered.map(|unanswered| unanswered.what.as_str()).or(watcher.blind());
    let text = match why {
        Some(why) if away.begins(why) => format!("blind: {why}; what holds goes on to hold"),
        None if away.ends() => "sees again".to_owned(),
        Some(_) | None => return Ok(()),
    };
    if is_live {
        events.push(text);
    } else {
        screen.note(format!("judge: {text}"))?;
    }
    Ok(())
}

fn show(
    screen: &mut Screen,
    live: Option<&mut Live>,
    watcher: &Watcher,
    happened: &[Happened],
    events: &mut Vec<String>,
    at: Timestamp,
) -> Result<(), CliError> {
    let lines = happened.iter().map(|(when, flag, what)| event(*when, flag, what));
    if screen.is_json() {
        let mut document = view::document(watcher, &Page::new(watcher));
        if let Some(fields) = document.as_object_mut() {
            fields.insert("at".to_owned(), moment(at).into());
            fields.insert("events".to_owned(), lines.collect::<Vec<_>>().into());
        }
        screen.line(document)?;
        return Ok(());
    }
    let Some(live) = live else {
        for line in lines {
            screen.line(line)?;
        }
        return Ok(());
    };
    events.extend(lines);
    events.drain(..events.len().saturating_sub(SHOWN));
    let mut end = events.clone();
    end.extend(view::state(watcher, at));
    live.draw(screen, &[], &view::table(watcher), &end)?;
    Ok(())
}
