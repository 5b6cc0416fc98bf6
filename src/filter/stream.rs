//! One HTTP context: the callbacks of a request, each handed on.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::Envoy;
use tidegate_proxy::stream::{Next, Stream};

#[derive(Debug)]
pub(super) struct Http(pub(super) Stream);

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        match self.0.request_headers(&Envoy, end) {
            Next::Upstream => Action::Continue,
            Next::Answered => Action::Pause,
        }
    }

    fn on_http_request_body(&mut self, _: usize, end: bool) -> Action {
        self.0.request_body(&Envoy, end);
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.0.request_trailers(&Envoy);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.0.response_headers(&Envoy);
        Action::Continue
    }

    fn on_log(&mut self) {
        self.0.done(&Envoy);
    }
}
