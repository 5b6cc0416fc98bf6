//! The fields of a config: their names, what they take, and what they mean, once for everybody.
//!
//! The reader takes the names to tell a known field from an unknown one; the tables of docs/reference.md are written from the
//! rest, as is the schema for editors, and tests hold them together. The module for Envoy carries the names alone.

#[cfg(not(target_arch = "wasm32"))]
use super::shape::Together;

pub use super::guard::{ERRORS, GUARD, LATENCY, STANDING};
pub use super::shape::{Entry, Section};
use super::shape::{NEEDED, Shape, entry};

/// The fields of a condition that say what must be true of what it looks at.
pub const OPERATORS: [&str; 10] =
    ["equals", "in", "startsWith", "endsWith", "contains", "exists", "cidr", "semver", "number", "glob"];

const SOURCES: Shape = Shape::List(&Shape::Map(&SOURCE));
const CLAIM: Shape = Shape::Either(&[Shape::Claim, Shape::List(&Shape::Claim)]);
const REQUIRED: Shape =
    Shape::Either(&[Shape::Words(&["healthy", "nothing", "fleet", "approval"]), Shape::Map(&READY)]);
const HEADERS: Shape = Shape::Named { key: &Shape::HeaderName, value: &Shape::HeaderValue };

/// All sections, in the order of the reference.
pub static SECTIONS: [&Section; 20] = [
    &CONFIG, &SOURCE, &GENERATE, &INSPECT, &TELEMETRY, &FLAG, &MATCH, &ROUTE, &VARIANT, &LIMIT, &REPLY, &RULE, &STEP,
    &READY, &SPLIT, &GUARD, &ERRORS, &LATENCY, &STANDING, &CONDITION,
];

/// What the fields of a section have to do with each other; a condition has a grammar of its own.
#[cfg(not(target_arch = "wasm32"))]
pub static TOGETHER: [(&Section, Together); 9] = [
    (&SOURCE, Together::OneBut(&["lower", "trim"])),
    (&FLAG, Together::Needs("variants", "baseline")),
    (&FLAG, Together::Needs("rescue", "route")),
    (&LIMIT, Together::AnyOf(&["requests", "inFlight"])),
    (&REPLY, Together::Needs("contentType", "body")),
    (&RULE, Together::Apart("percent", "steps")),
    (&GUARD, Together::AnyOf(&["errors", "latency"])),
    (&ERRORS, Together::AnyOf(&["max", "overBaseline"])),
    (&LATENCY, Together::AnyOf(&["max", "overBaseline"])),
];

pub static CONFIG: Section = Section {
    title: "The config",
    fields: &[
        entry("version", Shape::One, "`1`", NEEDED, "Version of this format."),
        entry("revision", Shape::SomeProse, "text", "none", "The author's name for this config; reported in the log."),
        entry(
            "identity",
            SOURCES,
            "list of sources",
            "nobody has an identity",
            "Who is asking: the first source that gives exactly one non-empty value wins.",
        ),
        entry(
            "segments",
            Shape::Named { key: &Shape::Segment, value: &Shape::Map(&CONDITION) },
            "map of conditions",
            "none",
            "Named conditions, for use in rules. Inside a segment, `identity` is always the config's own.",
        ),
        entry(
            "flags",
            Shape::Named { key: &Shape::FlagKey, value: &Shape::Map(&FLAG) },
            "map of flags",
            "none",
            "The flags by key. A key is lower-case letters, digits, `-`, `_` and `.`, beginning with a letter.",
        ),
        entry(
            "dictionary",
            Shape::Boolean,
            "boolean",
            "`false`",
            "Sends all decisions as one RFC 9651 dictionary, too: `x-flags: checkout=v2, new-nav=?1`.",
        ),
        entry(
            "headers",
            Shape::Words(&["each", "dictionary"]),
            "",
            "`each`",
            "By which headers a request tells of its decisions: a header for each flag, or only the dictionary, in which a flag costs the least. Routing headers, and headers that flags and variants name themselves, are written all the same.",
        ),
        entry(
            "cache",
            Shape::Words(&["vary", "private", "none"]),
            "",
            "`vary`",
            "What caches are told of an answer whose upstream a decision has chosen: to tell requests apart by the headers that it depends on, to leave it to the client, or nothing.",
        ),
        entry(
            "inspect",
            Shape::Map(&INSPECT),
            "map",
            "off",
            "Tells a request that carries the key what was decided and why, in the response header `x-tidegate`.",
        ),
        entry(
            "telemetry",
            Shape::Map(&TELEMETRY),
            "map",
            "off",
            "Lets access logs, spans and the services behind the proxy see what was decided. Never who asked.",
        ),
        entry(
            "standing",
            Shape::Named { key: &Shape::FlagKey, value: &Shape::Map(&STANDING) },
            "map by flag",
            "nothing was decided",
            "What has been decided so far about flags: written by commands, not by hand. In force with the first request.",
        ),
    ],
};

