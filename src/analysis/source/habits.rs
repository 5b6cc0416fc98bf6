//! What people write who come from elsewhere, and what it is called here: `abort` is `rollback`, `variations` are
//! `variants`.
//!
//! From other tools for flags, from Argo Rollouts, Flagger, Istio and Envoy. Never says that something is wrong: it is
//! asked when something is.

/// The title of a section, fields that it does not have, and what to write instead.
const FIELDS: &[(&str, &[&str], &str)] = &[
    (
        "`reply`",
        &["code", "statusCode", "httpStatus", "status_code"],
        "the status of the answer is status: status: 503",
    ),
    (
        "`reply`",
        &["message", "text", "content", "payload", "response", "data"],
        "the text of the answer is body: body: The shop is closed.",
    ),
    (
        "`limit`",
        &["rps", "qps", "rate", "perSecond", "requestsPerSecond", "max", "rateLimit"],
        "how many requests it takes is requests, with a time: requests: 50/s",
    ),
    (
        "`limit`",
        &["concurrency", "connections", "maxConcurrency", "concurrent", "maxRequests"],
        "how many at the same time is inFlight: inFlight: 100",
    ),
    (
        "`route`",
        &["name", "key", "cluster", "subset", "upstream"],
        "a flag routes by a header: header: x-upstream-version",
    ),
    (
        "`match`",
        &["host", "path", "method", "prefix", "uri", "authority", "headers"],
        "the lists are hosts, paths and methods; what else is asked of a request is a rule's when: match: {hosts: [shop.example]}",
    ),
    (
        "`inspect`",
        &["secret", "value", "key", "token", "password"],
        "the word that the header must have is equals: equals: a-word-of-your-own",
    ),
    (
        "A rule",
        &[
            "weight",
            "rollout",
            "percentage",
            "rolloutPercentage",
            "pct",
            "traffic",
            "setWeight",
            "canaryWeight",
            "share",
            "fraction",
            "fractional",
            "fractionalEvaluation",
            "coverage",
            "exposure",
            "percents",
        ],
        "a share of the users is percent: percent: 10",
    ),
    (
        "A step",
        &["weight", "setWeight", "percentage", "rollout", "share", "traffic"],
        "a share of the users is percent: percent: 10",
    ),
    (
        "A step",
        &["pause", "duration", "wait", "after", "hold"],
        "delete it: a share stays until the next step, whose at is later",
    ),
    ("A step", &["time", "date", "start", "from", "when"], "a step begins at a time: at: \"2026-12-01T09:00:00Z\""),
    (
        "A rule",
        &[
            "if",
            "condition",
            "conditions",
            "match",
            "matches",
            "where",
            "constraints",
            "clauses",
            "targeting",
            "segment",
            "segments",
            "contextMatch",
        ],
        "a condition is when: when: {header: x-country, equals: DE}",
    ),
    (
        "A rule",
        &["variant", "variation", "serves", "then", "value", "result", "to", "version", "subset", "destination"],
        "what a rule gives is serve: write serve: v2",
    ),
    (
        "A rule",
        &["variants", "variations", "weights", "split", "weightedVariations"],
        "a weighted choice is a list in serve: serve: [{variant: v1, weight: 90}, {variant: v2, weight: 10}]",
    ),
    (
        "A rule",
        &["steps_at", "schedule", "ramp"],
        "a ramp is steps: steps: [{at: \"2026-12-01T09:00:00Z\", percent: 10}]",
    ),
    (
        "A rule",
        &["name", "id", "description", "comment"],
        "rules have no names: write a comment in front of it, such as # employees",
    ),
    (
        "A rule",
        &["header", "cookie", "query", "claim", "host", "path", "method", "device", "address", "identity"],
        "a condition stands in when: when: {header: x-country, equals: DE}",
    ),
    (
        "A flag",
        &["variations", "variation", "values", "options", "flagVariants"],
        "the outcomes of a flag are variants: variants: [v1, v2], with baseline: v1",
    ),
    (
        "A flag",
        &["defaultVariant", "defaultRule", "fallthrough", "defaultValue", "defaultVariation", "fallback"],
        "what is served when no rule matched is default: default: v1; the safe variant is baseline",
    ),
    ("A flag", &["offVariation", "control", "stable", "stableVariant"], "the safe variant is baseline: baseline: v1"),
    (
        "A flag",
        &["enabled", "state", "disabled", "active", "on", "isEnabled", "status", "off"],
        "delete it: a flag is always on; to stop it, write kill: true",
    ),
    (
        "A flag",
        &["targeting", "strategies", "targets", "conditions", "overrides", "constraints", "prerequisites"],
        "who gets what stands in rules, one map each: rules: [{when: {header: x-country, equals: DE}, serve: v2}]",
    ),
    (
        "A flag",
        &["percent", "percentage", "rollout", "rolloutPercentage", "weight", "steps", "serve", "when", "traffic"],
        "it belongs into a rule of the flag: rules: [{percent: 10, serve: v2}]",
    ),
    (
        "A flag",
        &["killSwitch", "kill-switch", "killswitch", "killed"],
        "to take everybody back to the baseline, write kill: true",
    ),
    (
        "A flag",
        &["hosts", "host", "paths", "path", "methods", "prefix", "uri"],
        "the requests of a flag are a match: match: {hosts: [shop.example]}",
    ),
    (
        "A flag",
        &["name", "key"],
        "the key of a flag is its name; text for people is description: description: New checkout service",
    ),
    (
        "A flag",
        &["team", "maintainer", "maintainerId", "owners", "contact"],
        "who answers for it is owner: owner: payments",
    ),
    (
        "A flag",
        &["expiry", "expiresAt", "expiration", "sunset", "ttl", "until", "deadline"],
        "when it should be gone is expires: expires: \"2027-03-01\"",
    ),
    ("A flag", &["createdAt", "creationDate"], "when it was made is created: created: \"2026-11-01\""),
    (
        "A flag",
        &["seed", "bucketingKey", "hashSeed", "stickiness", "groupId"],
        "what seeds the draws is salt: salt: checkout-2; who is drawn is identity",
    ),
    (
        "A flag",
        &["bucketBy", "hashAttribute", "stickyOn", "hashPolicy"],
        "who a flag draws is its identity: identity: [{header: x-tenant}]",
    ),
    (
        "A flag",
        &["analysis", "guards", "limits", "thresholds", "rollback"],
        "what a variant must keep is a guard: guard: {errors: {overBaseline: 2%}}",
    ),
    (
        "A flag",
        &["tags", "labels", "metadata", "annotations"],
        "a flag has no labels: text for people is description: description: New checkout service",
    ),
    (
        "A flag",
        &["upstream", "routes", "routing", "cluster", "subset", "destination"],
        "a flag routes by a header that the mesh's routes match: route: {header: x-upstream-version}",
    ),
    ("A variant", &["weight", "percent", "percentage"], "shares stand in rules: rules: [{percent: 10, serve: v2}]"),
    ("A variant", &["key", "id", "variant"], "the name of a variant is name: {name: v2}"),
    ("A variant", &["payload", "attachment"], "what the header carries is value: {name: v2, value: v2}"),
    ("A guard", &["abort", "onFailure", "onBreach", "failureAction"], "what happens then is action: action: rollback"),
    ("A guard", &["interval", "period", "duration"], "how far it looks back is window: window: 10m"),
    (
        "A guard",
        &["request-success-rate", "successRate", "success-rate"],
        "successes are counted by what fails: a success rate of 99% is errors: {max: 1%}",
    ),
    (
        "A guard",
        &["errorRate", "error_rate", "maxErrors", "failureRate"],
        "failed answers are errors: errors: {max: 5%, overBaseline: 2%}",
    ),
    (
        "A guard",
        &["p99", "p95", "p50", "request-duration", "duration_ms", "maxLatency", "responseTime"],
        "slow answers are latency: latency: {percentile: 99, max: 800ms}",
    ),
    (
        "A guard",
        &["threshold", "failureLimit", "consecutiveErrors"],
        "limits stand in errors and latency: errors: {max: 5%}",
    ),
    (
        "`errors` of a guard",
        &["threshold", "rate", "limit", "percent"],
        "the most that may fail is max: errors: {max: 5%}",
    ),
    (
        "`latency` of a guard",
        &["threshold", "limit", "p99", "p95", "ms"],
        "the limit is max, at a percentile: latency: {percentile: 99, max: 800ms}",
    ),
    (
        "A condition",
        &["regex", "regexp", "safe_regex", "matches", "pattern", "like"],
        "there are no regular expressions: startsWith, endsWith, contains, glob or in: {header: x-user, endsWith: \"@shop.example\"}",
    ),
    (
        "A condition",
        &["exact", "eq", "is", "equal", "==", "value", "exactMatch", "stringMatch", "string_match"],
        "the operator for the same text is equals: {header: x-country, equals: DE}",
    ),
    (
        "A condition",
        &["prefix", "starts_with", "prefixMatch", "begins"],
        "the operator for a beginning is startsWith: {header: x-user, startsWith: beta-}",
    ),
    (
        "A condition",
        &["suffix", "ends_with", "ends", "suffixMatch"],
        "the operator for an end is endsWith: {header: x-user, endsWith: \"@shop.example\"}",
    ),
    (
        "A condition",
        &["values", "oneOf", "isOneOf", "IN", "contains_any", "anyOf"],
        "the operator for one of several is in: {header: x-country, in: [DE, FR]}",
    ),
    (
        "A condition",
        &["and", "AND", "or", "OR", "allOf", "some", "every", "!", "none"],
        "conditions are composed by all, any and not: any: [{device: mobile}, {device: tablet}]",
    ),
    (
        "A condition",
        &[
            "user",
            "userId",
            "targetingKey",
            "key",
            "email",
            "country",
            "attribute",
            "contextName",
            "property",
            "var",
            "group",
            "tenant",
        ],
        "a condition looks at a part of the request: header, cookie, query, claim, host, path, device or identity: {header: x-country, equals: DE}",
    ),
    (
        "A condition",
        &["ip", "cidrs", "remoteIp", "sourceIp", "ipBlocks", "remote_ip", "clientIp"],
        "the client's address is address: {address: {cidr: 10.0.0.0/8}}",
    ),
    (
        "A condition",
        &[
            "uri",
            "url",
            "authority",
            "hosts",
            "paths",
            "methods",
            "userAgent",
            "user-agent",
            "headers",
            "cookies",
            "present",
            "versions",
            "version",
            "gte",
            "lt",
            "gt",
            "lte",
        ],
        "a condition is one subject and one operator: {path: {startsWith: /api/}}, {header: x-age, number: \">= 18\"}",
    ),
    (
        "The config",
        &["apiVersion", "kind", "metadata", "spec", "pluginConfig", "configuration"],
        "what is wrapped into a manifest keeps the whole manifest around it: kind: WasmPlugin, with the config in spec.pluginConfig",
    ),
    (
        "The config",
        &[
            "features",
            "featureFlags",
            "feature_flags",
            "toggles",
            "experiments",
            "rollouts",
            "$schema",
            "flagd",
            "environments",
            "project",
        ],
        "the flags stand in flags, by their keys: flags: {checkout: {rules: [{serve: \"on\"}]}}",
    ),
    (
        "The config",
        &["users", "bucketBy", "user", "stickiness", "targetingKey", "identities", "subject"],
        "who is asking is identity: identity: [{header: x-user-id}]",
    ),
    (
        "The config",
        &["groups", "audiences", "cohorts", "$evaluators", "savedGroups", "segment"],
        "conditions with a name are segments: segments: {internal: {header: x-employee, equals: \"true\"}}",
    ),
    (
        "A source of identity",
        &["jwt", "token", "sub", "jwtClaim", "claims"],
        "a verified claim of a token is claim: {claim: sub}",
    ),
    (
        "A source of identity",
        &["ip", "remoteAddress", "sourceIp", "client_ip"],
        "the address of the client is address: {address: true}",
    ),
    (
        "A source of identity",
        &["random", "uuid", "anonymous", "session", "default", "ttl"],
        "an id for anonymous visitors is generate: {generate: {cookie: tg_id, maxAge: 30d}}",
    ),
    (
        "A part of a weighted `serve`",
        &["percent", "percentage", "share", "rollout"],
        "parts have weights: {variant: v2, weight: 10}",
    ),
];

