//! Keeps a variant to its `limit`, in one worker: a bucket of tokens, and a count of requests in flight.
//!
//! A limit holds for the proxy. Each worker has a share of it, by how many requests it would have sent; the shares
//! are worked out on the tick, never on the request path.

use crate::config::Throttle;
use crate::time::Timestamp;

/// A worker that has not been heard of for so long has no share, in milliseconds.
const GONE: u64 = 2_000;

/// One request, in the measure of the bucket.
const TOKEN: u64 = 1_000_000;

/// What one worker may still send to a variant.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    limit: Throttle,
    /// In parts per million.
    share: u64,
    tokens: u64,
    filled: Timestamp,
    in_flight: u32,
    /// Requests for the variant since the last tick, and as a mean over the last ones.
    wanted: u32,
    demand: u32,
}

impl Gate {
    pub(super) fn new(limit: Throttle, now: Timestamp) -> Self {
        let full = Self { limit, share: 1_000_000, tokens: 0, filled: now, in_flight: 0, wanted: 0, demand: 0 };
        Self { tokens: full.most(), ..full }
    }

    /// What the bucket holds: half a second, and at least one request.
    fn most(&self) -> u64 {
        self.per_milli().saturating_mul(500).max(TOKEN)
    }

    /// What comes into it in a millisecond.
    fn per_milli(&self) -> u64 {
        self.limit.rate.unwrap_or(0).saturating_mul(self.share).wrapping_div(1_000_000)
    }

    /// Whether the variant takes one more.
    pub(super) fn is_open(&mut self, now: Timestamp) -> bool {
        let passed = now.millis().saturating_sub(self.filled.millis());
        self.filled = now;
        let more = self.per_milli().saturating_mul(u64::try_from(passed).unwrap_or(0));
        self.tokens = self.tokens.saturating_add(more).min(self.most());
        let most = |most: u32| u64::from(most).saturating_mul(self.share).wrapping_div(1_000_000).max(1);
        (self.limit.rate.is_none() || self.tokens >= TOKEN)
            && self.limit.in_flight.is_none_or(|limit| u64::from(self.in_flight) < most(limit))
    }

    /// A request wants the variant, and gets it or not.
    pub(super) fn wants(&mut self, gets: bool) {
        self.wanted = self.wanted.saturating_add(1);
        if gets {
            self.tokens = self.tokens.saturating_sub(TOKEN);
            self.in_flight = self.in_flight.saturating_add(1);
        }
    }

    /// A request that got the variant is done.
    pub(super) fn done(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Writes this worker's demand into what all workers wrote, and takes its share.
    pub(super) fn share_out(&mut self, worker: u32, all: &mut Demands, now: Timestamp) {
        self.demand = self.demand.saturating_add(self.wanted.saturating_mul(256)) >> 1;
        self.wanted = 0;
        let millis = now.millis().cast_unsigned();
        all.0.retain(|(other, _, seen)| *other != worker && millis.abs_diff(*seen) < GONE);
        all.0.push((worker, self.demand, millis));
        let total = all.0.iter().fold(0_u64, |sum, (_, demand, _)| sum.saturating_add(u64::from(*demand)));
        let mine = u64::from(self.demand).saturating_mul(1_000_000).checked_div(total);
        // Nobody has asked for it: whoever asks first has all of it until the next tick.
        self.share = mine.unwrap_or(1_000_000).max(1_000);
    }
}

/// By worker: what it asks for, and when it last did.
#[derive(Debug, Default)]
pub(super) struct Demands(Vec<(u32, u32, u64)>);

impl Demands {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let entry = |bytes: &[u8]| {
            let (worker, rest) = bytes.split_first_chunk()?;
            let (demand, rest) = rest.split_first_chunk()?;
            let (seen, _) = rest.split_first_chunk()?;
            Some((u32::from_le_bytes(*worker), u32::from_le_bytes(*demand), u64::from_le_bytes(*seen)))
        };
        Self(bytes.chunks_exact(16).filter_map(entry).collect())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (worker, demand, seen) in &self.0 {
            bytes.extend(worker.to_le_bytes());
            bytes.extend(demand.to_le_bytes());
            bytes.extend(seen.to_le_bytes());
        }
        bytes
    }
}