pub static SOURCE: Section = Section {
    title: "A source of identity",
    fields: &[
        entry(
            "claim",
            CLAIM,
            "name, or list of names as a path",
            "",
            "A claim that `jwt_authn` (Istio: RequestAuthentication) verified.",
        ),
        entry(
            "header",
            Shape::HeaderName,
            "header name",
            "",
            "A request header. One that comes more than once is no identity.",
        ),
        entry("cookie", Shape::Parameter, "cookie name", "", "A cookie, percent-decoded."),
        entry("query", Shape::Parameter, "parameter name", "", "A query parameter, percent-decoded."),
        entry(
            "peer",
            Shape::True,
            "`true`",
            "",
            "The mTLS principal of the caller: the first URI SAN of its certificate.",
        ),
        entry(
            "address",
            Shape::True,
            "`true`",
            "",
            "The address of the client, without port: what it says in `x-forwarded-for`, unless the connection manager has `use_remote_address`.",
        ),
        entry("proxy", Shape::True, "`true`", "", "This proxy's node id: a rollout by instance."),
        entry(
            "unverifiedClaim",
            CLAIM,
            "name, or list of names as a path",
            "",
            "A claim of the bearer token, decoded and **not verified**: anyone can send anything.",
        ),
        entry(
            "generate",
            Shape::Map(&GENERATE),
            "map",
            "",
            "An id for anonymous visitors, from the request's own id, kept in a cookie.",
        ),
        entry("lower", Shape::Boolean, "boolean", "`false`", "Lower-cases ASCII letters before hashing."),
        entry("trim", Shape::Boolean, "boolean", "`false`", "Takes away spaces and tabs at both ends before hashing."),
    ],
};

pub static GENERATE: Section = Section {
    title: "`generate`",
    fields: &[
        entry(
            "cookie",
            Shape::Parameter,
            "cookie name",
            NEEDED,
            "The cookie that keeps the id: `HttpOnly; SameSite=Lax; Secure; Path=/`.",
        ),
        entry("maxAge", Shape::Duration, "duration", "`365d`", "How long the cookie is kept."),
    ],
};

pub static INSPECT: Section = Section {
    title: "`inspect`",
    fields: &[
        entry(
            "header",
            Shape::HeaderName,
            "header name",
            "**required**, but beside `listener`",
            "The request header that asks. It is not sent on to the upstream.",
        ),
        entry("equals", Shape::HeaderValue, "text", "any value asks", "The value that it must have."),
        entry(
            "page",
            Shape::Boolean,
            "boolean",
            "`false`",
            "Answers a request that carries the key for `/.tidegate` with what this proxy knows of its rollouts.",
        ),
        entry(
            "listener",
            Shape::HeaderValue,
            "text",
            "none",
            "Does so for everybody who comes by a listener whose metadata says `tidegate: {listener: <this>}`.",
        ),
    ],
};

