//! What a proxy has to do for what is decided here, in words that any proxy has.
//!
//! Nothing here can fail in a way that ends a request: what a host cannot give is none, and what it would not do is
//! said by a number or a boolean. A host holds no rule; effects reach it as data.

use core::fmt::Arguments;
use std::time::Duration;

use crate::guard::Store;
use crate::metrics::catalogue::Kind;
use crate::outcome::{Answer, Moment};
use tidegate_engine::output::effect::{self, Effect};
use tidegate_engine::plan::Property;
use tidegate_engine::value::time::Timestamp;

/// How loud a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A change that was asked for.
    Info,
    /// Something that somebody should look at.
    Warn,
    /// Something that does not do what was asked for.
    Error,
}

/// One worker of a proxy, in the middle of a callback: requests and answers are those that the callback is for.
pub trait Host {
    /// The time of day.
    fn now(&self) -> Timestamp;
    /// The same clock, as fine as it is.
    fn moment(&self) -> Moment;
    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: Arguments<'_>);

    /// What this filter is called, and then two more things that tell it from other filters.
    fn filter(&self) -> [Vec<u8>; 3];
    /// What to say where two configs seem to be in force for one such filter, which are two filters then.
    fn two_in_force(&self) -> &'static str;
    /// The config that was pushed.
    fn config(&self) -> Vec<u8>;
    /// Has the instance called on the tick after each such time from now on.
    fn tick_after(&self, period: Duration);

    /// The headers of the request in order, with its method, host and path as `:method`, `:authority` and `:path`. None
    /// where the host will not give them, which are not to be written over then.
    fn request_headers(&self) -> Vec<(String, Vec<u8>)>;
    /// The trailers of the request, in order.
    fn request_trailers(&self) -> Vec<(String, Vec<u8>)>;
    /// Takes all trailers of this name away from the request; whether it did.
    fn remove_trailer(&self, name: &str) -> bool;
    /// What only the host can tell about the request, in the engine's form.
    fn property(&self, property: &Property) -> Option<Vec<u8>>;
    /// What the listener that the request came by is called by who runs the proxy.
    fn listener(&self) -> Option<Vec<u8>>;
    /// Applies effects to the request, which has these headers. Returns how many changes it would not make.
    fn apply(&self, effects: &[Effect<'_>], headers: &[(String, Vec<u8>)]) -> u32;
    /// Answers the request in the upstream's place; whether it will. What is not answered goes on.
    #[must_use]
    fn reply(&self, reply: &effect::LocalReply<'_>) -> bool;

    /// A value that is kept with the request, by its name.
    fn state(&self, name: &str) -> Option<Vec<u8>>;
    /// Keeps a value with the request, for other filters and for logs.
    fn keep(&self, name: &str, value: &[u8]);
    /// Makes what is kept under a name outlive redirects inside of the proxy.
    fn keep_over_redirects(&self, name: &str);

    /// A header of the response.
    fn response_header(&self, name: &str) -> Option<Vec<u8>>;
    /// Makes this the only value of a header of the response.
    fn set_response_header(&self, name: &str, value: &[u8]);
    /// Puts this beside what the response has under the name.
    fn add_response_header(&self, name: &str, value: &[u8]);

    /// The status of the answer to a request that is done, if one came.
    fn status(&self) -> Option<u64>;
    /// What is known of a request that is done, but for its time.
    fn answer(&self) -> Answer;

    /// Defines a metric; the same name is the same metric for all workers of the proxy.
    fn define(&self, name: &str, kind: Kind) -> Option<u32>;
    /// Adds to a counter.
    fn add(&self, id: u32, more: u32);
    /// Sets a counter or a gauge, or sorts a value into the buckets of a histogram.
    fn record(&self, id: u32, value: u64);
    /// The value of a counter or gauge, over all workers.
    fn value(&self, id: u32) -> u64;

    /// What all workers of the proxy remember under a name, and its version.
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Makes them remember it, if it is still of this version, if there is one, or if none was given; whether they do.
    fn write(&self, name: &str, value: &[u8], version: Option<u32>) -> bool;
}

/// What all workers of a proxy remember for one filter.
pub(crate) struct Shared<'h> {
    pub(crate) host: &'h dyn Host,
    /// The filter's key: what all names in it begin with.
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
