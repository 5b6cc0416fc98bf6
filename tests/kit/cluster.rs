//! Plays Envoy to the guards: workers over one store, users who come at a rate, versions that answer as told.
//!
//! Time is a number that goes up by a millisecond: nothing sleeps, and chance comes from a seed, so that every run
//! is the same. The store behaves as Envoy's shared data. Never knows what a guard should do.

use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Phase;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::guard::{Entry, Keep, Store, Worker};
use tidegate_proxy::metrics::series::Series;
use tidegate_proxy::outcome::{Answer, Ending, Time, Upstream};

/// How often workers tick.
pub const TICK: i64 = 250;

/// What the workers share, as Envoy keeps it.
#[derive(Debug, Default)]
pub struct Memory {
    map: BTreeMap<String, (Vec<u8>, u32)>,
    versions: u32,
    /// How many of the writes that come are refused, as if another worker had been faster.
    pub refuses: u32,
}

impl Memory {
    /// What stands under the first key that begins so.
    pub fn find(&self, start: &str) -> Option<(&str, &[u8])> {
        let (key, (value, _)) = self.map.range(start.to_owned()..).next()?;
        key.starts_with(start).then_some((&**key, &**value))
    }

    /// How many bytes stand under the keys that begin so.
    pub fn size(&self, start: &str) -> usize {
        let ours = self.map.range(start.to_owned()..).take_while(|(key, _)| key.starts_with(start));
        ours.map(|(_, (value, _))| value.len()).sum()
    }

    /// Puts something under a key, as another filter of that name could.
    pub fn put(&mut self, key: &str, value: &[u8]) {
        assert!(self.write(key, value, None), "a write without a version always holds");
    }
}

impl Store for Memory {
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.map.get(key).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        if self.refuses > 0 {
            self.refuses -= 1;
            return false;
        }
        let version = version.filter(|version| *version != 0);
        if let (Some(asked), Some((_, current))) = (version, self.map.get(key))
            && asked != *current
        {
            return false;
        }
        self.versions += 1;
        self.map.insert(key.to_owned(), (value.to_vec(), self.versions));
        true
    }
}

/// One worker, and the plan that it serves.
#[derive(Debug)]
pub struct Side {
    plan: Rc<Plan>,
    worker: RefCell<Worker>,
    /// What its VM keeps.
    keep: Rc<RefCell<Keep>>,
    /// When in a quarter of a second it ticks.
    offset: i64,
}

/// How a version answers.
#[derive(Clone, Debug)]
pub struct Manner {
    /// How many of a million requests fail.
    pub errors: u64,
    /// With what.
    pub status: u64,
    /// The shortest and the longest time to an answer, in milliseconds.
    pub latency: (u64, u64),
    /// Whether Envoy cannot connect to it.
    pub unreachable: bool,
    /// Whether its clients go away before the answer comes.
    pub client_gone: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { errors: 0, status: 500, latency: (10, 20), unreachable: false, client_gone: false }
    }
}

/// What comes in over a length of time.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// How long, in milliseconds.
    pub millis: i64,
    /// Requests a second, over all workers.
    pub rate: i64,
    /// How many users there are.
    pub users: u64,
    /// Users whose every request fails.
    pub broken: Vec<u64>,
    /// How many of a hundred requests are theirs, besides those that they send like everybody.
    pub theirs: u64,
    /// How the requests are split over the workers; evenly where it is empty.
    pub split: Vec<u64>,
    /// How each variant answers.
    pub manners: BTreeMap<String, Manner>,
    /// How often workers tick, in milliseconds.
    pub tick: i64,
    /// Whether the clock stands still.
    pub frozen: bool,
}

/// What was seen of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// By request: when it came, in milliseconds from the beginning, its variant and the reason.
    pub requests: Vec<(i64, String, &'static str)>,
    /// What the guards told, and when.
    pub events: Vec<(i64, String)>,
    /// By variant: the most requests at the same time.
    pub in_flight: BTreeMap<String, i64>,
}

#[derive(Debug)]
struct Pending {
    side: Rc<Side>,
    entries: Vec<Entry>,
    answer: Answer,
    variant: String,
}