/// Where others get to see the decisions.
pub static TELEMETRY: Section = Section {
    title: "`telemetry`",
    fields: &[
        entry(
            "accessLog",
            Shape::Boolean,
            "boolean",
            "`false`",
            "Keeps all decisions of a request, with their reasons, for `%FILTER_STATE(wasm.tidegate:PLAIN)%`.",
        ),
        entry(
            "spans",
            Shape::Boolean,
            "boolean",
            "`false`",
            "Keeps the routing flag's decision for tags: `wasm.tidegate.key`, `.variant`, `.reason` and `.version`.",
        ),
        entry(
            "baggage",
            Shape::Boolean,
            "boolean",
            "`false`",
            "Adds each decision to the W3C `baggage` of the request: `tidegate.checkout=v2`.",
        ),
    ],
};

pub static FLAG: Section = Section {
    title: "A flag",
    fields: &[
        entry(
            "type",
            Shape::Words(&["release", "experiment", "operational", "kill-switch"]),
            "",
            "`release`",
            "What the flag is for.",
        ),
        entry("stage", Shape::Words(&["experimental", "trusted", "stable"]), "", "none", "How far along it is."),
        entry("owner", Shape::Prose, "text", "none", "Who answers for it."),
        entry("description", Shape::Prose, "text", "none", "What it does."),
        entry("created", Shape::Date, "date", "none", "When it was made."),
        entry("expires", Shape::Date, "date", "none", "When it should be gone. Says nothing about decisions."),
        entry("match", Shape::Map(&MATCH), "map", "every request", "The requests that the flag decides."),
        entry("route", Shape::Map(&ROUTE), "map", "not a routing flag", "Makes the variant choose the upstream."),
        entry(
            "rescue",
            Shape::Duration,
            "duration, 100ms to 10m",
            "off",
            "How long requests get the baseline after a variant's upstream could not take one. Needs `route`.",
        ),
        entry(
            "header",
            Shape::HeaderName,
            "header name",
            "`x-flag-<key>`",
            "The header that tells the variant to the upstream.",
        ),
        entry(
            "variants",
            Shape::List(&Shape::Either(&[Shape::Variant, Shape::Map(&VARIANT)])),
            "list of names or maps",
            "`on` and `off`",
            "The outcomes, 1 to 64.",
        ),
        entry(
            "baseline",
            Shape::Variant,
            "variant",
            "`off`, where the flag has no `variants`",
            "The safe variant: served when the flag is killed.",
        ),
        entry("default", Shape::Variant, "variant", "the baseline", "Served when no rule matched."),
        entry("kill", Shape::Boolean, "boolean", "`false`", "Serves the baseline to everybody, at once."),
        entry(
            "salt",
            Shape::SomeProse,
            "text",
            "the key",
            "Makes the draws: equal salts align flags, a new salt draws anew.",
        ),
        entry("identity", SOURCES, "list of sources", "the config's", "An identity of its own: by tenant, by session."),
        entry(
            "rules",
            Shape::ListOrNone(&Shape::Map(&RULE)),
            "list of rules",
            "none",
            "Tried in order; the first that takes the request decides. At most 100.",
        ),
        entry(
            "metrics",
            Shape::Words(&["all", "counts", "decisions", "none"]),
            "",
            "`all` with `route`, `guard`, `rescue` or `limit`, else `decisions`",
            "What is counted of it: decisions, answers and times; all but times; decisions alone; or nothing.",
        ),
        entry(
            "guard",
            Shape::Map(&GUARD),
            "map",
            "none",
            "The limits that variants must keep, and what happens when one is broken.",
        ),
    ],
};

pub static MATCH: Section = Section {
    title: "`match`",
    fields: &[
        entry(
            "hosts",
            Shape::List(&Shape::Host),
            "list of hosts",
            "any",
            "Without port and last dot, any case; `*.shop.example` takes any label in front.",
        ),
        entry(
            "paths",
            Shape::List(&Shape::PathPrefix),
            "list of prefixes",
            "any",
            "On segment borders, in normal form, without the query: `/api` takes `/api`, `//api` and `/api/x`, not `/apix`.",
        ),
        entry("methods", Shape::List(&Shape::Method), "list of methods", "any", "As they are sent: `GET`."),
    ],
};

