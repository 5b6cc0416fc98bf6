//! The numbers of the ABI, by the names that its specification gives them; only those that are used.

/// A buffer that the host has.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum BufferType {
    VmConfiguration = 6,
    PluginConfiguration = 7,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// Headers or trailers.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum MapType {
    HttpRequestHeaders = 0,
    HttpRequestTrailers = 1,
    HttpResponseHeaders = 2,
    HttpResponseTrailers = 3,
}

/// What a metric is.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}
