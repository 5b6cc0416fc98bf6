//! The metrics of the catalogue as Envoy's own, with labels; and their sums over all workers, which Envoy does not tell.
//!
//! Envoy takes a metric's name and the names of its labels with the config, and makes its series as they are told. So
//! each config defines the whole catalogue, always in one order: the numbers are those of every other config, too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_hostcalls::native::config::{ConfigHandle, Kind as Told, MetricId};
use tidegate_proxy::metrics::catalogue::{self, Kind, Tag};

/// A series: what it is to Envoy, and its sum over all workers.
#[derive(Debug)]
pub(crate) struct Series {
    /// Its place in the catalogue.
    metric: usize,
    kind: Kind,
    labels: Box<[Box<str>]>,
    sum: AtomicU64,
}

impl Series {
    /// Takes note of a change. Returns whether Envoy has to know.
    pub(crate) fn add(&self, more: u64) {
        self.sum.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, value: u64) {
        if self.kind == Kind::Gauge {
            self.sum.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    pub(crate) fn labels(&self) -> &[Box<str>] {
        &self.labels
    }
}

/// All series of the process. Never shrinks, as Envoy's own never do.
#[derive(Debug)]
struct All {
    series: Vec<Arc<Series>>,
    numbers: BTreeMap<String, u32>,
}

static ALL: RwLock<All> = RwLock::new(All { series: Vec::new(), numbers: BTreeMap::new() });

/// Begins anew, as in a new process.
#[cfg(any(test, fuzzing))]
pub(crate) fn forget() {
    let mut all = ALL.write().unwrap_or_else(PoisonError::into_inner);
    all.series.clear();
    all.numbers.clear();
}

/// The number of the series with this name, as the catalogue writes it.
pub(crate) fn define(name: &str, kind: Kind) -> Option<u32> {
    if let Some(number) = ALL.read().unwrap_or_else(PoisonError::into_inner).numbers.get(name) {
        return Some(*number);
    }
    let named = catalogue::read(name)?;
    let metric = catalogue::ALL.iter().position(|metric| core::ptr::eq(*metric, named.metric))?;
    let plugin = (named.plugin != DEFAULT).then_some(named.plugin);
    let labels = plugin.into_iter().chain(named.values).map(Box::from).collect();
    let mut all = ALL.write().unwrap_or_else(PoisonError::into_inner);
    let number = u32::try_from(all.series.len()).ok()?;
    // Another worker may have been faster: then its number stands, and this series is never asked for.
    all.series.push(Arc::new(Series { metric, kind, labels, sum: AtomicU64::new(0) }));
    Some(*all.numbers.entry(name.to_owned()).or_insert(number))
}

/// The series of a number.
pub(crate) fn series(number: u32) -> Option<Arc<Series>> {
    let all = ALL.read().unwrap_or_else(PoisonError::into_inner);
    usize::try_from(number).ok().and_then(|place| all.series.get(place)).map(Arc::clone)
}

/// The name of a filter whose metrics have no label for it.
const DEFAULT: &str = "tidegate";

/// The catalogue, as Envoy knows it.
#[derive(Debug)]
pub(crate) struct Families {
    ids: Box<[Option<MetricId>]>,
    /// The filter's name, where its metrics have a label for it.
    plugin: Option<String>,
}

impl Families {
    /// Defines the whole catalogue for a filter of this name.
    pub(crate) fn define(handle: &mut ConfigHandle<'_>, filter: &str) -> Self {
        let plugin = (!matches!(filter, "" | DEFAULT)).then(|| catalogue::plain(filter));
        let define = |metric: &&'static catalogue::Metric| {
            let label = plugin.as_ref().map(|_| Tag::Plugin.name());
            let labels: Vec<&str> = label.into_iter().chain(metric.tags.iter().map(|tag| tag.name())).collect();
            let kind = match metric.kind {
                Kind::Counter => Told::Counter,
                Kind::Gauge => Told::Gauge,
                Kind::Histogram => Told::Histogram,
            };
            handle.define(kind, &metric.plain_name(), &labels)
        };
        Self { ids: catalogue::ALL.iter().map(define).collect(), plugin }
    }

    /// Makes the filter's series also those of the config that is called for, as far as there are more than this many.
    /// Returns how many there are.
    ///
    /// Envoy drops a series with the last config that has told it: a push would begin each count anew.
    pub(crate) fn share(&self, handle: &mut ConfigHandle<'_>, known: usize) -> usize {
        let more: Vec<Arc<Series>> = {
            let all = ALL.read().unwrap_or_else(PoisonError::into_inner);
            all.series.iter().skip(known).map(Arc::clone).collect()
        };
        for series in &more {
            let tags = catalogue::ALL.get(series.metric).map_or(0, |metric| metric.tags.len());
            let named = if series.labels.len() > tags { series.labels.first() } else { None };
            if named.map(|name| &**name) == self.plugin.as_deref()
                && let Some(metric) = self.of(series)
            {
                handle.share(metric, series.labels());
            }
        }
        known.saturating_add(more.len())
    }

    /// Envoy's number for the metric of a series.
    pub(crate) fn of(&self, series: &Series) -> Option<MetricId> {
        self.ids.get(series.metric).copied().flatten()
    }
}
