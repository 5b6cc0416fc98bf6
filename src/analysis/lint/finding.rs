//! A finding about a config that is valid: a code, a place and a sentence. Made by [`super::debt`] and by
//! [`crate::policy`].
//!
//! Errors that make a config invalid are problems, and come from the engine.

use crate::source::{Diagnostic, Document, Severity, diagnostic};
use tidegate_engine::problem::FieldPath;

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub severity: Severity,
    /// Stable: programs look for it.
    pub code: &'static str,
    /// The flag that it is about; none where it is about the config.
    pub flag: Option<String>,
    /// The rule of the flag that it is about, by its place.
    pub rule: Option<usize>,
    /// The part of the config, such as a segment, by its name.
    pub part: Option<String>,
    /// The field, in the words of a problem.
    pub path: String,
    /// The message; it follows the path in a sentence.
    pub message: String,
    /// A suggestion: what may have been meant.
    pub help: Option<String>,
    /// Whether the key of the field is meant, not its value.
    about_key: bool,
}

impl Finding {
    /// Something about a flag as a whole.
    pub fn of_flag(severity: Severity, code: &'static str, key: &str, message: String) -> Self {
        let path = FieldPath::ROOT.key("flags").key(key).to_string();
        Self { about_key: true, ..Self::at(severity, code, key, path, message) }
    }

    /// Something about a field of a flag, such as `expires`.
    pub fn of_field(severity: Severity, code: &'static str, key: &str, field: &str, message: String) -> Self {
        let path = format!("{}.{field}", FieldPath::ROOT.key("flags").key(key));
        Self::at(severity, code, key, path, message)
    }

    /// Something about what stands at this path in a flag.
    fn at(severity: Severity, code: &'static str, key: &str, path: String, message: String) -> Self {
        Self {
            severity,
            code,
            flag: Some(key.to_owned()),
            rule: None,
            part: None,
            path,
            message,
            help: None,
            about_key: false,
        }
    }

    /// Something about a rule of a flag, or a field of it, such as `percent`.
    pub fn of_rule(
        severity: Severity,
        code: &'static str,
        key: &str,
        rule: usize,
        field: &str,
        message: String,
    ) -> Self {
        let dot = if field.is_empty() { "" } else { "." };
        let finding = Self::of_field(severity, code, key, &format!("rules[{rule}]{dot}{field}"), message);
        Self { rule: Some(rule), ..finding }
    }

    /// Something about a part of the config that has a name, such as a segment.
    pub fn of_part(severity: Severity, code: &'static str, part: &str, name: &str, message: String) -> Self {
        let path = FieldPath::ROOT.key(part).key(name).to_string();
        Self {
            severity,
            code,
            flag: None,
            rule: None,
            part: Some(name.to_owned()),
            path,
            message,
            help: None,
            about_key: true,
        }
    }

    /// Something about what stands at this path, or about its key.
    pub fn of_path(severity: Severity, code: &'static str, path: String, about_key: bool, message: String) -> Self {
        Self { severity, code, flag: None, rule: None, part: None, path, message, help: None, about_key }
    }

    /// The same, with what may have been meant.
    #[must_use]
    pub fn with_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// The same, with the place in a file.
    pub fn diagnostic(&self, document: &Document) -> Diagnostic {
        Diagnostic {
            severity: self.severity,
            code: Some(self.code),
            kind: self.code,
            path: self.path.clone(),
            message: self.message.clone(),
            help: self.help.clone(),
            span: diagnostic::nearest_place(document, &self.path, self.about_key),
        }
    }
}
