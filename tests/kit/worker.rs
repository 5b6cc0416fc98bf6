//! A worker of a proxy that is a few maps: turns what the filter defines and counts into the page that an Envoy would make.
//!
//! Has the real clock, and a memory of its own. Never answers a request, and never routes one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{Arguments, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_engine::output::effect;
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::host::{Host, Level};
use tidegate_proxy::metrics::catalogue::{self, Kind, Tag};
use tidegate_proxy::outcome::{Ending, Moment};

/// How long a version takes to answer.
const ANSWERS: Duration = Duration::from_millis(20);

/// The upper ends of Envoy's buckets.
const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// One series, or one of its buckets.
struct Metric {
    kind: Kind,
    family: String,
    labels: String,
    value: u64,
    /// By bucket, and all.
    sorted: [u64; BUCKETS.len() + 1],
}

/// One worker, with the memory of its proxy.
pub struct Worker {
    id: String,
    plugin: String,
    config: RefCell<Vec<u8>>,
    metrics: RefCell<Vec<Metric>>,
    places: RefCell<BTreeMap<String, u32>>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    /// By the request that runs.
    state: RefCell<BTreeMap<String, Vec<u8>>>,
    waited: Cell<Duration>,
}

impl Worker {
    pub fn new(id: &str, plugin: &str) -> Self {
        Self {
            id: id.to_owned(),
            plugin: plugin.to_owned(),
            config: RefCell::default(),
            metrics: RefCell::default(),
            places: RefCell::default(),
            shared: RefCell::default(),
            state: RefCell::default(),
            waited: Cell::default(),
        }
    }

    /// The config that the next instance is given.
    pub fn give(&self, config: &str) {
        *self.config.borrow_mut() = config.as_bytes().to_vec();
    }

    /// Another request comes.
    pub fn begin(&self) {
        self.state.borrow_mut().clear();
        self.waited.set(Duration::ZERO);
    }

    /// The version takes its time.
    pub fn wait(&self) {
        self.waited.set(ANSWERS);
    }

    /// What a Prometheus reads.
    pub fn page(&self) -> String {
        let metrics = self.metrics.borrow();
        let mut order: Vec<&Metric> = metrics.iter().collect();
        order.sort_by(|a, b| (&a.family, &a.labels).cmp(&(&b.family, &b.labels)));
        let (mut page, mut before) = (String::new(), "");
        for Metric { kind, family, labels, value, sorted } in order {
            if before != family {
                let kind = match kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram => "histogram",
                };
                let _ = writeln!(page, "# TYPE {family} {kind}");
                before = family;
            }
            if *kind == Kind::Histogram {
                let all = sorted[BUCKETS.len()];
                let ends = BUCKETS.iter().map(f64::to_string).zip(sorted).chain([("+Inf".to_owned(), &all)]);
                for (end, count) in ends {
                    let _ = writeln!(page, "{family}_bucket{{{labels},le=\"{end}\"}} {count}");
                }
                let _ = writeln!(page, "{family}_sum{{{labels}}} {value}\n{family}_count{{{labels}}} {all}");
            } else {
                let _ = writeln!(page, "{family}{{{labels}}} {value}");
            }
        }
        page
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The family and the labels that Envoy makes of a metric's name.
fn shown(name: &str) -> Option<(String, String)> {
    let named = catalogue::read(name)?;
    let plugin = (named.plugin != "tidegate").then_some((Tag::Plugin, named.plugin));
    let values = named.metric.tags.iter().copied().zip(named.values);
    let values = values.filter(|(tag, value)| *tag != Tag::Group || !value.is_empty());
    let labels: Vec<String> =
        plugin.into_iter().chain(values).map(|(tag, value)| format!("{}=\"{value}\"", tag.name())).collect();
    Some((named.metric.family(), labels.join(",")))
}

impl Host for Worker {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(since_1970().as_millis()).unwrap_or_default())
    }

    fn moment(&self) -> Moment {
        Moment::new(since_1970() + self.waited.get())
    }

    fn log(&self, level: Level, line: Arguments<'_>) {
        if level == Level::Error {
            eprintln!("{}: {line}", self.id);
        }
    }

    fn filter(&self) -> [Vec<u8>; 3] {
        [self.plugin.as_bytes().to_vec(), Vec::new(), Vec::new()]
    }

    fn two_in_force(&self) -> &'static str {
        "two filters have one name"
    }

    fn config(&self) -> Vec<u8> {
        self.config.borrow().clone()
    }

    fn requests_wait(&self) -> bool {
        false
    }

    fn tick_after(&self, _: Duration) {}

    fn request_trailers(&self) -> Headers {
        Headers::default()
    }

    fn remove_trailer(&self, _: &[u8]) -> bool {
        true
    }

    fn property(&self, property: &Property) -> Option<Vec<u8>> {
        (*property == Property::Proxy).then(|| self.id.as_bytes().to_vec())
    }

    fn listener(&self) -> Option<Vec<u8>> {
        None
    }

    fn reply(&self, _: &effect::LocalReply<'_>) -> bool {
        false
    }

    fn state(&self, name: &str) -> Option<Vec<u8>> {
        self.state.borrow().get(name).cloned()
    }

    fn keep(&self, name: &str, value: &[u8]) {
        self.state.borrow_mut().insert(name.to_owned(), value.to_vec());
    }

    fn keep_over_redirects(&self, _: &str) {}

    fn set_response_header(&self, _: &str, _: &[u8]) {}

    fn remove_response_header(&self, _: &str) {}

    fn add_response_header(&self, _: &str, _: &[u8]) {}

    fn final_status(&self) -> Option<u64> {
        None
    }

    fn ending(&self) -> Ending {
        Ending::default()
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn response_trailer(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn define(&self, name: &str, kind: Kind) -> Option<u32> {
        let mut places = self.places.borrow_mut();
        if let Some(known) = places.get(name) {
            return Some(*known);
        }
        let (family, labels) = shown(name)?;
        let mut metrics = self.metrics.borrow_mut();
        let place = u32::try_from(metrics.len()).ok()?;
        metrics.push(Metric { kind, family, labels, value: 0, sorted: [0; BUCKETS.len() + 1] });
        places.insert(name.to_owned(), place);
        Some(place)
    }

    fn add(&self, id: u32, more: u32) {
        self.metrics.borrow_mut()[id as usize].value += u64::from(more);
    }

    fn record(&self, id: u32, value: u64) {
        let metric = &mut self.metrics.borrow_mut()[id as usize];
        match metric.kind {
            // Envoy adds to a counter what is recorded.
            Kind::Counter => metric.value += value,
            Kind::Gauge => metric.value = value,
            Kind::Histogram => {
                metric.value += value;
                let within = u32::try_from(value).unwrap_or(u32::MAX);
                let first = BUCKETS.partition_point(|end| *end < f64::from(within));
                metric.sorted[first..].iter_mut().for_each(|count| *count += 1);
            }
        }
    }

    fn value(&self, id: u32) -> u64 {
        self.metrics.borrow()[id as usize].value
    }

    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.shared.borrow().get(name).map_or((None, None), |(value, version)| (Some(value.clone()), Some(*version)))
    }

    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool {
        let mut shared = self.shared.borrow_mut();
        let before = shared.get(name).map(|(_, version)| *version);
        if version.is_some() && before.is_some() && version != before {
            return false;
        }
        shared.insert(name.to_owned(), (value.to_vec(), before.unwrap_or(0) + 1));
        true
    }
}
