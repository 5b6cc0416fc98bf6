//! Reads a config in parts, each of which takes a fraction of a millisecond: first its JSON, then each of its segments
//! and flags.
//!
//! One segment or flag is one part, however large it is. What is wrong with bytes that are no JSON is not said here.
//! Never looks at a clock.

use super::node::{Inside, Node};
use super::reader::Field;
use super::schema::reference::CONFIG;
use super::{Config, FLAGS, SEGMENTS};
use crate::problem::{FieldPath, Problems};

type Entries = Vec<(Box<str>, Node)>;

/// JSON that is read member by member: those of the root, and those of each map in it.
#[derive(Debug, Default)]
pub(crate) struct Json {
    bytes: Vec<u8>,
    at: usize,
    root: Entries,
    /// A map in the root that is being read, with its key.
    inside: Option<(Box<str>, Entries)>,
}

/// What a part of JSON comes to.
#[derive(Debug)]
pub(crate) enum Read {
    /// There is more to be read.
    More,
    Whole(Node),
    /// It is no JSON, no map, or nested too deep for this reader.
    Other,
}

impl Json {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the next member.
    pub(crate) fn step(&mut self) -> Read {
        self.member().unwrap_or(Read::Other)
    }

    fn member(&mut self) -> Option<Read> {
        if self.at == 0 {
            self.take(b'{')?;
        }
        let Node::Text(key) = self.value()? else { return None };
        self.take(b':')?;
        if self.inside.is_none() && self.peek()? == b'{' {
            self.take(b'{')?;
            self.inside = Some((key, Entries::new()));
            if self.peek()? != b'}' {
                return Some(Read::More);
            }
        } else {
            let value = self.value()?;
            self.inside.as_mut().map_or(&mut self.root, |(_, entries)| entries).push((key, value));
        }
        while self.peek()? == b'}' {
            self.take(b'}')?;
            let Some((key, entries)) = self.inside.take() else {
                return self.peek().is_none().then(|| Read::Whole(Node::Map(core::mem::take(&mut self.root))));
            };
            self.root.push((key, Node::Map(entries)));
        }
        self.take(b',')?;
        Some(Read::More)
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.at = self.at.saturating_add(blanks);
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at = self.at.saturating_add(1);
        found.then_some(())
    }

    fn value(&mut self) -> Option<Node> {
        let mut values = serde_json::Deserializer::from_slice(self.bytes.get(self.at..)?).into_iter();
        let Inside(value) = values.next()?.ok()?;
        self.at = self.at.saturating_add(values.byte_offset());
        value
    }
}

/// A tree that is read part by part, and given up meanwhile.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Node,
    config: Config,
    stage: Stage,
    /// The places of the segments or flags that are still to be read, the next one last.
    left: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    Segments,
    Flags,
}

impl Tree {
    pub(crate) fn new(root: Node) -> Self {
        Self { root, config: Config::default(), stage: Stage::Head, left: Vec::new() }
    }

    /// Reads the next part. Returns the config once it is whole.
    pub(crate) fn step(&mut self, problems: &mut Problems) -> Option<Config> {
        let root = FieldPath::ROOT;
        match self.stage {
            Stage::Head => {
                let Some(object) = Field::new(&self.root, root).object(&CONFIG, problems) else {
                    return Some(core::mem::take(&mut self.config));
                };
                self.config.read_head(&object, problems);
                let map = object.field("segments");
                self.left = map.map_or(Vec::new(), |map| map.member_places(SEGMENTS, problems));
                self.left.reverse();
                self.stage = Stage::Segments;
            }
            Stage::Segments => {
                if let Some((key, node)) = self.next("segments") {
                    let at = root.key("segments");
                    self.config.read_segment(&key, &Field::new(&node, at.key(&key)), problems);
                } else {
                    let map = Field::new(&self.root, root).known_object();
                    let map = map.as_ref().and_then(|object| object.field("flags"));
                    self.left = map.map_or(Vec::new(), |map| map.member_places(FLAGS, problems));
                    self.left.reverse();
                    self.stage = Stage::Flags;
                }
            }
            Stage::Flags => {
                if let Some((key, node)) = self.next("flags") {
                    let at = root.key("flags");
                    self.config.read_flag(&key, &Field::new(&node, at.key(&key)), problems);
                } else {
                    if let Some(object) = Field::new(&self.root, root).known_object() {
                        self.config.read_rest(&object, problems);
                    }
                    return Some(core::mem::take(&mut self.config));
                }
            }
        }
        None
    }

    /// Takes the next of the entries that are left out of the map of this name.
    fn next(&mut self, name: &str) -> Option<(Box<str>, Node)> {
        let place = self.left.pop()?;
        let Node::Map(root) = &mut self.root else { return None };
        let (_, Node::Map(entries)) = root.iter_mut().find(|(key, _)| **key == *name)? else { return None };
        entries.get_mut(place).map(|(key, node)| (core::mem::take(key), core::mem::replace(node, Node::Null)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Node> {
        let mut json = Json::new(text.as_bytes().to_vec());
        loop {
            match json.step() {
                Read::More => {}
                Read::Whole(node) => return Some(node),
                Read::Other => return None,
            }
        }
    }

    #[test]
    fn json_in_parts_is_the_same_tree_as_a_whole() {
        for text in [
            r#"{"version": 1}"#,
            " {\n\t\"a\" : [1, 2.50, {\"b\": null}] ,\r\n\"c\":{ \"d\" : true , \"e\":{} },\"f\":{},\"g\" :\"}\"}\n ",
            r#"{"a": {"a": "\"{", "\u00e9": -0.0}, "a": {"a": 1}, "b": 1e300, "": {"": ""}}"#,
            r#"{"a":{"b":{"c":{"d":[]}}},"e":12345678901234567890}"#,
        ] {
            assert_eq!(read(text), serde_json::from_str(text).ok(), "{text}");
            assert!(read(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_no_map_in_json_is_left_to_others() {
        let deep = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(read(&deep(15)).is_some() && serde_json::from_str::<Node>(&deep(17)).is_err());
        for text in [
            "",
            " ",
            "[]",
            "1",
            "{",
            "{}",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,\"a\":1}",
            "{\"a\":1}}",
            "{\"a\":1} x",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{1:1}",
            "{\"a\":{\"b\":1,}}",
            "{\"a\":{\"b\":1}",
            "{\"a\":{,}}",
            "{\"a\":tru}",
            "{\"a\":1]",
            "{\"a\":{\"b\":1]}",
            "\u{feff}{\"a\":1}",
            &deep(17),
        ] {
            assert_eq!(read(text), None, "{text}");
            assert!(text == "{}" || !matches!(serde_json::from_str(text), Ok(Node::Map(_))), "{text}");
        }
    }
}
