//! What one worker knows of each of its filters, over all of their configs: which one is in force, which ones were
//! replaced and still have requests, and what the guards keep meanwhile.
//!
//! A push is a new instance of the filter. The old one lives, and ticks, until its last request is done, and the host
//! never says that it was replaced. So exactly one config of a filter is its speaker: on its tick it applies what the
//! guards decide, sets the gauges, and reports the counts of all others. Never runs for a request.

#![warn(missing_docs)]

use std::time::Duration;

use crate::active::{Active, FilterId, Prepared};
use crate::guard::Keep;
use crate::host::share::{Cell, Rc, RefCell};
use crate::host::{Host, Level, Shared};
use crate::lifecycle::State;
use crate::metrics::catalogue::Metric;
use crate::metrics::meters::{Announced, Names};
use tidegate_engine::value::time::Timestamp;

/// How often workers tell each other what they have counted, in milliseconds.
const TICK: i64 = 250;

pub(crate) const PERIOD: Duration = Duration::from_millis(TICK.unsigned_abs());

/// How long a config may stand in for later ones, in milliseconds.
const STANDS_IN: i64 = 1_000;

/// A config that could get requests for so many ticks in a row is taken to be in force.
const SURE_TICKS: u8 = 4;

/// All filters of one worker. Its instances share it, and nothing else needs to outlive them.
#[derive(Debug, Default)]
pub struct Filters {
    all: RefCell<Vec<Filter>>,
    pub(crate) names: Rc<Names>,
    pushes: Cell<u64>,
}

#[derive(Debug)]
struct Filter {
    key: String,
    keep: Keep,
    /// The configs that are not done. The speaker is the last one.
    configs: Vec<Rc<Active>>,
    announced: Announced,
    /// Whether the gauges are not those of the speaker, because this worker may be one that is thrown away.
    silent: bool,
    ticked: Timestamp,
    warned: bool,
    /// The number of the last push that was accepted.
    newest: u64,
    /// Since when the config in force stands in for later ones.
    stands_in: Option<Timestamp>,
}

impl Filters {
    /// Whether a good config of this filter is in force in this worker.
    pub(crate) fn serves(&self, key: &str) -> bool {
        self.all.try_borrow().is_ok_and(|filters| of(&filters, key).and_then(Filter::good).is_some())
    }

    /// The number of a push.
    pub(crate) fn number(&self) -> u64 {
        let number = self.pushes.get().saturating_add(1);
        self.pushes.set(number);
        number
    }

    /// Lets the good config that is in force serve for an instance of this push until its own is ready. `None` if there
    /// is none, if it may be another filter's, or if it has done so for long: pushes that come faster than they get
    /// ready must not keep each other out of force for ever.
    pub(crate) fn stand_in(&self, key: &str, number: u64, now: Timestamp) -> Option<Rc<Active>> {
        let mut filters = self.all.try_borrow_mut().ok()?;
        let ours = filters.iter_mut().find(|filter| filter.key == key && !filter.warned)?;
        let active = Rc::clone(ours.good()?);
        let since = ours.stands_in.get_or_insert(now);
        if !(0..STANDS_IN).contains(&now.millis().saturating_sub(since.millis())) {
            return None;
        }
        active.serve_for_another();
        ours.newest = number;
        Some(active)
    }

    /// Whether no later push of this filter was accepted.
    pub(crate) fn is_newest(&self, key: &str, number: u64) -> bool {
        let Ok(filters) = self.all.try_borrow() else { return false };
        of(&filters, key).is_none_or(|filter| filter.newest <= number)
    }

    /// Sets a gauge about a push, whether it is accepted or not.
    pub(crate) fn gauge(&self, host: &dyn Host, id: &FilterId, metric: &Metric, value: u64) {
        self.names.gauge(host, &id.name, metric, value);
    }

