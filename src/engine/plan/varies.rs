//! Turns a flag into the request headers that its decision depends on: what a cache has to tell requests apart by.
//!
//! Caches already use host, path and query. Never looks at a request. Leaves out flags that neither route nor reply: if
//! a service uses their header, the service has to set `vary` itself.

use std::sync::Arc;

use super::{Condition, Flag, HeaderRole, Plan, Serve, Slot, Subject};
use crate::value::order;

/// What a cache has to know about responses that depend on a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Varies {
    /// Nothing: they are the same for everybody.
    #[default]
    Never,
    /// Tell requests apart by these headers, as `vary` has them.
    By(Arc<str>),
    /// Only the client may cache them: no header shows what they depend on.
    Private,
}

/// What caches have to know about the decisions of so many flags, from this one on.
pub(super) fn some(plan: &Plan, from: usize, count: usize) -> Vec<Varies> {
    let slots = plan.inputs.slots();
    let mut inputs = vec![Input::Other; slots];
    let mut put = |slot: Slot, input| {
        if let Some(place) = inputs.get_mut(slot.index()) {
            *place = input;
        }
    };
    for (name, role) in plan.inputs.header_names() {
        if let HeaderRole::Slot(slot) = role {
            put(slot, Input::Header(name));
        }
    }
    plan.inputs.cookies.iter().for_each(|(_, slot)| put(*slot, Input::Cookie));
    plan.inputs.properties.iter().for_each(|(_, slot)| put(*slot, Input::Property));
    plan.inputs.token_claims.iter().for_each(|(_, slot)| put(*slot, Input::Token));
    plan.inputs.device.iter().for_each(|slot| put(*slot, Input::Device));
    let mut seen = Seen { slots: vec![from; slots], segments: vec![from; plan.segments.len()] };
    let flags = plan.flags.iter().zip(from.saturating_add(1)..).skip(from).take(count);
    flags.map(|(flag, number)| of(plan, flag, number, &mut seen, &inputs)).collect()
}

fn of(plan: &Plan, flag: &Flag, number: usize, seen: &mut Seen, inputs: &[Input<'_>]) -> Varies {
    if !flag.routes && flag.variants.iter().all(|variant| variant.reply.is_none()) {
        return Varies::Never;
    }
    let mut used = Used { plan, number, seen, inputs, list: Vec::new() };
    for rule in &flag.rules {
        if let Some(when) = &rule.when {
            used.condition(when, flag.identity);
        }
        if rule.draws() || matches!(rule.serve, Serve::Split { .. }) {
            used.identity(flag.identity);
        }
    }
    used.varies()
}

/// What stands in a slot.
#[derive(Clone, Copy)]
enum Input<'p> {
    Header(&'p [u8]),
    Cookie,
    Property,
    Token,
    Device,
    Other,
}

/// By slot and by segment, the number of the last flag that looks at it.
struct Seen {
    slots: Vec<usize>,
    segments: Vec<usize>,
}

/// The inputs that a decision can look at.
struct Used<'u> {
    plan: &'u Plan,
    /// That of the flag, which no other has.
    number: usize,
    seen: &'u mut Seen,
    inputs: &'u [Input<'u>],
    /// The slots, each once, as bytes that sort like their numbers.
    list: Vec<[u8; 8]>,
}

impl Used<'_> {
    fn slot(&mut self, slot: Slot) {
        let place = slot.index();
        let Some(seen) = self.seen.slots.get_mut(place) else { return };
        if core::mem::replace(seen, self.number) == self.number {
            return;
        }
        self.list.push(u64::try_from(place).unwrap_or(u64::MAX).to_be_bytes());
        // The headers that other inputs are made of are inputs themselves.
        let inputs = &self.plan.inputs;
        let made_of = match self.inputs.get(place) {
            Some(Input::Token) => [inputs.authorization, None],
            Some(Input::Device) => [inputs.user_agent, inputs.mobile_hint],
            _ => [None, None],
        };
        made_of.into_iter().flatten().for_each(|slot| self.slot(slot));
    }

    fn identity(&mut self, place: usize) {
        for source in self.plan.identities.get(place).into_iter().flatten() {
            self.slot(source.slot);
        }
    }

    fn condition(&mut self, condition: &Condition, identity: usize) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| self.condition(part, identity));
            }
            Condition::Not(part) => self.condition(part, identity),
            Condition::Segment(place) => {
                if let Some(seen) = self.seen.segments.get_mut(*place)
                    && core::mem::replace(seen, self.number) != self.number
                    && let Some(segment) = self.plan.segments.get(*place)
                {
                    self.condition(segment, 0);
                }
            }
            Condition::Test(Subject::Slot(slot), _) => self.slot(*slot),
            Condition::Test(Subject::Identity, _) => self.identity(identity),
            Condition::Test(Subject::Method | Subject::Host | Subject::Path, _) => {}
        }
    }

    fn varies(self) -> Varies {
        let (mut names, mut cookie) = (String::new(), false);
        let mut add = |name: &str| {
            if !names.is_empty() {
                names.push_str(", ");
            }
            names.push_str(name);
        };
        for (slot, _) in order::of(self.list.iter().map(<[u8; 8]>::as_slice)) {
            let slot = slot.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            match usize::try_from(slot).ok().and_then(|slot| self.inputs.get(slot)) {
                Some(Input::Property) => return Varies::Private,
                Some(Input::Header(name)) => add(core::str::from_utf8(name).unwrap_or_default()),
                Some(Input::Cookie) => cookie = true,
                Some(Input::Token | Input::Device | Input::Other) | None => {}
            }
        }
        if cookie {
            add("cookie");
        }
        if names.is_empty() { Varies::Never } else { Varies::By(names.into()) }
    }
}
