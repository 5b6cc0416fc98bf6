//! The closed list of metrics, and their names.
//!
//! A name carries its tags in Istio's form, `flag=.=checkout;.;`, which reads well as it stands, and which a pattern
//! takes out where labels are wanted. Names are made of words of this file and of names in the config, never of
//! anything a client sent.

/// What a metric is to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Sorts values into buckets.
    Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The plugin, where it has another name than `tidegate`.
    Plugin,
    /// The author's name for a config.
    Revision,
    Flag,
    Variant,
    Reason,
    /// The first digit of the status.
    Class,
    /// A rule among those of its flag, counted from 1.
    Rule,
    Source,
    Cause,
    /// The side of a comparison.
    Arm,
    /// A sixteenth of the identities.
    Group,
    Type,
    Stage,
    Owner,
    Expires,
}

impl Tag {
    pub const ALL: [Self; 15] = [
        Self::Plugin,
        Self::Revision,
        Self::Flag,
        Self::Variant,
        Self::Reason,
        Self::Class,
        Self::Rule,
        Self::Source,
        Self::Cause,
        Self::Arm,
        Self::Group,
        Self::Type,
        Self::Stage,
        Self::Owner,
        Self::Expires,
    ];

    /// Its name. Stable: seen on dashboards. Add, never rename.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Revision => "revision",
            Self::Flag => "flag",
            Self::Variant => "variant",
            Self::Reason => "reason",
            Self::Class => "class",
            Self::Rule => "rule",
            Self::Source => "source",
            Self::Cause => "cause",
            Self::Arm => "arm",
            Self::Group => "group",
            Self::Type => "type",
            Self::Stage => "stage",
            Self::Owner => "owner",
            Self::Expires => "expires",
        }
    }

    /// The pattern that takes it out of a name: the one that Istio makes of `extraStatTags`.
    #[must_use]
    pub fn pattern(self) -> String {
        format!(r"({}=\.=(.*?);\.;)", self.name())
    }
}

#[derive(Debug)]
pub struct Metric {
    first: &'static str,
    last: &'static str,
    /// What it is to the host.
    pub kind: Kind,
    /// Its tags, in the order of its values.
    pub tags: &'static [Tag],
    #[cfg(not(target_arch = "wasm32"))]
    pub about: &'static str,
}

/// The classes of responses; `none` is one that never came.
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What stands in for flags and variants that would be too many.
pub const OTHER: &str = "other";

/// The most series of one config; what comes after them is counted as [`OTHER`].
pub const MOST: usize = 2_000;

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident: $kind:ident $first:literal [$($tag:ident)*] $last:literal, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub static $name: Metric = Metric {
                first: $first,
                last: $last,
                kind: Kind::$kind,
                tags: &[$(Tag::$tag),*],
                #[cfg(not(target_arch = "wasm32"))]
                about: $about,
            };
        )*

        /// All metrics. Stable: seen on dashboards. Add, never rename.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    STATE: Gauge "config" [] "state", "what is in force: 0 nothing, 1 the config that was pushed last, 2 an older one";
    REFUSED: Gauge "config" [] "refused", "1 while the last push is one that was not good";
    PROBLEMS: Gauge "config" [] "problems", "how many problems the last push had";
    FINGERPRINT: Gauge "config" [] "fingerprint", "equal on all proxies that have the same config in force";
    SINCE: Gauge "config" [] "timestamp_seconds", "when it came, in seconds since 1970";
    FLAGS: Gauge "config" [] "flags", "how many flags it has";
    SERIES: Gauge "config" [] "series", "how many series it may make: of flags beyond 2,000, those of `other` tell the sum";
    REVISION: Gauge "config" [Revision] "info", "1 for the revision in force: the one to watch for after a push";
    DECISIONS: Counter "decisions" [Flag Variant Reason] "total", "requests that got this variant for this reason";
    RESPONSES: Counter "responses" [Flag Variant Class] "total",
        "their answers; the class `none` is one that never came, or had nobody to go to";
    LATENCY: Histogram "latency" [Flag Variant] "milliseconds", "the time from the end of the request to the headers of the answer";
    EXPOSURE: Gauge "rule" [Flag Rule] "exposure_ppm",
        "the share of identities that a rule draws now, in millionths; rules are counted from 1";
    STEP: Gauge "rule" [Flag Rule] "step", "how many steps its ramp has taken";
    STANDING: Gauge "guard" [Flag] "standing", "0 running, 1 trial, 2 held, 3 rolled back";
    ROLLBACKS: Counter "guard" [Flag] "rollbacks_total", "how often the flag was rolled back";
    THROTTLED: Counter "guard" [Flag] "throttled_total", "requests that found the variant full";
    RESCUED: Counter "guard" [Flag] "rescued_total",
        "requests that got the baseline because the variant could not be reached";
    GUARD_REQUESTS: Counter "guard" [Flag Rule Variant Arm Group] "requests_total",
        "the answers that the guard compares: `arm` is `exposed`, or `control` for those that the same draw left out; `group` only on one proxy in eight";
    GUARD_FAILED: Counter "guard" [Flag Rule Variant Arm Group] "failed_total", "those that the guard counts as failures";
    GUARD_SLOW: Counter "guard" [Flag Rule Variant Arm Group] "slow_total", "those that were slower than the guard's limit";
    FLAG: Gauge "flag" [Flag Type Stage Owner Expires] "info",
        "1 for each flag that routes or is watched: whose it is, and what; `none` where the config does not say";
    IDENTITIES: Counter "identities" [Source] "total",
        "identities by the kind of source that gave them; `none` where a draw was due and nobody was there";
    FORGED: Counter "forged" [] "headers_total",
        "headers and trailers that a client sent under a name of the filter, and that were taken away";
    ERRORS: Counter "errors" [Cause] "total",
        "what went wrong: `host` is a header that Envoy would not change, `store` counts that waited for the next tick";
}

