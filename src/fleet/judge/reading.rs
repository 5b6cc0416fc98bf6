//! Turns series of a Prometheus into what proxies say of themselves, and what each of them has counted so far.
//!
//! A proxy is what its label names, and each plugin in it. What lacks a label that it must have is not read. Never
//! remembers a look.

use std::collections::BTreeMap;

use tidegate_judge::flag::Told;
use tidegate_judge::fleet::{Counted, Proxy};
use tidegate_proxy::guard::window::Count;

use crate::prometheus::Series;

/// The labels of a scrape by which proxies are told apart, and put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    pub zone: String,
    pub workload: String,
    pub proxy: String,
}

impl Default for Labels {
    fn default() -> Self {
        Self { zone: "zone".to_owned(), workload: "workload".to_owned(), proxy: "instance".to_owned() }
    }
}

/// What is asked for: what the guards count, and the gauges that say where a proxy is.
const FAMILIES: &str = "tidegate_guard_(requests_total|failed_total|slow_total|standing)\
                        |tidegate_rule_step|tidegate_config_fingerprint";

/// The one query of a look: of several, each would be of another moment, with failures of requests that are not there.
#[must_use]
pub fn query(selector: &str) -> String {
    let more = selector.trim().trim_start_matches('{').trim_end_matches('}').trim().trim_matches(',');
    let comma = if more.is_empty() { "" } else { "," };
    format!("{{__name__=~\"{FAMILIES}\"{comma}{more}}}")
}

/// The value of a counter at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// All labels of its series.
    pub key: String,
    pub value: u64,
    /// What it counts, without how often.
    pub of: Counted,
    pub measure: Measure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Requests,
    Failed,
    Slow,
}

impl Raw {
    /// So many more of what it counts.
    #[must_use]
    pub fn counted(self, more: u64) -> Counted {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let count = match self.measure {
            Measure::Requests => Count { requests: more, ..Count::default() },
            Measure::Failed => Count { failed: more, ..Count::default() },
            Measure::Slow => Count { slow: more, ..Count::default() },
        };
        Counted { count, ..self.of }
    }
}

/// What is seen at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub proxies: BTreeMap<String, Proxy>,
    pub raw: Vec<Raw>,
}

impl Seen {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    /// Takes up one series with its value at this look.
    pub fn take(&mut self, series: &BTreeMap<String, String>, value: u64, labels: &Labels) -> Option<()> {
        let label = |name: &str| series.get(name).map(String::as_str);
        let of = |name: &str| label(name).unwrap_or_default().to_owned();
        let proxy = label(&labels.proxy).or_else(|| label("instance"))?;
        // Two plugins in one proxy have configs of their own.
        let proxy = label("plugin").map_or_else(|| proxy.to_owned(), |plugin| format!("{proxy}/{plugin}"));
        let name = label("__name__")?;
        let known = self.proxies.entry(proxy.clone()).or_insert_with(|| Proxy {
            zone: of(&labels.zone),
            workload: of(&labels.workload),
            ..Proxy::default()
        });
        let measure = match name {
            "tidegate_config_fingerprint" => {
                known.fingerprint = value;
                return Some(());
            }
            "tidegate_guard_standing" => {
                told(known, label("flag")?).standing = value;
                return Some(());
            }
            "tidegate_rule_step" => {
                let rule = label("rule")?.parse().ok()?;
                told(known, label("flag")?).steps.insert(rule, u8::try_from(value).ok()?);
                return Some(());
            }
            "tidegate_guard_requests_total" => Measure::Requests,
            "tidegate_guard_failed_total" => Measure::Failed,
            "tidegate_guard_slow_total" => Measure::Slow,
            _ => return None,
        };
        let exposed = match label("arm")? {
            "exposed" => true,
            "control" => false,
            _ => return None,
        };
        let group = match label("group") {
            None | Some("") => None,
            Some(text) => Some(text.parse().ok().filter(|group| *group < 16)?),
        };
        let of = Counted {
            proxy,
            flag: label("flag")?.to_owned(),
            rule: label("rule")?.parse().ok()?,
            variant: label("variant")?.to_owned(),
            exposed,
            group,
            count: Count::default(),
        };
        self.raw.push(Raw { key: key(series), value, of, measure });
        Some(())
    }
}

fn told<'p>(proxy: &'p mut Proxy, flag: &str) -> &'p mut Told {
    proxy.flags.entry(flag.to_owned()).or_default()
}

/// All labels in one word; what separates them is in none.
fn key(series: &BTreeMap<String, String>) -> String {
    let mut key = String::new();
    for (name, value) in series {
        key.extend([name, "\u{1}", value, "\u{2}"]);
    }
    key
}

/// What was seen, look by look, the earliest first.
#[must_use]
pub fn looks(series: &[Series], labels: &Labels) -> BTreeMap<i64, Seen> {
    let mut looks: BTreeMap<i64, Seen> = BTreeMap::new();
    for one in series {
        for (time, value) in &one.values {
            looks.entry(time.millis()).or_default().take(&one.labels, *value, labels);
        }
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> BTreeMap<String, String> {
        text.split(' ').filter_map(|one| one.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    #[test]
    fn labels_say_who_counts_what() {
        let mut seen = Seen::default();
        let labels = Labels { proxy: "pod".to_owned(), ..Labels::default() };
        for (text, value) in [
            ("__name__=tidegate_config_fingerprint pod=a zone=z workload=w", 7),
            ("__name__=tidegate_guard_standing pod=a flag=shop", 3),
            ("__name__=tidegate_rule_step pod=a flag=shop rule=2", 1),
            ("__name__=tidegate_guard_failed_total pod=a flag=shop rule=2 variant=v2 arm=exposed group=15", 9),
            ("__name__=tidegate_config_fingerprint instance=b plugin=other", 8),
        ] {
            assert_eq!(seen.take(&series(text), value, &labels), Some(()), "{text}");
        }
        for text in [
            "__name__=tidegate_guard_failed_total pod=a flag=shop rule=2 variant=v2 arm=exposed group=16",
            "__name__=tidegate_guard_failed_total pod=a flag=shop rule=2 variant=v2",
            "__name__=tidegate_guard_failed_total pod=a flag=shop rule=2 variant=v2 arm=left",
            "__name__=tidegate_other pod=a",
            "__name__=tidegate_config_fingerprint",
        ] {
            assert_eq!(seen.take(&series(text), 1, &labels), None, "{text}");
        }
        let a = &seen.proxies["a"];
        assert_eq!((&*a.zone, &*a.workload, a.fingerprint, a.flags["shop"].standing), ("z", "w", 7, 3));
        assert_eq!(a.flags["shop"].steps, BTreeMap::from([(2, 1)]));
        assert_eq!(seen.proxies["b/other"].fingerprint, 8);
        let [raw] = &seen.raw[..] else { panic!("{:?}", seen.raw) };
        let counted = raw.clone().counted(4);
        assert_eq!((counted.group, counted.exposed, counted.count.failed, counted.rule), (Some(15), true, 4, 2));
    }

    #[test]
    fn a_selector_narrows_the_query() {
        assert!(query("").ends_with("fingerprint\"}"), "{}", query(""));
        assert!(query("{namespace=\"shop\"}").ends_with("fingerprint\",namespace=\"shop\"}"));
    }
}
