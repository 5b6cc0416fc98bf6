//! What was found about a config that runs: a word for it, the place, and a sentence. Made by [`super::debt`] and by
//! the judges of [`super::policy`].
//!
//! Never about what keeps a config from running: that is a problem, and the engine's.

use super::diagnostic::{self, Diagnostic, Severity};
use super::source::Document;
use tidegate_engine::problem::FieldPath;

/// One thing that was found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// A word that stays: programs look for it.
    pub(super) code: &'static str,
    /// The flag that it is about; none where it is about the config.
    pub(super) flag: Option<String>,
    /// The rule of the flag, counted from 1.
    pub(super) rule: Option<usize>,
    /// The part of the config, such as a segment, by its name.
    pub(super) part: Option<String>,
    /// The field, in the words of a problem.
    pub(super) path: String,
    /// What is wrong, in words that follow the path.
    pub(super) message: String,
    /// What may have been meant.
    pub(super) help: Option<String>,
    /// Whether the key of the field is meant, not its value.
    about_key: bool,
}

impl Finding {
    /// Something about a flag as a whole.
    pub(super) fn of_flag(severity: Severity, code: &'static str, key: &str, message: String) -> Self {
        let path = FieldPath::ROOT.key("flags").key(key).to_string();
        Self { flag: Some(key.to_owned()), about_key: true, ..Self::new(severity, code, path, message) }
    }

    /// Something about a field of a flag, such as `expires` or `rules[1].steps[0]`.
    pub(super) fn of_field(severity: Severity, code: &'static str, key: &str, field: &str, message: String) -> Self {
        let path = format!("{}.{field}", FieldPath::ROOT.key("flags").key(key));
        Self { flag: Some(key.to_owned()), ..Self::new(severity, code, path, message) }
    }

    /// The same, about a rule by its place.
    pub(super) fn of_rule(self, place: usize) -> Self {
        Self { rule: Some(place.saturating_add(1)), ..self }
    }

    /// Something about a part of the config that has a name, such as a segment.
    pub(super) fn of_part(severity: Severity, code: &'static str, part: &str, name: &str, message: String) -> Self {
        let path = FieldPath::ROOT.key(part).key(name).to_string();
        Self { part: Some(name.to_owned()), about_key: true, ..Self::new(severity, code, path, message) }
    }

    fn new(severity: Severity, code: &'static str, path: String, message: String) -> Self {
        Self { severity, code, flag: None, rule: None, part: None, path, message, help: None, about_key: false }
    }

    /// The same, with what may have been meant.
    pub(super) fn with_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// The same, with the place in a file.
    pub(super) fn diagnostic(&self, document: &Document) -> Diagnostic {
        Diagnostic {
            severity: self.severity,
            code: Some(self.code),
            path: self.path.clone(),
            message: self.message.clone(),
            help: self.help.clone(),
            span: diagnostic::nearest_place(document, &self.path, self.about_key),
        }
    }
}
