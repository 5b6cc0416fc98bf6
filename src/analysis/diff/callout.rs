//! Turns changes of a config into warnings with stable codes: changes that look small and affect users.
//!
//! Each says why it matters. Compares what was written; what only the history of a file can show is handed in. Never
//! counts users.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::align::Pair;
use crate::parts::{self, baseline, salt, sources};
use crate::words;
use crate::words::number::count;
use tidegate_engine::config::{Condition, Config, Exposure, Flag, Rule, Serve, Source, SourceKind, Subject};
use tidegate_engine::value::name::FlagKey;
use tidegate_engine::value::share::Ppm;
use tidegate_engine::value::time::{Span, Timestamp};

/// The codes are stable: scripts and pull requests name them. Add, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    ReusedKey,
    ChangedSalt,
    LoweredShare,
    ChangedMeaning,
    ChangedIdentity,
}

impl Code {
    pub const ALL: [Self; 5] =
        [Self::ReusedKey, Self::ChangedSalt, Self::LoweredShare, Self::ChangedMeaning, Self::ChangedIdentity];

    pub const fn word(self) -> &'static str {
        match self {
            Self::ReusedKey => "reused-key",
            Self::ChangedSalt => "changed-salt",
            Self::LoweredShare => "lowered-share",
            Self::ChangedMeaning => "changed-meaning",
            Self::ChangedIdentity => "changed-identity",
        }
    }

    /// What it means, in a few words.
    pub const fn about(self) -> &'static str {
        match self {
            Self::ReusedKey => "A key that meant something else before",
            Self::ChangedSalt => "Every user is assigned anew",
            Self::LoweredShare => "Users lose a variant that they had",
            Self::ChangedMeaning => "A name stands for something else",
            Self::ChangedIdentity => "Users are told apart by something else",
        }
    }
}

/// A warning, and why it matters.
#[derive(Clone, Debug)]
pub struct CallOut {
    pub code: Code,
    pub why: String,
}

impl CallOut {
    pub fn new(code: Code, why: String) -> Self {
        Self { code, why }
    }

    pub fn json(&self) -> Value {
        json!({"code": self.code.word(), "why": self.why})
    }
}

/// Warnings about the config as a whole.
pub fn of_config(old: &Config, new: &Config) -> Vec<CallOut> {
    if same_sources(&old.identity, &new.identity) {
        return Vec::new();
    }
    let uses = |config: &Config| -> BTreeSet<FlagKey> {
        let flags = config.flags.iter().filter(|(_, flag)| flag.identity.is_none() && asks_identity(flag));
        flags.map(|(key, _)| key.clone()).collect()
    };
    // A flag that is added or removed has no users who could be assigned anew.
    let flags = uses(old).intersection(&uses(new)).count();
    if flags == 0 {
        return Vec::new();
    }
    let them = count(flags, "flag");
    vec![CallOut::new(Code::ChangedIdentity, other_identity(&format!("{them} without a list of their own")))]
}

fn other_identity(of: &str) -> String {
    format!(
        "users whose identity now comes from another source are assigned anew, in {of}; the counts below assume that \
         all sources carry the same identity"
    )
}

