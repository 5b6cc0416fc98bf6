//! Changes the config in an object of a cluster, and records who did it, when and why: as annotations and as an Event.
//!
//! What is written is what differs, as the field manager of the caller, and only onto the state that was read: whoever
//! comes second is told. Fields that another manager owns are taken over where they are what the user changes; which
//! managers will put them back is told before. Never writes more of an object.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use tidegate_analysis::words::time::moment;
use tidegate_engine::value::time::Timestamp;

use super::connect::Cluster;
use super::edit::{self, Edits, Manager, Path};
use super::object::Held;
use super::trouble::{Cause, Trouble};

/// The name under which the commands of people write.
pub const MANAGER: &str = "tidegate";

/// The annotations of the last change.
pub(super) const BY: &str = "tidegate.dev/changed-by";
pub(super) const AT: &str = "tidegate.dev/changed-at";
pub(super) const WHY: &str = "tidegate.dev/changed-why";

/// The longest note that an Event takes, in bytes.
const NOTE: usize = 1024;

/// How often a change of something else in the same object is answered by another try.
const TRIES: usize = 4;

/// What is done, for the record.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// The field manager: [`MANAGER`] for people.
    pub manager: &'a str,
    /// One word in capitals, as Events have it: `Killed`.
    pub reason: &'a str,
    /// What was done, in a sentence: `kill checkout`.
    pub note: &'a str,
    pub why: Option<&'a str>,
    pub at: Timestamp,
}

/// Another one that owns a field which is changed, and will write it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of its field manager.
    pub manager: String,
    pub fields: Vec<String>,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Written {
    /// Whose change it is, to the API server.
    pub by: String,
    /// The state that it made.
    pub version: String,
    /// Why there is no Event of it, if there is none.
    pub unrecorded: Option<String>,
}

impl Held {
    /// Whose fields are changed, of those that write them again by themselves.
    #[must_use]
    pub fn owners(&self, content: &Value, own: &str) -> Vec<Owner> {
        let edits = Edits::between(self.at(), self.content(), content);
        let others = edit::managers(self.object()).into_iter().filter(|one| one.name != own && one.repeats());
        let owner = |one: Manager| {
            let fields: Vec<String> = one.touched(&edits).into_iter().map(|path| self.short(path)).collect();
            (!fields.is_empty()).then_some(Owner { manager: one.name, fields })
        };
        others.filter_map(owner).collect()
    }

    /// A path as seen from the config.
    fn short(&self, path: &[String]) -> String {
        let inside = path.get(self.at().len()..).unwrap_or_default();
        if inside.is_empty() { edit::dotted(path) } else { edit::dotted(inside) }
    }

    /// What another state of the object has in its config, in words.
    fn differs(&self, now: &Self) -> String {
        const SHOWN: usize = 5;
        let edits = Edits::between(self.at(), self.content(), now.content());
        let is = |(path, value): &(Path, Value)| match value {
            Value::Bool(_) | Value::Number(_) => format!("{} is {value}", self.short(path)),
            Value::String(text) if !text.contains('\n') => format!("{} is {value}", self.short(path)),
            _ => format!("{} is another one", self.short(path)),
        };
        let gone = edits.removals.iter().map(|path| format!("{} is gone", self.short(path)));
        let mut words: Vec<String> = edits.sets.iter().map(is).chain(gone).collect();
        let more = words.len().saturating_sub(SHOWN);
        words.truncate(SHOWN);
        if more > 0 {
            words.push(format!("and {more} more"));
        }
        words.join(", ")
    }

    /// Who changed the object last, as far as it says.
    fn changer(&self, before: &Self) -> String {
        if let (Some(by), Some(at)) = (self.annotation(BY), self.annotation(AT))
            && before.annotation(AT) != Some(at)
        {
            let why = self.annotation(WHY).map(|why| format!(", \"{why}\"")).unwrap_or_default();
            return format!("{by} at {at}{why}");
        }
        let list = self.object().pointer("/metadata/managedFields").and_then(Value::as_array);
        let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let all = list.into_iter().flatten().map(|entry| (text(entry, "time"), text(entry, "manager")));
        all.max().map_or_else(|| "somebody".to_owned(), |(at, manager)| format!("somebody with {manager} at {at}"))
    }
}

/// What a change writes.
enum Body {
    /// What this manager wants of the object, all of it.
    Apply(Value),
    /// Where something is removed: what another manager owns stays if it is only left out.
    Json(Vec<Value>),
}

