//! What the judge reads beside its Prometheus: the config, and how many Pods are ready; turns both into what it knows.
//!
//! What cannot be read is told once, and once more when it can be read again. A cluster is read in a thread of its own,
//! so that one that does not answer makes no look late. Never looks itself.

use std::time::Duration;

use super::super::wrong::{Wrong, said};
use super::Args;
use super::ready::Served;
use crate::error::CliError;
use crate::input::cluster::document_of;
use crate::input::{files, load};
use crate::terminal::Screen;
use tidegate_analysis::source::{Document, Loaded};
use tidegate_engine::value::time::Timestamp;
use tidegate_fleet::cluster::{Access, Answer, Place, Question, Reader};
use tidegate_fleet::judge::watcher::Watcher;

/// How long the first answer of a cluster may take, and how long a look waits for one.
const FIRST: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_millis(500);

/// Where the config comes from, and how many Pods are ready.
#[derive(Debug)]
pub(super) struct Source {
    reader: Option<Reader>,
    /// The object with the config, where that is no file.
    place: Option<Place>,
    served: Served,
    /// The config that is in force.
    wire: Vec<u8>,
    unread: Wrong,
    unready: Wrong,
    /// How many looks in a row the cluster has said nothing.
    late: u32,
}

impl Source {
    pub(super) fn new(args: &Args) -> Result<Self, CliError> {
        let served = Served::parse(&args.ready)?;
        let place = args.on.as_ref().map(|on| Place::parse(on).map_err(CliError::Usage)).transpose()?;
        let cluster = args.cluster.clone();
        let access = Access { kubeconfig: cluster.kubeconfig, context: cluster.context, namespace: cluster.namespace };
        let reader = (place.is_some() || !served.is_empty()).then(|| Reader::new(access)).transpose()?;
        Ok(Self {
            reader,
            place,
            served,
            wire: Vec::new(),
            unread: Wrong::default(),
            unready: Wrong::default(),
            late: 0,
        })
    }

    /// The config that it begins with.
    pub(super) fn first(&mut self, args: &Args, screen: &mut Screen) -> Result<Loaded, CliError> {
        let document = match (&mut self.reader, &self.place) {
            (Some(reader), Some(place)) => {
                let question = Question { object: Some(place.clone()), ready: Vec::new() };
                let late = || CliError::Trouble {
                    what: "the API server has not answered".to_owned(),
                    help: Some("look whether kubectl reaches it, with the same context: kubectl version".to_owned()),
                };
                let held = reader.ask(question, FIRST).and_then(|answer| answer.object).ok_or_else(late)??;
                document_of(&held)?
            }
            _ => file(args)?,
        };
        self.wire.clone_from(&document.wire);
        load::compile(document, screen)
    }

    /// Whether the flags are there whose Pods are to be counted; tells which ones nobody counts for.
    pub(super) fn check(&mut self, watcher: &Watcher, screen: &mut Screen) -> Result<(), CliError> {
        self.served.check(watcher)?;
        self.warn(watcher, screen)
    }

    fn warn(&mut self, watcher: &Watcher, screen: &mut Screen) -> Result<(), CliError> {
        for line in self.served.missing(watcher) {
            screen.note(format!("judge: {line}"))?;
        }
        Ok(())
    }

    /// Counts the Pods once.
    pub(super) fn once(&mut self, watcher: &mut Watcher, screen: &mut Screen) -> Result<(), CliError> {
        let answer = self.ask(None, watcher, FIRST);
        // There is no next look.
        self.late = 1;
        self.count(answer, watcher, screen)
    }

    /// Reads the config and counts the Pods once more, and goes over to what has changed.
    pub(super) fn renew(
        &mut self,
        args: &Args,
        screen: &mut Screen,
        watcher: &mut Watcher,
        at: Timestamp,
    ) -> Result<(), CliError> {
        let mut answer = self.ask(self.place.clone(), watcher, WAIT);
        let document = match &self.place {
            Some(_) => {
                let held = answer.as_mut().and_then(|answer| answer.object.take());
                held.map(|held| held.map_err(CliError::from).and_then(|held| document_of(&held)))
            }
            None => Some(file(args)),
        };
        // Where nothing has come yet, the next look takes it up.
        if let Some(document) = document {
            self.take(document, screen, watcher, at)?;
        }
        self.count(answer, watcher, screen)
    }

    fn ask(&mut self, object: Option<Place>, watcher: &Watcher, wait: Duration) -> Option<Answer> {
        let question = Question { object, ready: self.served.questions(watcher) };
        self.reader.as_mut()?.ask(question, wait)
    }

    fn take(
        &mut self,
        document: Result<Document, CliError>,
        screen: &mut Screen,
        watcher: &mut Watcher,
        at: Timestamp,
    ) -> Result<(), CliError> {
        let document = match document {
            Ok(document) => document,
            Err(error) => {
                let why = said(&error);
                if self.unread.begins(&why) {
                    screen.note(format!("judge: the config cannot be read ({why}); the one before goes on"))?;
                }
                return Ok(());
            }
        };
        if document.wire == self.wire {
            if self.unread.ends() {
                screen.note("judge: the config can be read again")?;
            }
            return Ok(());
        }
        self.wire.clone_from(&document.wire);
        match load::compile(document, screen) {
            Ok(Loaded { config, plan, .. }) => {
                self.unread.ends();
                watcher.replace(&config, plan, at);
                if !screen.is_quiet() && !screen.is_json() {
                    screen.note("judge: another config is in force")?;
                }
                self.warn(watcher, screen)
            }
            Err(CliError::Output(error)) => Err(error.into()),
            // What is wrong with it was shown.
            Err(_) => {
                self.unread.begins("it has errors");
                screen.note("judge: the config has errors; the one before goes on")?;
                Ok(())
            }
        }
    }

    fn count(&mut self, answer: Option<Answer>, watcher: &mut Watcher, screen: &mut Screen) -> Result<(), CliError> {
        // What takes a little longer than a look waits is there at the next one: that is no news, and yet not known.
        self.late = if answer.is_none() { self.late.saturating_add(1) } else { 0 };
        let is_late = self.late == 1;
        let why = self.served.take(watcher, answer.map(|answer| answer.ready).as_ref());
        match why {
            Some(_) if is_late => {}
            Some(why) if self.unready.begins(&why) => screen.note(format!(
                "judge: how many Pods are ready is not known ({why}); no step that waits for them is granted"
            ))?,
            None if self.unready.ends() => screen.note("judge: the Pods can be counted again")?,
            Some(_) | None => {}
        }
        Ok(())
    }
}

fn file(args: &Args) -> Result<Document, CliError> {
    load::one(&files::one_or_usual(args.config.as_ref())?)
}
