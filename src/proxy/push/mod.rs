//! Takes pushes in, as [`lifecycle`] judges them, and makes visible what is in force.
//!
//! A push is a new instance of the filter in the same worker; the old one serves until its last request is done. A large
//! one that another worker has found good is accepted at once and made ready in slices, and until then the config in
//! force before decides its requests. Never stops traffic: a proxy that has never had a good config passes requests on
//! undecided.

#![warn(missing_docs)]

mod pending;
#[cfg(test)]
mod tests;

use std::time::Duration;

use pending::{Pending, Slice};

use crate::active::{Active, FilterId, Prepared};
use crate::filters::{Filters, PERIOD};
use crate::guard::Store;
use crate::host::share::Rc;
use crate::host::{Host, Level, Shared};
use crate::lifecycle::{self, Accepted, Judgement, State, judge_bad};
use crate::metrics::catalogue;
use crate::metrics::series::Series;
use crate::stream::Stream;
use tidegate_engine::output::chain::STATE;
use tidegate_engine::plan::{Compiled, Plan};
use tidegate_engine::problem::Problems;

/// How many warnings about one config are logged: each of them is a line of the log, from each worker.
const WARNINGS: usize = 50;

/// Where the last good config is remembered.
const LAST_GOOD: &str = "last-good";

/// The record of large configs that this version of the module has found good.
const GOOD: &str = concat!("good/", env!("CARGO_PKG_VERSION"));

/// From how many bytes on a config is made ready in slices: a smaller one takes less than a millisecond.
const LARGE: usize = 32 * 1_024;

/// The time between two slices: what requests that came meanwhile have before the next one.
const PAUSE: Duration = Duration::from_millis(1);

/// One instance of a filter, with the config that it was given.
#[derive(Debug)]
pub struct Instance {
    filters: Rc<Filters>,
    /// None until it was configured. While its own config is pending: the one in force before.
    active: Option<Rc<Active>>,
    pending: Option<Pending>,
    /// Whether its tick has the usual period. The first one comes earlier: when the filter's next tick would have come.
    paced: bool,
}

/// A config as one worker has taken it in: where workers have one memory, it is compiled and judged once.
#[derive(Clone, Debug)]
pub struct Taken {
    id: FilterId,
    plan: Rc<Plan>,
    state: State,
    number: u64,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(active) = &self.active {
            active.instance_gone();
        }
    }
}

