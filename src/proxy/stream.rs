//! Takes one request through: fetch what the plan needs, decide, hand out the effects, keep what is needed later.
//!
//! A straight line, without a rule of its own. The response phase reads nothing from the request phase that may be
//! missing: a proxy answers some requests before this filter sees them.

#![warn(missing_docs)]

use std::borrow::Cow;

use crate::active::Active;
use crate::admin::{Page, answer};
use crate::guard::Entry;
use crate::host::Host;
use crate::host::share::Rc;
use crate::metrics::count::{Served, times};
use crate::outcome::{Answer, Time, Wait};
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Explained, explained};
use tidegate_engine::output::chain::{Chain, STATE};
use tidegate_engine::output::effect::{self, Effect, INSPECTION, OnResponse, TARGETED};
use tidegate_engine::plan::{Plan, Varies};
use tidegate_engine::request::Request;
use tidegate_engine::request::headers::Headers;
use tidegate_engine::value::time::Timestamp;

/// One request under the plan that was active when it came.
#[derive(Debug)]
pub struct Stream {
    active: Rc<Active>,
    on_response: OnResponse,
    /// The watched flags that its outcome is counted for.
    entries: Vec<Entry>,
    served: Vec<Served>,
    wait: Wait,
    /// Whether its trailers are still to come, and must be looked at.
    open: bool,
    grpc: Grpc,
    status: Option<u64>,
}

/// What is known of a gRPC call, where a guard wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grpc {
    /// It is none, or nobody wants to know.
    No,
    Call,
    Status(u64),
}

/// What a call is taken to have ended with whose complete answer does not say: gRPC's `UNKNOWN`.
const UNKNOWN: u64 = 2;

/// What the host must do with a request after its headers.
#[derive(Debug)]
#[must_use]
pub enum Next<'s> {
    /// It goes on to its upstream, with these changes: [`Stream::refused`] wants to know which were not made.
    Upstream(Vec<Effect<'s>>),
    /// The proxy has answered it.
    Answered,
}

impl Stream {
    #[inline]
    pub(crate) fn new(active: Rc<Active>) -> Self {
        Self {
            active,
            on_response: OnResponse::default(),
            entries: Vec::new(),
            served: Vec::new(),
            wait: Wait::Over(Time::Unknown),
            open: false,
            grpc: Grpc::No,
            status: None,
        }
    }

