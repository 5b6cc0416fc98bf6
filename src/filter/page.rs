//! Answers who asks for a page of this proxy: fetches what the page needs, and hands over what it says.
//!
//! Never decides who may see it, and never counts what is asked here.

use super::host;
use super::plugin::Active;
use tidegate_engine::decide::decide_before;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::{Answer, on_request};
use tidegate_engine::plan::Watch;
use tidegate_engine::request::Request;
use tidegate_proxy::admin::{self, Known, Page, Transcript};
use tidegate_proxy::guard::Store;
use tidegate_proxy::guard::ledger::Ledger;

/// Answers a request with a page.
pub(super) fn answer(page: Page, active: &Active, headers: &[(String, Vec<u8>)]) {
    let body = match page {
        Page::Look => admin::look().to_owned(),
        Page::Data => data(active),
        Page::Explain => explain(active, headers),
    };
    host::answer(&Answer { status: 200, headers: page.headers(), body: &body });
}

fn data(active: &Active) -> String {
    let Active { plugin, key, plan, series, state, since, worker, meters, .. } = active;
    let mut shared = host::Shared { key };
    let mut ledger = |watch: &Watch| {
        let bytes = shared.read(&watch.key).0?;
        Ledger::from_bytes(&bytes, watch, plan.flag_of(watch)?)
    };
    let ledgers = plan.watches().iter().map(&mut ledger).collect();
    let events = shared.read("events").0.unwrap_or_default();
    let now = host::now();
    let mut worker = worker.try_borrow_mut().ok();
    let none = Standing::NONE;
    let known = Known {
        plan,
        series,
        state: *state,
        since: *since,
        now,
        standing: worker.as_mut().map_or(&none, |worker| worker.standing(now)),
        ledgers,
        events: &String::from_utf8_lossy(&events),
        number: &|place| meters.try_borrow_mut().map_or(0, |mut meters| meters.value(plan, series, plugin, place)),
    };
    known.data()
}

fn explain(active: &Active, headers: &[(String, Vec<u8>)]) -> String {
    let Active { plan, worker, .. } = active;
    let path = headers.iter().find(|(name, _)| name == ":path").map_or(&[][..], |(_, value)| value);
    let asked = admin::asked_for(path);
    let seen = headers.iter().map(|(name, value)| {
        let other = asked.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
        (&**name, other.unwrap_or(value))
    });
    let inputs = plan.inputs();
    let request = Request::new(inputs, seen, inputs.properties().map(host::property));
    let now = host::now();
    let mut worker = worker.try_borrow_mut().ok();
    let none = Standing::NONE;
    let standing = worker.as_mut().map_or(&none, |worker| worker.standing(now));
    let mut transcript = Transcript::default();
    let decisions = decide_before(&mut transcript, plan, &request, standing, now);
    admin::explain(&transcript, &decisions, &on_request(plan, &request, &decisions))
}