pub static ROUTE: Section = Section {
    title: "`route`",
    fields: &[entry(
        "header",
        Shape::HeaderName,
        "header name",
        NEEDED,
        "The header that the mesh's routes match; it carries the variant's value.",
    )],
};

pub static VARIANT: Section = Section {
    title: "A variant",
    fields: &[
        entry("name", Shape::Variant, "name", NEEDED, "Letters, digits, `-`, `_` and `.`."),
        entry("value", Shape::HeaderValue, "visible ASCII", "the name", "What the headers carry."),
        entry("headers", HEADERS, "map of headers", "none", "Further headers for the upstream of this variant."),
        entry(
            "limit",
            Shape::Map(&LIMIT),
            "map",
            "none",
            "What it takes at most; the rest gets the baseline, which has no limit of its own.",
        ),
        entry("reply", Shape::Map(&REPLY), "map", "the upstream answers", "An answer in the upstream's place."),
    ],
};

/// What a variant takes at most.
pub static LIMIT: Section = Section {
    title: "`limit`",
    fields: &[
        entry("requests", Shape::Rate, "`50/s`, `300/m`", "any", "Requests in a second or a minute, up to 1,000,000."),
        entry(
            "inFlight",
            Shape::Whole(1, 1_000_000),
            "1 to 1,000,000",
            "any",
            "Requests at the same time. One of the two is required.",
        ),
    ],
};

/// An answer in the upstream's place.
pub static REPLY: Section = Section {
    title: "`reply`",
    fields: &[
        entry("status", Shape::Whole(200, 599), "200 to 599", NEEDED, "The status."),
        entry(
            "body",
            Shape::Lines,
            "text",
            "no body",
            "At most 4,096 bytes; no control characters but line feeds and tabs.",
        ),
        entry(
            "contentType",
            Shape::HeaderValue,
            "visible ASCII",
            "not said",
            "What the body is: `text/plain`. Needs `body`.",
        ),
        entry(
            "headers",
            HEADERS,
            "map of headers",
            "none",
            "Further headers; none that frames the answer, such as `content-length`. At most 16.",
        ),
    ],
};

pub static RULE: Section = Section {
    title: "A rule",
    fields: &[
        entry("when", Shape::Map(&CONDITION), "condition", "every request", "Which requests it looks at."),
        entry(
            "percent",
            Shape::Percent,
            "0 to 100, in steps of 0.0001",
            "`100`",
            "The share of identities that it takes in. Who misses goes on to the next rule.",
        ),
        entry(
            "steps",
            Shape::List(&Shape::Map(&STEP)),
            "list of steps",
            "no ramp",
            "A share that follows the clock, in place of `percent`. 0 % before the first step.",
        ),
        entry(
            "serve",
            Shape::Either(&[Shape::Variant, Shape::List(&Shape::Map(&SPLIT))]),
            "variant, or list of `{variant, weight}`",
            NEEDED,
            "What it serves. Weights are whole numbers, not all 0.",
        ),
    ],
};

pub static STEP: Section = Section {
    title: "A step",
    fields: &[
        entry("at", Shape::Time, "time with an offset", NEEDED, "When the step begins, as RFC 3339. Steps ascend."),
        entry("percent", Shape::Percent, "0 to 100, in steps of 0.0001", NEEDED, "The share from then on."),
        entry(
            "requires",
            Shape::Either(&[REQUIRED, Shape::List(&REQUIRED)]),
            "`healthy`, `nothing`, `fleet`, `approval` or `{ready: 3}`, or a list of them",
            "`healthy`, where the flag has a guard",
            "What the step waits for: that the guard finds the variant healthy (needs a guard; a proxy that starts later \
             than the step begins is at this step at once); that the `standing` of the flag allows it, once the fleet is \
             healthy or so many endpoints of the variant are ready; or that somebody approves of it.",
        ),
        entry(
            "approved",
            Shape::SomeProse,
            "text",
            "not approved",
            "Who approved of the step, and when. Needs `requires: approval`.",
        ),
    ],
};