impl Metric {
    /// Its name for the plugin of this name: `tidegate.guard.flag=.=checkout;.;standing`.
    #[must_use]
    pub fn name(&self, plugin: &str, values: &[&str]) -> String {
        let mut name = format!("tidegate.{}.", self.first);
        let mut put = |tag: Tag, value: &str| {
            for part in [tag.name(), "=.=", value, ";.;"] {
                name.push_str(part);
            }
        };
        if !matches!(plugin, "" | "tidegate") {
            put(Tag::Plugin, &plain(plugin));
        }
        for (tag, value) in self.tags.iter().zip(values) {
            // Most proxies have no groups, and then no label for them.
            if *tag != Tag::Group || !value.is_empty() {
                put(*tag, value);
            }
        }
        name.push_str(self.last);
        name
    }

    /// The plugin and the values in a name of this metric.
    #[cfg(not(target_arch = "wasm32"))]
    fn values<'n>(&self, name: &'n str) -> Option<(&'n str, Vec<&'n str>)> {
        let mut rest = name.strip_prefix("tidegate.")?.strip_prefix(self.first)?.strip_prefix('.')?;
        let mut take = |tag: Tag| {
            let (value, behind) = rest.strip_prefix(tag.name())?.strip_prefix("=.=")?.split_once(";.;")?;
            rest = behind;
            Some(value)
        };
        let plugin = take(Tag::Plugin).unwrap_or("tidegate");
        let group = |tag: Tag| (tag == Tag::Group).then_some("");
        let values = self.tags.iter().map(|tag| take(*tag).or(group(*tag))).collect::<Option<_>>()?;
        (rest == self.last).then_some((plugin, values))
    }

    /// The plugin and the values in a name that Envoy made of a metric with labels:
    /// `tidegate.guard.standing.flag.checkout`. A value goes on until the next label: it may hold dots itself.
    #[cfg(not(target_arch = "wasm32"))]
    fn labels<'n>(&self, name: &'n str) -> Option<(&'n str, Vec<&'n str>)> {
        let mut rest = name.strip_prefix(&self.plain_name())?;
        let plugin = rest.starts_with(".plugin.").then_some(Tag::Plugin);
        let mut tags = plugin.into_iter().chain(self.tags.iter().copied()).peekable();
        let mut values = Vec::new();
        while let Some(tag) = tags.next() {
            if tag == Tag::Group && matches!(rest, "" | ".group" | ".group.") {
                values.push("");
                rest = "";
                continue;
            }
            let behind = rest.strip_prefix('.')?.strip_prefix(tag.name())?.strip_prefix('.')?;
            let end = match tags.peek() {
                Some(next) => behind.find(&format!(".{}.", next.name())).or_else(|| {
                    // The label that comes next may be left out.
                    (*next == Tag::Group).then(|| behind.strip_suffix(".group").unwrap_or(behind).len())
                }),
                None => Some(behind.len()),
            };
            let (value, others) = behind.split_at_checked(end?)?;
            values.push(value);
            rest = others;
        }
        let plugin = if plugin.is_some() { values.remove(0) } else { "tidegate" };
        rest.is_empty().then_some((plugin, values))
    }

    /// Its name without tags, for a host that has labels: `tidegate.guard.standing`.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn plain_name(&self) -> String {
        format!("tidegate.{}.{}", self.first, self.last)
    }

    /// Its name once the tags are taken out, as Prometheus has it: `tidegate_guard_standing`.
    #[must_use]
    pub fn family(&self) -> String {
        format!("tidegate_{}_{}", self.first, self.last)
    }
}