impl Instance {
    /// An instance that has no config yet, among the filters of its worker.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn new(filters: Rc<Filters>) -> Self {
        Self { filters, active: None, pending: None, paced: false }
    }

    /// The host does not need it any more. Here, so that a door does not compile once more what it takes to free all that
    /// an instance holds.
    #[cold]
    #[inline(never)]
    pub fn gone(self) {
        drop(self);
    }

    /// Reads and judges the config that was pushed. Returns whether it is accepted.
    #[cold]
    #[inline(never)]
    pub fn configure(&mut self, host: &dyn Host) -> bool {
        let parts = host.filter();
        let id = FilterId {
            name: String::from_utf8_lossy(&parts[0]).into_owned(),
            key: lifecycle::key(parts.each_ref().map(Vec::as_slice)),
        };
        let bytes = host.config();
        host.keep_over_redirects(STATE);
        let number = self.filters.number();
        let mut shared = Shared { host, key: &id.key };
        let large = bytes.len() >= LARGE && host.requests_wait();
        if large
            && self.filters.serves(&id.key)
            && on_record(&mut shared, GOOD, &bytes, false)
            && let Some(active) = self.filters.stand_in(&id.key, number, host.now())
        {
            self.replace(active);
            self.pending = Some(Pending::new(id, number, bytes));
            host.tick_after(PAUSE);
            return true;
        }
        let (compiled, mut problems) = Plan::from_bytes(&bytes);
        let mut series = None;
        if let Compiled::Ready(plan) = &compiled {
            series.insert(Series::new(plan)).check(plan, &mut problems);
        }
        warn(host, &problems);
        let last_good = shared.read(LAST_GOOD).0;
        let judgement = match compiled {
            Compiled::Ready(plan) => {
                shared.write(LAST_GOOD, &bytes, None);
                if large {
                    on_record(&mut shared, GOOD, &bytes, true);
                }
                Judgement::Accept(Box::new(plan), State::Active)
            }
            Compiled::Broken(inert) => self.judge(&mut shared, &bytes, inert, last_good.as_deref()),
        };
        self.filters.gauge(host, &id, &catalogue::REFUSED, u64::from(!problems.errors().is_empty()));
        let count = u64::try_from(problems.count()).unwrap_or(u64::MAX);
        self.filters.gauge(host, &id, &catalogue::PROBLEMS, count);
        match judgement {
            Judgement::Refuse => {
                let problems = problems.one_line();
                host.log(Level::Error, format_args!("config: refused, the one before it stays in force: {problems}"));
                false
            }
            Judgement::Accept(plan, state) => {
                log_state(host, &plan, state, &problems);
                let series = series.unwrap_or_else(|| Series::new(&plan));
                let prepared = Prepared::new(Rc::new(*plan), series);
                self.pending = None;
                if let Some(active) = self.filters.serve(host, id, prepared, state, number, last_good.is_none()) {
                    self.replace(active);
                }
                true
            }
        }
    }

    /// What was taken in, for the other workers of this proxy; `None` where nothing was.
    #[must_use]
    pub fn taken(&self) -> Option<Taken> {
        let Active { id, plan, state, number, .. } = &**self.active.as_ref()?;
        Some(Taken { id: id.clone(), plan: Rc::clone(plan), state: *state, number: *number })
    }

    /// Takes in what another worker has judged, without reading it again.
    pub fn join(&mut self, host: &dyn Host, taken: &Taken) {
        let Taken { id, plan, state, number } = taken;
        let prepared = Prepared::new(Rc::clone(plan), Series::new(plan));
        if let Some(active) = self.filters.serve(host, id.clone(), prepared, *state, *number, false) {
            self.replace(active);
        }
    }

    /// Judges a config with errors by the records that all workers share, and adds to them.
    fn judge(&self, shared: &mut Shared<'_>, bytes: &[u8], inert: Plan, last_good: Option<&[u8]>) -> Judgement {
        // If a bad config is accepted at all, the first worker that sees it accepts it.
        let accepted = on_record(shared, "accepted", bytes, last_good.is_none());
        let serves = self.filters.serves(shared.key);
        let falls_back = accepted && on_record(shared, "stands-by", bytes, serves) || serves;
        judge_bad(inert, accepted, falls_back, last_good)
    }

    /// Serves by another config from now on.
    fn replace(&mut self, active: Rc<Active>) {
        self.paced = false;
        if let Some(before) = self.active.replace(active) {
            before.instance_gone();
        }
    }

    /// Called by the host on its timer.
    #[cold]
    #[inline(never)]
    pub fn tick(&mut self, host: &dyn Host) {
        if let Some(pending) = self.pending.take() {
            self.work(host, pending);
            return;
        }
        if !core::mem::replace(&mut self.paced, true) {
            host.tick_after(PERIOD);
        }
        if let Some(active) = &self.active {
            self.filters.tick(host, active);
        }
    }

    /// Makes the config that was pushed a slice readier, and puts it in force once it is ready.
    fn work(&mut self, host: &dyn Host, mut pending: Pending) {
        // The one in force goes on counting, which may be for longer than it has an instance of its own.
        if let Some(active) = &self.active {
            self.filters.tick_if_due(host, active);
        }
        match pending.slice(host, &self.filters) {
            Slice::More => host.tick_after(PAUSE),
            Slice::Idle => host.tick_after(PERIOD),
            Slice::Ready(prepared, problems) => {
                warn(host, &problems);
                log_state(host, &prepared.plan, State::Active, &problems);
                let Pending { id, number, .. } = pending;
                if let Some(active) = self.filters.serve(host, id, *prepared, State::Active, number, false) {
                    self.replace(active);
                }
                return;
            }
            Slice::Broken(problems) => {
                let problems = problems.one_line();
                host.log(
                    Level::Error,
                    format_args!("config: not good, though on record as good; the one before it stays: {problems}"),
                );
                host.tick_after(PERIOD);
                return;
            }
        }
        self.pending = Some(pending);
    }

    /// A new request; `None` if there is no config to decide it by.
    #[inline]
    #[must_use]
    pub fn stream(&self) -> Option<Stream> {
        let active = self.active.as_ref()?;
        active.saw_request();
        if let Some(pending) = &self.pending {
            pending.saw_request();
        }
        Some(Stream::new(Rc::clone(active)))
    }
}

/// Whether a bad config was already on this record. Adds it if `add` is set.
fn on_record(shared: &mut Shared<'_>, record: &str, config: &[u8], add: bool) -> bool {
    let (bytes, version) = shared.read(record);
    let mut known = Accepted::new(bytes.unwrap_or_default());
    let had = known.has(config);
    if add && !had {
        known.add(config);
        if !shared.write(record, known.as_bytes(), version) {
            // Another worker has added one meanwhile: add ours to that.
            let mut other = Accepted::new(shared.read(record).0.unwrap_or_default());
            other.add(config);
            shared.write(record, other.as_bytes(), None);
        }
    }
    had
}

/// Says in the log what is odd about a config.
fn warn(host: &dyn Host, problems: &Problems) {
    let (unknown, warnings) = (problems.unknown_fields(), problems.warnings());
    for warning in unknown.iter().chain(warnings).take(WARNINGS) {
        host.log(Level::Warn, format_args!("config: {warning}"));
    }
    let more = unknown.len().saturating_add(warnings.len()).saturating_sub(WARNINGS);
    if more > 0 {
        host.log(Level::Warn, format_args!("config: ... and {more} more warnings"));
    }
}

/// Says in the log what is in force from now on.
fn log_state(host: &dyn Host, plan: &Plan, state: State, problems: &Problems) {
    let revision = plan.revision().map_or("without a name", |revision| revision.as_str());
    let (flags, fingerprint) = (plan.flags().len(), plan.fingerprint());
    let problems = || problems.one_line();
    match state {
        State::Active => host.log(
            Level::Info,
            format_args!("config: revision {revision} is active: {flags} flags, plan {fingerprint:016x}"),
        ),
        State::LastGood => host.log(
            Level::Error,
            format_args!("config: not good, the last good revision {revision} stays in force: {}", problems()),
        ),
        State::Inert => host.log(
            Level::Error,
            format_args!("config: not good, and there was none before it: requests pass undecided: {}", problems()),
        ),
    }
}