/// Words that stand for one of ours, by the field.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("action", &["abort", "revert", "roll-back", "rollBack", "undo", "fail", "kill", "promote-back"], "rollback"),
    ("action", &["pause", "stop", "freeze", "wait", "suspend"], "hold"),
    ("action", &["notify", "warn", "log", "none", "report", "dryRun", "dry-run"], "alert"),
    (
        "type",
        &["canary", "rollout", "feature", "toggle", "boolean", "temporary", "deployment", "bluegreen", "blue-green"],
        "release",
    ),
    ("type", &["ab", "a/b", "ab-test", "abtest", "test", "multivariate", "string"], "experiment"),
    ("type", &["ops", "permanent", "config", "permission", "operation"], "operational"),
    ("type", &["killswitch", "kill_switch", "killSwitch", "kill", "circuit-breaker"], "kill-switch"),
    ("stage", &["alpha", "beta", "dev", "new", "preview", "canary"], "experimental"),
    ("stage", &["rc", "staging", "tested", "qa"], "trusted"),
    ("stage", &["ga", "prod", "production", "final", "live", "release"], "stable"),
    ("requires", &["guard", "health", "success", "passing", "true"], "healthy"),
    ("requires", &["none", "false", "no", "never"], "nothing"),
    ("cache", &["no-store", "no-cache", "off", "false", "disabled"], "private"),
    ("identities", &["all", "everybody", "unverified", "anyone"], "any"),
];

