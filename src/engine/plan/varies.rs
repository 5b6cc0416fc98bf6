//! Turns a flag into the request headers that its decision depends on: what a cache has to tell requests apart by.
//!
//! Caches already use host, path and query. Never looks at a request. Leaves out flags that neither route nor reply: if
//! a service uses their header, the service has to set `vary` itself.

use std::sync::Arc;

use super::{Condition, Flag, HeaderRole, Inputs, Plan, Serve, Subject};

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

impl Varies {
    pub(super) fn new(plan: &Plan, flag: &Flag) -> Self {
        if !flag.routes && flag.variants.iter().all(|variant| variant.reply.is_none()) {
            return Self::Never;
        }
        let mut used =
            Used { plan, slots: vec![false; plan.inputs.slots()], segments: vec![false; plan.segments.len()] };
        for rule in &flag.rules {
            if let Some(when) = &rule.when {
                used.condition(when, flag.identity);
            }
            if rule.draws() || matches!(rule.serve, Serve::Split { .. }) {
                used.identity(flag.identity);
            }
        }
        used.varies(&plan.inputs)
    }
}

/// The inputs that a decision can look at.
struct Used<'p> {
    plan: &'p Plan,
    slots: Vec<bool>,
    segments: Vec<bool>,
}

impl Used<'_> {
    fn identity(&mut self, place: usize) {
        for source in self.plan.identities.get(place).into_iter().flatten() {
            if let Some(used) = self.slots.get_mut(source.slot.index()) {
                *used = true;
            }
        }
    }

    fn condition(&mut self, condition: &Condition, identity: usize) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| self.condition(part, identity));
            }
            Condition::Not(part) => self.condition(part, identity),
            Condition::Segment(place) => {
                if let Some(seen) = self.segments.get_mut(*place)
                    && !core::mem::replace(seen, true)
                    && let Some(segment) = self.plan.segments.get(*place)
                {
                    self.condition(segment, 0);
                }
            }
            Condition::Test(Subject::Slot(slot), _) => {
                if let Some(used) = self.slots.get_mut(slot.index()) {
                    *used = true;
                }
            }
            Condition::Test(Subject::Identity, _) => self.identity(identity),
            Condition::Test(Subject::Method | Subject::Host | Subject::Path, _) => {}
        }
    }

    fn varies(self, inputs: &Inputs) -> Varies {
        let used = |slot: super::Slot| self.slots.get(slot.index()) == Some(&true);
        let token = inputs.token_claims.iter().any(|(_, slot)| used(*slot));
        let device = inputs.device.is_some_and(used);
        if inputs.properties.iter().any(|(_, slot)| used(*slot)) {
            return Varies::Private;
        }
        let mut names = String::new();
        let mut add = |wanted: bool, name: &str| {
            if wanted {
                if !names.is_empty() {
                    names.push_str(", ");
                }
                names.push_str(name);
            }
        };
        // The headers that other inputs are made of are inputs themselves.
        let made_of = [(token, "authorization"), (device, "user-agent"), (device, "sec-ch-ua-mobile")];
        for (name, role) in inputs.header_names() {
            let name = core::str::from_utf8(name).unwrap_or_default();
            let part = made_of.iter().any(|(used, known)| *used && *known == name);
            add(part || matches!(role, HeaderRole::Slot(slot) if used(slot)), name);
        }
        add(inputs.cookies.iter().any(|(_, slot)| used(*slot)), "cookie");
        if names.is_empty() { Varies::Never } else { Varies::By(names.into()) }
    }
}
