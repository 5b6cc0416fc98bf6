//! A config, and what each worker has of it.
//!
//! A [`Place`] is a thread of Envoy's: its filters, and its instances. A thread works at its own place alone, except
//! that the main thread ticks those that have had no request for a while; the turn sees to it that one of them is there
//! at a time, and the worker is the one that may wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_proxy::filters::Filters;
use tidegate_proxy::host::Host;
use tidegate_proxy::push::{Instance, Taken};
use tidegate_proxy::stream::Stream;

use super::host::{Envoy, Pushed};
use super::timer;

/// A config that was accepted.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) pushed: Pushed,
    pub(crate) taken: Taken,
    /// How many filters of Envoy have it: each listener has one of its own.
    holders: AtomicUsize,
    /// The last tick on which the main thread was called for it.
    ticked: AtomicU64,
}

/// The configs that Envoy has.
static JUDGED: Mutex<Vec<Arc<Judged>>> = Mutex::new(Vec::new());

impl Judged {
    /// What a filter of this name already has, if it is this config.
    pub(crate) fn known(name: &[u8], bytes: &[u8]) -> Option<Arc<Self>> {
        let mut judged = JUDGED.lock().unwrap_or_else(PoisonError::into_inner);
        let place = judged.iter().position(|one| *one.pushed.name == *name && *one.pushed.bytes == *bytes)?;
        // It is the newest again.
        let same = judged.remove(place);
        judged.push(Arc::clone(&same));
        drop(judged);
        same.holders.fetch_add(1, Ordering::Relaxed);
        Some(same)
    }

    /// Whether no later config of its filter has come.
    fn is_newest(self: &Arc<Self>) -> bool {
        let judged = JUDGED.lock().unwrap_or_else(PoisonError::into_inner);
        judged.iter().rfind(|one| one.pushed.name == self.pushed.name).is_some_and(|newest| Arc::ptr_eq(newest, self))
    }

    /// Has all workers take it in that have had another config of its filter, so that they know what is in force before
    /// they get a request for it.
    pub(crate) fn spread(self: &Arc<Self>) {
        Place::each(|place| {
            if let Some(_turn) = place.turn_if_free()
                && place.has(&self.pushed.name)
            {
                place.local(self);
            }
        });
    }

    /// A config that the main thread has just taken in, with this instance of it.
    pub(crate) fn new(pushed: Pushed, instance: Instance) -> Option<Arc<Self>> {
        let judged = Arc::new(Self {
            pushed,
            taken: instance.taken()?,
            holders: AtomicUsize::new(1),
            ticked: AtomicU64::new(0),
        });
        JUDGED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&judged));
        Place::own(|place| place.keep(Local::new(&judged, instance, place)));
        Some(judged)
    }

    /// One filter of Envoy has it no more.
    pub(crate) fn released(self: &Arc<Self>) {
        let mut judged = JUDGED.lock().unwrap_or_else(PoisonError::into_inner);
        if self.holders.fetch_sub(1, Ordering::Relaxed) == 1 {
            judged.retain(|one| !Arc::ptr_eq(one, self));
            drop(judged);
            Place::each(|place| {
                if let Some(_turn) = place.turn_if_free() {
                    place.sweep();
                }
            });
        }
    }

    /// Takes the instances of a replaced config from workers that have no request of it, if others have: Envoy keeps it
    /// for their sake, which does not mean that it is in force.
    fn withdraw(self: &Arc<Self>) {
        let mut idle = Vec::new();
        let mut is_open = false;
        Place::each(|place| match place.find(self) {
            // Held by the place, and here.
            Some(local) if Arc::strong_count(&local) > 2 => is_open = true,
            Some(_) => idle.push(place),
            None => {}
        });
        for place in idle.into_iter().filter(|_| is_open) {
            if let Some(_turn) = place.turn_if_free() {
                place.forget(self);
            }
        }
    }

    fn is_held(&self) -> bool {
        self.holders.load(Ordering::Relaxed) > 0
    }

    /// The main thread's part in a tick: its own instance, and those of workers that had no request since the tick
    /// before.
    pub(crate) fn tick(self: &Arc<Self>, host: &dyn Host) {
        let now = timer::now();
        if self.ticked.swap(now, Ordering::Relaxed) == now {
            return;
        }
        if self.is_newest() {
            // Those that were busy when it came.
            self.spread();
        } else {
            self.withdraw();
        }
        Place::each(|place| {
            let Some(_turn) = place.turn_if_free() else { return };
            if let Some(local) = place.find(self) {
                let own = Place::own(|own| core::ptr::eq(own, place));
                if own || local.ticked.load(Ordering::Relaxed).saturating_add(1) < now {
                    local.tick(host, now);
                }
            }
        });
    }
}

