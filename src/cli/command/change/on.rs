//! An object of a cluster as the place of a config: changed by server-side apply, field by field, onto what was read.
//!
//! A ConfigMap holds text, which keeps its comments; the EnvoyFilter that its annotation names is rendered from it. The
//! others hold values. Never writes what the edits do not say.

use std::sync::Arc;

use serde_json::Value;
use tidegate_fleet::cluster::{self, Act, Cluster, Held, Kind, MANAGER};

use super::commit::Note;
use super::place::{Edited, Place, Written, node};
use crate::error::CliError;
use crate::input::cluster::{ClusterArgs, document_of};
use crate::input::manifest;
use crate::terminal::writer;
use tidegate_analysis::source::edit::{self, Edit};
use tidegate_analysis::source::{Document, Loaded};
use tidegate_engine::value::time::Timestamp;

/// An object of a cluster.
pub(crate) struct Object {
    cluster: Arc<Cluster>,
    place: cluster::Place,
    /// The field manager as which it is written.
    manager: &'static str,
    read: Option<(Held, Document)>,
}

impl Object {
    pub(super) fn new(place: &str, access: &ClusterArgs) -> Result<Self, CliError> {
        Self::by(MANAGER, place, access)
    }

    /// One that is written as this field manager.
    pub(crate) fn by(manager: &'static str, place: &str, access: &ClusterArgs) -> Result<Self, CliError> {
        let place = cluster::Place::parse(place).map_err(|why| format!("--on {place}: {why}"))?;
        if place.kind == Kind::EnvoyFilter {
            return Err(CliError::Trouble {
                what: format!("{place} holds its config inside of a list, and cannot be changed in parts"),
                help: Some("change the ConfigMap that it is rendered from: --on configmap/NAME".to_owned()),
            });
        }
        Ok(Self { cluster: access.connect()?, place, manager, read: None })
    }

    /// Where it is.
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }

    fn was(&self) -> Result<&(Held, Document), CliError> {
        self.read.as_ref().ok_or_else(|| CliError::Broken(format!("{} was not read yet", self.place)))
    }

    /// What the object would hold.
    fn content(held: &Held, edited: &Edited) -> Value {
        if held.content().is_string() {
            return Value::from(edited.new.clone());
        }
        serde_json::from_slice(&edited.document.wire).unwrap_or_default()
    }

    /// Renders the EnvoyFilter, where there is one that is not so yet.
    fn render(&self, held: &Held, document: &Document, act: &Act<'_>) -> Result<Option<String>, CliError> {
        let Some(filter) = held.renders() else { return Ok(None) };
        let values = serde_json::from_slice(&document.wire).map_err(|error| CliError::Broken(error.to_string()))?;
        let loaded = Loaded::new(document.clone(), false).map_err(|_| CliError::Problems)?;
        // Rendered by somebody else between our look and our writing: what they did is not lost, and so once more.
        let mut rendered = self.cluster.render(&filter, &writer::json(&values), &loaded.plan, act);
        if matches!(&rendered, Err(trouble) if trouble.cause == cluster::Cause::Conflict) {
            rendered = self.cluster.render(&filter, &writer::json(&values), &loaded.plan, act);
        }
        let rendered = rendered.map_err(|trouble| CliError::Trouble {
            what: format!("{} is written, and {filter} is not: {}", held.place(), trouble.what),
            help: Some(
                trouble.help.unwrap_or_default() + " (the same command again renders it, without another change)",
            ),
        })?;
        Ok(rendered.map(|_| format!("rendered {filter} anew")))
    }
}

impl Place for Object {
    fn read(&mut self) -> Result<Document, CliError> {
        let held = self.cluster.read(&self.place)?;
        let document = document_of(&held)?;
        self.read = Some((held, document.clone()));
        Ok(document)
    }

    fn edited(&self, edits: Vec<Edit>) -> Result<Edited, CliError> {
        let (held, was) = self.was()?;
        let name = held.place().to_string();
        let old = was.text.to_string();
        let mut due = node(was);
        edit::apply(&mut due, &edits).map_err(|why| CliError::Broken(format!("{name}: {why}")))?;
        let new = if held.content().is_string() {
            edit::text(was, &edits).map_err(|refusal| CliError::Broken(refusal.told(&name, &old)))?
        } else {
            writer::yaml(&due).map_err(CliError::Broken)?
        };
        let after = manifest::within(&name, &new)?;
        match <[Document; 1]>::try_from(after) {
            Ok([document]) if edit::alike(&due, &node(&document)) => Ok(Edited { document, edits, old, new }),
            _ => Err(CliError::Broken(format!(
                "{name}: this change cannot be made without changing something else as well; nothing is written"
            ))),
        }
    }

    fn warnings(&self, edited: &Edited) -> Vec<String> {
        let Ok((held, _)) = self.was() else { return Vec::new() };
        let owners = held.owners(&Self::content(held, edited), self.manager);
        let told = |owner: cluster::Owner| {
            let fields = owner.fields.join(", ");
            format!("{} owns {fields}: its next apply puts that back, unless it is changed there, too", owner.manager)
        };
        owners.into_iter().map(told).collect()
    }

    fn write(&mut self, edited: &Edited, note: &Note) -> Result<Written, CliError> {
        let (held, _) = self.was()?;
        let act = Act {
            manager: self.manager,
            reason: reason(&note.subject),
            note: &note.subject,
            why: note.why.as_deref(),
            at: note.at,
        };
        let written = self.cluster.write(held, &Self::content(held, edited), &act)?;
        let unrecorded = written.unrecorded.map(|why| format!("no Event tells of it: {why}"));
        let rendered = self.render(held, &edited.document, &act)?;
        let place = format!("{} in namespace {}", held.place(), held.namespace());
        Ok(Written { place, commit: None, remarks: unrecorded.into_iter().chain(rendered).collect() })
    }

    fn settle(&mut self, at: Timestamp) -> Result<Option<String>, CliError> {
        let (held, document) = self.was()?;
        let act =
            Act { manager: self.manager, reason: "Rendered", note: "Render the config of its source", why: None, at };
        self.render(held, document, &act)
    }
}

/// The reason of an Event, by what was done: `Kill checkout`.
fn reason(subject: &str) -> &'static str {
    match subject.split(' ').next().unwrap_or_default() {
        "Kill" => "Killed",
        "Unkill" => "Unkilled",
        "Hold" => "Held",
        "Resume" => "Resumed",
        "Promote" => "Promoted",
        "Roll" | "Rollback" => "RolledBack",
        "Retire" => "Retired",
        "Grant" => "Granted",
        _ => "Changed",
    }
}