/// Whether two names are one, but for capitals, dashes and underscores.
fn same(one: &str, other: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect::<String>();
    plain(one) == plain(other)
}

/// What to write in place of a field that a section does not have.
pub fn field(section: &str, written: &str) -> Option<&'static str> {
    let mut all = FIELDS.iter().filter(|(title, ..)| *title == section);
    all.find(|(_, names, _)| names.iter().any(|name| same(name, written))).map(|(.., instead)| *instead)
}

/// What to write in place of a word that a field does not take.
pub fn word(field: &str, written: &str) -> Option<&'static str> {
    let mut all = WORDS.iter().filter(|(name, ..)| *name == field);
    all.find(|(_, words, _)| words.iter().any(|word| same(word, written))).map(|(.., ours)| *ours)
}

/// The nearest key of a flag: `newCheckout` is `new-checkout`.
pub fn key(written: &str) -> Option<String> {
    // A name that loses its letters is none.
    if written.chars().any(|c| c.is_alphabetic() && !c.is_ascii()) {
        return None;
    }
    let mut key = String::new();
    let mut lower = false;
    for c in written.trim().chars() {
        if c.is_ascii_uppercase() {
            if lower {
                key.push('-');
            }
            key.push(c.to_ascii_lowercase());
        } else if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            key.push(c);
        } else if !key.ends_with('-') {
            key.push('-');
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    let key = key.trim_matches(['-', '_', '.']);
    if key.is_empty() || key.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let front = if key.starts_with(|c: char| c.is_ascii_lowercase()) { "" } else { "flag-" };
    let key: String = front.chars().chain(key.chars()).take(64).collect();
    (!key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::config::schema::reference::SECTIONS;
    use tidegate_engine::value::name::FlagKey;

    #[test]
    fn what_is_said_of_a_section_is_about_fields_that_it_does_not_have() {
        for (title, names, _) in FIELDS {
            let section = SECTIONS.iter().find(|section| section.title == *title).expect("there is such a section");
            for name in *names {
                assert!(section.field(name).is_none(), "{title} has {name}");
            }
        }
    }

    #[test]
    fn a_key_from_elsewhere_becomes_one_of_ours() {
        for (written, ours) in [
            ("newCheckout", "new-checkout"),
            ("New Nav", "new-nav"),
            ("1st_click", "flag-1st_click"),
            ("HTTPFlag", "httpflag"),
            ("a/b", "a-b"),
            ("checkoutV2", "checkout-v2"),
        ] {
            assert_eq!(key(written).as_deref(), Some(ours));
            assert!(FlagKey::parse(ours).is_ok());
        }
        assert_eq!(key("42"), None);
    }
}