/// Begins anew, as in a new process.
#[cfg(any(test, fuzzing))]
pub(crate) fn forget() {
    JUDGED.lock().unwrap_or_else(PoisonError::into_inner).clear();
    PLACES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    OWN.set(None);
}

/// One thread of Envoy's.
#[derive(Debug, Default)]
pub(crate) struct Place {
    filters: tidegate_proxy::host::share::Rc<Filters>,
    locals: Mutex<Vec<Arc<Local>>>,
    turn: AtomicU8,
}

static PLACES: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Cell<Option<&'static Place>> = const { Cell::new(None) };
}

const FREE: u8 = 0;
const OWNER: u8 = 1;
const VISITOR: u8 = 2;

/// Whose turn it is at a place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'p>(Option<&'p AtomicU8>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(turn) = self.0 {
            turn.store(FREE, Ordering::Release);
        }
    }
}

impl Place {
    /// This thread's place.
    pub(crate) fn own<R>(run: impl FnOnce(&'static Self) -> R) -> R {
        run(OWN.get().unwrap_or_else(|| {
            // A place is never given up: Envoy's threads live as long as the process.
            let place: &'static Self = Box::leak(Box::default());
            OWN.set(Some(place));
            PLACES.lock().unwrap_or_else(PoisonError::into_inner).push(place);
            place
        }))
    }

    fn each(mut run: impl FnMut(&'static Self)) {
        let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner).clone();
        places.into_iter().for_each(&mut run);
    }

    pub(crate) fn filters(&self) -> tidegate_proxy::host::share::Rc<Filters> {
        tidegate_proxy::host::share::Rc::clone(&self.filters)
    }

    /// The thread's turn at its own place. Waits for a visitor, who is quick; a call within a call has the turn already.
    pub(crate) fn turn(&self) -> Turn<'_> {
        loop {
            match self.turn.compare_exchange(FREE, OWNER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Turn(Some(&self.turn)),
                Err(VISITOR) => std::thread::yield_now(),
                Err(_) => return Turn(None),
            }
        }
    }

    /// Another thread's turn, if nobody is here.
    fn turn_if_free(&self) -> Option<Turn<'_>> {
        let free = self.turn.compare_exchange(FREE, VISITOR, Ordering::Acquire, Ordering::Relaxed);
        free.is_ok().then_some(Turn(Some(&self.turn)))
    }

    fn keep(&self, local: Arc<Local>) -> Arc<Local> {
        self.locals.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&local));
        local
    }

    fn find(&self, judged: &Arc<Judged>) -> Option<Arc<Local>> {
        let locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        // The last one is the newest, which gets nearly all requests.
        locals.iter().rfind(|local| Arc::ptr_eq(&local.judged, judged)).map(Arc::clone)
    }

    fn has(&self, name: &[u8]) -> bool {
        self.locals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|local| *local.judged.pushed.name == *name)
    }

    fn forget(&self, judged: &Arc<Judged>) {
        let mut locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        locals.retain(|local| !Arc::ptr_eq(&local.judged, judged));
    }

    /// Drops the instances of configs that Envoy has no more. Those with requests go with the last of these.
    fn sweep(&self) {
        self.locals.lock().unwrap_or_else(PoisonError::into_inner).retain(|local| local.judged.is_held());
    }

    /// This thread's instance of a config; made at its first request.
    pub(crate) fn local(&'static self, judged: &Arc<Judged>) -> Arc<Local> {
        self.find(judged).unwrap_or_else(|| {
            let mut instance = Instance::new(self.filters());
            instance.join(&Envoy::nowhere(&judged.pushed), &judged.taken);
            self.keep(Local::new(judged, instance, self))
        })
    }
}

/// One thread's instance of a config.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) judged: Arc<Judged>,
    pub(crate) place: &'static Place,
    instance: Mutex<Instance>,
    ticked: AtomicU64,
}

impl Local {
    fn new(judged: &Arc<Judged>, instance: Instance, place: &'static Place) -> Arc<Self> {
        let ticked = timer::now().into();
        Arc::new(Self { judged: Arc::clone(judged), place, instance: instance.into(), ticked })
    }

    /// A new request.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner).stream()
    }

    /// Whether a tick is due.
    pub(crate) fn is_due(&self) -> bool {
        self.ticked.load(Ordering::Relaxed) != timer::now()
    }

    pub(crate) fn tick(&self, host: &dyn Host, now: u64) {
        self.ticked.store(now, Ordering::Relaxed);
        self.place.sweep();
        self.instance.lock().unwrap_or_else(PoisonError::into_inner).tick(host);
    }
}