/// What a name says: of which metric it is, which plugin tells it, and the values of its tags, in their order.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub struct Named<'n> {
    pub metric: &'static Metric,
    /// The plugin; `tidegate`, where it has no other name.
    pub plugin: &'n str,
    pub values: Vec<&'n str>,
}

/// Reads a name as [`Metric::name`] writes it, or as Envoy writes one of a metric with labels; none if it is of no metric
/// of the list.
#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub fn read(name: &str) -> Option<Named<'_>> {
    ALL.iter().copied().find_map(|metric| {
        let (plugin, values) = metric.values(name).or_else(|| metric.labels(name))?;
        Some(Named { metric, plugin, values })
    })
}

/// What a tag's value may hold, so that no revision breaks a name.
#[must_use]
pub fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '_' };
    text.chars().take(64).map(safe).collect()
}

#[must_use]
pub fn class(status: Option<u64>) -> usize {
    match status.map(|status| status.wrapping_div(100)) {
        Some(first @ 1..=5) => usize::try_from(first).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!(STATE.name("tidegate", &[]), "tidegate.config.state");
        assert_eq!(STATE.name("edge/1", &[]), "tidegate.config.plugin=.=edge_1;.;state");
        assert_eq!(
            REVISION.name("", &[&plain("2026-11-23.4\n;.;")]),
            "tidegate.config.revision=.=2026-11-23.4__._;.;info"
        );
        let name = DECISIONS.name("", &["checkout", "v2", "split"]);
        assert_eq!(name, "tidegate.decisions.flag=.=checkout;.;variant=.=v2;.;reason=.=split;.;total");
        assert_eq!(DECISIONS.family(), "tidegate_decisions_total");
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for metric in ALL {
            let values: Vec<&str> = metric.tags.iter().map(|tag| tag.name()).collect();
            for plugin in ["tidegate", "edge_1"] {
                let name = metric.name(plugin, &values);
                let named = read(&name).unwrap();
                assert_eq!((named.metric.family(), named.plugin), (metric.family(), plugin));
                assert_eq!(named.values, values, "{name}");
            }
        }
        for (name, plugin, values) in [
            ("tidegate.config.state", "tidegate", &[][..]),
            ("tidegate.config.info.plugin.edge_1.revision.2026-11-23.4", "edge_1", &["2026-11-23.4"]),
            ("tidegate.decisions.total.flag.new-nav.variant.on.reason.split", "tidegate", &["new-nav", "on", "split"]),
        ] {
            let named = read(name).unwrap();
            assert_eq!((named.plugin, named.values.as_slice()), (plugin, values), "{name}");
        }
        for strange in [
            "tidegate.config.info",
            "tidegate.decisions.total.flag.a.variant.b",
            "tidegate.config.stat",
            "tidegate.guard.standing",
            "tidegate.guard.flag=.=a;.;odd",
            "a.b",
            "",
        ] {
            assert!(read(strange).is_none(), "{strange}");
        }
    }

    #[test]
    fn every_family_is_of_one_metric() {
        let mut families: Vec<String> = ALL.iter().map(|metric| metric.family()).collect();
        families.sort();
        families.dedup();
        assert_eq!(families.len(), ALL.len());
    }

    #[test]
    fn a_status_has_a_class() {
        for (status, name) in
            [(None, "none"), (Some(101), "1xx"), (Some(200), "2xx"), (Some(503), "5xx"), (Some(700), "none")]
        {
            assert_eq!(CLASSES[class(status)], name);
        }
    }
}
