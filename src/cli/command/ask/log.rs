//! `tidegate log`: who changed which flag when, commit by commit, in words, and which users moved.
//!
//! Each commit is compared with its parent, at the time of the commit. Warnings are no findings here: the past cannot
//! be changed. A commit with a broken config is named and skipped. Never changes a repository.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::error::{CliError, Found};
use crate::input::files::{VARIABLE, one_or_usual};
use crate::input::git::{History, Revision};
use crate::input::past::KeyHistory;
use crate::input::{RequestArgs, files, load, manifest};
use crate::terminal::style::{BAD, FAINT, MAIN, ODD, paint};
use crate::terminal::{Screen, difference};
use tidegate_analysis::diff::Difference;
use tidegate_analysis::diff::callout;
use tidegate_analysis::diff::change::Fate;
use tidegate_analysis::diff::moves::{Side, Survey};
use tidegate_analysis::request::Identities;
use tidegate_analysis::source::Loaded;
use tidegate_analysis::source::diagnostic::position;
use tidegate_analysis::words::time;
use tidegate_engine::config::Config;
use tidegate_engine::plan::Plan;

/// Show who changed which flag when, and which users it moved, from git
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The config, or a manifest that contains it, in a git repository [default: tidegate.yaml]
    #[arg(value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    file: Option<String>,
    /// Only commits after this revision: a tag, a branch or a commit
    #[arg(long, value_name = "REV")]
    since: Option<String>,
    /// How many users to generate for each commit
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    users: u32,
    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<Found, CliError> {
    let named = one_or_usual(args.file.as_ref())?;
    let (file, wanted) = files::split(&named);
    let history = History::of(file)?;
    if history.revisions.is_empty() {
        return Err(CliError::Usage(format!("git knows no commit that touched {file}")));
    }
    let since = args.since.as_deref().map(|since| History::since(file, since)).transpose()?;
    let since: Option<BTreeSet<String>> = since.map(|ids| ids.into_iter().collect());
    let shown = |revision: &Revision| since.as_ref().is_none_or(|ids| ids.contains(&revision.id));
    let base = args.request.spec()?;
    let mut past = Configs { history: &history, file, wanted, known: BTreeMap::new() };
    let mut keys = KeyHistory::new(&history, file);
    let mut list = Vec::new();
    for (place, revision) in history.revisions.iter().enumerate().filter(|(_, revision)| shown(revision)) {
        let survey = Survey {
            base: base.clone(),
            given: args.request.given(),
            ids: Identities::Sampled(args.users),
            now: revision.date,
        };
        let entry = past.entry(place, revision, &survey, &mut keys, screen);
        if screen.is_json() {
            list.push(entry.json());
        } else {
            entry.show(screen)?;
        }
    }
    if screen.is_json() {
        screen.json(&json!({"file": named, "users": args.users, "commits": list}))?;
    } else if let (Some(since), false) = (&args.since, history.revisions.iter().any(shown)) {
        screen.line(format!("no commit since {since} touched {file}"))?;
    }
    Ok(Found::Nothing)
}

/// The configs that a file held, by the name of their text.
struct Configs<'h> {
    history: &'h History,
    file: &'h str,
    wanted: Option<usize>,
    known: BTreeMap<String, Result<Loaded, String>>,
}

impl<'h> Configs<'h> {
    /// Reads a text, if that has not been done.
    fn read(&mut self, name: &str) {
        if !self.known.contains_key(name) {
            let config = self.history.text(name).map_err(str::to_owned).and_then(|text| self.config(text));
            self.known.insert(name.to_owned(), config);
        }
    }

    fn config(&self, text: &str) -> Result<Loaded, String> {
        let said = |stop: CliError| match stop {
            // The reader's own words go on with the lines that it could not read.
            CliError::Usage(why) | CliError::Broken(why) => why.lines().next().unwrap_or_default().to_owned(),
            CliError::Marked(marked) => {
                let (line, column) = position(&marked.text, marked.span.start);
                format!("{}:{line}:{column}: {}", marked.file, marked.message)
            }
            CliError::Problems | CliError::Output(_) | CliError::Trouble { .. } => "cannot be read".to_owned(),
        };
        let found = manifest::within(self.file, text).map_err(CliError::from);
        let found = found.and_then(|found| files::nth(self.file, self.wanted, found));
        let document = found.and_then(|found| load::only(self.file, found)).map_err(said)?;
        Loaded::new(document, false).map_err(|refused| {
            let errors = &refused.errors;
            let more = match errors.len().saturating_sub(1) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            errors.first().map_or_else(String::new, |one| format!("{}: {}{more}", one.path, one.message))
        })
    }