pub static READY: Section = Section {
    title: "`requires` of a step",
    fields: &[entry(
        "ready",
        Shape::Whole(1, 10_000),
        "1 to 10,000",
        NEEDED,
        "How many endpoints of the variant must be ready.",
    )],
};

/// A variant's part in a weighted serve.
pub static SPLIT: Section = Section {
    title: "A part of a weighted `serve`",
    fields: &[
        entry("variant", Shape::Variant, "variant", NEEDED, "What is served."),
        entry("weight", Shape::Whole(0, 1_000_000), "0 to 1,000,000", NEEDED, "Its part of the sum of the weights."),
    ],
};

pub static CONDITION: Section = Section {
    title: "A condition",
    fields: &[
        entry("all", Shape::List(&Shape::Map(&CONDITION)), "list of conditions", "", "True when all are."),
        entry("any", Shape::List(&Shape::Map(&CONDITION)), "list of conditions", "", "True when one is."),
        entry("not", Shape::Map(&CONDITION), "condition", "", "True when it is not."),
        entry("segment", Shape::Segment, "segment", "", "True when the segment is."),
        entry("header", Shape::HeaderName, "header name", "", "A request header."),
        entry("cookie", Shape::Parameter, "cookie name", "", "A cookie, percent-decoded."),
        entry("query", Shape::Parameter, "parameter name", "", "A query parameter, percent-decoded."),
        entry("claim", CLAIM, "name, or list of names as a path", "", "A verified claim."),
        entry(
            "unverifiedClaim",
            CLAIM,
            "name, or list of names as a path",
            "",
            "A claim of the bearer token, **not verified**.",
        ),
        entry("method", Shape::Test, "operator, or text", "", "The method."),
        entry("host", Shape::Test, "operator, or text", "", "The host, lower-cased, without port and last dot."),
        entry("path", Shape::Test, "operator, or text", "", "The path in its normal form, without the query."),
        entry("peer", Shape::Test, "operator, or text", "", "The mTLS principal of the caller."),
        entry(
            "address",
            Shape::Test,
            "operator, or text",
            "",
            "The address of the client, as far as the connection manager can be trusted with it.",
        ),
        entry(
            "device",
            Shape::Test,
            "operator, or text",
            "",
            "`mobile`, `tablet`, `desktop` or `bot`, from `sec-ch-ua-mobile` and `user-agent`.",
        ),
        entry("proxy", Shape::Test, "operator, or text", "", "This proxy's node id."),
        entry("identity", Shape::Test, "operator, or text", "", "The identity that the flag hashes."),
        entry("equals", Shape::Bytes, "text or number", "", "The same bytes."),
        entry("in", Shape::List(&Shape::Bytes), "list of texts", "", "One of them."),
        entry("startsWith", Shape::Bytes, "text", "", "Begins so."),
        entry("endsWith", Shape::Bytes, "text", "", "Ends so."),
        entry("contains", Shape::Bytes, "text", "", "Has it inside."),
        entry("exists", Shape::Boolean, "boolean", "", "Is there at all (`false`: is not)."),
        entry(
            "cidr",
            Shape::Either(&[Shape::Network, Shape::List(&Shape::Network)]),
            "network, or list of networks",
            "",
            "An address in it: `10.0.0.0/8`.",
        ),
        entry("semver", Shape::Semver, "comparison", "", "A version that fits: `^2.3`, `>=1.4.0`."),
        entry("number", Shape::Comparison, "comparison", "", "A number that fits: `>= 18`."),
        entry("glob", Shape::Bytes, "pattern", "", "`*` is any bytes, `?` is one."),
    ],
};
