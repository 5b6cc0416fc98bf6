//! Keeps a variant to its `limit`, in one worker: a bucket of tokens, and a count of requests in flight.
//!
//! A limit holds for the proxy. Each worker has an allotment of it, by how many requests it would have sent, which is
//! worked out on the tick, never on the request path. Of the room for requests in flight, a worker takes no more than
//! what the others do not hold: together they exceed it by one request a worker, at most.

use tidegate_engine::config::TrafficLimit;
use tidegate_engine::value::time::Timestamp;

/// A worker that has not been heard of for so long has no allotment, in milliseconds.
const GONE: u64 = 2_000;

/// One request, in the measure of the bucket.
const TOKEN: u64 = 1_000_000;

/// The demand that a worker is taken to have at least: a quarter of a request a tick.
const IDLE: u64 = 64;

/// What is a worker's own of a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allotment {
    /// Of the rate, in parts per million.
    rate: u64,
    /// Of the requests in flight, so many.
    room: u32,
}

/// What one worker may still send to a variant.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    limit: TrafficLimit,
    allotment: Allotment,
    tokens: u64,
    filled: Timestamp,
    in_flight: u32,
    /// Requests for the variant since the last tick, and as a mean over the last ones.
    wanted: u32,
    demand: u32,
}

impl Limiter {
    pub(super) fn new(limit: TrafficLimit, now: Timestamp) -> Self {
        // Until its first tick it has all of the rate, since no other worker is known to ask for it, but begins with
        // one request only; and it has one request in flight at a time, since others may hold the rest.
        let allotment = Allotment { rate: 1_000_000, room: 0 };
        Self { limit, allotment, tokens: TOKEN, filled: now, in_flight: 0, wanted: 0, demand: 0 }
    }

    /// Takes another limit. Its allotment of that is what it had of the one before, until the next tick.
    pub(super) fn set_limit(&mut self, limit: TrafficLimit) {
        if let Some(after) = limit.in_flight
            && Some(after) != self.limit.in_flight
        {
            let (part, whole) = match self.limit.in_flight {
                Some(before) => (self.allotment.room.into(), before.into()),
                None if self.demand > 0 => (self.allotment.rate, 1_000_000),
                None => (0, 1),
            };
            let room = u64::from(after).saturating_mul(part).checked_div(whole);
            self.allotment.room = room.and_then(|room| u32::try_from(room).ok()).unwrap_or(0);
        }
        self.limit = limit;
    }

    /// What the bucket holds: half a second, and at least one request.
    fn most(&self) -> u64 {
        self.per_milli().saturating_mul(500).max(TOKEN)
    }

    /// What comes into it in a millisecond.
    fn per_milli(&self) -> u64 {
        self.limit.rate.unwrap_or(0).saturating_mul(self.allotment.rate).wrapping_div(1_000_000)
    }

    /// Whether the variant takes one more.
    pub(super) fn is_open(&mut self, now: Timestamp) -> bool {
        let passed = now.millis().saturating_sub(self.filled.millis());
        self.filled = now;
        let more = self.per_milli().saturating_mul(u64::try_from(passed).unwrap_or(0));
        self.tokens = self.tokens.saturating_add(more).min(self.most());
        (self.limit.rate.is_none() || self.tokens >= TOKEN)
            && (self.limit.in_flight.is_none() || self.in_flight < self.allotment.room.max(1))
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

    /// A tick has passed: what was asked for in it is part of the demand.
    pub(super) fn advance(&mut self) {
        self.demand = self.demand.saturating_add(self.wanted.saturating_mul(256)) >> 1;
        self.wanted = 0;
    }

    /// Writes this worker's demand into what all workers wrote; the allotment that follows holds once that is told.
    pub(super) fn allot(&self, worker: u32, all: &mut Demands, now: Timestamp) -> Allotment {
        let seen = now.millis().cast_unsigned();
        all.0.retain(|other| other.worker != worker && seen.abs_diff(other.seen) < GONE);
        let sum = |of: fn(&Demand) -> u32| all.0.iter().fold(0_u64, |sum, one| sum.saturating_add(of(one).into()));
        let mine = u64::from(self.demand);
        let total = sum(|one| one.wants).saturating_add(mine);
        // No worker has asked for it: the first one that does has all of it until the next tick.
        let rate = mine.saturating_mul(1_000_000).checked_div(total).unwrap_or(1_000_000).max(1_000);
        // Idle workers share the room, and leave it to those that are not.
        let limit = u64::from(self.limit.in_flight.unwrap_or(0));
        let workers = u64::try_from(all.0.len()).unwrap_or(0).saturating_add(1);
        let total = total.saturating_add(workers.saturating_mul(IDLE));
        let twice = limit.saturating_mul(mine.saturating_add(IDLE)).saturating_mul(2).saturating_add(total);
        let fair = twice.checked_div(total.saturating_mul(2)).unwrap_or(0);
        let room = fair.min(limit.saturating_sub(sum(|one| one.held)));
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        // What is in flight is held until it is done, whatever the allotment is by now.
        let held = room.max(self.in_flight);
        all.0.push(Demand { worker, wants: self.demand, held, seen });
        Allotment { rate, room }
    }

    pub(super) fn take(&mut self, allotment: Allotment) {
        self.allotment = allotment;
    }
}

/// What a worker asks for, how much of the requests in flight is not for others, and when it said so.
#[derive(Clone, Copy, Debug)]
struct Demand {
    worker: u32,
    wants: u32,
    held: u32,
    seen: u64,
}

impl Demand {
    /// The first demand, and the rest.
    fn first(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (worker, rest) = bytes.split_first_chunk()?;
        let (wants, rest) = rest.split_first_chunk()?;
        let (held, rest) = rest.split_first_chunk()?;
        let (seen, rest) = rest.split_first_chunk()?;
        let [worker, wants, held] = [worker, wants, held].map(|bytes| u32::from_le_bytes(*bytes));
        Some((Self { worker, wants, held, seen: u64::from_le_bytes(*seen) }, rest))
    }
}

#[derive(Debug, Default)]
pub(super) struct Demands(Vec<Demand>);

impl Demands {
    pub(super) fn from_bytes(mut bytes: &[u8]) -> Self {
        let mut demands = Vec::new();
        while let Some((demand, rest)) = Demand::first(bytes) {
            demands.push(demand);
            bytes = rest;
        }
        Self(demands)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Demand { worker, wants, held, seen } in &self.0 {
            bytes.extend(worker.to_le_bytes());
            bytes.extend(wants.to_le_bytes());
            bytes.extend(held.to_le_bytes());
            bytes.extend(seen.to_le_bytes());
        }
        bytes
    }
}
