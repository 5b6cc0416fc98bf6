//! What this VM knows of each of its filters, over all of their configs: which one is in force, which ones were
//! replaced and still have requests, and what the guards keep meanwhile.
//!
//! A push is a new root context in the same VM. The old one lives on until its last request is done, its timer with it;
//! the host never says that it was replaced. So one config of a filter speaks, on its tick: it takes up what the guards
//! decide, shows the gauges, and hands over what was counted under the others. Never runs for a request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use log::warn;

use super::host;
use super::meters::{self, Meters, Spoken};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::{Keep, Worker};
use tidegate_proxy::lifecycle::State;
use tidegate_proxy::metrics::count::Counts;
use tidegate_proxy::metrics::series::Series;

/// How often workers tell each other what they have counted, in milliseconds.
const TICK: i64 = 250;

/// The same, for the host.
pub(super) const PERIOD: Duration = Duration::from_millis(TICK.unsigned_abs());

/// After so many ticks a config that could still get requests is taken to be in force.
const SURE: u8 = 4;

thread_local! {
    static PLUGINS: RefCell<Vec<Plugin>> = const { RefCell::new(Vec::new()) };
}

/// What a request is decided by: one config of one filter.
#[derive(Debug)]
pub(super) struct Active {
    /// The plugin's name.
    pub(super) plugin: String,
    /// The key by which its VMs remember things.
    pub(super) key: String,
    pub(super) plan: Plan,
    pub(super) series: Series,
    /// What is in force, and since when.
    pub(super) state: State,
    pub(super) since: Option<Timestamp>,
    pub(super) worker: RefCell<Worker>,
    pub(super) counts: RefCell<Counts>,
    pub(super) meters: RefCell<Meters>,
    /// Whether the host still has its root context.
    rooted: Cell<bool>,
    /// Whether a request has come since the last look.
    asked: Cell<bool>,
    /// For how many ticks it has been able to get requests, as far as can be seen.
    open: Cell<u8>,
}

/// One filter in this VM.
#[derive(Debug)]
struct Plugin {
    key: String,
    keep: Keep,
    /// The configs that are not done, the one that speaks last.
    configs: Vec<Rc<Active>>,
    spoken: Spoken,
    ticked: Timestamp,
    warned: bool,
}

/// Whether a good config of this filter is in force in this VM.
pub(super) fn serves(key: &str) -> bool {
    PLUGINS.with_borrow(|plugins| {
        let ours = plugins.iter().find(|plugin| plugin.key == key);
        let last = ours.and_then(|plugin| plugin.configs.iter().rfind(|active| active.rooted.get()));
        last.is_some_and(|active| active.state != State::Inert)
    })
}

/// Takes a plan into service, with what its guards have decided before.
///
/// `first` is whether the filter has never had a good config. Only a VM that ticks may say which revision is in force,
/// because nobody takes back what the VM says in which Envoy only tries a config; but of the first one there is nothing
/// to take back.
pub(super) fn serve((plugin, key): (String, String), plan: Plan, state: State, first: bool) -> Option<Rc<Active>> {
    let now = host::now();
    PLUGINS.with_borrow_mut(|plugins| {
        if !plugins.iter().any(|plugin| plugin.key == key) {
            plugins.push(Plugin {
                key: key.clone(),
                keep: Keep::default(),
                configs: Vec::new(),
                spoken: Spoken::default(),
                ticked: now,
                warned: false,
            });
        }
        let ours = plugins.iter_mut().find(|plugin| plugin.key == key)?;
        let worker = Worker::new(&plan, now, &mut host::Shared { key: &key }, &mut ours.keep);
        let series = Series::new(&plan);
        let (counts, meters) = (Counts::new(&series), Meters::new(&plan, &series, &plugin));
        let active = Rc::new(Active {
            plugin,
            key,
            plan,
            series,
            state,
            since: Some(now),
            worker: worker.into(),
            counts: counts.into(),
            meters: meters.into(),
            rooted: true.into(),
            asked: false.into(),
            open: 0.into(),
        });
        let ticks = !ours.configs.is_empty();
        for other in &ours.configs {
            other.asked.set(false);
            other.open.set(0);
        }
        // The one before may have been shown by another VM only: it takes a turn, so that it is taken back.
        ours.show_revision();
        ours.configs.push(Rc::clone(&active));
        ours.speak(now);
        if ticks || first {
            ours.show_revision();
        }
        // What is due goes on being due: pushes that come faster than the tick must not put it off.
        let left = TICK.saturating_sub(now.millis().saturating_sub(ours.ticked.millis()));
        host::tick(Duration::from_millis(left.clamp(1, TICK).unsigned_abs()));
        Some(active)
    })
}

