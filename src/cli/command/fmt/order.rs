//! Says in which order the fields of a config are written, and what a boolean among them means.
//!
//! The order is that of the reference, so that a config is read as the reference is. What has a name that the author
//! gave, such as a flag, keeps the author's order. Never judges a field: one that is not known comes last.

use tidegate_engine::config::reference::{
    CONDITION, CONFIG, ERRORS, FLAG, GENERATE, GUARD, INSPECT, LATENCY, LIMIT, MATCH, REPLY, ROUTE, RULE, SOURCE,
    SPLIT, STEP, Section, TELEMETRY, VARIANT,
};

/// What kind of map stands in a place; a list is of the kind of its items.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// One of the reference's maps.
    Fields(&'static Section),
    /// Names that the author gave, each with such a map.
    Named(&'static Section),
    /// Nothing that has an order: texts, or names with texts.
    Free,
}

/// What a boolean stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Yes or no.
    Boolean,
    /// The variant `on` or `off`, of which YAML has made a boolean.
    Variant,
    /// What only the author can know.
    Unknown,
}

pub(crate) const ROOT: Layout = Layout::Fields(&CONFIG);

impl Layout {
    /// The kind of what stands under a key.
    pub(crate) fn inside(self, key: &str) -> Self {
        let section = match self {
            Self::Named(section) => return Self::Fields(section),
            Self::Free => return Self::Free,
            Self::Fields(section) => section,
        };
        match (section.title, key) {
            (title, "segments") if title == CONFIG.title => Self::Named(&CONDITION),
            (title, "flags") if title == CONFIG.title => Self::Named(&FLAG),
            (title, "inspect") if title == CONFIG.title => Self::Fields(&INSPECT),
            (title, "telemetry") if title == CONFIG.title => Self::Fields(&TELEMETRY),
            (title, "identity") if title == CONFIG.title || title == FLAG.title => Self::Fields(&SOURCE),
            (title, "generate") if title == SOURCE.title => Self::Fields(&GENERATE),
            (title, "match") if title == FLAG.title => Self::Fields(&MATCH),
            (title, "route") if title == FLAG.title => Self::Fields(&ROUTE),
            (title, "variants") if title == FLAG.title => Self::Fields(&VARIANT),
            (title, "rules") if title == FLAG.title => Self::Fields(&RULE),
            (title, "guard") if title == FLAG.title => Self::Fields(&GUARD),
            (title, "limit") if title == VARIANT.title => Self::Fields(&LIMIT),
            (title, "reply") if title == VARIANT.title => Self::Fields(&REPLY),
            (title, "when") if title == RULE.title => Self::Fields(&CONDITION),
            (title, "steps") if title == RULE.title => Self::Fields(&STEP),
            (title, "serve") if title == RULE.title => Self::Fields(&SPLIT),
            (title, "errors") if title == GUARD.title => Self::Fields(&ERRORS),
            (title, "latency") if title == GUARD.title => Self::Fields(&LATENCY),
            (title, "all" | "any" | "not") if title == CONDITION.title => Self::Fields(&CONDITION),
            _ => Self::Free,
        }
    }

    /// Where a key stands among its neighbours; equal ones keep the author's order.
    pub(crate) fn place(self, key: &str) -> usize {
        match self {
            Self::Fields(section) => section.names().position(|name| name == key).unwrap_or(usize::MAX),
            Self::Named(_) | Self::Free => 0,
        }
    }

    /// What a boolean under a key stands for.
    pub(crate) fn truth(self, key: &str) -> Truth {
        let Self::Fields(section) = self else { return Truth::Unknown };
        let is_variant = match key {
            "variants" | "baseline" | "default" => section.title == FLAG.title,
            "serve" => section.title == RULE.title,
            "variant" => section.title == SPLIT.title,
            "name" => section.title == VARIANT.title,
            _ => false,
        };
        let takes = section.fields.iter().find(|entry| entry.name == key).map_or("", |entry| entry.takes);
        match (is_variant, takes) {
            (true, _) => Truth::Variant,
            (false, "boolean" | "`true`") => Truth::Boolean,
            (false, _) => Truth::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Layout, ROOT};
    use tidegate_engine::config::reference::SECTIONS;

    fn walk(layout: Layout, seen: &mut BTreeSet<&'static str>) {
        match layout {
            Layout::Free => {}
            Layout::Named(_) => walk(layout.inside("a-name"), seen),
            Layout::Fields(section) => {
                if seen.insert(section.title) {
                    section.names().for_each(|name| walk(layout.inside(name), seen));
                }
            }
        }
    }

    #[test]
    fn every_section_of_the_reference_has_its_place() {
        let mut seen = BTreeSet::new();
        walk(ROOT, &mut seen);
        assert_eq!(seen, SECTIONS.iter().map(|section| section.title).collect());
    }
}
