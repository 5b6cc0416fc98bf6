//! Configs that are made to cost: what is over a limit is refused, the worst inside the limits compiles and decides.
//!
//! Outcomes are asserted, times are printed. What the module takes in a real Envoy is measured by
//! `cargo test --test invalid how_long -- --ignored --nocapture`; the aim is 100 ms each.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{field, structure};
use kit::envoy::Pushed;
use kit::scene::Scene;
use tidegate_engine::config::{MAX_BYTES, Node};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

/// A config that is made to cost, and how it must end.
struct Bomb {
    name: &'static str,
    bytes: Vec<u8>,
    /// The first error; none where it compiles.
    refused: Option<&'static str>,
}

/// As many of these, with their number for `#`, as fit into the largest config.
fn fill(before: &str, part: &str, behind: &str) -> Vec<u8> {
    let mut text = before.to_owned();
    for n in 0.. {
        let next = part.replace('#', &format!("{n:x}"));
        if text.len() + next.len() + behind.len() > MAX_BYTES {
            break;
        }
        text.push_str(&next);
    }
    let mut text = text.trim_end_matches(',').to_owned();
    text.push_str(behind);
    text.into_bytes()
}

fn all(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(",")
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn bombs() -> Vec<Bomb> {
    let over = Some("config: may have at most 524288 bytes, not ");
    let deep = Some("config: is nested deeper than 16");
    let bomb = |name, bytes: Vec<u8>, refused| Bomb { name, bytes, refused };
    let text = |text: String| text.into_bytes();
    let flags = |flags: String| format!("{{\"version\":1,\"flags\":{{{flags}}}}}").into_bytes();
    let segments = |segments: String| format!("{{\"version\":1,\"segments\":{{{segments}}}}}").into_bytes();
    let dag = |wide: usize| {
        // Sixteen layers, each of which asks the next one in every part: wide to the power of 16, if taken as a tree.
        let layer = |n: usize| {
            let parts = all(wide, |_| format!("{{\"segment\":\"s{:02}\"}}", n + 1));
            format!("\"s{n:02}\":{{\"all\":[{parts}]}}")
        };
        let leaf = "\"s16\":{\"method\":\"GET\"}";
        format!(
            "{{\"version\":1,\"segments\":{{{},{leaf}}},\"flags\":{{\"a\":{{\"rules\":[{{\"when\":{{\"segment\":\"s00\"}},\"serve\":\"on\"}}]}}}}}}",
            all(16, layer)
        )
    };
    let conditions = |subject: &str, lists: usize| {
        all(lists, |list| {
            let parts = all(100, |part| format!("{{\"{subject}\":\"{:x}\",\"exists\":true}}", list * 100 + part));
            format!("\"s{list}\":{{\"any\":[{parts}]}}")
        })
    };
    let headers = |flags: usize, variants: usize| {
        all(flags, |flag| {
            let variants = all(variants, |variant| {
                let headers = all(16, |n| format!("\"{:x}\":\"a\"", (flag * variants + variant) * 16 + n));
                format!("{{\"name\":\"{variant}\",\"headers\":{{{headers}}}}}")
            });
            format!("\"f{flag}\":{{\"variants\":[{variants}],\"baseline\":\"0\"}}")
        })
    };
    let long = |n: usize| format!("\"{n}{}\"", "v".repeat(62));
    vec![
        bomb("10 MB of spaces", text(" ".repeat(10_000_000)), over),
        bomb("10 MB of one text", text(format!("{{\"version\":1,\"revision\":\"{}\"}}", "a".repeat(10_000_000))), over),
        bomb("10 MB of flags", flags(all(400_000, |n| format!("\"f{n}\":{{\"kill\":true}}"))), over),
        bomb("10 MB of lists in lists", text("[".repeat(10_000_000)), over),
        bomb("a million keys", text(format!("{{{}}}", all(1_000_000, |n| format!("\"{n}\":1")))), over),
        bomb("lists 100,000 deep", text("[".repeat(100_000)), deep),
        bomb("maps 100,000 deep", text("{\"\":".repeat(100_000)), deep),
        bomb("lists 260,000 deep, closed", text(format!("{}{}", "[".repeat(260_000), "]".repeat(260_000))), deep),
        bomb("170,000 empty lists", fill("{\"version\":1,\"a\":[", "[],", "]}"), None),
        bomb("260,000 numbers", fill("{\"version\":1,\"a\":[", "1,", "]}"), None),
        bomb("50,000 unknown fields", fill("{\"version\":1", ",\"#\":1", "}"), None),
        bomb("65,000 times one key", fill("{\"version\":1", ",\"a\":1", "}"), Some("a: stands here more than once")),
        bomb(
            "40,000 flags",
            fill("{\"version\":1,\"flags\":{", "\"f#\":{},", "}}"),
            Some("flags: may have at most 1000 flags, not "),
        ),
        bomb(
            "1,000 flags, 35 rules each",
            flags(all(1_000, |n| format!("\"f{n}\":{{\"rules\":[{}]}}", all(33, |_| "{\"serve\":\"on\"}".to_owned())))),
            Some("flags: may cost one request at most 600, not "),
        ),
        bomb(
            "300 flags, 100 rules each",
            flags(all(300, |n| format!("\"f{n}\":{{\"rules\":[{}]}}", all(100, |_| "{\"serve\":\"on\"}".to_owned())))),
            Some("flags: may cost one request at most 600, not "),
        ),
        bomb(
            "150 flags, 64 variants of 16 rules",
            flags(all(150, |n| {
                format!(
                    "\"f{n}\":{{\"variants\":[{}],\"baseline\":\"0\",\"rules\":[{}]}}",
                    all(64, |n| format!("\"{n}\"")),
                    all(16, |_| format!(
                        "{{\"serve\":[{}]}}",
                        all(4, |n| format!("{{\"variant\":\"{n}\",\"weight\":1}}"))
                    ))
                )
            })),
            None,
        ),
        bomb(
            "25,000 rules with an unknown variant",
            flags(all(245, |n| {
                format!(
                    "\"f{n}\":{{\"variants\":[{}],\"baseline\":\"w\",\"rules\":[{}]}}",
                    all(10, long),
                    all(100, |_| "{\"serve\":\"w\"}".to_owned())
                )
            })),
            Some("flags.f0.baseline: is not a variant of this flag"),
        ),
        bomb(
            "8,000 unknown segments",
            segments(format!(
                "{},{}",
                all(999, |n| format!("\"t{n}{}\":{{}}", "t".repeat(58))),
                all(1, |_| format!(
                    "\"u\":{{\"any\":[{}]}}",
                    all(90, |_| format!("{{\"any\":[{}]}}", all(90, |_| "{\"segment\":\"none\"}".to_owned())))
                ))
            )),
            Some("segments.t0"),
        ),
        bomb("segments, all [b, b] 16 deep", text(dag(2)), None),
        bomb("segments, all [b x 100] 16 deep", text(dag(100)), None),
        bomb(
            "a ring of 1,000 segments",
            segments(all(1_000, |n| format!("\"s{n:03}\":{{\"segment\":\"s{:03}\"}}", (n + 1) % 1_000))),
            Some("segments.s000: refers to itself"),
        ),
        bomb(
            "a chain of 1,000 segments",
            segments(format!(
                "{},\"s999\":{{\"method\":\"GET\"}}",
                all(999, |n| format!("\"s{n:03}\":{{\"segment\":\"s{:03}\"}}", n + 1))
            )),
            Some("segments.s"),
        ),
        bomb(
            "1,000 segments that ask each other, 16 each",
            segments(all(1_000, |n| {
                format!(
                    "\"s{n:03}\":{{\"any\":[{}]}}",
                    all(16, |m| format!("{{\"segment\":\"s{:03}\"}}", (n + m) % 1_000))
                )
            })),
            Some("segments.s000: refers to itself"),
        ),
        bomb("15,000 headers that are looked at", segments(conditions("header", 150)), None),
        bomb("14,000 claims that are looked at", segments(conditions("claim", 140)), None),
        bomb(
            "16,000 sources of identity",
            flags(all(950, |n| {
                format!("\"f{n}\":{{\"identity\":[{}]}}", all(16, |m| format!("{{\"cookie\":\"{:x}\"}}", n * 16 + m)))
            })),
            None,
        ),
        bomb("30,000 headers that are written", flags(headers(32, 60)), None),
        bomb(
            "14,000 headers written, 8,000 looked at",
            text(format!(
                "{{\"version\":1,\"segments\":{{{}}},\"flags\":{{{}}}}}",
                conditions("header", 80),
                headers(16, 60)
            )),
            None,
        ),
        bomb(
            "30,000 names in 1,000 flags, each a twin",
            flags(all(500, |n| format!("\"f-{n}\":{{}},\"f_{n}\":{{}}"))),
            Some("flags.f_0: writes x-flag-f_0, which some servers take for x-flag-f-0"),
        ),
        bomb(
            "60,000 values in a list",
            fill(
                "{\"version\":1,\"segments\":{\"s\":{\"any\":[",
                "{\"path\":{\"in\":[\"/a\",\"/b\",\"/#\"]}},",
                "]}}}",
            ),
            Some("segments.s.any: may have at most 100 conditions, not "),
        ),
        bomb(
            "10,000 networks",
            segments(format!(
                "\"s\":{{\"address\":{{\"cidr\":[{}]}}}}",
                all(10_000, |n| format!("\"2001:db8:{n:x}::/48\""))
            )),
            None,
        ),
        bomb(
            "10,000 values, sorted backwards",
            segments(format!("\"s\":{{\"path\":{{\"in\":[{}]}}}}", all(10_000, |n| format!("\"/{}\"", 99_999 - n)))),
            None,
        ),
        bomb(
            "a number of 500,000 digits",
            text(format!(
                "{{\"version\":1,\"flags\":{{\"a\":{{\"rules\":[{{\"percent\":\"{}\",\"serve\":\"on\"}}]}}}}}}",
                "9".repeat(500_000)
            )),
            Some("flags.a.rules[0].percent: must be a percentage"),
        ),
        bomb(
            "a key of 500,000 bytes",
            flags(format!("\"{}\":{{\"kill\":1}}", "a".repeat(500_000))),
            Some("flags[\"aaaa"),
        ),
        bomb(
            "100,000 escapes",
            text(format!("{{\"version\":1,\"revision\":\"{}\"}}", "\\u0000".repeat(87_000))),
            Some("revision: may have at most 1000 bytes, not 87000"),
        ),
        bomb(
            "a Struct of 65,000 unknown fields",
            structure(
                &Node::Map(
                    (0..40_000)
                        .map(|n| (format!("{n:x}").into(), Node::Null))
                        .chain([("version".into(), Node::Number("1".into()))])
                        .collect(),
                ),
                false,
            )
            .unwrap(),
            None,
        ),
        bomb(
            "a Struct in a Struct, 1,000 deep",
            (0..1_000).fold(Vec::new(), |inside, _| field(1, &[field(1, b"a"), field(2, &field(5, &inside))].concat())),
            Some("config: is "),
        ),
    ]
}

#[test]
fn a_bomb_is_refused_or_compiled_and_decided() {
    for bomb in bombs() {
        let begin = Instant::now();
        let (compiled, problems) = Plan::from_bytes(&bomb.bytes);
        let took = begin.elapsed();
        println!("{:>8.1} ms  {:>8} bytes  {}", took.as_secs_f64() * 1e3, bomb.bytes.len(), bomb.name);
        let first = problems.errors().first().map(ToString::to_string);
        match (compiled, bomb.refused) {
            (Compiled::Broken(_), Some(due)) => {
                assert!(first.as_ref().unwrap().starts_with(due), "{}: {first:?}", bomb.name);
            }
            (Compiled::Ready(plan), None) => {
                let headers = [(":authority", &b"x"[..]), (":path", b"/"), (":method", b"GET")];
                let request = Request::new(
                    plan.inputs(),
                    headers.map(|(name, value)| (name.as_bytes(), value)).into_iter(),
                    std::iter::empty(),
                );
                assert_eq!(
                    decide(&plan, &request, &Standing::NONE, Timestamp::from_millis(0)).list().len(),
                    plan.flags().len(),
                    "{}",
                    bomb.name
                );
            }
            // What would be read well, and cost a request too much, is refused by that limit alone.
            (Compiled::Broken(_), None) => {
                let first = first.as_ref().unwrap();
                assert!(first.starts_with("flags: may cost one request at most 600, not "), "{}: {first}", bomb.name);
                assert_eq!(problems.errors().len(), 1, "{}", bomb.name);
            }
            (_, due) => panic!("{}: due {due:?}, got {first:?}", bomb.name),
        }
        // What goes to a log is bounded, however much is wrong.
        assert!(problems.one_line().len() < 64 * 1024, "{}: {}", bomb.name, problems.one_line().len());
    }
}

/// The times that the module has taken to configure, by Envoy's own log of calls: one for each VM.
fn configured(log: &str) -> Vec<u64> {
    let millis = |line: &str| -> Option<u64> {
        // `[2026-11-23 11:23:43.123][...`
        let clock: Vec<u64> = line.get(12..24)?.split([':', '.']).map_while(|part| part.parse().ok()).collect();
        let [hours, minutes, seconds, millis] = clock[..] else { return None };
        Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + millis)
    };
    let mut begun = BTreeMap::new();
    let mut took = Vec::new();
    for line in log.lines().filter(|line| line.contains("proxy_on_configure")) {
        let Some(now) = millis(line) else { continue };
        // Calls of one thread follow each other; the second bracket names the thread.
        let thread = line.split(']').nth(1).unwrap_or_default();
        if line.contains("[host->vm]") {
            begun.insert(thread, now);
        } else if let Some(begin) = begun.remove(thread) {
            took.push(now.saturating_sub(begin));
        }
    }
    took
}

#[test]
#[ignore = "prints times: cargo test --test invalid how_long -- --ignored --nocapture"]
fn how_long_a_bomb_takes_in_envoy() {
    let envoy = Scene::new("{\"version\": 1}").log_levels("warning", "trace").start();
    let rss = envoy.rss_bytes();
    println!("milliseconds in the module, for each VM that was asked; the push as a whole, with Envoy's own part");
    for bomb in bombs() {
        let Ok(text) = String::from_utf8(bomb.bytes) else { continue };
        // What was good is judged again with each push that is not: it must not be a bomb itself.
        envoy.push("{\"version\": 1, \"flags\": {}}");
        let before = envoy.log().len();
        let begin = Instant::now();
        let pushed = envoy.push(&text);
        let whole = begin.elapsed().as_millis();
        let took = configured(&envoy.log()[before..]);
        println!("{:>16}  {whole:>5}  {:>8} bytes  {}: {pushed:?}", format!("{took:?}"), text.len(), bomb.name);
        assert_eq!(pushed == Pushed::Rejected, bomb.refused.is_some(), "{}", bomb.name);
    }
    println!("resident: {rss:?} before, {:?} after", envoy.rss_bytes());
}