/// Warnings about a flag that both configs have.
pub fn of_flag(
    (old, new): (&Config, &Config),
    key: &FlagKey,
    (was, is): (&Flag, &Flag),
    pairs: &[Pair<'_>],
    now: Timestamp,
) -> Vec<CallOut> {
    let mut callouts = Vec::new();
    callouts.extend(reused(was, is));
    let draws = asks_identity(was) && asks_identity(is);
    let (old_salt, new_salt) = (salt(key, was), salt(key, is));
    let redrawn = old_salt != new_salt;
    if draws && redrawn {
        let why = format!(
            "{old_salt} -> {new_salt}: every user is assigned anew: users switch variants whatever the share is, and \
             measurements start over"
        );
        callouts.push(CallOut::new(Code::ChangedSalt, why));
    }
    if !redrawn {
        callouts.extend(pairs.iter().filter_map(|pair| lowered(pair, is, now)));
    }
    callouts.extend(meaning(was, is));
    let own = was.identity.is_some() || is.identity.is_some();
    if draws && own && !same_sources(sources(old, was), sources(new, is)) {
        callouts.push(CallOut::new(Code::ChangedIdentity, other_identity("this flag")));
    }
    callouts.sort_by_key(|callout| callout.code);
    callouts
}

/// The key was reused: the new flag has no variant of the old one.
fn reused(was: &Flag, is: &Flag) -> Option<CallOut> {
    let (old, new) = (parts::variants(was), parts::variants(is));
    if new.iter().any(|(name, _)| old.iter().any(|(known, _)| known == name)) {
        return None;
    }
    let why = "none of its variants existed before: this is another flag under a key that services know, and they take its \
               values for those of the old one";
    Some(CallOut::new(Code::ReusedKey, why.to_owned()))
}

/// The key was in use before, as the history of the file shows.
pub fn used_before(removed: &str) -> CallOut {
    let why = format!("{removed}: services that still read the old flag will take the new one for it");
    CallOut::new(Code::ReusedKey, why)
}

/// A rule takes fewer users than before, or is gone, and no other rule serves them the same.
fn lowered(pair: &Pair<'_>, is: &Flag, now: Timestamp) -> Option<CallOut> {
    let (number, was) = pair.old?;
    let before = was.exposure.share_at(now);
    let after = pair.new.map_or(Ppm::NONE, |(_, rule)| rule.exposure.share_at(now));
    if after >= before || covered(was, before, is, now) || serves_only(was, is) {
        return None;
    }
    let why = match pair.new {
        Some((number, _)) => {
            format!("rule {number} takes {after}, and took {before}: the users in between lose their variant")
        }
        None => format!("rule {number} is gone ({}): the users that it served lose their variant", words::rule(was)),
    };
    Some(CallOut::new(Code::LoweredShare, why))
}

/// Whether another rule, or the default, serves the same to all users of the old rule.
fn covered(was: &Rule, before: Ppm, is: &Flag, now: Timestamp) -> bool {
    let by_default = is.default.as_ref().or(is.baseline.as_ref());
    let default = matches!(&was.serve, Serve::One(variant) if by_default == Some(variant));
    let wider = |rule: &Rule| rule.when.is_none() && rule.serve == was.serve && rule.exposure.share_at(now) >= before;
    default || is.rules.iter().any(wider)
}

/// Whether a rule only serves the baseline: its users lose nothing when it goes.
fn serves_only(rule: &Rule, flag: &Flag) -> bool {
    matches!(&rule.serve, Serve::One(variant) if variant.as_str() == baseline(flag))
}

/// Names whose meaning changed.
fn meaning(was: &Flag, is: &Flag) -> Vec<CallOut> {
    let mut callouts = Vec::new();
    let old = parts::variants(was);
    let (before, after) = (baseline(was), baseline(is));
    // Where the old baseline is gone, the missing variant says so already.
    if before != after && parts::variants(is).iter().any(|(name, _)| name == before) {
        let why = format!("the baseline is {after}, and was {before}: a kill or a rollback now leads there");
        callouts.push(CallOut::new(Code::ChangedMeaning, why));
    }
    for (name, variant) in parts::variants(is) {
        let Some((_, before)) = old.iter().find(|(known, _)| *known == name) else { continue };
        let value = |variant: Option<&tidegate_engine::config::Variant>| {
            variant.map_or_else(|| name.clone(), |v| v.value.to_string())
        };
        let (before_value, after_value) = (value(*before), value(variant));
        if before_value != after_value {
            let why = format!(
                "variant {name} has the value {after_value}, and had {before_value}: metrics by its name mix the two"
            );
            callouts.push(CallOut::new(Code::ChangedMeaning, why));
        } else if before.is_some_and(|v| v.reply.is_some()) != variant.is_some_and(|v| v.reply.is_some()) {
            let turned = if variant.is_some_and(|v| v.reply.is_some()) { "now answers" } else { "no longer answers" };
            let why = format!("variant {name} {turned} instead of the upstream, under the same name");
            callouts.push(CallOut::new(Code::ChangedMeaning, why));
        }
    }
    callouts
}

/// Whether the decision of a flag depends on the identity.
fn asks_identity(flag: &Flag) -> bool {
    flag.rules.iter().any(|rule| {
        let draws = rule.exposure != Exposure::Fixed(Ppm::FULL) || matches!(rule.serve, Serve::Split(_));
        draws || rule.when.as_ref().is_some_and(looks_at_identity)
    })
}

fn looks_at_identity(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(looks_at_identity),
        Condition::Not(part) => looks_at_identity(part),
        Condition::Segment(_) => false,
        Condition::Test(subject, _) => *subject == Subject::Identity,
    }
}

/// Whether two lists find the same identities; for how long a cookie is kept makes no difference to that.
fn same_sources(old: &[Source], new: &[Source]) -> bool {
    let bare = |sources: &[Source]| -> Vec<Source> {
        let mut sources = sources.to_vec();
        for source in &mut sources {
            if let SourceKind::Generate(generate) = &mut source.kind {
                generate.max_age = Span::from_millis(0);
            }
        }
        sources
    };
    bare(old) == bare(new)
}
