//! Makes the body of each page from what the worker and the shared store hold.
//!
//! Never decides who may see it, and never counts these requests.

use super::{Page, Snapshot, Transcript, explain as explained, html, overrides};
use crate::active::Active;
use crate::guard::Store;
use crate::guard::ledger::Ledger;
use crate::host::{Host, Shared};
use tidegate_engine::decide::Explained;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::output::effect::on_request;
use tidegate_engine::plan::Watch;
use tidegate_engine::request::Request;
use tidegate_engine::request::headers::Headers;

/// The body of a page, for a request with these headers.
#[cold]
#[inline(never)]
pub(crate) fn body(page: Page, active: &Active, host: &dyn Host, headers: &Headers, decide: Explained) -> String {
    match page {
        Page::Html => html().to_owned(),
        Page::Data => data(active, host),
        Page::Explain => explain(active, host, headers, decide),
    }
}

fn data(active: &Active, host: &dyn Host) -> String {
    let Active { id, plan, series, state, since, worker, meters, .. } = active;
    let mut shared = Shared { host, key: &id.key };
    let mut ledger = |watch: &Watch| {
        let bytes = shared.read(&watch.key).0?;
        Ledger::from_bytes(&bytes, watch, plan.flag_of(watch)?)
    };
    let ledgers = plan.watches().iter().map(&mut ledger).collect();
    let events = shared.read("events").0.unwrap_or_default();
    let now = host.now();
    let none = Standing::NONE;
    let worker = worker.try_borrow_mut().ok().map(|mut worker| {
        worker.standing(now);
        worker
    });
    let scope = active.scope(host);
    let snapshot = Snapshot {
        plan,
        series,
        state: *state,
        since: Some(*since),
        now,
        standing: worker.as_ref().map_or(&none, |worker| worker.stands()),
        ledgers,
        events: &String::from_utf8_lossy(&events),
        times: &|watch, comparison| worker.as_ref()?.times(watch, comparison),
        recent: meters.try_borrow().ok().and_then(|meters| meters.since()),
        number: &|place| meters.try_borrow_mut().map_or((0, 0), |mut meters| meters.value(scope, place)),
    };
    snapshot.data()
}

fn explain(active: &Active, host: &dyn Host, headers: &Headers, decide: Explained) -> String {
    let Active { plan, worker, .. } = active;
    let path = headers.iter().find(|(name, _)| *name == b":path").map_or(&[][..], |(_, value)| value);
    let overrides = overrides(path);
    let seen = headers.iter().map(|(name, value)| {
        let other = overrides.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, value)| &**value);
        (name, other.unwrap_or(value))
    });
    let inputs = plan.inputs();
    let request = Request::new(inputs, seen, inputs.properties().map(|property| host.property(property)));
    let now = host.now();
    let mut worker = worker.try_borrow_mut().ok();
    let none = Standing::NONE;
    let standing = worker.as_mut().map_or(&none, |worker| worker.standing(now));
    let mut transcript = Transcript::default();
    let decisions = decide(Some(&mut transcript), plan, &request, standing, now);
    explained(&transcript, &decisions, &on_request(plan, &request, &decisions))
}
