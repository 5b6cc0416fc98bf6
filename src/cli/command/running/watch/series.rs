//! Reads Tidegate's metrics from series with labels: as Prometheus reads them from a proxy, or tells them itself.
//!
//! Where the labels stand in the names, as without `extraStatTags`, only what has none is read. Ignores what other
//! filters count.

use std::collections::BTreeMap;

use super::about::FlagId;
use super::stats::{Stats, Times};
use tidegate_proxy::metrics::catalogue::{self, Kind, Named, Tag};

/// One value with its labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The samples of a page in Prometheus' text form.
pub(crate) fn of_text(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| line.starts_with("tidegate_")).filter_map(sample).collect()
}

/// A line: `name{label="value",...} 7`.
fn sample(line: &str) -> Option<Sample> {
    let (mut rest, mut labels) = (line, BTreeMap::new());
    let end = rest.find(['{', ' '])?;
    let name = rest.get(..end)?.to_owned();
    rest = rest.get(end..)?;
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start_matches([',', ' ']);
            if let Some(behind) = inside.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (label, behind) = inside.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.insert(label.to_owned(), value);
            inside = behind;
        }
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// A value up to its closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

/// What the samples of one proxy say.
pub(crate) fn stats(samples: Vec<Sample>) -> Stats {
    let mut stats = Stats::default();
    // By flag and variant: how many answers took at most so long.
    let mut buckets: BTreeMap<(FlagId, String), BTreeMap<u64, u64>> = BTreeMap::new();
    for Sample { name, labels, value } in samples {
        let label = |tag: Tag| labels.get(tag.name()).map(String::as_str);
        let family = name.strip_suffix("_bucket").unwrap_or(&name);
        let Some(metric) = catalogue::ALL.iter().copied().find(|metric| metric.family() == family) else { continue };
        let Some(values) = metric.tags.iter().map(|tag| label(*tag)).collect::<Option<Vec<_>>>() else { continue };
        let plugin = label(Tag::Plugin).unwrap_or("tidegate");
        let Some(value) = whole(value) else { continue };
        if metric.kind != Kind::Histogram {
            stats.number(&Named { metric, plugin, values }, value);
        } else if let ([key, variant], Some(most)) = (&values[..], labels.get("le").and_then(|most| bound(most))) {
            let id = FlagId { plugin: plugin.to_owned(), key: (*key).to_owned() };
            buckets.entry((id, (*variant).to_owned())).or_default().insert(most, value);
        }
    }
    for (place, buckets) in buckets {
        let (mut least, mut before, mut times) = (0, 0, Times::new());
        for (most, count) in buckets {
            if count > before {
                times.insert(least, count - before);
            }
            (least, before) = (most, count.max(before));
        }
        stats.all.insert(place, times);
    }
    stats
}

/// The upper end of a bucket, in whole milliseconds: it is where the next one begins.
fn bound(text: &str) -> Option<u64> {
    if text == "+Inf" { Some(u64::MAX) } else { whole(text.parse::<f64>().ok()?.floor()) }
}

/// A count; Prometheus tells it as a number with a fraction.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only what fits is taken")]
fn whole(value: f64) -> Option<u64> {
    (0.0..9e15).contains(&value).then(|| value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# TYPE tidegate_config_state gauge
tidegate_config_state{} 1
tidegate_config_fingerprint 281474976710655
tidegate_config_refused{plugin="shop.tidegate"} 1
tidegate_config_info{revision="a \"b\", c"} 1
tidegate_config_revision___x____info{} 1
tidegate_rule_step{flag="nav",rule="2"} 3
tidegate_rule_exposure_ppm{flag="nav",rule="2"} 2.5e+05 1790000000
tidegate_guard_standing{flag="nav"} 3
tidegate_latency_milliseconds_bucket{flag="nav",variant="on",le="0.5"} 0
tidegate_latency_milliseconds_bucket{flag="nav",variant="on",le="5"} 2
tidegate_latency_milliseconds_bucket{flag="nav",variant="on",le="10"} 2
tidegate_latency_milliseconds_bucket{flag="nav",variant="on",le="25"} 7
tidegate_latency_milliseconds_bucket{flag="nav",variant="on",le="+Inf"} 8
envoy_server_live{} 1
tidegate_broken{a="
"#;

    #[test]
    fn what_prometheus_reads_is_read() {
        let stats = stats(of_text(PAGE));
        let config = &stats.configs["tidegate"];
        assert_eq!((config.state, config.fingerprint, config.refused), (1, 0xffff_ffff_ffff, false));
        assert_eq!(config.revisions, ["a \"b\", c"]);
        assert!(stats.configs["shop.tidegate"].refused);
        let nav = FlagId { plugin: "tidegate".to_owned(), key: "nav".to_owned() };
        let gauges = &stats.flags[&nav];
        assert_eq!((gauges.standing, gauges.rules[&2].step, gauges.rules[&2].exposure), (Some(3), Some(3), 250_000));
        assert_eq!(stats.all[&(nav, "on".to_owned())], Times::from([(0, 2), (10, 5), (25, 1)]));
    }
}
