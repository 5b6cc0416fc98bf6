//! The fields of a config: their names, what they take, and what they mean, once for everybody.
//!
//! The reader takes the names to tell a known field from an unknown one; the tables of the README are written
//! from the rest, and a test holds the two together. The module for Envoy carries the names alone.

/// One kind of map in a config.
#[derive(Debug)]
pub struct Section {
    /// What the map is.
    pub title: &'static str,
    /// Its fields, in the order in which they are best read.
    pub fields: &'static [Entry],
}

/// One field of a section.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    #[cfg(not(target_arch = "wasm32"))]
    pub takes: &'static str,
    /// What happens without it.
    #[cfg(not(target_arch = "wasm32"))]
    pub without: &'static str,
    /// What it means.
    #[cfg(not(target_arch = "wasm32"))]
    pub about: &'static str,
}

impl Section {
    /// The names of its fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|entry| entry.name)
    }

    /// What is wrong with a field that it does not know.
    #[must_use]
    pub fn stranger(&self) -> String {
        let lower = self.title.get(..1).unwrap_or_default().to_ascii_lowercase();
        let rest = self.title.get(1..).unwrap_or_default();
        format!("is not a field of {lower}{rest}")
    }

    /// Whether a field of this name is known.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.fields.iter().any(|entry| entry.name == name)
    }
}

#[cfg(target_arch = "wasm32")]
const fn entry(name: &'static str, _: &'static str, _: &'static str, _: &'static str) -> Entry {
    Entry { name }
}

#[cfg(not(target_arch = "wasm32"))]
const fn entry(name: &'static str, takes: &'static str, without: &'static str, about: &'static str) -> Entry {
    Entry { name, takes, without, about }
}

const NEEDED: &str = "**required**";

/// All sections, in the order of the reference.
pub static SECTIONS: [&Section; 17] = [
    &CONFIG, &SOURCE, &GENERATE, &INSPECT, &FLAG, &MATCH, &ROUTE, &VARIANT, &LIMIT, &REPLY, &RULE, &STEP, &SPLIT,
    &GUARD, &ERRORS, &LATENCY, &CONDITION,
];

/// The config itself.
pub static CONFIG: Section = Section {
    title: "The config",
    fields: &[
        entry("version", "`1`", NEEDED, "Version of this format."),
        entry("revision", "text", "none", "The author's name for this config; reported in the log."),
        entry(
            "identity",
            "list of sources",
            "nobody has an identity",
            "Who is asking: the first source that gives exactly one non-empty value wins.",
        ),
        entry(
            "segments",
            "map of conditions",
            "none",
            "Named conditions, for use in rules. Inside a segment, `identity` is always the config's own.",
        ),
        entry(
            "flags",
            "map of flags",
            "none",
            "The flags by key. A key is lower-case letters, digits, `-`, `_` and `.`, beginning with a letter.",
        ),
        entry(
            "dictionary",
            "boolean",
            "`false`",
            "Sends all decisions as one RFC 9651 dictionary, too: `x-flags: checkout=v2, new-nav=?1`.",
        ),
        entry(
            "inspect",
            "map",
            "off",
            "Tells a request that carries the key what was decided and why, in the response header `x-tidegate`.",
        ),
    ],
};

/// A source of identity.
pub static SOURCE: Section = Section {
    title: "A source of identity",
    fields: &[
        entry(
            "claim",
            "name, or list of names as a path",
            "",
            "A claim that `jwt_authn` (Istio: RequestAuthentication) verified.",
        ),
        entry("header", "header name", "", "A request header. One that comes more than once is no identity."),
        entry("cookie", "cookie name", "", "A cookie, percent-decoded."),
        entry("query", "parameter name", "", "A query parameter, percent-decoded."),
        entry("peer", "`true`", "", "The mTLS principal of the caller: the first URI SAN of its certificate."),
        entry("address", "`true`", "", "The trusted address of the client, without port."),
        entry("proxy", "`true`", "", "This proxy's node id: a rollout by instance."),
        entry(
            "unverifiedClaim",
            "name, or list of names as a path",
            "",
            "A claim of the bearer token, decoded and **not verified**: anyone can send anything.",
        ),
        entry("generate", "map", "", "An id for anonymous visitors, from the request's own id, kept in a cookie."),
        entry("lower", "boolean", "`false`", "Lower-cases ASCII letters before hashing."),
        entry("trim", "boolean", "`false`", "Takes away spaces and tabs at both ends before hashing."),
    ],
};

/// A generated identity.
pub static GENERATE: Section = Section {
    title: "`generate`",
    fields: &[
        entry(
            "cookie",
            "cookie name",
            NEEDED,
            "The cookie that keeps the id: `HttpOnly; SameSite=Lax; Secure; Path=/`.",
        ),
        entry("maxAge", "duration", "`365d`", "How long the cookie is kept."),
    ],
};

/// The inspection key.
pub static INSPECT: Section = Section {
    title: "`inspect`",
    fields: &[
        entry("header", "header name", NEEDED, "The request header that asks. It is not sent on to the upstream."),
        entry("equals", "text", "any value asks", "The value that it must have."),
    ],
};

