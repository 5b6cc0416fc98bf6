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

#[cfg(test)]
mod tests {
    use super::{BufferType, LogLevel, MapType, MetricType};
    use proxy_wasm::types as sdk;

    #[test]
    fn every_number_is_that_of_the_sdk() {
        let numbers = [
            (BufferType::VmConfiguration as u32, sdk::BufferType::VmConfiguration as u32),
            (BufferType::PluginConfiguration as u32, sdk::BufferType::PluginConfiguration as u32),
            (LogLevel::Info as u32, sdk::LogLevel::Info as u32),
            (LogLevel::Warn as u32, sdk::LogLevel::Warn as u32),
            (LogLevel::Error as u32, sdk::LogLevel::Error as u32),
            (LogLevel::Critical as u32, sdk::LogLevel::Critical as u32),
            (MapType::HttpRequestHeaders as u32, sdk::MapType::HttpRequestHeaders as u32),
            (MapType::HttpRequestTrailers as u32, sdk::MapType::HttpRequestTrailers as u32),
            (MapType::HttpResponseHeaders as u32, sdk::MapType::HttpResponseHeaders as u32),
            (MapType::HttpResponseTrailers as u32, sdk::MapType::HttpResponseTrailers as u32),
            (MetricType::Counter as u32, sdk::MetricType::Counter as u32),
            (MetricType::Gauge as u32, sdk::MetricType::Gauge as u32),
            (MetricType::Histogram as u32, sdk::MetricType::Histogram as u32),
        ];
        for (place, (own, sdk)) in numbers.into_iter().enumerate() {
            assert_eq!(own, sdk, "number {place}");
        }
    }
}
