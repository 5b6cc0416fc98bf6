//! Counts decisions and their outcomes in plain numbers, which the filter hands to the host on the tick.
//!
//! On the request path a count is an addition in this worker's memory: no name is looked up, and no host is asked.
//! Never judges: what guards compare is counted by [`guard`](crate::guard).

use super::catalogue::class;
use super::series::Series;
use tidegate_engine::decide::Decisions;

/// The counts of one worker under one plan, since the last report.
#[derive(Debug, Default)]
pub struct Counts {
    since: Vec<u32>,
    /// Whether anything was counted.
    any: bool,
}

/// Where the answer to a request is counted for one flag that looks at answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its first class.
    answers: u16,
    time: Option<u16>,
}

impl Counts {
    /// Counts for these series; all are 0.
    #[must_use]
    pub fn new(series: &Series) -> Self {
        Self { since: vec![0; series.places()], any: false }
    }

    #[inline]
    fn add(&mut self, place: usize, more: u32) {
        if more > 0
            && let Some(count) = self.since.get_mut(place)
        {
            *count = count.saturating_add(more);
            self.any = true;
        }
    }

    /// Counts the decisions for a request, and the headers that its client forged. Returns what [`Counts::answered`]
    /// needs when the request is done.
    #[inline]
    pub fn decided(&mut self, series: &Series, decisions: &Decisions<'_>, forged: usize) -> Vec<Served> {
        self.add(Series::forged(), u32::try_from(forged).unwrap_or(u32::MAX));
        for kind in decisions.sources().kinds() {
            self.add(Series::source(kind), 1);
        }
        let mut served = Vec::new();
        for decision in decisions.list() {
            let (flag, variant) = (decision.place(), decision.served());
            if let Some(place) = series.decision(flag, variant, decision.reason()) {
                self.add(place, 1);
                if let Some(answers) = series.answers(flag, variant) {
                    if served.capacity() == 0 {
                        served = Vec::with_capacity(decisions.list().len());
                    }
                    served.push(Served { answers, time: series.time(flag, variant) });
                }
            }
        }
        served
    }

    /// Counts the answer to a request, by its status; `None` where none came.
    #[inline]
    pub fn answered(&mut self, served: &[Served], status: Option<u64>) {
        let class = class(status);
        for one in served {
            self.add(usize::from(one.answers).saturating_add(class), 1);
        }
    }

    /// Counts trailers that a client had forged.
    #[inline]
    pub fn forged(&mut self, trailers: u32) {
        self.add(Series::forged(), trailers);
    }

    /// Counts changes that the host would not make.
    #[inline]
    pub fn refused(&mut self, changes: u32) {
        self.add(Series::host(), changes);
    }

    /// Counts failed attempts to share counts with the other workers.
    pub fn delayed(&mut self, times: u32) {
        self.add(Series::store(), times);
    }

    /// Takes the counts, each with its place, and starts again at 0.
    pub fn take(&mut self, mut tell: impl FnMut(usize, u32)) {
        if !core::mem::take(&mut self.any) {
            return;
        }
        for (place, count) in self.since.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            tell(place, core::mem::take(count));
        }
    }
}

/// Where the time of an answer is counted: the host sorts it into buckets.
#[inline]
pub fn times(served: &[Served]) -> impl Iterator<Item = usize> {
    served.iter().filter_map(|one| one.time.map(usize::from))
}