/// A flag.
pub static FLAG: Section = Section {
    title: "A flag",
    fields: &[
        entry("type", "`release`, `experiment`, `operational` or `kill-switch`", "`release`", "What the flag is for."),
        entry("stage", "`experimental`, `trusted` or `stable`", "none", "How far along it is."),
        entry("owner", "text", "none", "Who answers for it."),
        entry("description", "text", "none", "What it does."),
        entry("created", "date", "none", "When it was made."),
        entry("expires", "date", "none", "When it should be gone. Says nothing about decisions."),
        entry("match", "map", "every request", "The requests that the flag decides."),
        entry("route", "map", "not a routing flag", "Makes the variant choose the upstream."),
        entry(
            "rescue",
            "duration, 100ms to 10m",
            "off",
            "How long requests get the baseline after a variant's upstream could not take one. Needs `route`.",
        ),
        entry("header", "header name", "`x-flag-<key>`", "The header that tells the variant to the upstream."),
        entry("variants", "list of names or maps", "`on` and `off`", "The outcomes, 1 to 64."),
        entry(
            "baseline",
            "variant",
            "`off`, where the flag has no `variants`",
            "The safe variant: served when the flag is killed.",
        ),
        entry("default", "variant", "the baseline", "Served when no rule matched."),
        entry("kill", "boolean", "`false`", "Serves the baseline to everybody, at once."),
        entry("salt", "text", "the key", "Makes the draws: equal salts align flags, a new salt draws anew."),
        entry("identity", "list of sources", "the config's", "An identity of its own: by tenant, by session."),
        entry(
            "rules",
            "list of rules",
            "none",
            "Tried in order; the first that takes the request decides. At most 100.",
        ),
        entry(
            "metrics",
            "`all`, `counts` or `none`",
            "`all` with `route`, `guard`, `rescue` or `limit`, else `counts`",
            "What is counted of it: decisions, answers and times, all but times, or nothing.",
        ),
        entry("guard", "map", "none", "The limits that variants must keep, and what happens when one is broken."),
    ],
};

/// The requests of a flag.
pub static MATCH: Section = Section {
    title: "`match`",
    fields: &[
        entry("hosts", "list of hosts", "any", "Without port, any case; `*.shop.example` takes any label in front."),
        entry(
            "paths",
            "list of prefixes",
            "any",
            "On segment borders, without the query: `/api` takes `/api` and `/api/x`, not `/apix`.",
        ),
        entry("methods", "list of methods", "any", "As they are sent: `GET`."),
    ],
};

/// How a flag routes.
pub static ROUTE: Section = Section {
    title: "`route`",
    fields: &[entry(
        "header",
        "header name",
        NEEDED,
        "The header that the mesh's routes match; it carries the variant's value.",
    )],
};

/// A variant.
pub static VARIANT: Section = Section {
    title: "A variant",
    fields: &[
        entry("name", "name", NEEDED, "Letters, digits, `-`, `_` and `.`."),
        entry("value", "visible ASCII", "the name", "What the headers carry."),
        entry("headers", "map of headers", "none", "Further headers for the upstream of this variant."),
        entry(
            "limit",
            "map",
            "none",
            "What it takes at most; the rest gets the baseline, which has no limit of its own.",
        ),
        entry("reply", "map", "the upstream answers", "An answer in the upstream's place."),
    ],
};

/// What a variant takes at most.
pub static LIMIT: Section = Section {
    title: "`limit`",
    fields: &[
        entry("requests", "`50/s`, `300/m`", "any", "Requests in a second or a minute, up to 1,000,000."),
        entry("inFlight", "1 to 1,000,000", "any", "Requests at the same time. One of the two is required."),
    ],
};

/// An answer in the upstream's place.
pub static REPLY: Section = Section {
    title: "`reply`",
    fields: &[
        entry("status", "200 to 599", NEEDED, "The status."),
        entry("body", "text", "no body", "At most 4,096 bytes; no control characters but line feeds and tabs."),
        entry("contentType", "visible ASCII", "not said", "What the body is: `text/plain`. Needs `body`."),
        entry(
            "headers",
            "map of headers",
            "none",
            "Further headers; none that frames the answer, such as `content-length`. At most 16.",
        ),
    ],
};

/// A rule.
pub static RULE: Section = Section {
    title: "A rule",
    fields: &[
        entry("when", "condition", "every request", "Which requests it looks at."),
        entry(
            "percent",
            "0 to 100, in steps of 0.0001",
            "`100`",
            "The share of identities that it takes in. Who misses goes on to the next rule.",
        ),
        entry(
            "steps",
            "list of steps",
            "no ramp",
            "A share that follows the clock, in place of `percent`. 0 % before the first step.",
        ),
        entry(
            "serve",
            "variant, or list of `{variant, weight}`",
            NEEDED,
            "What it serves. Weights are whole numbers, not all 0.",
        ),
    ],
};

