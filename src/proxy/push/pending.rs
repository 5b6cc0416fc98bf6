//! A large config that was accepted, and that is made ready in slices of a worker's time, so that no request waits for
//! the whole of it.
//!
//! Its bytes are on record as good: making it ready again is the same work with the same result. Never in force itself.

use crate::active::{FilterId, Prepared};
use crate::filters::Filters;
use crate::host::Host;
use crate::host::share::{Cell, Rc};
use crate::metrics::series::Series;
use tidegate_engine::plan::{Compiled, Parts};
use tidegate_engine::problem::Problems;

/// How long a slice takes, in microseconds, and the part with which it ends.
const SLICE: u32 = 1_000;

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: FilterId,
    pub(super) number: u64,
    work: Work,
    /// Whether a later push was accepted.
    superseded: bool,
    /// Whether a request has come.
    asked: Cell<bool>,
}

#[derive(Debug)]
enum Work {
    Read(Box<Parts>),
    Define(Option<Box<Prepared>>, Problems),
}

/// What a slice of the work has come to.
#[derive(Debug)]
pub(super) enum Slice {
    /// There is more to do.
    More,
    /// A later push has taken its place, and no request has come since: there is nothing to do.
    Idle,
    Ready(Box<Prepared>, Problems),
    Broken(Problems),
}

impl Pending {
    pub(super) fn new(id: FilterId, number: u64, bytes: Vec<u8>) -> Self {
        Self { id, number, work: Work::Read(Box::new(Parts::new(bytes))), superseded: false, asked: false.into() }
    }

    /// A request has come: if another push has superseded this one, the host has gone back to it.
    pub(super) fn saw_request(&self) {
        self.asked.set(true);
    }

    pub(super) fn slice(&mut self, host: &dyn Host, filters: &Filters) -> Slice {
        if !filters.is_newest(&self.id.key, self.number) && !core::mem::replace(&mut self.superseded, true) {
            self.asked.set(false);
        }
        if self.superseded && !self.asked.get() {
            return Slice::Idle;
        }
        let begun = host.moment();
        loop {
            match self.part(host, filters) {
                Slice::More if begun.until(host.moment()) < SLICE => {}
                slice => return slice,
            }
        }
    }

    fn part(&mut self, host: &dyn Host, filters: &Filters) -> Slice {
        match &mut self.work {
            Work::Read(parts) => match parts.step() {
                None => {}
                Some((Compiled::Broken(_), problems)) => return Slice::Broken(problems),
                Some((Compiled::Ready(plan), mut problems)) => {
                    let series = Series::new(&plan);
                    series.check(&plan, &mut problems);
                    self.work = Work::Define(Some(Box::new(Prepared::new(Rc::new(plan), series))), problems);
                }
            },
            Work::Define(prepared, problems) => {
                if prepared.as_mut().is_none_or(|prepared| prepared.define(host, &filters.names, &self.id.name)) {
                    let problems = core::mem::take(problems);
                    return prepared.take().map_or(Slice::Idle, |prepared| Slice::Ready(prepared, problems));
                }
            }
        }
        Slice::More
    }
}
