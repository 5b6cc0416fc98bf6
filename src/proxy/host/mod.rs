//! What a proxy has to provide, in terms that any proxy has.
//!
//! No call can fail in a way that ends a request: a value that the host cannot give is `None` or empty, and a change
//! that it refuses is reported by a number or a boolean. A host has no rules; effects are data.

#![warn(missing_docs)]

pub mod share;

use core::fmt::Arguments;
use std::time::Duration;

use crate::guard::Store;
use crate::metrics::catalogue::Kind;
use crate::outcome::{Ending, Moment};
use tidegate_engine::output::effect;
use tidegate_engine::plan::Property;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::value::time::Timestamp;

/// The severity of a line of the log: info for a change that was asked for, a warning for what an operator should look
/// at, an error for what does not do what was asked for.
pub use log::Level;

/// One worker of a proxy, in the middle of a callback: requests and answers are those that the callback is for.
pub trait Host {
    /// The time of day.
    fn now(&self) -> Timestamp;
    /// The same clock at its full resolution.
    fn moment(&self) -> Moment;
    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: Arguments<'_>);

    /// The filter's name, and two more values that tell it from other filters.
    fn filter(&self) -> [Vec<u8>; 3];
    /// The warning to log if two configs seem to be in force for one filter: then there are two filters with one key.
    fn two_in_force(&self) -> &'static str;
    /// The config that was pushed.
    fn config(&self) -> Vec<u8>;
    /// Whether requests wait while a config is read: then a large one is read in parts.
    fn requests_wait(&self) -> bool;
    /// Sets the period of the instance's timer.
    fn tick_after(&self, period: Duration);

    /// The trailers of the request, in order.
    fn request_trailers(&self) -> Headers;
    /// Removes all trailers of this name from the request. Returns whether it did.
    fn remove_trailer(&self, name: &[u8]) -> bool;
    /// What only the host can tell about the request, in the engine's form.
    fn property(&self, property: &Property) -> Option<Vec<u8>>;
    /// The name that the operator gave to the listener on which the request came.
    fn listener(&self) -> Option<Vec<u8>>;
    /// Answers the request instead of the upstream. Returns whether it could; if not, the request goes on.
    #[must_use]
    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool;

    /// A value that is kept with the request, by its name.
    fn state(&self, name: &str) -> Option<Vec<u8>>;
    /// Keeps a value with the request, for other filters and for logs.
    fn keep(&self, name: &str, value: &[u8]);
    /// Makes a kept value survive internal redirects of the proxy.
    fn keep_over_redirects(&self, name: &str);

    /// Sets a header of the response to this one value.
    fn set_response_header(&self, name: &str, value: &[u8]);
    /// Takes all headers of this name away from the response.
    fn remove_response_header(&self, name: &str);
    /// Adds a value to a header of the response.
    fn add_response_header(&self, name: &str, value: &[u8]);

    /// The status of the answer to a request that is done, if one came: also where no headers of it were seen.
    fn final_status(&self) -> Option<u64>;
    /// What ended a request that is done.
    fn ending(&self) -> Ending;
    /// Whether all of the response came to a request that is done.
    fn is_whole(&self) -> bool;
    /// A trailer of the response.
    fn response_trailer(&self, name: &str) -> Option<Vec<u8>>;

    /// Defines a metric; the same name is the same metric for all workers of the proxy.
    fn define(&self, name: &str, kind: Kind) -> Option<u32>;
    /// Adds to a counter.
    fn add(&self, id: u32, more: u32);
    /// Sets a counter or a gauge, or sorts a value into the buckets of a histogram.
    fn record(&self, id: u32, value: u64);
    /// The value of a counter or gauge, over all workers.
    fn value(&self, id: u32) -> u64;

    /// The shared value of a name, and its version.
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Writes a shared value, if the name still has this version or no value; without a version, always. Returns
    /// whether it did.
    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool;
}

/// The part of the shared values that belongs to one filter.
pub(crate) struct Shared<'h> {
    pub(crate) host: &'h dyn Host,
    /// The filter's key: the prefix of all its names.
    pub(crate) key: &'h str,
}

impl Store for Shared<'_> {
    fn read(&mut self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.host.read(&[self.key, key].concat())
    }

    fn write(&mut self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        self.host.write(&[self.key, key].concat(), value, version)
    }
}
