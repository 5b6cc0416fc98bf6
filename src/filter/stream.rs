//! Takes one request through: fetch what the plan needs, decide, apply the effects, keep what is needed later.
//!
//! A straight line, without a rule. The response phase reads nothing of the request, because the request may
//! never have come this far: Envoy answers some by itself.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::plugin::Active;
use super::{host, page};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::chain::Chain;
use tidegate_engine::output::effect::{self, OnResponse};
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;
use tidegate_proxy::admin::Page;
use tidegate_proxy::guard::Entry;
use tidegate_proxy::metrics::count::{Served, times};
use tidegate_proxy::outcome::{Answer, Time, Wait};

/// One request under the plan that was active when it came.
#[derive(Debug)]
pub(super) struct Stream {
    active: Rc<Active>,
    on_response: OnResponse,
    /// What its outcome has to be counted for.
    entries: Vec<Entry>,
    served: Vec<Served>,
    wait: Wait,
}

impl Stream {
    pub(super) fn new(active: Rc<Active>) -> Self {
        Self {
            active,
            on_response: OnResponse::default(),
            entries: Vec::new(),
            served: Vec::new(),
            wait: Wait::Nothing,
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        let Active { plan, series, worker, counts, .. } = &*self.active;
        let inputs = plan.inputs();
        let headers = host::request_headers();
        let seen = headers.iter().map(|(name, value)| (&**name, &**value));
        let mut request = Request::new(inputs, seen, inputs.properties().map(host::property));
        let mut chain = None;
        if request.has_owned() {
            chain = host::chain();
            request.judge(&Chain::new(chain.as_deref(), plan.mark()));
        }
        if let Some(asked) = Page::asked(plan, &request, host::listener) {
            page::answer(asked, &self.active, &headers);
            return Action::Pause;
        }
        let now = if plan.needs_time() { host::now() } else { Timestamp::from_millis(0) };
        // No callback runs inside another one, so that nobody else has borrowed it.
        let mut worker = worker.try_borrow_mut().ok();
        let decisions = match &mut worker {
            Some(worker) => decide(plan, &request, worker.standing(now), now),
            None => decide(plan, &request, &Standing::NONE, now),
        };
        let mut counts = counts.try_borrow_mut().ok();
        if let Some(counts) = &mut counts {
            self.served = counts.decided(series, &decisions, request.forged());
        }
        self.wait = match (decisions.list().is_empty(), end) {
            (true, _) => Wait::Over(Time::Unknown),
            (false, false) => Wait::Sending,
            (false, true) => Wait::Since(host::clock()),
        };
        self.on_response = OnResponse::new(plan, &request, &decisions);
        host::keep(&effect::on_stream(plan, &decisions));
        if let Some(answer) = effect::reply(plan, &request, &decisions) {
            host::answer(&answer);
            return Action::Pause;
        }
        self.entries = worker.map(|mut worker| worker.served(&decisions)).unwrap_or_default();
        let effects = effect::on_request(plan, &request, &decisions);
        let mut written = effect::names(&effects).peekable();
        if written.peek().is_some() {
            let chain = chain.or_else(host::chain);
            host::keep_chain(&Chain::new(chain.as_deref(), plan.mark()).and(plan.mark(), written));
        }
        let refused = host::apply(&effects, &headers);
        if let Some(counts) = &mut counts {
            counts.refused(refused);
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, end: bool) -> Action {
        if end {
            self.wait.sent(host::clock);
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if self.wait == Wait::Nothing {
            return Action::Continue;
        }
        self.wait.sent(host::clock);
        let Active { plan, counts, .. } = &*self.active;
        let trailers = host::request_trailers();
        let forged = trailers.iter().map(|(name, _)| &**name).filter(|name| plan.inputs().owns(name.as_bytes()));
        let (taken, refused) = host::take_trailers(forged);
        if let Ok(mut counts) = counts.try_borrow_mut() {
            counts.forged(taken);
            counts.refused(refused);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.wait.answered(host::clock);
        if !self.on_response.is_empty() {
            host::apply_to_response(&self.on_response);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if self.served.is_empty() && self.entries.is_empty() {
            return;
        }
        let Active { plan, series, worker, counts, meters, .. } = &*self.active;
        let time = self.wait.time(host::clock);
        // Only what somebody needs is asked for.
        let answer = if self.entries.is_empty() {
            Answer { code: host::status(), time, ..Answer::default() }
        } else {
            host::answered(time)
        };
        if let (Time::Answered(micros), Ok(meters)) = (time, meters.try_borrow()) {
            meters.time(times(series, &self.served), micros);
        }
        if let Ok(mut counts) = counts.try_borrow_mut() {
            counts.answered(series, &self.served, answer.code);
        }
        if !self.entries.is_empty()
            && let Ok(mut worker) = worker.try_borrow_mut()
        {
            worker.done(plan, &self.entries, host::now(), &answer);
        }
    }
}
