//! What can be asked of Envoy about a config: to define metrics while it is taken in, to change them later, and to come
//! back to the main thread.

use core::marker::PhantomData;

use super::abi::{self, ConfigPtr, Given, SchedulerPtr};

/// What a metric is to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The most labels that a metric can have here.
pub const LABELS: usize = 6;

/// Envoy's number for a metric, and what it is. Good for the config that defined it, and for its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricId {
    pub(super) kind: Kind,
    pub(super) number: usize,
}

/// Envoy's side of a config, during one call.
#[derive(Debug)]
pub struct ConfigHandle<'c> {
    ptr: ConfigPtr,
    during: PhantomData<&'c mut ()>,
}

impl ConfigHandle<'_> {
    /// The handle of the call that Envoy makes now.
    ///
    /// # Safety
    ///
    /// `ptr` is what Envoy passed to the call, on the main thread, and the handle ends with the call.
    pub(super) unsafe fn new(ptr: ConfigPtr) -> Self {
        Self { ptr, during: PhantomData }
    }

    /// Defines a metric with labels of these names. Envoy takes none any more once the config is taken in.
    pub fn define(&mut self, kind: Kind, name: &str, labels: &[&str]) -> Option<MetricId> {
        let name = Given::new(name.as_bytes());
        let labels: Vec<Given> = labels.iter().map(|label| Given::new(label.as_bytes())).collect();
        let define = match kind {
            Kind::Counter => abi::define_counter,
            Kind::Gauge => abi::define_gauge,
            Kind::Histogram => abi::define_histogram,
        };
        let mut number = 0;
        // SAFETY: the handle's pointer is good during the call it is for. Name and labels live until the call returns,
        // and Envoy copies them; `number` is ours, and written to by this call alone.
        let done = unsafe { define(self.ptr, name, labels.as_ptr(), labels.len(), &raw mut number) };
        (done == abi::DONE).then_some(MetricId { kind, number })
    }

    /// Adds to a counter, sets a gauge, or sorts a value into a histogram: the series with these values of its labels.
    /// Returns whether Envoy did.
    pub fn tell(&mut self, metric: MetricId, labels: &[Box<str>], value: u64) -> bool {
        let change = match metric.kind {
            Kind::Counter => abi::config_increment,
            Kind::Gauge => abi::config_set,
            Kind::Histogram => abi::config_record,
        };
        let (given, count) = values(labels);
        // SAFETY: as in `define`; Envoy refuses a number that it does not know, and a wrong count of labels.
        unsafe { change(self.ptr, metric.number, given.as_ptr(), count, value) == abi::DONE }
    }

    /// Makes the series of a counter or a gauge with these labels this config's, too, and changes no value: Envoy drops a
    /// series with the last config that has told it. There is no such way for a histogram.
    pub fn share(&mut self, metric: MetricId, labels: &[Box<str>]) {
        let change = match metric.kind {
            Kind::Counter => abi::config_increment,
            Kind::Gauge => abi::config_add,
            Kind::Histogram => return,
        };
        let (given, count) = values(labels);
        // SAFETY: as in `tell`.
        unsafe { change(self.ptr, metric.number, given.as_ptr(), count, 0) };
    }

    /// What brings an event to the main thread, from any thread.
    pub fn scheduler(&mut self) -> Option<Scheduler> {
        // SAFETY: the handle's pointer is good. What is returned belongs to us, and keeps no config alive.
        let ptr = unsafe { abi::scheduler_new(self.ptr) };
        (!ptr.is_null()).then_some(Scheduler(ptr))
    }
}

/// The values of a metric's labels as the ABI has them, in an array; none allocates.
pub(super) fn values(labels: &[Box<str>]) -> ([Given; LABELS], usize) {
    let mut given = [Given::NONE; LABELS];
    let mut count = 0_usize;
    for (place, label) in given.iter_mut().zip(labels) {
        *place = Given::new(label.as_bytes());
        count = count.saturating_add(1);
    }
    (given, count)
}

/// Brings an event to the main thread.
#[derive(Debug)]
pub struct Scheduler(SchedulerPtr);

// SAFETY: the ABI lets any thread commit and delete; the pointer is not used for anything else.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// Has the config's `scheduled` called on the main thread; nothing happens if Envoy has dropped the config.
    pub fn commit(&mut self) {
        // SAFETY: the pointer is ours until it is deleted in `drop`; Envoy lets any thread do this.
        unsafe { abi::scheduler_commit(self.0, 0) };
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: made by `scheduler_new`, and deleted here only.
        unsafe { abi::scheduler_delete(self.0) };
    }
}
