//! What all VMs of one proxy have in common: shared data, queues and statistics.
//! Clone a [`Shared`] into every [`Host`](super::Host) that plays a worker. It outlives them, as Envoy's does as
//! long as one VM with the same `vm_id` is left. Never forgets a key: Envoy has no removal in the 0.2 ABI.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers with which a host call answers. The SDK knows 0 to 4, 7, 8 and 10 only.
pub mod status {
    pub const OK: u32 = 0;
    pub const NOT_FOUND: u32 = 1;
    pub const BAD_ARGUMENT: u32 = 2;
    pub const SERIALIZATION_FAILURE: u32 = 3;
    pub const PARSE_FAILURE: u32 = 4;
    pub const INVALID_MEMORY_ACCESS: u32 = 6;
    pub const EMPTY: u32 = 7;
    pub const CAS_MISMATCH: u32 = 8;
    pub const INTERNAL_FAILURE: u32 = 10;
    pub const UNIMPLEMENTED: u32 = 12;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A handle on one proxy's common memory.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Commons>>);

#[derive(Debug, Default)]
struct Commons {
    data: BTreeMap<String, (Vec<u8>, u32)>,
    last_cas: u32,
    queues: BTreeMap<String, (u32, VecDeque<Vec<u8>>)>,
    stats: BTreeMap<(Kind, String), Vec<u64>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Commons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn keys(&self) -> Vec<String> {
        self.lock().data.keys().cloned().collect()
    }

    /// Value and compare-and-swap number.
    pub fn entry(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.lock().data.get(key).cloned()
    }

    /// Writes where `cas` is 0, where it is the present number, or where the key is absent (whatever `cas` says).
    ///
    /// # Errors
    /// [`status::CAS_MISMATCH`] where another write came between.
    pub fn store(&self, key: &str, value: &[u8], cas: u32) -> Result<(), u32> {
        let mut commons = self.lock();
        let present = commons.data.get(key).map(|(_, present)| *present);
        if present.is_some_and(|present| cas != 0 && cas != present) {
            return Err(status::CAS_MISMATCH);
        }
        // Never 0, which would read as "unconditional".
        commons.last_cas = commons.last_cas.checked_add(1).unwrap_or(1);
        let cas = commons.last_cas;
        commons.data.insert(key.to_owned(), (value.to_vec(), cas));
        Ok(())
    }

    /// The sum over all workers.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.stat(Kind::Counter, name).and_then(|values| values.first().copied())
    }

    pub fn gauge(&self, name: &str) -> Option<u64> {
        self.stat(Kind::Gauge, name).and_then(|values| values.first().copied())
    }

    /// All recorded values, exact and in order (Envoy bins them).
    pub fn histogram(&self, name: &str) -> Option<Vec<u64>> {
        self.stat(Kind::Histogram, name)
    }

    /// Every statistic that was ever defined.
    pub fn stats(&self) -> BTreeMap<(Kind, String), Vec<u64>> {
        self.lock().stats.clone()
    }

    fn stat(&self, kind: Kind, name: &str) -> Option<Vec<u64>> {
        self.lock().stats.get(&(kind, name.to_owned())).cloned()
    }

    pub(super) fn define(&self, kind: Kind, name: &str) {
        let zero = if kind == Kind::Histogram { Vec::new() } else { vec![0] };
        self.lock().stats.entry((kind, name.to_owned())).or_insert(zero);
    }

    /// Counters refuse what is not above 0, gauges wrap below it, histograms have no increment.
    pub(super) fn increment(&self, (kind, name): (Kind, &str), offset: i64) -> Result<(), u32> {
        match kind {
            Kind::Counter if offset > 0 => {}
            Kind::Gauge => {}
            Kind::Counter | Kind::Histogram => return Err(status::BAD_ARGUMENT),
        }
        self.change(kind, name, |value| value.wrapping_add_signed(offset))
    }

    /// Adds to a counter, sets a gauge, appends to a histogram.
    pub(super) fn record(&self, (kind, name): (Kind, &str), new: u64) -> Result<(), u32> {
        match kind {
            Kind::Counter => self.change(kind, name, |value| value.wrapping_add(new)),
            Kind::Gauge => self.change(kind, name, |_| new),
            Kind::Histogram => {
                let mut commons = self.lock();
                let values = commons.stats.get_mut(&(kind, name.to_owned())).ok_or(status::NOT_FOUND)?;
                values.push(new);
                Ok(())
            }
        }
    }

    fn change(&self, kind: Kind, name: &str, to: impl Fn(u64) -> u64) -> Result<(), u32> {
        let mut commons = self.lock();
        let values = commons.stats.get_mut(&(kind, name.to_owned())).ok_or(status::NOT_FOUND)?;
        let value = values.first_mut().ok_or(status::NOT_FOUND)?;
        *value = to(*value);
        Ok(())
    }

    /// The token of a queue; made where it is absent and `create` is set.
    pub(super) fn queue(&self, name: &str, create: bool) -> Option<u32> {
        let mut commons = self.lock();
        let next = u32::try_from(commons.queues.len()).ok()?.checked_add(1)?;
        match commons.queues.get(name) {
            Some((token, _)) => Some(*token),
            None if create => {
                commons.queues.insert(name.to_owned(), (next, VecDeque::new()));
                Some(next)
            }
            None => None,
        }
    }

    pub(super) fn enqueue(&self, token: u32, value: Vec<u8>) -> Result<(), u32> {
        let mut commons = self.lock();
        let (_, queue) = commons.queues.values_mut().find(|(present, _)| *present == token).ok_or(status::NOT_FOUND)?;
        queue.push_back(value);
        Ok(())
    }

    pub(super) fn dequeue(&self, token: u32) -> Result<Vec<u8>, u32> {
        let mut commons = self.lock();
        let (_, queue) = commons.queues.values_mut().find(|(present, _)| *present == token).ok_or(status::NOT_FOUND)?;
        queue.pop_front().ok_or(status::EMPTY)
    }
}
