//! Says in which order the fields of a config are written, and what a boolean among them means.
//!
//! Both are those of the reference, so that a config is read as the reference is. What has a name that the author
//! gave, such as a flag, keeps the author's order. Never judges a field: one that is not known comes last.

use tidegate_engine::config::schema::reference::CONFIG;
use tidegate_engine::config::schema::shape::Shape;

/// What a boolean stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Yes or no.
    Boolean,
    /// The variant `on` or `off`, of which YAML has made a boolean.
    Variant,
    /// What only the author can know.
    Unknown,
}

/// The whole config.
pub const ROOT: Shape = Shape::Map(&CONFIG);

/// The map that stands in a place, or the maps of a list that does.
fn map(shape: Shape) -> Option<Shape> {
    match shape {
        Shape::Map(_) | Shape::Named { .. } => Some(shape),
        Shape::List(of) | Shape::ListOrNone(of) => map(*of),
        Shape::Either(shapes) => shapes.iter().find_map(|shape| map(*shape)),
        _ => None,
    }
}

/// What stands under a key.
pub fn inside(shape: Shape, key: &str) -> Shape {
    match map(shape) {
        Some(Shape::Map(section)) => section.field(key).map_or(Shape::Any, |entry| entry.shape),
        Some(Shape::Named { value, .. }) => *value,
        _ => Shape::Any,
    }
}

/// Where a key stands among its neighbours; equal ones keep the author's order.
pub fn place(shape: Shape, key: &str) -> usize {
    match map(shape) {
        Some(Shape::Map(section)) => section.names().position(|name| name == key).unwrap_or(usize::MAX),
        _ => 0,
    }
}

/// What a boolean stands for in a place, or in a list that stands there.
pub fn truth(shape: Shape) -> Truth {
    match shape {
        Shape::Boolean | Shape::True => Truth::Boolean,
        Shape::Variant => Truth::Variant,
        Shape::List(of) | Shape::ListOrNone(of) => truth(*of),
        Shape::Either(shapes) => {
            let known = shapes.iter().map(|shape| truth(*shape)).find(|truth| *truth != Truth::Unknown);
            known.unwrap_or(Truth::Unknown)
        }
        _ => Truth::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tidegate_engine::config::schema::reference::SECTIONS;

    fn walk(shape: Shape, seen: &mut BTreeSet<&'static str>) {
        match map(shape) {
            Some(Shape::Map(section)) if seen.insert(section.title) => {
                section.names().for_each(|name| walk(inside(shape, name), seen));
            }
            Some(Shape::Named { .. }) => walk(inside(shape, "a-name"), seen),
            _ => {}
        }
    }

    #[test]
    fn every_section_of_the_reference_has_its_place() {
        let mut seen = BTreeSet::new();
        walk(ROOT, &mut seen);
        assert_eq!(seen, SECTIONS.iter().map(|section| section.title).collect());
    }
}
