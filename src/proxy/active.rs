//! One config of one filter, in service in one worker: its plan, and what is counted under it.
//!
//! Shared by its requests, the instance of the filter that configured it, and [`filters`](crate::filters), which calls
//! it on the tick. Does not know whether it is the config in force: `filters` does.

use crate::guard::{Keep, Worker};
use crate::host::share::{Cell, Rc, RefCell};
use crate::host::{Host, Level, Shared};
use crate::lifecycle::State;
use crate::metrics::count::Counts;
use crate::metrics::meters::{self, Announced, Meters, Names, Scope};
use crate::metrics::series::Series;
use tidegate_engine::output::chain::Chain;
use tidegate_engine::output::effect;
use tidegate_engine::plan::Plan;
use tidegate_engine::value::time::Timestamp;

/// What a request is decided by.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: FilterId,
    /// Shared by all workers of a native host.
    pub(crate) plan: Rc<Plan>,
    pub(crate) series: Series,
    /// What is in force, and since when.
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    pub(crate) worker: RefCell<Worker>,
    pub(crate) counts: RefCell<Counts>,
    pub(crate) meters: RefCell<Meters>,
    names: Rc<Names>,
    /// What it tells those behind it in the chain, where it is the first and decides all flags.
    pub(crate) chain: Vec<u8>,
    /// When its push came: later ones have greater numbers.
    pub(crate) number: u64,
    /// How many instances of the host it serves: the one that took it in, and those whose own config is not ready yet.
    instances: Cell<u32>,
    /// Whether a request has come since the last tick.
    requested: Cell<bool>,
    /// For how many ticks in a row it could get requests, as far as we can tell.
    open: Cell<u8>,
}

/// A plan, with its series and metrics.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Rc<Plan>,
    series: Series,
    meters: Meters,
}

impl Prepared {
    /// None of its metrics is defined yet.
    pub(crate) fn new(plan: Rc<Plan>, series: Series) -> Self {
        Self { meters: Meters::new(&series), plan, series }
    }

    /// Defines some of its metrics. Returns whether all are.
    pub(crate) fn define(&mut self, host: &dyn Host, names: &Names, plugin: &str) -> bool {
        self.meters.define(Scope { host, names, plan: &self.plan, series: &self.series, plugin })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterId {
    /// Its name in metrics.
    pub(crate) name: String,
    /// The key by which all workers of the proxy remember things for it.
    pub(crate) key: String,
}

impl Active {
    pub(crate) fn new(
        host: &dyn Host,
        id: FilterId,
        mut prepared: Prepared,
        state: State,
        number: u64,
        keep: &mut Keep,
        names: Rc<Names>,
    ) -> Rc<Self> {
        let since = host.now();
        while !prepared.define(host, &names, &id.name) {}
        let Prepared { plan, series, meters } = prepared;
        let worker = Worker::new(&plan, since, &mut Shared { host, key: &id.key }, keep);
        let counts = Counts::new(&series);
        let chain = Chain::default().and(plan.mark(), effect::all_names(&plan));
        Rc::new(Self {
            id,
            plan,
            series,
            state,
            since,
            worker: worker.into(),
            counts: counts.into(),
            meters: meters.into(),
            names,
            chain,
            number,
            instances: 1.into(),
            requested: false.into(),
            open: 0.into(),
        })
    }

    /// What its metrics are made of, and where they go.
    pub(crate) fn scope<'a>(&'a self, host: &'a dyn Host) -> Scope<'a> {
        Scope { host, names: &self.names, plan: &self.plan, series: &self.series, plugin: &self.id.name }
    }

    pub(crate) fn saw_request(&self) {
        self.requested.set(true);
    }

    /// It serves for one more instance of the host.
    pub(crate) fn serve_for_another(&self) {
        self.instances.set(self.instances.get().saturating_add(1));
    }

    /// An instance for which it served is gone, or has another config.
    pub(crate) fn instance_gone(&self) {
        self.instances.set(self.instances.get().saturating_sub(1));
    }

    /// Whether the host still has an instance for which it serves.
    pub(crate) fn has_instance(&self) -> bool {
        self.instances.get() > 0
    }

    /// A later config has come: start again to find out whether this one still gets requests.
    pub(crate) fn superseded(&self) {
        self.requested.set(false);
        self.open.set(0);
    }

    /// For how many ticks, this one included, it could get requests: it got one, or the host keeps it without any.
    pub(crate) fn ticks_open(self: &Rc<Self>) -> u8 {
        // Held by the filter's list and by instances alone: no request is in flight, and the host still keeps it.
        let idle =
            u32::try_from(Rc::strong_count(self)).is_ok_and(|held| held == self.instances.get().saturating_add(1));
        let can = self.requested.take() || idle;
        self.open.set(if can { self.open.get().saturating_add(1) } else { 0 });
        self.open.get()
    }

    /// Whether it must be judged although another config is in force.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.get() > 0 || self.has_unreported()
    }

    /// Whether it has counts for the guards that are not shared yet.
    pub(crate) fn has_unreported(&self) -> bool {
        self.worker.try_borrow().is_ok_and(|worker| worker.has_unreported())
    }

    /// Shares its counts with the other workers, and applies what the guards decide.
    pub(crate) fn judge(&self, host: &dyn Host, now: Timestamp) {
        if let (Ok(mut worker), Ok(meters)) = (self.worker.try_borrow_mut(), self.meters.try_borrow_mut()) {
            for event in worker.tick(&self.plan, now, &mut Shared { host, key: &self.id.key }) {
                host.log(Level::Warn, format_args!("guard: {event}"));
                if event.rolled_back() {
                    meters.rolled_back(host, event.watch);
                }
            }
        }
    }

    pub(crate) fn show(&self, host: &dyn Host, now: Timestamp) {
        if let (Ok(mut worker), Ok(mut meters)) = (self.worker.try_borrow_mut(), self.meters.try_borrow_mut()) {
            meters.show(host, &self.plan, &mut worker, now);
        }
    }

    /// Remembers what was counted so far, where a page will tell what was counted lately.
    pub(crate) fn remember(&self, host: &dyn Host, now: Timestamp) {
        if self.plan.has_page()
            && let (Ok(mut worker), Ok(mut meters)) = (self.worker.try_borrow_mut(), self.meters.try_borrow_mut())
            && meters.remember(self.scope(host), now)
        {
            worker.fade(&self.plan);
        }
    }

    pub(crate) fn report(&self, host: &dyn Host) {
        let parts = (self.worker.try_borrow_mut(), self.counts.try_borrow_mut(), self.meters.try_borrow_mut());
        if let (Ok(mut worker), Ok(mut counts), Ok(mut meters)) = parts {
            meters.report(self.scope(host), &mut worker, &mut counts);
        }
    }

    /// Shows its revision as the one in force.
    pub(crate) fn show_revision(&self, host: &dyn Host, announced: &mut Announced) {
        announced.revision(self.scope(host), self.state);
    }

    /// Sets all gauges to this config's values, and clears those of the config before it.
    pub(crate) fn announce(&self, host: &dyn Host, announced: &mut Announced, now: Timestamp) {
        if let Ok(mut meters) = self.meters.try_borrow_mut() {
            announced.take_over(host, &mut meters);
        }
        meters::config(self.scope(host), self.state, self.since);
        self.show(host, now);
    }
}