/// The tick of a config's root context.
pub(super) fn tick(active: &Rc<Active>) {
    PLUGINS.with_borrow_mut(|plugins| {
        for plugin in plugins {
            if plugin.speaks(active) {
                plugin.tick();
            } else if plugin.configs.iter().all(|active| !active.rooted.get()) {
                // The filter is gone: nobody else would hand over what was counted.
                for active in core::mem::take(&mut plugin.configs) {
                    active.tell();
                }
            }
        }
    });
}

impl Plugin {
    /// Whether it is this config that speaks for the filter.
    fn speaks(&self, active: &Rc<Active>) -> bool {
        self.configs.iter().rfind(|other| other.rooted.get()).is_some_and(|last| Rc::ptr_eq(last, active))
    }

    fn tick(&mut self) {
        let now = host::now();
        self.ticked = now;
        self.look(now);
        for (place, active) in self.configs.iter().enumerate() {
            let speaks = place.saturating_add(1) == self.configs.len();
            if speaks || active.open.get() > 0 || active.has_counted() {
                active.judge(now);
            }
            if speaks {
                active.show(now);
            }
            active.tell();
        }
        self.show_revision();
        self.keep.tick(now, &mut host::Shared { key: &self.key });
    }

    /// Finds out which configs can get requests: those that got one, and those that have none and are there all the same.
    ///
    /// Envoy takes a config up again without a word if the same bytes come back while a request of it is open.
    fn look(&mut self, now: Timestamp) {
        let (mut last, mut again, mut sure) = (None, None, 0_u8);
        for (place, active) in self.configs.iter().enumerate().filter(|(_, active)| active.rooted.get()) {
            // Besides the requests, this list holds it, and its root context.
            let can = active.asked.take() || Rc::strong_count(active) == 2;
            let open = if can { active.open.get().saturating_add(1) } else { 0 };
            active.open.set(open);
            sure = sure.saturating_add(u8::from(open >= SURE));
            again = if open > 1 { Some(place) } else { again };
            last = Some((place, open));
        }
        if sure > 1 && !core::mem::replace(&mut self.warned, true) {
            warn!(
                "config: two configs are in force under one name, root_id and VM configuration: give each filter a \
                 root_id of its own (there is nothing to do while an old listener drains)"
            );
        }
        let Some((last, open)) = last else { return };
        let speaker = again.filter(|_| open == 0).unwrap_or(last);
        let changes = speaker.saturating_add(1) != self.configs.len();
        let mut speaks = None;
        for (place, active) in core::mem::take(&mut self.configs).into_iter().enumerate() {
            if place == speaker {
                speaks = Some(active);
            } else if active.rooted.get() || Rc::strong_count(&active) > 1 || active.has_counted() {
                self.configs.push(active);
            } else {
                // Nobody else holds it: it has no request left, and no root.
                active.tell();
            }
        }
        self.configs.extend(speaks);
        if changes {
            self.speak(now);
        }
    }

    /// Shows the revision of the config that speaks.
    fn show_revision(&mut self) {
        if let Some(active) = self.configs.last() {
            self.spoken.revision(&active.plugin, &active.plan, active.state);
        }
    }

    /// Shows what the last config says, and nothing that others have said.
    fn speak(&mut self, now: Timestamp) {
        if let Some(active) = self.configs.last() {
            if let Ok(mut meters) = active.meters.try_borrow_mut() {
                self.spoken.take_over(&mut meters);
            }
            meters::config(&active.plugin, &active.plan, &active.series, active.state, active.since);
            active.show(now);
        }
    }
}

impl Active {
    /// A request has come.
    pub(super) fn asked(&self) {
        self.asked.set(true);
    }

    /// The host has no root context for it any more.
    pub(super) fn gone(&self) {
        self.rooted.set(false);
    }

    /// Whether others have yet to be told of something that was counted for the guards.
    fn has_counted(&self) -> bool {
        self.worker.try_borrow().is_ok_and(|worker| worker.has_counted())
    }

    /// Takes up what the guards have decided, and tells what was counted for them.
    fn judge(&self, now: Timestamp) {
        if let (Ok(mut worker), Ok(meters)) = (self.worker.try_borrow_mut(), self.meters.try_borrow()) {
            for happened in worker.tick(&self.plan, now, &mut host::Shared { key: &self.key }) {
                warn!("guard: {happened}");
                if happened.rolled_back() {
                    meters.rolled_back(happened.watch);
                }
            }
        }
    }

    /// Shows how things are.
    fn show(&self, now: Timestamp) {
        if let (Ok(mut worker), Ok(mut meters)) = (self.worker.try_borrow_mut(), self.meters.try_borrow_mut()) {
            meters.show(&self.plan, &mut worker, now);
        }
    }

    /// Hands over what was counted.
    fn tell(&self) {
        let parts = (self.worker.try_borrow_mut(), self.counts.try_borrow_mut(), self.meters.try_borrow_mut());
        if let (Ok(mut worker), Ok(mut counts), Ok(mut meters)) = parts {
            meters.tell(&self.plan, &self.series, &self.plugin, &mut worker, &mut counts);
        }
    }
}
