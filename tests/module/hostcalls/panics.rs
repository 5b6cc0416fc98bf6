//! Every place of the built module that can panic, read from the module itself, and why nothing reaches it.
//!
//! The compiler leaves with each panic the file, the line and the column that it stands in; a place that no code can
//! reach is taken out with the code. Knows nothing of what the module does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use walrus::{ConstExpr, DataKind, Module, ir::Value};

/// A place in the source: its file without the folders of the machine that built it, its line and column.
pub type Place = (String, u32, u32);

/// A file that places may stand in, and why no request and no config reaches those.
pub struct Known {
    pub file: &'static str,
    pub because: &'static str,
}

const fn known(file: &'static str, because: &'static str) -> Known {
    Known { file, because }
}

/// The crates' files; a version of a crate is not part of its name.
pub const CRATES: [Known; 29] = [
    // What a size or a count overflows. A VM ends at 1 GiB, long before.
    known("alloc/src/raw_vec/mod.rs", "more bytes than a VM has"),
    known("alloc/src/rc.rs", "more bytes than a VM has"),
    known("alloc/src/slice.rs", "more bytes than a VM has, in a join"),
    known("alloc/src/sync.rs", "more bytes than a VM has"),
    known("alloc/src/str.rs", "more bytes than a VM has, in a join"),
    known("alloc/src/vec/mod.rs", "more bytes than a VM has, or an index behind the end: see our own places"),
    known("alloc/src/vec/spec_from_iter_nested.rs", "more bytes than a VM has"),
    // What a `Display` that fails ends. Ours do not fail, and nor do those of the numbers and texts that they are made of.
    known("alloc/src/fmt.rs", "a Display that fails: none does"),
    known("alloc/src/string.rs", "a Display that fails: none does; and `truncate`: see our own places"),
    // Constants that are right.
    known("core/src/char/methods.rs", "a radix above 36: ours are 8, 10 and 16"),
    known("core/src/net/parser.rs", "a radix above 36, and digits behind those that were counted"),
    known(
        "core/src/slice/mod.rs",
        "a part beyond the end: `reverse`, `strip_prefix` and `strip_suffix` have measured it",
    ),
    known("core/src/slice/iter.rs", "parts of no length: ours have two and eight bytes"),
    known("core/src/unicode/printable.rs", "tables of the compiler, for the debug form of a text"),
    // Sorting: an order that is none. All of ours are those of numbers and bytes.
    known("core/src/slice/sort/shared/smallsort.rs", "an order that is none"),
    known("core/src/slice/sort/unstable/quicksort.rs", "an order that is none"),
    // Texts: places between the halves of a character. The searches give places between characters.
    known("core/src/str/mod.rs", "a place inside of a character"),
    known("core/src/str/pattern.rs", "the search itself, in texts and for texts that are not empty"),
    // Time: only the host's clock is read, whose nanoseconds since 1970 fit, until the year 2554.
    known("core/src/time.rs", "a time before 1970, or after 2554"),
    known("std/src/time.rs", "a time before 1970, or after 2554"),
    // Threads: a VM has one, which ends with it, and a callback does not begin inside of another.
    known("std/src/panicking.rs", "the hook is set once, before any panic"),
    known("std/src/thread/local.rs", "a thread's values after its end; a cell that is open twice"),
    // The payload of a token: what is decoded is as long as the estimate, by the crate's own tests. Hostile tokens
    // are in tests/envoy/hostile, and a fuzzer sends more.
    known("base64/src/engine/general_purpose/decode.rs", "a payload longer than what was set aside for it"),
    known("base64/src/engine/general_purpose/decode_suffix.rs", "more than four letters in a group of four"),
    known("base64/src/engine/mod.rs", "a payload longer than what was set aside for it"),
    known("percent-encoding/src/lib.rs", "more bytes unchanged than there are"),
    // JSON from memory: an index is counted up to the length, and not beyond.
    known("serde_json/src/error.rs", "the text of an error, at places that were just found in it"),
    known("serde_json/src/io/core.rs", "an error of reading: memory has none"),
    known("serde_json/src/read.rs", "a place behind the end of what was read"),
];

