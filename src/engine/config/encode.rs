//! Says how what a config holds is written, field by field: see [`crate::value::encode`].
//!
//! Types of other crates are written by what their own documentation promises: a network by the bytes of its address
//! and the length of its prefix, a comparison of versions by its parts. Never follows their `Hash`.

use ipnet::IpNet;

use super::standing::{self, Standing};
use super::{
    Action, Cache, ClaimPath, Comparison, Errors, Exposure, Failures, Generate, Guard, Headers, Identities, Inspect,
    Latency, Match, Metrics, Operator, Relation, Reply, Requires, Source, SourceKind, Step, Telemetry, TrafficLimit,
    Variant,
};
use crate::value::encode::{Encode, Encoder};
use crate::value::version::{Sign, Versions, Wanted};

/// Writes the fields of a struct in their order, all of them.
macro_rules! fields {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Encode for $name {
            fn encode(&self, out: &mut Encoder) {
                let Self { $($field),* } = self;
                $($field.encode(out);)*
            }
        }
    )*};
}

fields! {
    Inspect { header, equals, page, listener }
    Telemetry { access_log, spans, baggage }
    Match { hosts, paths, methods }
    Variant { name, value, headers, limit, reply }
    Standing { of, phase, steps, since, why, by }
    Errors { max, over_baseline }
    Latency { slower, max, over_baseline }
    Failures { server_errors, resets, grpc, codes }
    TrafficLimit { rate, in_flight }
    Reply { status, body, content_type, headers }
    Source { kind, lower, trim }
    Generate { cookie, max_age }
    Comparison { relation, than }
}

/// Writes the number of a word.
macro_rules! words {
    ($($name:ident { $($word:ident = $number:literal),* })*) => {$(
        impl Encode for $name {
            fn encode(&self, out: &mut Encoder) {
                out.number(match self {
                    $(Self::$word => $number,)*
                });
            }
        }
    )*};
}

words! {
    Headers { Each = 0, Dictionary = 1 }
    Cache { Vary = 0, Private = 1, None = 2 }
    Metrics { All = 0, Counts = 1, None = 2, Decisions = 3 }
    Action { Rollback = 0, Hold = 1, Alert = 2 }
    Relation { Equal = 0, Unequal = 1, Less = 2, AtMost = 3, More = 4, AtLeast = 5 }
}

impl Encode for Guard {
    fn encode(&self, out: &mut Encoder) {
        let Self { window, errors, latency, failures, identities, fleet, action, retry_after, rearm } = self;
        window.encode(out);
        errors.encode(out);
        latency.encode(out);
        failures.encode(out);
        // To write the default makes no other guard.
        identities.unwrap_or(Identities::Any).encode(out);
        fleet.encode(out);
        action.encode(out);
        retry_after.encode(out);
        rearm.encode(out);
    }
}

impl Encode for standing::Phase {
    fn encode(&self, out: &mut Encoder) {
        out.number(match self {
            Self::Running => 0,
            Self::Held => 1,
            Self::RolledBack => 2,
        });
    }
}

/// Who approved of a step makes no other flag: see [`crate::plan`] for where it is written.
impl Encode for Step {
    fn encode(&self, out: &mut Encoder) {
        let Self { at, share, requires, approved: _ } = self;
        at.encode(out);
        share.encode(out);
        requires.encode(out);
    }
}

impl Encode for Requires {
    fn encode(&self, out: &mut Encoder) {
        let Self { healthy, fleet, approval, ready } = *self;
        // The others came later: what does not use them keeps its number.
        if self.waits_for_fleet() || approval {
            out.number(2);
            fleet.encode(out);
            approval.encode(out);
            ready.encode(out);
        }
        healthy.encode(out);
    }
}

impl Encode for Identities {
    fn encode(&self, out: &mut Encoder) {
        out.number(match self {
            Self::Any => 0,
            Self::Verified => 1,
        });
    }
}

impl Encode for Exposure {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Fixed(share) => out.choice(0, share),
            Self::Steps(steps) => out.choice(1, steps),
        }
    }
}

impl Encode for SourceKind {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Claim(path) => out.choice(0, path),
            Self::Header(name) => out.choice(1, name),
            Self::Cookie(name) => out.choice(2, name),
            Self::Query(name) => out.choice(3, name),
            Self::Peer => out.number(4),
            Self::Address => out.number(5),
            Self::Proxy => out.number(6),
            Self::UnverifiedClaim(path) => out.choice(7, path),
            Self::Generate(generate) => out.choice(8, generate),
        }
    }
}

impl Encode for ClaimPath {
    fn encode(&self, out: &mut Encoder) {
        self.0.encode(out);
    }
}

impl Encode for Operator {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Equals(bytes) => out.choice(0, bytes),
            Self::In(values) => out.choice(1, values),
            Self::StartsWith(bytes) => out.choice(2, bytes),
            Self::EndsWith(bytes) => out.choice(3, bytes),
            Self::Contains(bytes) => out.choice(4, bytes),
            Self::Exists(there) => out.choice(5, there),
            Self::Cidr(networks) => out.choice(6, networks),
            Self::Semver(versions) => out.choice(7, versions),
            Self::Number(comparison) => out.choice(8, comparison),
            Self::Glob(pattern) => out.choice(9, pattern),
        }
    }
}

impl Encode for IpNet {
    fn encode(&self, out: &mut Encoder) {
        // The network's own address: 10.1.2.3/8 takes in the same addresses as 10.0.0.0/8.
        match self {
            Self::V4(network) => out.bytes(&network.network().octets()),
            Self::V6(network) => out.bytes(&network.network().octets()),
        }
        out.number(self.prefix_len().into());
    }
}

impl Encode for Versions {
    fn encode(&self, out: &mut Encoder) {
        // As a list, which it was once.
        let Self::Like(comparison) = self else { return out.length(0) };
        out.length(1);
        let Wanted { sign, major, minor, patch, pre } = comparison;
        out.number(match sign {
            Sign::Exact => 0,
            Sign::Greater => 1,
            Sign::GreaterEq => 2,
            Sign::Less => 3,
            Sign::LessEq => 4,
            Sign::Tilde => 5,
            Sign::Caret => 6,
            Sign::Wildcard => 7,
        });
        major.encode(out);
        minor.encode(out);
        patch.encode(out);
        pre.encode(out);
    }
}
