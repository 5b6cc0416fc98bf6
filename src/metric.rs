//! The closed list of metrics, and their names.
//!
//! Defined when a config comes in, never on a request. A name is made of words of this file and of the plugin's
//! name, never of anything a client sent.

/// A gauge of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// What is in force: 0 nothing (requests pass undecided), 1 the config that was pushed last, 2 an older one.
    State,
    /// 1 while the last push is one that was not good.
    Refused,
    /// How many problems the last push had.
    Problems,
    /// The fingerprint of the plan in force, its low 48 bits: equal on all proxies that have the same config.
    Fingerprint,
    /// When the plan in force came, in seconds since 1970.
    Since,
    /// The number of flags in force.
    Flags,
}

impl Gauge {
    /// All gauges.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Refused, Self::Problems, Self::Fingerprint, Self::Since, Self::Flags];

    /// The last part of its name. Stable: seen on dashboards. Add, never rename.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Refused => "refused",
            Self::Problems => "problems",
            Self::Fingerprint => "fingerprint",
            Self::Since => "since_seconds",
            Self::Flags => "flags",
        }
    }

    /// Its name for the plugin of this name: `tidegate.config.state`, and one of its own for each further plugin.
    #[must_use]
    pub fn name(self, plugin: &str) -> String {
        of_plugin(format!("tidegate.config.{}", self.code()), plugin)
    }
}

/// What is told of each watched flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// A gauge: 0 running, 1 trial, 2 held, 3 rolled back.
    Standing,
    /// A counter: how often the flag was rolled back.
    Rollbacks,
    /// A counter: requests that a full variant left to the baseline.
    Throttled,
    /// A counter: requests that a variant that cannot be reached left to the baseline.
    Rescued,
}

impl Series {
    /// All series.
    pub const ALL: [Self; 4] = [Self::Standing, Self::Rollbacks, Self::Throttled, Self::Rescued];

    /// The middle of its name. Stable: seen on dashboards. Add, never rename.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Rollbacks => "rollbacks",
            Self::Throttled => "throttled",
            Self::Rescued => "rescued",
        }
    }

    /// Its name for a flag of the plugin of this name: `tidegate.guard.standing.flag.checkout`.
    #[must_use]
    pub fn name(self, plugin: &str, flag: &str) -> String {
        of_plugin(format!("tidegate.guard.{}.flag.{}", self.code(), plain(flag)), plugin)
    }
}

/// The name of the gauge that is 1 while a config of this revision is in force.
#[must_use]
pub fn revision(plugin: &str, revision: &str) -> String {
    of_plugin(format!("tidegate.config.revision.{}", plain(revision)), plugin)
}

/// The name as it is for the plugin of this name.
fn of_plugin(name: String, plugin: &str) -> String {
    match plugin {
        "" | "tidegate" => name,
        other => format!("{name}.plugin.{}", plain(other)),
    }
}

/// What a name of a metric may hold, so that no revision breaks a dashboard.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!(Gauge::State.name("tidegate"), "tidegate.config.state");
        assert_eq!(Gauge::State.name("edge/1"), "tidegate.config.state.plugin.edge_1");
        assert_eq!(revision("", "2026-11-23.4\n"), "tidegate.config.revision.2026-11-23_4_");
    }
}