    /// Takes a plan into service, with what its guards have decided before.
    ///
    /// `first` is whether the filter has never had a good config. A host may only try a config in a worker that it then
    /// throws away, where it is never in force, and where no tick would clear the revision again. So only a worker that
    /// ticks shows it; but the first config has none before it.
    pub(crate) fn serve(
        &self,
        host: &dyn Host,
        id: FilterId,
        prepared: Prepared,
        state: State,
        number: u64,
        first: bool,
    ) -> Option<Rc<Active>> {
        let mut filters = self.all.try_borrow_mut().ok()?;
        if !filters.iter().any(|filter| filter.key == id.key) {
            filters.push(Filter {
                key: id.key.clone(),
                keep: Keep::default(),
                configs: Vec::new(),
                announced: Announced::default(),
                silent: false,
                ticked: host.now(),
                warned: false,
                newest: 0,
                stands_in: None,
            });
        }
        let ours = filters.iter_mut().find(|filter| filter.key == id.key)?;
        let active = Active::new(host, id, prepared, state, number, &mut ours.keep, Rc::clone(&self.names));
        let now = active.since;
        ours.newest = ours.newest.max(number);
        ours.stands_in = ours.stands_in.filter(|_| ours.newest > number);
        if ours.configs.iter().any(|other| other.number > number) {
            // A later one is in force. Should this one get requests again, the tick finds out.
            ours.configs.insert(0, Rc::clone(&active));
        } else {
            let ticks = !ours.configs.is_empty();
            ours.configs.iter().for_each(|other| other.superseded());
            // If only another worker has shown the one before, show it once here, so that it is cleared afterwards.
            if core::mem::take(&mut ours.silent) {
                ours.announce(host, now);
            }
            ours.show_revision(host);
            ours.configs.push(Rc::clone(&active));
            ours.silent = !ticks && !first;
            if !ours.silent {
                ours.announce(host, now);
                ours.show_revision(host);
            }
        }
        // Keep the time of the next tick: pushes that come faster than the tick must not delay it for ever.
        let left = TICK.saturating_sub(now.millis().saturating_sub(ours.ticked.millis()));
        host.tick_after(Duration::from_millis(left.clamp(1, TICK).unsigned_abs()));
        Some(active)
    }

    /// The tick of an instance for which this config stands in, and which ticks more often than is due.
    pub(crate) fn tick_if_due(&self, host: &dyn Host, active: &Rc<Active>) {
        let now = host.now().millis();
        let due = |filter: &Filter| {
            let since = now.saturating_sub(filter.ticked.millis());
            filter.is_speaker(active) && !(0..TICK).contains(&since)
        };
        if self.all.try_borrow().is_ok_and(|filters| filters.iter().any(due)) {
            self.tick(host, active);
        }
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

/// The filter of this key.
fn of<'f>(filters: &'f [Filter], key: &str) -> Option<&'f Filter> {
    filters.iter().find(|filter| filter.key == key)
}

impl Filter {
    /// The config in force, if it is a good one.
    fn good(&self) -> Option<&Rc<Active>> {
        let last = self.configs.iter().rfind(|active| active.has_instance());
        last.filter(|active| active.state != State::Inert)
    }

    /// Whether this config is the filter's speaker.
    fn is_speaker(&self, active: &Rc<Active>) -> bool {
        self.configs.iter().rfind(|other| other.has_instance()).is_some_and(|last| Rc::ptr_eq(last, active))
    }

    fn tick(&mut self, host: &dyn Host) {
        let now = host.now();
        self.ticked = now;
        self.find_in_force(host, now);
        if core::mem::take(&mut self.silent) {
            self.announce(host, now);
        }
        for (place, active) in self.configs.iter().enumerate() {
            let is_speaker = place.saturating_add(1) == self.configs.len();
            if is_speaker || active.is_busy() {
                active.judge(host, now);
            }
            if is_speaker {
                active.show(host, now);
            }
            active.report(host);
            if is_speaker {
                active.remember(host, now);
            }
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
