//! Runs each fuzz target over its seeds and over some thousand mutations of them: the same in every run.
//!
//! The long runs are libFuzzer's (`make fuzz`); this keeps the targets and what was found alive in `make test`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what is found stops the test, with a message"
)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use kit::envoy::repository;

use tidegate_engine::config::schema::reference::SECTIONS;

/// The longest input: a mutation that grows beyond is cut.
const LONGEST: usize = 4 * 1024;

#[test]
fn config_holds() {
    smoke("config", 10_000);
}

#[test]
fn identity_holds() {
    smoke("identity", 10_000);
}

#[test]
fn token_holds() {
    smoke("token", 10_000);
}

#[test]
fn condition_holds() {
    smoke("condition", 10_000);
}

#[test]
fn differential_holds() {
    smoke("differential", 200);
}

/// What libFuzzer and the mutator make inputs of, beside the seeds.
#[test]
fn the_dictionary_knows_every_field() {
    let words = words();
    for field in SECTIONS.iter().flat_map(|section| section.fields) {
        let wanted = format!("\"{}\":", field.name);
        assert!(words.iter().any(|word| *word == wanted.as_bytes()), "config.dict lacks {wanted}");
    }
}

fn smoke(name: &str, mutations: u64) {
    let (_, check) = targets::ALL.iter().find(|(known, _)| *known == name).expect("a target");
    let seeds = seeds(name);
    assert!(seeds.len() > 10, "seeds of {name} have gone missing: {}", seeds.len());
    let run = |input: &[u8], origin: &str| {
        let held = catch_unwind(AssertUnwindSafe(|| check(input))).is_ok();
        assert!(held, "{name} fails on {origin}: b\"{}\"", input.escape_ascii());
    };
    for (file, seed) in &seeds {
        run(seed, &file.display().to_string());
    }
    let mut mutator =
        Mutator { state: 0x7469_6465, seeds: seeds.into_iter().map(|(_, seed)| seed).collect(), words: words() };
    for number in 0..mutations {
        run(&mutator.next(), &format!("mutation {number}"));
    }
}

fn folder() -> PathBuf {
    repository().join("tests/fuzz")
}

fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder().join("seeds").join(name)).expect("a folder of seeds");
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// The words of libFuzzer's dictionary.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join("config.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(|word| word.replace("\\\"", "\"").replace("\\\\", "\\").into_bytes()).collect()
}

/// Makes new inputs of the seeds; a generator of its own, so that no version of a crate changes what is tried.
struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    fn next(&mut self) -> Vec<u8> {
        let seed = self.below(self.seeds.len());
        let mut input = self.seeds[seed].clone();
        for _ in 0..=self.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(32) + 1);
        let put: Vec<u8> = match self.below(8) {
            0 => vec![],
            1 => vec![self.below(256) as u8],
            2 => input.get(at).map(|byte| byte ^ (1 << self.below(8))).into_iter().collect(),
            3 => input[at..end].repeat(2),
            4 => b"\0 \n\"%;=.,:&?-/{}[]0159x_\xff"[self.below(26)..].iter().take(1).copied().collect(),
            5 => {
                let word = self.below(self.words.len());
                self.words[word].clone()
            }
            6 => input[at..end].iter().rev().copied().collect(),
            _ => {
                let other = self.below(self.seeds.len());
                let other = &self.seeds[other];
                let from = (at * 7 + end) % (other.len() + 1);
                other[from..].iter().take(48).copied().collect()
            }
        };
        // Half of the time the new bytes come in between, else they take the place of others.
        let end = if self.below(2) == 0 { at } else { end };
        input.splice(at..end, put);
    }

    /// A number from 0 to below `size`: xorshift, by a widening multiply.
    fn below(&mut self, size: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (((self.state >> 32) * size as u64) >> 32) as usize
    }
}
