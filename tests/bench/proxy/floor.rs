//! The floor: wasm modules that make the host calls of the job and do nothing else, written by hand.
//!
//! They decide nothing, and do not even look at the headers that they fetch: what they add is the price of the border
//! between Envoy and a VM. No filter in wasm that does the job by these calls can cost less.

use std::fmt::Write as _;

use tidegate_engine::output::chain::STATE;

/// What a floor does for each request.
#[derive(Default)]
pub struct Floor {
    /// All headers are fetched at once.
    pub fetches: bool,
    /// Headers that are written, each with one call.
    pub writes: Vec<(String, String)>,
    /// Two looks at the clock, one read of the status, one record in a histogram.
    pub watches: bool,
    /// What the filter does besides: it asks who came before it in the chain and tells who comes behind, and fetches all
    /// headers of the response, for the status in them and for what caches must know.
    pub whole: bool,
}

impl Floor {
    /// The module.
    pub fn module(&self) -> Vec<u8> {
        wat::parse_str(self.text()).expect("the text is a module")
    }

    fn text(&self) -> String {
        let mut data = Data::default();
        let mut request = String::new();
        if self.fetches {
            request.push_str("(drop (call $headers (i32.const 0) (i32.const 0) (i32.const 4)))");
        }
        for (name, value) in &self.writes {
            let (name, value) = (data.put(name), data.put(value));
            write!(request, "(drop (call $replace (i32.const 0) {name} {value}))").expect("a string");
        }
        if self.whole {
            let (asked, kept) = (data.put(&format!("filter_state\0wasm.{STATE}")), data.put(STATE));
            let names: Vec<&str> = self.writes.iter().map(|(name, _)| name.as_str()).collect();
            let names = data.put(&format!("@0123456789abcdef {}", names.join(" ")));
            write!(
                request,
                "(drop (call $property {asked} (i32.const 20) (i32.const 24))) (drop (call $keep {kept} {names}))"
            )
            .expect("a string");
        }
        let clock = "(drop (call $clock (i32.const 8)))";
        let (mut response, mut log, mut configure) = (String::new(), String::new(), String::new());
        if self.watches {
            request.push_str(clock);
            response.push_str(clock);
            let (status, metric) = (data.put("response\0code\0"), data.put("floor.latency"));
            write!(configure, "(drop (call $define (i32.const 2) {metric} (i32.const 16)))").expect("a string");
            if !self.whole {
                write!(log, "(drop (call $property {status} (i32.const 20) (i32.const 24)))").expect("a string");
            }
            log.push_str("(drop (call $record (i32.load (i32.const 16)) (i64.const 500)))");
        }
        if self.whole {
            response.push_str("(drop (call $headers (i32.const 2) (i32.const 20) (i32.const 24)))");
        }
        if !response.is_empty() {
            response = format!(
                r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) {response} (i32.const 0))"#
            );
        }
        if !log.is_empty() {
            log = format!(r#"(func (export "proxy_on_log") (param i32) {log})"#);
        }
        format!(
            r#"(module
              (import "env" "proxy_get_header_map_pairs" (func $headers (param i32 i32 i32) (result i32)))
              (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
              (import "env" "proxy_get_current_time_nanoseconds" (func $clock (param i32) (result i32)))
              (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
              (import "env" "proxy_set_property" (func $keep (param i32 i32 i32 i32) (result i32)))
              (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
              (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
              (memory (export "memory") 4)
              (global $free (mut i32) (i32.const 131072))
              (data (i32.const {}) "{}")
              (func (export "proxy_abi_version_0_2_1"))
              (func (export "proxy_on_memory_allocate") (param i32) (result i32)
                (global.get $free) (global.set $free (i32.add (global.get $free) (local.get 0))))
              (func (export "proxy_on_configure") (param i32 i32) (result i32) {configure} (i32.const 1))
              (func (export "proxy_on_context_create") (param i32 i32))
              (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (global.set $free (i32.const 131072)) {request} (i32.const 0))
              {response} {log})"#,
            Data::START,
            data.escaped(),
        )
    }
}

/// Bytes that the module is born with.
#[derive(Default)]
struct Data(Vec<u8>);

impl Data {
    const START: usize = 1_024;

    /// Where these bytes are and how many, as two arguments of a call.
    fn put(&mut self, text: &str) -> String {
        let start = Self::START + self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        format!("(i32.const {start}) (i32.const {})", text.len())
    }

    fn escaped(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").expect("a string");
            text
        })
    }
}