/// Our own places: the file, what stands in the line, and why it cannot fail.
pub const OURS: [(&str, &str, &str); 8] = [
    (
        "src/engine/output/effect.rs",
        "text.truncate(before)",
        "the length that the text had: not longer, and between characters",
    ),
    ("src/proxy/lifecycle.rs", "self.0.split_off(surplus)", "less than the length, by the line above it"),
    ("src/engine/plan/inputs.rs", "self.hashes.insert(first,", "a place that was found in the list by halving it"),
    ("src/proxy/guard/keep.rs", "self.0.insert(place,", "a place that was found in the list by halving it"),
    ("src/proxy/guard/keep.rs", "self.0.remove(place)", "a place at which something stood, two lines above it"),
    ("src/engine/plan/inputs.rs", "names.insert(place,", "a place that was found in the list by halving it"),
    ("src/engine/plan/compile.rs", "shared.insert(place,", "a place that was found in the list by halving it"),
    ("src/proxy/metrics/meters.rs", "defined.insert(place,", "a place that was found in the list by halving it"),
];

/// What a panic says that code of ours would cause; none of it may stand in the module.
pub const NEVER_SAID: [&str; 12] = [
    "explicit panic",
    "not implemented",
    "not yet implemented",
    "attempt to add with overflow",
    "attempt to subtract with overflow",
    "attempt to multiply with overflow",
    "attempt to divide",
    "attempt to calculate the remainder",
    "attempt to negate",
    "attempt to shift",
    "assertion `left == right` failed",
    "out of memory",
];

/// All places in a module, and all of its data as bytes.
pub fn places(module: &Path) -> (BTreeSet<Place>, Vec<u8>) {
    let module = Module::from_file(module).expect("a module");
    let segments: Vec<(u32, &[u8])> = module
        .data
        .iter()
        .map(|data| match data.kind {
            DataKind::Active { offset: ConstExpr::Value(Value::I32(offset)), .. } => {
                (offset.cast_unsigned(), &data.value[..])
            }
            _ => panic!("data at no fixed place"),
        })
        .collect();
    let mut files = BTreeMap::new();
    for (start, bytes) in &segments {
        let ends = bytes.windows(3).enumerate().filter(|(_, window)| window == b".rs").map(|(at, _)| at + 3);
        for end in ends {
            let is_path = |byte: &u8| byte.is_ascii_graphic();
            let length = bytes[..end].iter().rev().take_while(|byte| is_path(byte)).count();
            // What stands right in front of a path may be a text of its own: each beginning is a path, to be asked for.
            for length in 4..=length {
                let text = String::from_utf8_lossy(&bytes[end - length..end]).into_owned();
                files.insert(
                    (
                        start + u32::try_from(end - length).expect("an address"),
                        u32::try_from(length).expect("a length"),
                    ),
                    text,
                );
            }
        }
    }
    let mut places = BTreeSet::new();
    for (_, bytes) in &segments {
        for at in 0..bytes.len().saturating_sub(15) {
            let word = |n: usize| u32::from_le_bytes(bytes[at + 4 * n..at + 4 * n + 4].try_into().expect("four bytes"));
            let plausible = (1..100_000).contains(&word(2)) && (1..1_000).contains(&word(3));
            if let (true, Some(file)) = (plausible, files.get(&(word(0), word(1)))) {
                places.insert((short(file), word(2), word(3)));
            }
        }
    }
    (places, segments.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect())
}

/// `…/library/core/src/time.rs` as `core/src/time.rs`, and `…/serde_json-1.0.154/src/read.rs` as
/// `serde_json/src/read.rs`.
fn short(path: &str) -> String {
    if let Some((_, library)) = path.rsplit_once("/library/") {
        return library.to_owned();
    }
    let Some((front, rest)) = path.split_once("/src/").filter(|_| !path.starts_with("src/")) else {
        return path.to_owned();
    };
    // Of `registry/src/index…/crate-1.0.0/src/…` the last is meant.
    let (front, rest) = match path.rsplit_once("/src/") {
        Some((front, rest)) if front.contains("/src/") => (front, rest),
        _ => (front, rest),
    };
    let name = front.rsplit('/').next().unwrap_or(front);
    let name = name
        .rsplit_once('-')
        .filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))
        .map_or(name, |(name, _)| name);
    format!("{name}/src/{rest}")
}
