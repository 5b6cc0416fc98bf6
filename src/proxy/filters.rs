//! What one worker knows of each of its filters, over all of their configs: which one is in force, which ones were
//! replaced and still have requests, and what the guards keep meanwhile.
//!
//! A push is a new instance of the filter. The old one lives, and ticks, until its last request is done, and the host
//! never says that it was replaced. So exactly one config of a filter is its speaker: on its tick it applies what the
//! guards decide, sets the gauges, and reports the counts of all others. Never runs for a request.

#![warn(missing_docs)]

use std::time::Duration;

use crate::active::{Active, FilterId};
use crate::guard::Keep;
use crate::host::{Host, Level, Shared};
use crate::lifecycle::State;
use crate::metrics::catalogue::Metric;
use crate::metrics::meters::{Announced, Names};
use crate::share::{Rc, RefCell};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;

/// How often workers tell each other what they have counted, in milliseconds.
const TICK: i64 = 250;

pub(crate) const PERIOD: Duration = Duration::from_millis(TICK.unsigned_abs());

/// A config that could get requests for so many ticks in a row is taken to be in force.
const SURE_TICKS: u8 = 4;

/// All filters of one worker. Its instances share it, and nothing else needs to outlive them.
#[derive(Debug, Default)]
pub struct Filters {
    all: RefCell<Vec<Filter>>,
    names: Rc<Names>,
}

#[derive(Debug)]
struct Filter {
    key: String,
    keep: Keep,
    /// The configs that are not done. The speaker is the last one.
    configs: Vec<Rc<Active>>,
    announced: Announced,
    ticked: Timestamp,
    warned: bool,
}

impl Filters {
    /// Whether a good config of this filter is in force in this worker.
    pub(crate) fn serves(&self, key: &str) -> bool {
        let Ok(filters) = self.all.try_borrow() else { return false };
        let ours = filters.iter().find(|filter| filter.key == key);
        let last = ours.and_then(|filter| filter.configs.iter().rfind(|active| active.has_instance()));
        last.is_some_and(|active| active.state != State::Inert)
    }

    /// Sets a gauge about a push, whether it is accepted or not.
    pub(crate) fn gauge(&self, host: &dyn Host, id: &FilterId, metric: &Metric, value: u64) {
        self.names.gauge(host, &id.name, metric, value);
    }

    /// Takes a plan into service, with what its guards have decided before.
    ///
    /// `first` is whether the filter has never had a good config. A host may only try a config in a worker that it then
    /// throws away, where no tick would clear the revision again. So only a worker that ticks shows it; but the first
    /// config has no revision before it to clear.
    pub(crate) fn serve(
        &self,
        host: &dyn Host,
        id: FilterId,
        plan: Rc<Plan>,
        state: State,
        first: bool,
    ) -> Option<Rc<Active>> {
        let mut filters = self.all.try_borrow_mut().ok()?;
        if !filters.iter().any(|filter| filter.key == id.key) {
            filters.push(Filter {
                key: id.key.clone(),
                keep: Keep::default(),
                configs: Vec::new(),
                announced: Announced::default(),
                ticked: host.now(),
                warned: false,
            });
        }
        let ours = filters.iter_mut().find(|filter| filter.key == id.key)?;
        let active = Active::new(host, id, plan, state, &mut ours.keep, Rc::clone(&self.names));
        let now = active.since;
        let ticks = !ours.configs.is_empty();
        ours.configs.iter().for_each(|other| other.superseded());
        // If only another worker has shown the revision before, show it once here, so that it is cleared afterwards.
        ours.show_revision(host);
        ours.configs.push(Rc::clone(&active));
        ours.announce(host, now);
        if ticks || first {
            ours.show_revision(host);
        }
        // Keep the time of the next tick: pushes that come faster than the tick must not delay it for ever.
        let left = TICK.saturating_sub(now.millis().saturating_sub(ours.ticked.millis()));
        host.tick_after(Duration::from_millis(left.clamp(1, TICK).unsigned_abs()));
        Some(active)
    }

    /// The tick of a config's instance.
    pub(crate) fn tick(&self, host: &dyn Host, active: &Rc<Active>) {
        let Ok(mut filters) = self.all.try_borrow_mut() else { return };
        for filter in filters.iter_mut() {
            if filter.is_speaker(active) {
                filter.tick(host);
            } else if filter.configs.iter().all(|active| !active.has_instance()) {
                // The filter is gone: no other config would report its counts.
                for active in core::mem::take(&mut filter.configs) {
                    active.report(host);
                }
            }
        }
    }
}

impl Filter {
    /// Whether this config is the filter's speaker.
    fn is_speaker(&self, active: &Rc<Active>) -> bool {
        self.configs.iter().rfind(|other| other.has_instance()).is_some_and(|last| Rc::ptr_eq(last, active))
    }

    fn tick(&mut self, host: &dyn Host) {
        let now = host.now();
        self.ticked = now;
        self.find_in_force(host, now);
        for (place, active) in self.configs.iter().enumerate() {
            let is_speaker = place.saturating_add(1) == self.configs.len();
            if is_speaker || active.is_busy() {
                active.judge(host, now);
            }
            if is_speaker {
                active.show(host, now);
            }
            active.report(host);
        }
        self.show_revision(host);
        self.keep.tick(now, &mut Shared { host, key: &self.key });
    }

    /// Finds out which config is in force: one that got a request, or that has none and is kept by the host.
    ///
    /// It need not be the newest: if the same bytes come back while a request of an old config is open, the host uses
    /// the old instance again, and does not say so.
    fn find_in_force(&mut self, host: &dyn Host, now: Timestamp) {
        let (mut last, mut again, mut sure) = (None, None, 0_u8);
        for (place, active) in self.configs.iter().enumerate().filter(|(_, active)| active.has_instance()) {
            let open = active.ticks_open();
            sure = sure.saturating_add(u8::from(open >= SURE_TICKS));
            again = if open > 1 { Some(place) } else { again };
            last = Some((place, open));
        }
        if sure > 1 && !core::mem::replace(&mut self.warned, true) {
            host.log(Level::Warn, format_args!("config: {}", host.two_in_force()));
        }
        let Some((last, open)) = last else { return };
        let speaker = again.filter(|_| open == 0).unwrap_or(last);
        let changes = speaker.saturating_add(1) != self.configs.len();
        let mut in_force = None;
        for (place, active) in core::mem::take(&mut self.configs).into_iter().enumerate() {
            if place == speaker {
                in_force = Some(active);
            } else if active.has_instance() || Rc::strong_count(&active) > 1 || active.has_unreported() {
                self.configs.push(active);
            } else {
                // It has no request left, and no instance.
                active.report(host);
            }
        }
        self.configs.extend(in_force);
        if changes {
            self.announce(host, now);
        }
    }

    /// Shows the speaker's revision.
    fn show_revision(&mut self, host: &dyn Host) {
        if let Some(active) = self.configs.last() {
            active.show_revision(host, &mut self.announced);
        }
    }

    /// Sets all gauges to the speaker's values, and clears those of the speaker before it.
    fn announce(&mut self, host: &dyn Host, now: Timestamp) {
        if let Some(active) = self.configs.last() {
            active.announce(host, &mut self.announced, now);
        }
    }
}