/// A proxy: its workers, what they share, its clock, and the requests in flight.
#[derive(Debug)]
pub struct Cluster {
    flag: String,
    plan: Rc<Plan>,
    sides: Vec<Rc<Side>>,
    /// What the workers share.
    pub store: Memory,
    /// Milliseconds since the beginning, whatever the clock shows.
    pub at: i64,
    /// What the clock shows at the beginning.
    pub clock: i64,
    stopped: Option<i64>,
    pending: BTreeMap<(i64, u64), Pending>,
    flying: BTreeMap<String, i64>,
    count: u64,
    seed: u64,
}

impl Cluster {
    /// So many workers that begin with this config, of which one flag is looked at.
    pub fn new(flag: &str, config: &Value, workers: usize, clock: Timestamp) -> Self {
        let mut cluster = Self {
            flag: flag.to_owned(),
            plan: compile(config),
            sides: Vec::new(),
            store: Memory::default(),
            at: 0,
            clock: clock.millis(),
            stopped: None,
            pending: BTreeMap::new(),
            flying: BTreeMap::new(),
            count: 0,
            seed: 1,
        };
        for _ in 0..workers {
            cluster.join();
        }
        cluster
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.stopped.unwrap_or(self.clock + self.at))
    }

    /// The plan that is served.
    pub fn plan(&self) -> &Rc<Plan> {
        &self.plan
    }

    /// One worker more.
    pub fn join(&mut self) {
        let offset = i64::try_from(self.sides.len()).unwrap() * 87 % TICK;
        let side = self.side(Rc::default(), offset);
        self.sides.push(side);
    }

    /// A worker with the plan that is served, in the VM that keeps this.
    fn side(&mut self, keep: Rc<RefCell<Keep>>, offset: i64) -> Rc<Side> {
        let worker = Worker::new(&self.plan, self.now(), &mut self.store, &mut keep.borrow_mut());
        Rc::new(Side { plan: Rc::clone(&self.plan), worker: worker.into(), keep, offset })
    }

    /// The VMs are loaded anew. Requests in flight end where they began.
    pub fn reload(&mut self) {
        for _ in 0..std::mem::take(&mut self.sides).len() {
            self.join();
        }
    }

    /// A config is pushed. Requests in flight end where they began.
    pub fn push(&mut self, config: &Value) {
        self.plan = compile(config);
        for place in 0..self.sides.len() {
            let (keep, offset) = (Rc::clone(&self.sides[place].keep), self.sides[place].offset);
            self.sides[place] = self.side(keep, offset);
        }
    }

    /// The proxy is restarted: what was shared is gone, and so are the requests in flight.
    pub fn restart(&mut self) {
        self.store = Memory::default();
        self.pending.clear();
        self.flying.clear();
        self.reload();
    }

    /// What each worker takes the flag to be.
    pub fn phases(&self) -> Vec<Phase> {
        let mut flags = self.plan.watches().iter().map(|watch| self.plan.flag_of(watch));
        let place = flags.position(|flag| flag.is_some_and(|flag| flag.key().as_str() == self.flag));
        let (place, now) = (u16::try_from(place.expect("the flag is watched")).ok(), self.now());
        self.sides.iter().map(|side| side.worker.borrow_mut().standing(now).of(place).phase).collect()
    }

    /// The ledger that the workers share, with its key.
    pub fn ledger(&self) -> (String, Vec<u8>) {
        let (key, bytes) = self.store.find("guard/").expect("a ledger was written");
        (key.to_owned(), bytes.to_owned())
    }

    /// Lets time go by under a load.
    pub fn run(&mut self, load: &Load) -> Seen {
        let mut seen = Seen::default();
        self.stopped = load.frozen.then_some(self.now().millis());
        for milli in 0..load.millis {
            self.finish();
            self.tick(load, &mut seen);
            for _ in milli * load.rate / 1_000..(milli + 1) * load.rate / 1_000 {
                self.request(load, &mut seen);
            }
            self.at += 1;
        }
        self.stopped = None;
        seen
    }

    /// Ends the requests whose time has come.
    fn finish(&mut self) {
        let now = self.now();
        while let Some(first) = self.pending.first_entry()
            && first.key().0 <= self.at
        {
            let Pending { side, entries, answer, variant } = first.remove();
            *self.flying.entry(variant).or_default() -= 1;
            side.worker.borrow_mut().done(&side.plan, &entries, now, &answer);
        }
    }

    fn tick(&mut self, load: &Load, seen: &mut Seen) {
        let now = self.now();
        for side in &self.sides {
            if self.at > 0 && self.at % load.tick == side.offset {
                for happened in side.worker.borrow_mut().tick(&side.plan, now, &mut self.store) {
                    seen.events.push((self.at, happened.to_string()));
                }
                side.keep.borrow_mut().tick(now, &mut self.store);
            }
        }
    }

    fn request(&mut self, load: &Load, seen: &mut Seen) {
        let (drawn, now) = (self.chance(), self.now());
        let user = match load.broken.len() {
            many @ 1.. if self.chance() % 100 < load.theirs => {
                load.broken[usize::try_from(drawn % many as u64).unwrap()]
            }
            _ => drawn % load.users,
        };
        let broken = load.broken.contains(&user);
        let place = self.pick(&load.split);
        let side = Rc::clone(&self.sides[place]);
        let name = format!("user-{user}");
        let headers = [(":authority", "shop.example"), (":path", "/"), (":method", "GET"), ("x-user", name.as_str())];
        let headers = headers.into_iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::new(side.plan.inputs(), headers, side.plan.inputs().properties().map(|_| None));
        let mut worker = side.worker.borrow_mut();
        let decisions = decide(&side.plan, &request, worker.standing(now), now);
        let entries = worker.served(&decisions);
        let series = Series::new(&side.plan);
        for one in decisions.list() {
            let place = series.decision(one.place(), one.served(), one.reason());
            assert!(place.is_some(), "what can be decided has a series to be counted in");
        }
        drop(worker);
        let decision = decisions.find(&self.flag).expect("the flag matches");
        let variant = decision.variant().name().as_str().to_owned();
        seen.requests.push((self.at, variant.clone(), decision.reason().code()));
        let (millis, answer) = self.answer(&load.manners.get(&variant).cloned().unwrap_or_default(), broken);
        let flying = self.flying.entry(variant.clone()).or_default();
        *flying += 1;
        let most = seen.in_flight.entry(variant.clone()).or_default();
        *most = (*most).max(*flying);
        let key = (self.at + i64::try_from(millis).unwrap(), self.count);
        self.pending.insert(key, Pending { side: Rc::clone(&side), entries, answer, variant });
    }

    /// How a request ends, and after how many milliseconds.
    fn answer(&mut self, manner: &Manner, broken: bool) -> (u64, Answer) {
        let Manner { errors, status, latency: (shortest, longest), unreachable, client_gone } = *manner;
        let millis = if unreachable { 1 } else { shortest + self.chance() % (longest - shortest + 1) };
        let fails = self.chance() % 1_000_000 < errors || broken;
        let (code, upstream) = match (client_gone, unreachable) {
            (true, _) => (None, Upstream::Fine),
            (_, true) => (Some(503), Upstream::Unreached),
            _ => (Some(if fails { status } else { 200 }), Upstream::Fine),
        };
        let ending = Ending { client_left: client_gone, upstream, ..Ending::default() };
        let micros = u32::try_from(millis * 1_000).unwrap();
        let time = if client_gone { Time::Waited(micros) } else { Time::Answered(micros) };
        (millis, Answer { code, ending, time, ..Answer::default() })
    }

    /// The worker of a request.
    fn pick(&mut self, split: &[u64]) -> usize {
        let weights: Vec<u64> = (0..self.sides.len())
            .map(|side| if split.is_empty() { 1 } else { split.get(side).copied().unwrap_or(0) })
            .collect();
        let mut drawn = self.chance() % weights.iter().sum::<u64>();
        weights
            .iter()
            .position(|weight| {
                let here = drawn < *weight;
                drawn = drawn.wrapping_sub(*weight);
                here
            })
            .expect("weights are not all 0")
    }

    /// A number out of a seed: splitmix64.
    fn chance(&mut self) -> u64 {
        self.count += 1;
        let mut z = self.seed.wrapping_add(self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From here on, other users come and other requests fail.
    pub fn seed(&mut self, seed: u64) {
        self.seed = seed.wrapping_mul(0xd1b5_4a32_d192_ed03);
    }
}

/// The plan of a config that has no problem.
pub fn compile(config: &Value) -> Rc<Plan> {
    let (plan, problems) = Plan::from_bytes(config.to_string().as_bytes());
    assert!(problems.unknown_fields().is_empty(), "{:?}", problems.unknown_fields());
    Rc::new(plan.ready().unwrap_or_else(|| panic!("{problems}")))
}