/// The change of an object: what differs, the annotations, and the state that it is for.
fn body(held: &Held, content: &Value, manager: &str, notes: &[(&str, Option<&str>)]) -> Body {
    let object = held.object();
    let mut edits = Edits::between(held.at(), held.content(), content);
    let annotation = |name: &str| vec!["metadata".to_owned(), "annotations".to_owned(), name.to_owned()];
    let only = !edits.removals.is_empty();
    for (name, value) in notes {
        match (value, held.annotation(name)) {
            (Some(value), _) => edits.sets.push((annotation(name), json!(value))),
            (None, Some(_)) => edits.removals.push(annotation(name)),
            (None, None) => {}
        }
    }
    // A stale reason is left out by an apply of the one who wrote it.
    let own = |one: &Manager| one.name == manager && one.operation == "Apply";
    let owned: Vec<Path> = edit::managers(object).into_iter().filter(own).flat_map(|one| one.fields).collect();
    let notes_are_ours = edits.removals.iter().all(|path| owned.contains(path));
    if only || !notes_are_ours {
        let mut patch = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": held.version()})];
        if object.pointer("/metadata/annotations").is_none() {
            patch.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        patch.extend(edits.patch());
        return Body::Json(patch);
    }
    let field = |name: &str| object.get(name).cloned().unwrap_or_default();
    let mut whole = json!({
        "apiVersion": field("apiVersion"),
        "kind": field("kind"),
        "metadata": {"name": held.place().name, "namespace": held.namespace(), "resourceVersion": held.version()},
    });
    // What it owned and leaves out would be removed.
    for path in owned.iter().filter(|path| !edits.removals.contains(path)) {
        if let Some(value) = edit::at(object, path) {
            edit::put(&mut whole, path, value.clone());
        }
    }
    for (path, value) in &edits.sets {
        edit::put(&mut whole, path, value.clone());
    }
    Body::Apply(whole)
}

impl Cluster {
    /// Changes the content of an object that was read, and records it.
    ///
    /// # Errors
    /// If somebody else has changed the content meanwhile, or it may not be changed, or it is refused. Then nothing is
    /// changed.
    pub fn write(&self, held: &Held, content: &Value, act: &Act<'_>) -> Result<Written, Trouble> {
        let by = self.who();
        let at = moment(act.at);
        let notes = [(BY, Some(&*by)), (AT, Some(&*at)), (WHY, act.why)];
        let kind = held.place().kind;
        let mut base = held.clone();
        for _ in 0..TRIES {
            let params = PatchParams { field_manager: Some(act.manager.to_owned()), ..PatchParams::default() };
            let api = self.api(kind);
            let name = held.place().name.as_str();
            let answer = match body(&base, content, act.manager, &notes) {
                Body::Apply(whole) => self.wait(api.patch(name, &params.force(), &Patch::Apply(&whole))),
                Body::Json(operations) => {
                    let patch = serde_json::from_value(json!(operations)).unwrap_or_default();
                    self.wait(api.patch(name, &params, &Patch::Json::<()>(patch)))
                }
            };
            let error = match answer {
                Ok(object) => {
                    let version = object.metadata.resource_version.unwrap_or_default();
                    let unrecorded = self.record(held, act, &by).err();
                    return Ok(Written { by, version, unrecorded });
                }
                Err(error) => error,
            };
            let object = held.place().object();
            let trouble = self.asked("patch", kind.plural(), kind.group(), &object).failed(&error);
            let stale = matches!(&error, kube::Error::Api(status) if matches!(status.code, 409 | 422));
            if !stale {
                return Err(trouble);
            }
            let now = self.read(held.place())?;
            if now.version() == base.version() {
                return Err(trouble);
            }
            if now.content() != held.content() {
                let what = format!("{object} was changed meanwhile, by {}: {}", now.changer(held), held.differs(&now));
                return Err(Trouble::new(Cause::Conflict, what)
                    .help("nothing was written: look at what is there now, and give the command again"));
            }
            // A status, or a label: our content is as it was.
            base = now;
        }
        Err(Trouble::new(Cause::Conflict, format!("{} changes all the time", held.place()))
            .help("nothing was written: give the command again"))
    }

    /// Who the API server takes the user for.
    #[must_use]
    pub fn who(&self) -> String {
        let kind = GroupVersionKind::gvk("authentication.k8s.io", "v1", "SelfSubjectReview");
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&kind, "selfsubjectreviews"));
        let resource = ApiResource::from_gvk_with_plural(&kind, "selfsubjectreviews");
        let mut review = DynamicObject::new("", &resource);
        review.metadata.name = None;
        let answer = self.wait(api.create(&PostParams::default(), &review));
        let name =
            answer.ok().and_then(|review| Some(review.data.pointer("/status/userInfo/username")?.as_str()?.to_owned()));
        name.unwrap_or_else(|| "an unknown user".to_owned())
    }

    /// Writes an Event about the object. The change stands, be there one or not.
    fn record(&self, held: &Held, act: &Act<'_>, by: &str) -> Result<(), String> {
        let kind = GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
        let resource = ApiResource::from_gvk_with_plural(&kind, "events");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), held.namespace(), &resource);
        let mut note = format!("{}, by {by}", act.note);
        if let Some(why) = act.why {
            note = format!("{note}: {why}");
        }
        let end = (0..=NOTE.min(note.len())).rev().find(|end| note.is_char_boundary(*end)).unwrap_or_default();
        note.truncate(end);
        let object = held.object();
        let field = |path: &str| object.pointer(path).cloned().unwrap_or_default();
        let mut event = DynamicObject::new("", &resource).data(json!({
            "eventTime": micros(act.at),
            "reportingController": "tidegate.dev/tidegate",
            "reportingInstance": act.manager,
            "action": act.reason,
            "reason": act.reason,
            "regarding": {
                "apiVersion": field("/apiVersion"), "kind": field("/kind"), "namespace": held.namespace(),
                "name": held.place().name, "uid": field("/metadata/uid"),
            },
            "note": note,
            "type": "Normal",
        }));
        event.metadata.name = None;
        event.metadata.generate_name = Some(format!("{}-", held.place().name));
        event.metadata.namespace = Some(held.namespace().to_owned());
        let asked = self.asked("create", "events", "events.k8s.io", "an Event");
        self.wait(api.create(&PostParams::default(), &event)).map(drop).map_err(|error| asked.failed(&error).what)
    }
}

/// A time with microseconds, as an Event wants it.
fn micros(at: Timestamp) -> String {
    let whole = moment(at);
    let (seconds, fraction) = whole.trim_end_matches('Z').split_once('.').unwrap_or((whole.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<6}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_microseconds() {
        assert_eq!(micros(Timestamp::from_millis(1_796_115_600_000)), "2026-12-01T09:00:00.000000Z");
        assert_eq!(micros(Timestamp::from_millis(1_796_115_600_250)), "2026-12-01T09:00:00.250000Z");
    }
}