    fn get(&self, name: &str) -> Option<&Result<Loaded, String>> {
        self.known.get(name)
    }

    /// What a commit did.
    fn entry(
        &mut self,
        place: usize,
        revision: &'h Revision,
        survey: &Survey,
        keys: &mut KeyHistory<'h>,
        screen: &Screen,
    ) -> Entry<'h> {
        let mut entry = Entry { revision, broken: None, held_against: None, difference: None };
        let Some(new) = &revision.new else { return entry };
        self.read(new);
        if let Some(Err(why)) = self.get(new) {
            entry.broken = Some(why.clone());
            return entry;
        }
        let old = match &revision.old {
            Some(old) => {
                self.read(old);
                let whole = matches!(self.get(old), Some(Ok(_)));
                if whole { Some(old.clone()) } else { self.last_whole(place, &mut entry) }
            }
            None => None,
        };
        let nothing = (Config::default(), Plan::default());
        let before = match old.as_deref().and_then(|old| self.get(old)) {
            Some(Ok(loaded)) => side(loaded),
            Some(Err(_)) | None => Side { config: &nothing.0, plan: &nothing.1 },
        };
        let Some(Ok(after)) = self.get(new) else { return entry };
        let mut difference = difference::measure(before, side(after), survey, screen);
        for flag in difference.comparison.flags.iter_mut().filter(|flag| flag.fate == Fate::Added) {
            if let Some(removed) = keys.removed(flag.key.as_str(), place + 1) {
                flag.callouts.push(callout::used_before(&removed));
            }
        }
        entry.difference = Some(difference);
        entry
    }

    /// The newest config behind a commit that can be read.
    fn last_whole(&mut self, place: usize, entry: &mut Entry<'h>) -> Option<String> {
        let older = self.history.revisions.iter().skip(place + 1);
        for revision in older {
            let Some(name) = &revision.new else { continue };
            self.read(name);
            if let Some(Ok(_)) = self.get(name) {
                entry.held_against = Some(revision);
                return Some(name.clone());
            }
        }
        None
    }
}

fn side(loaded: &Loaded) -> Side<'_> {
    Side { config: &loaded.config, plan: &loaded.plan }
}

/// A commit, and what it did.
struct Entry<'h> {
    revision: &'h Revision,
    /// Why its config is broken.
    broken: Option<String>,
    /// The commit it was compared with, if its parent's config is broken.
    held_against: Option<&'h Revision>,
    /// Nothing where it is broken, or the file is gone.
    difference: Option<Difference>,
}

impl Entry<'_> {
    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        let Revision { date, author, subject, .. } = self.revision;
        let date = time::text(*date);
        screen.line(format!("{}  {date}  {author}", paint(ODD, self.revision.short())))?;
        screen.line(format!("  {}", paint(MAIN, subject)))?;
        if let Some(why) = &self.broken {
            screen.line(format!("  {} {why}", paint(BAD, "the config is broken here:")))?;
        } else if self.revision.new.is_none() {
            screen.line("  the file was removed")?;
        }
        if let Some(other) = self.held_against {
            let why = format!("compared with {}, the last commit before it whose config is not broken", other.short());
            screen.line(format!("  {}", paint(FAINT, why)))?;
        }
        if let Some(difference) = &self.difference {
            difference::show(difference, screen, "  ")?;
            if difference.comparison.is_empty() {
                screen.line(format!("  {}", paint(FAINT, "only the formatting changed")))?;
            }
        }
        Ok(screen.line("")?)
    }

    fn json(&self) -> Value {
        let Revision { id, date, author, email, subject, path, new, .. } = self.revision;
        json!({
            "commit": id,
            "date": time::text(*date),
            "author": author,
            "email": email,
            "subject": subject,
            "path": path,
            "removed": new.is_none(),
            "broken": self.broken,
            "heldAgainst": self.held_against.map(|revision| &revision.id),
            "difference": self.difference.as_ref().map(Difference::json),
        })
    }
}