/// A step of a ramp.
pub static STEP: Section = Section {
    title: "A step",
    fields: &[
        entry("at", "time with an offset", NEEDED, "When the step begins, as RFC 3339. Steps ascend."),
        entry("percent", "0 to 100, in steps of 0.0001", NEEDED, "The share from then on."),
        entry(
            "requires",
            "`healthy` or `nothing`",
            "`healthy`, where the flag has a guard",
            "Whether the step waits until the guard finds the variant healthy. Needs a guard.",
        ),
    ],
};

/// A variant's part in a weighted serve.
pub static SPLIT: Section = Section {
    title: "A part of a weighted `serve`",
    fields: &[
        entry("variant", "variant", NEEDED, "What is served."),
        entry("weight", "0 to 1,000,000", NEEDED, "Its part of the sum of the weights."),
    ],
};

/// A guard.
pub static GUARD: Section = Section {
    title: "A guard",
    fields: &[
        entry("window", "duration, 1s to 10m", "`10m`", "The longest window that is looked at."),
        entry("errors", "map", "not looked at", "How many answers may be failures. This or `latency` is required."),
        entry("latency", "map", "not looked at", "How many answers may be slow."),
        entry(
            "failures",
            "list of `5xx`, `reset`, `grpc` and statuses from 400 to 599",
            "`[5xx, reset, grpc]`",
            "What counts as a failure. At most 16.",
        ),
        entry(
            "action",
            "`rollback`, `hold` or `alert`",
            "`rollback`",
            "When a limit is broken: everybody gets the baseline, ramps go no further, or it is only told.",
        ),
        entry(
            "retryAfter",
            "duration, from 10s",
            "never",
            "When a variant that was rolled back is tried again. Needs the action `rollback`.",
        ),
        entry("rearm", "text", "none", "A new value ends a rollback: the guard begins anew."),
    ],
};

/// How many answers may be failures.
pub static ERRORS: Section = Section {
    title: "`errors` of a guard",
    fields: &[
        entry(
            "max",
            "above 0 to 100, in steps of 0.0001",
            "any",
            "The share of answers that may be failures. One of the two is required.",
        ),
        entry(
            "overBaseline",
            "above 0 to 100, in steps of 0.0001",
            "any",
            "How much larger than the baseline's that share may be. With both, both must be broken.",
        ),
    ],
};

/// How many answers may be slow.
pub static LATENCY: Section = Section {
    title: "`latency` of a guard",
    fields: &[
        entry(
            "percentile",
            "above 0 and below 100, in steps of 0.0001",
            NEEDED,
            "The share of answers that must be fast enough.",
        ),
        entry("max", "duration, from 1ms", "any", "The time that they must keep. One of the two is required."),
        entry(
            "overBaseline",
            "factor above 1, to 100: `1.5x`",
            "any",
            "How many times the baseline's percentile they may take, in steps of 0.001.",
        ),
    ],
};

/// A condition.
pub static CONDITION: Section = Section {
    title: "A condition",
    fields: &[
        entry("all", "list of conditions", "", "True when all are."),
        entry("any", "list of conditions", "", "True when one is."),
        entry("not", "condition", "", "True when it is not."),
        entry("segment", "segment", "", "True when the segment is."),
        entry("header", "header name", "", "A request header."),
        entry("cookie", "cookie name", "", "A cookie, percent-decoded."),
        entry("query", "parameter name", "", "A query parameter, percent-decoded."),
        entry("claim", "name, or list of names as a path", "", "A verified claim."),
        entry(
            "unverifiedClaim",
            "name, or list of names as a path",
            "",
            "A claim of the bearer token, **not verified**.",
        ),
        entry("method", "operator, or text", "", "The method."),
        entry("host", "operator, or text", "", "The host, lower-cased, without port."),
        entry("path", "operator, or text", "", "The path, without the query."),
        entry("peer", "operator, or text", "", "The mTLS principal of the caller."),
        entry("address", "operator, or text", "", "The trusted address of the client."),
        entry(
            "device",
            "operator, or text",
            "",
            "`mobile`, `tablet`, `desktop` or `bot`, from `sec-ch-ua-mobile` and `user-agent`.",
        ),
        entry("proxy", "operator, or text", "", "This proxy's node id."),
        entry("identity", "operator, or text", "", "The identity that the flag hashes."),
        entry("equals", "text or number", "", "The same bytes."),
        entry("in", "list of texts", "", "One of them."),
        entry("startsWith", "text", "", "Begins so."),
        entry("endsWith", "text", "", "Ends so."),
        entry("contains", "text", "", "Has it inside."),
        entry("exists", "boolean", "", "Is there at all (`false`: is not)."),
        entry("cidr", "network, or list of networks", "", "An address in it: `10.0.0.0/8`."),
        entry("semver", "comparison", "", "A version that fits: `^2.3`, `>=1.4.0`."),
        entry("number", "comparison", "", "A number that fits: `>= 18`."),
        entry("glob", "pattern", "", "`*` is any bytes, `?` is one."),
    ],
};
