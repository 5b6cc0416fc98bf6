//! What the guards have decided so far: a few numbers a watched flag, made by the proxy's guards and taken into
//! account by [`decide`](crate::decide). Never says why.

/// How many rules of a flag can be judged.
pub const JUDGED: usize = 8;

/// What the guard of a flag allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The rules decide.
    #[default]
    Running,
    /// After a rollback: the rules decide for one in a hundred.
    Trial,
    /// Ramps stay where they are.
    Held,
    /// Everybody gets the baseline.
    RolledBack,
}

impl Phase {
    /// The value of its gauge, and the form in which it is kept. Stable: seen on dashboards. Add, never rename.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Running => 0,
            Self::Trial => 1,
            Self::Held => 2,
            Self::RolledBack => 3,
        }
    }

    #[must_use]
    pub const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Running),
            1 => Some(Self::Trial),
            2 => Some(Self::Held),
            3 => Some(Self::RolledBack),
            _ => None,
        }
    }

    /// Our word for it. Stable: seen in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Trial => "trial",
            Self::Held => "held",
            Self::RolledBack => "rolled_back",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagStanding {
    pub phase: Phase,
    /// By judged rule: how many steps its ramp may have taken.
    pub steps: [u8; JUDGED],
    /// An answer that takes longer than this, in microseconds, is slow.
    pub slow: u32,
    /// A client that leaves after waiting longer than this, in microseconds, was kept waiting too long.
    pub patience: u32,
    /// The variants, as bits, that take no more requests for now.
    pub full: u64,
    /// The variants, as bits, whose upstream cannot be reached for now.
    pub away: u64,
}

impl FlagStanding {
    /// All rules apply as written.
    pub const FREE: Self =
        Self { phase: Phase::Running, steps: [u8::MAX; JUDGED], slow: u32::MAX, patience: u32::MAX, full: 0, away: 0 };
}

impl Default for FlagStanding {
    fn default() -> Self {
        Self::FREE
    }
}

/// The standing of all watched flags of a plan, in its order.
#[derive(Clone, Debug, Default)]
pub struct Standing(Vec<FlagStanding>);

impl Standing {
    /// No guard has decided anything: all rules apply as written.
    pub const NONE: Self = Self(Vec::new());

    /// One standing per watched flag, in the plan's order.
    #[must_use]
    pub fn new(flags: Vec<FlagStanding>) -> Self {
        Self(flags)
    }

    /// All flags, to update them.
    pub fn flags_mut(&mut self) -> &mut [FlagStanding] {
        &mut self.0
    }

    /// The standing of a watched flag, by its place; that of a flag that is not watched is free.
    #[inline]
    #[must_use]
    pub fn of(&self, place: Option<u16>) -> &FlagStanding {
        place.and_then(|place| self.0.get(usize::from(place))).unwrap_or(&FlagStanding::FREE)
    }
}

/// The part that one request plays in the comparisons of a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// The judged rule whose draw took the request in.
    pub taken: Option<u8>,
    /// The judged rules, as bits, whose draws left it out.
    pub missed: u8,
    pub hash: u64,
    /// Whether that identity is verified.
    pub verified: bool,
}

impl Draws {
    /// None: the request is in no comparison.
    pub const NONE: Self = Self { taken: None, missed: 0, hash: 0, verified: false };

    /// Whether the request is in a comparison.
    #[inline]
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.taken.is_some() || self.missed != 0
    }
}
