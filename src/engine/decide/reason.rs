//! Why a variant was served, in our words and in `OpenFeature`'s.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Every request gets this, whatever it carries.
    Static,
    /// No rule took the request.
    Default,
    /// No rule took the request, and at least one was skipped because the request has no identity.
    NoIdentity,
    /// A rule's condition was true.
    TargetingMatch,
    Split,
    Killed,
    /// The guard has taken the flag back.
    RolledBack,
    /// The variant takes no more requests for now.
    Throttled,
    /// The variant's upstream cannot be reached for now.
    Rescued,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Static,
        Self::Default,
        Self::NoIdentity,
        Self::TargetingMatch,
        Self::Split,
        Self::Killed,
        Self::RolledBack,
        Self::Throttled,
        Self::Rescued,
    ];

    #[inline]
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Self::Static => 0,
            Self::Default => 1,
            Self::NoIdentity => 2,
            Self::TargetingMatch => 3,
            Self::Split => 4,
            Self::Killed => 5,
            Self::RolledBack => 6,
            Self::Throttled => 7,
            Self::Rescued => 8,
        }
    }

    /// Our word for it. Stable: seen in headers and dashboards. Add, never rename.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Default => "default",
            Self::NoIdentity => "no_identity",
            Self::TargetingMatch => "targeting_match",
            Self::Split => "split",
            Self::Killed => "killed",
            Self::RolledBack => "rolled_back",
            Self::Throttled => "throttled",
            Self::Rescued => "rescued",
        }
    }

    /// OpenTelemetry's word for it: the value of `feature_flag.result.reason`.
    #[must_use]
    pub const fn telemetry(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Default | Self::NoIdentity | Self::Throttled => "default",
            Self::TargetingMatch => "targeting_match",
            Self::Split => "split",
            Self::Killed | Self::RolledBack => "disabled",
            Self::Rescued => "error",
        }
    }

    /// `OpenFeature`'s word for it, which is OpenTelemetry's in capitals.
    #[must_use]
    pub fn open_feature(self) -> String {
        self.telemetry().to_ascii_uppercase()
    }

    /// Whether the guard may count it: if something else than the rules decided, the sample would not be fair.
    #[inline]
    #[must_use]
    pub const fn is_judged(self) -> bool {
        !matches!(self, Self::Killed | Self::RolledBack | Self::Throttled | Self::Rescued)
    }
}
