//! Takes one request through: fetch what the plan needs, decide, apply the effects, keep what the response needs.
//!
//! A straight line, without a rule. The response phase reads nothing of the request, because the request may
//! never have come this far: Envoy answers some by itself.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host;
use crate::decide::decide;
use crate::effect::{self, OnResponse};
use crate::plan::Plan;
use crate::request::Request;
use crate::time::Timestamp;

/// One request under the plan that was active when it came.
#[derive(Debug)]
pub(super) struct Stream {
    plan: Rc<Plan>,
    on_response: OnResponse,
}

impl Stream {
    pub(super) fn new(plan: Rc<Plan>) -> Self {
        Self { plan, on_response: OnResponse::default() }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let plan = &*self.plan;
        let inputs = plan.inputs();
        let headers = host::request_headers();
        let seen = headers.iter().map(|(name, value)| (&**name, &**value));
        let request = Request::new(inputs, seen, inputs.properties().map(host::property));
        let now = if plan.needs_time() { host::now() } else { Timestamp::from_millis(0) };
        let decisions = decide(plan, &request, now);
        host::apply(&effect::on_request(plan, &request, &decisions), &headers);
        self.on_response = OnResponse::new(plan, &request, &decisions);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if !self.on_response.is_empty() {
            host::apply_to_response(&self.on_response);
        }
        Action::Continue
    }
}
