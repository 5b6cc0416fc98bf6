//! Counts how many identities get which variant of which flag for what reason, and how many get another variant than
//! the baseline of two flags at once.
//!
//! The evaluator of the proxy decides for each identity. The number of threads does not change the sums. Never keeps
//! an identity.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::request::progress::Progress;
use crate::request::{Identities, Sender};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decision, Reason, decide};
use tidegate_engine::plan::{Flag, Plan, VariantId};
use tidegate_engine::value::time::Timestamp;

/// How many identities stand in one word of bits, and how many words make the work of one thread at a time.
const BITS: usize = 64;
const WORDS: usize = 32;

/// How many identities one thread decides at a time.
pub const CHUNK: usize = BITS * WORDS;

/// How often what was decided, over many identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// By flag, in the plan's order.
    flags: Vec<FlagTally>,
    /// By pair of flags, (0, 1), (0, 2) .. (1, 2) ..: who gets another variant than the baseline of both.
    pairs: Vec<u64>,
}

/// How often what was decided for one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagTally {
    baseline: VariantId,
    /// By variant, then by reason.
    counts: Vec<[u64; Reason::ALL.len()]>,
}

/// The places of identities in one chunk after the other.
pub fn chunk(number: usize, of: usize) -> core::ops::Range<usize> {
    let begin = number * CHUNK;
    begin..begin.saturating_add(CHUNK).min(of)
}

/// The decisions, with the place of the flag of each: both are in key order, and what does not match the request is
/// not decided.
pub fn placed<'d, 'p>(
    plan: &'p Plan,
    decisions: &'d [Decision<'p>],
) -> impl Iterator<Item = (usize, &'d Decision<'p>)> {
    let mut flags = plan.flags().iter().enumerate();
    decisions.iter().filter_map(move |decision| {
        let (place, _) = flags.find(|(_, flag)| core::ptr::eq(decision.flag(), *flag))?;
        Some((place, decision))
    })
}

impl Tally {
    /// Decides for all identities, on all threads.
    pub fn of(plan: &Plan, sender: &Sender, ids: &Identities, now: Timestamp, progress: &dyn Progress) -> Self {
        let chunks = ids.len().div_ceil(CHUNK);
        let start = || (Self::new(plan), Marks::new(plan), sender.clone());
        let work = (0..chunks).into_par_iter().fold(start, |(mut tally, mut marks, mut sender), number| {
            let places = chunk(number, ids.len());
            let asked = u64::try_from(places.len()).unwrap_or(u64::MAX);
            for (row, place) in places.enumerate() {
                let spec = sender.send_as(&ids.id(place));
                let request = spec.seen(plan.inputs());
                let decisions = decide(plan, &request, &Standing::NONE, now);
                tally.add(plan, decisions.list(), row, &mut marks);
            }
            tally.pair(&mut marks);
            progress.advance(asked);
            (tally, marks, sender)
        });
        work.map(|(tally, _, _)| tally).reduce(|| Self::new(plan), Self::plus)
    }

    fn new(plan: &Plan) -> Self {
        let flags = plan.flags();
        let pairs = flags.len().saturating_mul(flags.len().saturating_sub(1)).wrapping_div(2);
        Self { flags: flags.iter().map(FlagTally::new).collect(), pairs: vec![0; pairs] }
    }

    /// Counts the decisions for one identity, the one in this row of its chunk.
    fn add(&mut self, plan: &Plan, decisions: &[Decision<'_>], row: usize, marks: &mut Marks) {
        for (place, decision) in placed(plan, decisions) {
            let Some(tally) = self.flags.get_mut(place) else { continue };
            let served = decision.served();
            tally.count(served, decision.reason());
            let word = place.saturating_mul(WORDS).saturating_add(row.wrapping_div(BITS));
            if served != tally.baseline
                && let Some(word) = marks.0.get_mut(word)
            {
                *word |= 1 << row.wrapping_rem(BITS);
            }
        }
    }

    /// Counts the pairs in one chunk, 64 identities at once, and wipes the marks for the next.
    fn pair(&mut self, marks: &mut Marks) {
        let rows: Vec<&[u64]> = marks.0.chunks_exact(WORDS).collect();
        let mut pairs = self.pairs.iter_mut();
        for (place, one) in rows.iter().enumerate() {
            let others = rows.iter().skip(place + 1);
            if one.iter().all(|word| *word == 0) {
                // Nobody is in any of its pairs.
                if let Some(last) = others.len().checked_sub(1) {
                    pairs.nth(last);
                }
                continue;
            }
            for (two, pair) in others.zip(&mut pairs) {
                let both = one.iter().zip(*two).map(|(one, two)| u64::from((one & two).count_ones()));
                *pair += both.sum::<u64>();
            }
        }
        marks.0.fill(0);
    }

    fn plus(mut self, other: Self) -> Self {
        for (flag, more) in self.flags.iter_mut().zip(&other.flags) {
            for (count, more) in flag.counts.iter_mut().flatten().zip(more.counts.iter().flatten()) {
                *count += *more;
            }
        }
        for (pair, more) in self.pairs.iter_mut().zip(other.pairs) {
            *pair += more;
        }
        self
    }

    /// What was counted, by flag.
    pub fn flags(&self) -> &[FlagTally] {
        &self.flags
    }

    /// The pairs of flags, by their places, with how many get something new of both.
    pub fn pairs(&self) -> impl Iterator<Item = ((usize, usize), u64)> {
        let flags = self.flags.len();
        let places = (0..flags).flat_map(move |one| (one.saturating_add(1)..flags).map(move |two| (one, two)));
        places.zip(self.pairs.iter().copied())
    }
}

impl FlagTally {
    fn new(flag: &Flag) -> Self {
        Self { baseline: flag.baseline, counts: vec![[0; Reason::ALL.len()]; flag.variants.len()] }
    }

    fn count(&mut self, variant: VariantId, reason: Reason) {
        let counts = self.counts.get_mut(usize::from(variant.0));
        let place = Reason::ALL.iter().position(|known| *known == reason);
        if let Some(count) = counts.zip(place).and_then(|(counts, place)| counts.get_mut(place)) {
            *count += 1;
        }
    }

    /// How often each variant was served, with why, in the order of the variants.
    pub fn variants(&self) -> impl Iterator<Item = (u64, Vec<(Reason, u64)>)> {
        self.counts.iter().map(|counts| {
            let reasons = Reason::ALL.into_iter().zip(*counts).filter(|(_, count)| *count > 0);
            (counts.iter().sum(), reasons.collect())
        })
    }

    /// How often the flag was decided.
    pub fn decided(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// How often another variant than the baseline was served.
    pub fn moved(&self) -> u64 {
        let baseline = self.counts.get(usize::from(self.baseline.0));
        self.decided().saturating_sub(baseline.map_or(0, |counts| counts.iter().sum()))
    }
}

/// Who gets another variant than the baseline, as bits: `WORDS` words a flag, one bit an identity of the chunk.
struct Marks(Vec<u64>);

impl Marks {
    fn new(plan: &Plan) -> Self {
        Self(vec![0; plan.flags().len().saturating_mul(WORDS)])
    }
}