    /// The request's headers have come, in order, with its method, host and path as `:method`, `:authority` and
    /// `:path`; `end` is whether it has nothing else.
    #[inline]
    pub fn request_headers<'h>(
        &mut self,
        host: &dyn Host,
        mut headers: impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone,
        end: bool,
    ) -> Next<'_> {
        let Self { active, on_response, entries, served, wait, open, grpc, status: _ } = self;
        let Active { plan, series, worker, counts, chain: usual, .. } = &**active;
        let inputs = plan.inputs();
        let mut request =
            Request::new(inputs, headers.clone(), inputs.properties().map(|property| host.property(property)));
        let mut chain = None;
        if request.has_owned() {
            chain = judge(&mut request, plan, host);
        }
        if let Some(asked) = Page::asked(plan, &request, || host.listener())
            && show(asked, active, host, &Headers::collect(headers.clone()), explained)
        {
            return Next::Answered;
        }
        let now = if plan.needs_time() { host.now() } else { Timestamp::from_millis(0) };
        // Callbacks never nest, so this borrow cannot fail.
        let mut worker = worker.try_borrow_mut().ok();
        let decisions = match &mut worker {
            Some(worker) => explained(None, plan, &request, worker.standing(now), now),
            None => explained(None, plan, &request, &Standing::NONE, now),
        };
        if let Ok(mut counts) = counts.try_borrow_mut() {
            *served = counts.decided(series, &decisions, request.forged());
        }
        *open = !end;
        *on_response = OnResponse::new(plan, &request, &decisions);
        for (name, value) in effect::on_stream(plan, &decisions) {
            host.keep(name, value.as_bytes());
        }
        // If the host cannot send the reply, the request must still go on: otherwise it would hang.
        if let Some(reply) = effect::reply(plan, &request, &decisions)
            && host.reply(&reply)
        {
            return Next::Answered;
        }
        *entries = worker.map(|mut worker| worker.served(&decisions)).unwrap_or_default();
        if !entries.is_empty() && headers.any(is_grpc) {
            *grpc = Grpc::Call;
        }
        let names = effect::names(plan, &decisions);
        if names.clone().next().is_some() {
            let chain = chain.or_else(|| host.state(STATE));
            if chain.is_none() && decisions.list().len() == plan.flags().len() {
                host.keep(STATE, usual);
            } else {
                host.keep(STATE, &Chain::new(chain.as_deref(), plan.mark()).and(plan.mark(), names));
            }
        }
        *wait = match end {
            _ if entries.is_empty() && times(served).next().is_none() => Wait::Over(Time::Unknown),
            false => Wait::Sending,
            true => Wait::Since(host.moment()),
        };
        Next::Upstream(effect::on_request(plan, &request, &decisions))
    }

    /// The host did not make this many of the changes.
    #[inline]
    pub fn refused(&mut self, changes: u32) {
        if changes > 0
            && let Ok(mut counts) = self.active.counts.try_borrow_mut()
        {
            counts.refused(changes);
        }
    }

    /// Whether anything is still to be done when the rest of the request comes, or its response, or its end.
    #[inline]
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.open || !self.served.is_empty() || !self.entries.is_empty() || !self.on_response.is_empty()
    }

    /// A part of the request's body has come; `end` is whether that was all.
    #[inline]
    pub fn request_body(&mut self, host: &dyn Host, end: bool) {
        if end {
            self.wait.sent(|| host.moment());
        }
    }

    /// The request's trailers have come: it is complete.
    pub fn request_trailers(&mut self, host: &dyn Host) {
        if !core::mem::take(&mut self.open) {
            return;
        }
        self.wait.sent(|| host.moment());
        let Active { plan, counts, .. } = &*self.active;
        let (mut taken, mut refused) = (0_u32, 0_u32);
        for (name, _) in &host.request_trailers() {
            if plan.inputs().owns(name) {
                taken = taken.saturating_add(1);
                refused = refused.saturating_add(u32::from(!host.remove_trailer(name)));
            }
        }
        if let Ok(mut counts) = counts.try_borrow_mut() {
            counts.forged(taken);
            counts.refused(refused);
        }
    }

    /// Whether [`Self::response_headers`] will look at any of them.
    #[inline]
    #[must_use]
    pub fn reads_response(&self) -> bool {
        !self.served.is_empty() || !self.entries.is_empty() || self.on_response.varies != Varies::Never
    }

    /// The response's headers have come: its status, and each of the others by its name, with commas between its values.
    /// They may be changed by what is returned, and not before.
    #[inline]
    pub fn response_headers(
        &mut self,
        host: &dyn Host,
        status: impl FnOnce() -> Option<u64>,
        header: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> OnHeaders<'_> {
        self.wait.answered(|| host.moment());
        if !self.served.is_empty() || !self.entries.is_empty() {
            self.status = status();
            self.grpc_status(|| header(GRPC_STATUS));
        }
        let carry = &self.on_response;
        OnHeaders { carry, caches: if carry.varies == Varies::Never { None } else { carry.for_caches(header) } }
    }

    /// The response's trailers have come.
    pub fn response_trailers(&mut self, host: &dyn Host) {
        self.grpc_status(|| host.response_trailer(GRPC_STATUS));
    }

    /// Takes note of a call's status.
    #[inline]
    fn grpc_status(&mut self, said: impl FnOnce() -> Option<Vec<u8>>) {
        if self.grpc == Grpc::Call
            && let Some(said) = said()
            && let Some(status) = number(&said)
        {
            self.grpc = Grpc::Status(status);
        }
    }

    /// The request is done, however it ended.
    #[inline]
    pub fn done(&mut self, host: &dyn Host) {
        if self.served.is_empty() && self.entries.is_empty() {
            return;
        }
        let Active { plan, worker, counts, meters, .. } = &*self.active;
        let time = self.wait.time(|| host.moment());
        let code = self.status.or_else(|| host.final_status());
        if let (Time::Answered(micros), Ok(meters)) = (time, meters.try_borrow()) {
            meters.time(host, times(&self.served), micros);
        }
        if let Ok(mut counts) = counts.try_borrow_mut() {
            counts.answered(&self.served, code);
        }
        if !self.entries.is_empty()
            && let Ok(mut worker) = worker.try_borrow_mut()
        {
            let grpc = match self.grpc {
                Grpc::Status(status) => Some(status),
                Grpc::Call if code == Some(200) && host.is_whole() => Some(UNKNOWN),
                Grpc::Call | Grpc::No => None,
            };
            let answer = Answer { code, ending: host.ending(), grpc, time };
            worker.done(plan, &self.entries, host.now(), &answer);
        }
    }
}

/// What the headers of a response are changed by.
#[derive(Debug)]
#[must_use]
pub struct OnHeaders<'s> {
    carry: &'s OnResponse,
    /// The header for caches, and whether it comes beside one of its name.
    caches: Option<(&'static str, Cow<'s, [u8]>, bool)>,
}

impl OnHeaders<'_> {
    /// Changes them.
    #[inline]
    pub fn apply(self, host: &dyn Host) {
        let Self { carry, caches } = self;
        if let Some(cookie) = &carry.cookie {
            // Added, not set: the upstream's own cookies stay.
            host.add_response_header("set-cookie", cookie.as_bytes());
        }
        if carry.varies == Varies::Private {
            for name in TARGETED {
                host.remove_response_header(name);
            }
        }
        match caches {
            Some((name, value, true)) => host.add_response_header(name, &value),
            Some((name, value, false)) => host.set_response_header(name, &value),
            None => {}
        }
        if let Some(inspection) = &carry.inspection {
            host.set_response_header(INSPECTION, inspection.as_bytes());
        }
    }
}

/// Finds out who wrote the headers of the request that have names of the filter.
#[inline(never)]
fn judge(request: &mut Request<'_>, plan: &Plan, host: &dyn Host) -> Option<Vec<u8>> {
    let chain = host.state(STATE);
    request.judge(&Chain::new(chain.as_deref(), plan.mark()));
    chain
}

/// Answers with a page. Returns whether the host could.
#[inline(never)]
fn show(asked: Page, active: &Active, host: &dyn Host, headers: &Headers, decide: Explained) -> bool {
    host.reply(&asked.answer(&answer::body(asked, active, host, headers, decide)))
}

const GRPC_STATUS: &str = "grpc-status";

/// A number of a few digits.
#[inline]
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte & 0xf));
    let add = |sum: u64, byte: &u8| Some(sum.wrapping_mul(10).wrapping_add(digit(byte)?));
    if (1..=9).contains(&digits.len()) { digits.iter().try_fold(0, add) } else { None }
}

#[inline]
fn is_grpc((name, value): (&[u8], &[u8])) -> bool {
    name == b"content-type" && value.starts_with(b"application/grpc")
}
