//! A config in the bytes that a proxy would get, with the file that it comes from.

use std::fmt;
use std::rc::Rc;

use super::look::{self, Look};
use super::tree::{Places, Tree};
use std::ops::Range;
use tidegate_engine::config::Node;

/// A config, in the bytes in which a proxy would get it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    pub text: Rc<str>,
    /// What carries the config: `EnvoyFilter tidegate`; nothing where the file is one.
    pub carrier: String,
    pub wire: Vec<u8>,
    pub places: Places,
}

impl Document {
    /// A config that is a file of its own.
    pub fn new(file: &str, text: &Rc<str>, wire: Vec<u8>, places: Places) -> Self {
        Self { file: file.to_owned(), text: Rc::clone(text), carrier: String::new(), wire, places }
    }

    /// One of the documents of a file.
    pub fn of_tree(file: &str, text: &Rc<str>, tree: &Tree) -> Self {
        // JSON goes to a proxy as it is written; YAML may begin with a brace, too.
        let is_json =
            text.trim_start().starts_with('{') && (!file.ends_with("ml") || serde_json::from_str::<Node>(text).is_ok());
        let wire = if is_json { text.as_bytes().to_vec() } else { wire(&tree.node()) };
        Self::new(file, text, wire, tree.places())
    }

    /// The only document in the text of a file, such as a policy.
    pub fn only(file: &str, text: &str) -> Result<Self, ReadError> {
        let text: Rc<str> = text.into();
        let trees = trees(file, &text)?;
        match trees.as_slice() {
            [tree] => Ok(Self::new(file, &text, wire(&tree.node()), tree.places())),
            several => Err(ReadError::Unfit(format!("{file} contains {} documents instead of one", several.len()))),
        }
    }

    /// The file, with what carries the config where something does.
    pub fn name(&self) -> String {
        if self.carrier.is_empty() { self.file.clone() } else { format!("{} ({})", self.file, self.carrier) }
    }
}

/// Why no config can be read from a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The text cannot be read as what it is; with the lines that could not be read.
    Broken(String),
    /// The text can be read, and holds something else than what was asked for.
    Unfit(String),
    /// Either of the two, with the place that shows it.
    Marked(Box<Marked>),
}

/// A text that no config can be read from, and the place that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The file, as it was named.
    pub file: String,
    pub text: Rc<str>,
    /// What is wrong, or what it is instead.
    pub message: String,
    pub help: String,
    pub span: Range<usize>,
    /// Whether it is something else than a config of Tidegate, and nothing is wrong with it.
    pub foreign: bool,
}

impl Marked {
    /// A document that holds the text alone.
    pub fn document(&self) -> Document {
        Document::new(&self.file, &self.text, Vec::new(), Places::new())
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(text) | Self::Unfit(text) => f.write_str(text),
            Self::Marked(marked) => write!(f, "{}: {}", marked.file, marked.message),
        }
    }
}

/// The documents of a text.
pub fn trees(file: &str, text: &Rc<str>) -> Result<Vec<Tree>, ReadError> {
    let marked = |look: Look| Marked {
        file: file.to_owned(),
        text: Rc::clone(text),
        message: look.what,
        help: look.help,
        span: look.at,
        foreign: false,
    };
    let read = match look::broken(text) {
        Some(look) => Err(look),
        None => Tree::parse(text, false).map_err(|unread| look::unread(text, &unread)),
    };
    read.map_err(|look| ReadError::Marked(Box::new(marked(look))))
}

/// A tree as the JSON that reaches a proxy.
pub fn wire(node: &Node) -> Vec<u8> {
    // A tree of values can always be written down.
    serde_json::to_vec(node).unwrap_or_default()
}

pub fn json(node: &Node) -> serde_json::Value {
    serde_json::to_value(node).unwrap_or_default()
}
