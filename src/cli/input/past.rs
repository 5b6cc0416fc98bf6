//! Finds in the past of a file which flags it had, when they came, and when they went.
//!
//! A revision that cannot be read has no flags, and is passed over. Never looks further than git's history goes.

use std::collections::{BTreeMap, BTreeSet};

use super::git::{History, Revision};
use super::manifest;
use tidegate_analysis::words::time;
use tidegate_engine::config::Config;
use tidegate_engine::problem::Problems;
use tidegate_engine::value::time::Timestamp;

/// The keys that a file had, by the name of each of its texts, read when first asked for.
pub(crate) struct KeyHistory<'h> {
    history: &'h History,
    file: &'h str,
    known: BTreeMap<String, BTreeSet<String>>,
}

impl<'h> KeyHistory<'h> {
    pub(crate) fn new(history: &'h History, file: &'h str) -> Self {
        Self { history, file, known: BTreeMap::new() }
    }

    /// When a key was last removed, at this place of the history or earlier, in words; `None` if it never existed.
    pub(crate) fn removed(&mut self, key: &str, from: usize) -> Option<String> {
        let history = self.history;
        let gone = |keys: &mut Self, revision: &Revision| {
            keys.has(revision.old.as_deref(), key) && !keys.has(revision.new.as_deref(), key)
        };
        let revision = history.revisions.iter().skip(from).find(|revision| gone(self, revision))?;
        let Revision { subject, author, .. } = revision;
        let (date, id) = (time::text(revision.date), revision.short());
        Some(format!("was in use until {date}, when {author} removed it in {id}, {subject:?}"))
    }

    /// When each of these keys, which the file has now, came into it the last time. Nothing is said of one that was
    /// there already where a clone's past is cut off.
    pub(crate) fn came(&mut self, keys: &BTreeSet<String>) -> BTreeMap<String, Timestamp> {
        let mut found = BTreeMap::new();
        let mut open: BTreeSet<&String> = keys.iter().collect();
        let history = self.history;
        let last = history.revisions.len().saturating_sub(1);
        for (place, revision) in history.revisions.iter().enumerate() {
            if open.is_empty() {
                break;
            }
            let old: Vec<&String> =
                open.iter().copied().filter(|key| !self.has(revision.old.as_deref(), key)).collect();
            for key in old {
                open.remove(key);
                let known = place < last || !history.is_cut;
                if known && self.has(revision.new.as_deref(), key) {
                    found.insert(key.clone(), revision.date);
                }
            }
        }
        found
    }

    fn has(&mut self, text: Option<&str>, key: &str) -> bool {
        let Some(name) = text else { return false };
        // Most texts never speak of most keys: those need not be read.
        if !self.history.text(name).is_ok_and(|text| text.contains(key)) {
            return false;
        }
        if !self.known.contains_key(name) {
            let keys = self.history.text(name).map_or_else(|_| BTreeSet::new(), |text| keys(self.file, text));
            self.known.insert(name.to_owned(), keys);
        }
        self.known.get(name).is_some_and(|keys| keys.contains(key))
    }
}

/// The keys of all configs in a text.
fn keys(file: &str, text: &str) -> BTreeSet<String> {
    let documents = manifest::within(file, text).unwrap_or_default();
    let configs = documents.iter().map(|document| Config::from_bytes(&document.wire, &mut Problems::default()));
    configs.flat_map(|config| config.flags).map(|(key, _)| key.to_string()).collect()
}
