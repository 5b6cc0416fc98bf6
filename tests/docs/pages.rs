//! The pages: the README, those in `docs/`, and those beside the manifests.
//!
//! Cuts them into blocks and tables for the tests beside this file. A block whose kind no test knows is an error, so that
//! nothing is shown that was not tried.

use kit::envoy::repository;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The pages whose blocks are tried.
const FOLDERS: [&str; 2] = ["", "docs"];
/// The pages whose links are followed, too.
const OTHERS: [&str; 4] = ["envoy", "envoy/ci", "envoy/istio", "envoy/observability"];
/// Written by `make bench`, whose own tests it has.
const MEASURED: &str = "docs/speed.md";
/// The README is for whoever is new: the rest stands in `docs/`.
const README_LINES: usize = 350;

/// One page: its path from the root, and what it says.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block: what stands behind the fence, and the lines inside.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Block {
    /// The file that the block is, where it has a name for the commands of its page.
    pub(crate) fn file(&self) -> Option<&str> {
        self.kind.strip_prefix("yaml ").filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml"))
    }
}

fn pages_of(folders: &[&str]) -> Vec<Page> {
    let mut pages = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(repository().join(folder)).expect("a folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.extension().is_some_and(|end| end == "md") {
                let text = fs::read_to_string(&path).expect("a page is text");
                let path = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
                pages.push(Page { path, text });
            }
        }
    }
    pages.retain(|page| page.path != MEASURED);
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}

pub(crate) fn pages() -> Vec<Page> {
    pages_of(&FOLDERS)
}

pub(crate) fn page(path: &str) -> Page {
    pages().into_iter().find(|page| page.path == path).unwrap_or_else(|| panic!("there is no {path}"))
}

impl Page {
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(kind), None) => open = Some(Block { kind: kind.to_owned(), text: String::new() }),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => writeln!(block.text, "{line}").unwrap(),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        blocks
    }

    /// The cells of the table with this head, row by row.
    pub(crate) fn table(&self, head: &str) -> Vec<Vec<String>> {
        let rows = self.text.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
        let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
        let rows: Vec<Vec<String>> = rows.map(|row| row.trim_matches('|').split('|').map(cell).collect()).collect();
        assert!(!rows.is_empty(), "{}: there is no table {head}", self.path);
        rows
    }
}

/// The texts of all blocks of a kind.
pub(crate) fn blocks_of(kind: &str) -> Vec<String> {
    let all =
        pages().iter().flat_map(Page::blocks).filter(|block| block.kind == kind).map(|block| block.text).collect();
    let all: Vec<String> = all;
    assert!(!all.is_empty(), "no page has a block of the kind {kind}");
    all
}

#[test]
fn every_block_is_of_a_kind_that_is_tried() {
    for page in pages() {
        for block in page.blocks() {
            match block.kind.as_str() {
                // That of Envoy's is tried by tests/envoy/rollback.rs, but for one that is loaded here.
                "console" | "sh" | "yaml" | "yaml wrong" | "yaml envoy" | "yaml stats" | "yaml manifest" => {}
                _ if block.file().is_some() => {}
                "text" => {
                    let told = block.text.lines().last().is_some_and(|line| line.ends_with(" problems"));
                    assert!(
                        told || block.text.contains("= fmix64("),
                        "{}: an untried block:\n{}",
                        page.path,
                        block.text
                    );
                }
                other => panic!("{}: {other:?} is no kind of block that is tried:\n{}", page.path, block.text),
            }
        }
    }
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let folders: Vec<&str> = FOLDERS.into_iter().chain(OTHERS).collect();
    for page in pages_of(&folders) {
        let folder = repository().join(&page.path).parent().unwrap().to_owned();
        let ends = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')];
        let links = ends.iter().flat_map(|(begin, end)| {
            page.text.match_indices(begin).map(|(at, _)| page.text[at + begin.len()..].split(*end).next().unwrap())
        });
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { repository().join(&page.path) } else { folder.join(file) };
            assert!(path.exists(), "{}: {link} does not exist", page.path);
            if let Some(anchor) = anchor {
                let known = anchors(&fs::read_to_string(&path).unwrap());
                assert!(known.iter().any(|known| known == anchor), "{}: {link}: no such heading: {known:?}", page.path);
            }
        }
    }
}

#[test]
fn the_readme_is_short_leads_to_every_page_and_has_the_words_that_people_look_for() {
    let readme = page("README.md");
    let lines = readme.text.lines().count();
    assert!(lines <= README_LINES, "the README has {lines} lines, and {README_LINES} are the most");
    for page in pages().iter().filter(|page| page.path.starts_with("docs/")) {
        assert!(readme.text.contains(&format!("]({}", page.path)), "the README does not lead to {}", page.path);
    }
    let text = readme.text.to_lowercase();
    for word in ["feature flag", "canar", "progressive delivery", "rollback", "istio", "envoy", "a/b", "kill switch"] {
        assert!(text.contains(word), "{word}");
    }
}
