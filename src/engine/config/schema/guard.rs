//! The fields of a guard, of its limits and of a standing, as the reference has them.

use super::shape::{NEEDED, Section, Shape, entry};

pub static GUARD: Section = Section {
    title: "A guard",
    fields: &[
        entry("window", Shape::Duration, "duration, 1s to 10m", "`10m`", "The longest window that is looked at."),
        entry(
            "errors",
            Shape::Map(&ERRORS),
            "map",
            "not looked at",
            "How many answers may be failures. This or `latency` is required.",
        ),
        entry("latency", Shape::Map(&LATENCY), "map", "not looked at", "How many answers may be slow."),
        entry(
            "failures",
            Shape::List(&Shape::Either(&[Shape::Words(&["5xx", "reset", "grpc"]), Shape::Whole(400, 599)])),
            "list of `5xx`, `reset`, `grpc` and statuses from 400 to 599",
            "`[5xx, reset, grpc]`",
            "What counts as a failure. At most 16.",
        ),
        entry(
            "identities",
            Shape::Words(&["any", "verified"]),
            "",
            "`any`",
            "Whose requests are counted: those of every identity, or of those from a `claim` or the `peer` alone.",
        ),
        entry(
            "fleet",
            Shape::Whole(1, 1_000_000),
            "1 to 1,000,000",
            "`1`",
            "How many proxies judge by this guard, each for itself: the more there are, the more evidence each asks for.",
        ),
        entry(
            "action",
            Shape::Words(&["rollback", "hold", "alert"]),
            "",
            "`rollback`",
            "When a limit is broken: everybody gets the baseline, ramps go no further, or it is only told.",
        ),
        entry(
            "retryAfter",
            Shape::Duration,
            "duration, from 10s",
            "never",
            "When a variant that was rolled back is tried again. Needs the action `rollback`.",
        ),
        entry("rearm", Shape::SomeProse, "text", "none", "A new value ends a rollback: the guard begins anew."),
    ],
};

/// How many answers may be failures.
pub static ERRORS: Section = Section {
    title: "`errors` of a guard",
    fields: &[
        entry(
            "max",
            Shape::Percent,
            "above 0 to 100, in steps of 0.0001",
            "any",
            "The share of answers that may be failures. One of the two is required.",
        ),
        entry(
            "overBaseline",
            Shape::Percent,
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
            Shape::Percent,
            "above 0 and below 100, in steps of 0.0001",
            NEEDED,
            "The share of answers that must be fast enough.",
        ),
        entry(
            "max",
            Shape::Duration,
            "duration, from 1ms",
            "any",
            "The time that they must keep. One of the two is required.",
        ),
        entry(
            "overBaseline",
            Shape::Factor,
            "factor above 1, to 100: `1.5x`",
            "any",
            "How many times the baseline's percentile they may take, in steps of 0.001.",
        ),
    ],
};

/// What has been decided so far about a flag.
pub static STANDING: Section = Section {
    title: "A standing",
    fields: &[
        entry(
            "of",
            Shape::SomeProse,
            "16 hexadecimal digits, in quotes",
            NEEDED,
            "The generation of the flag that it speaks of. Once the flag serves something else, it is void.",
        ),
        entry(
            "phase",
            Shape::Words(&["running", "held", "rolledBack"]),
            "",
            NEEDED,
            "The rules decide; ramps take no step that begins later than `since`; or everybody gets the baseline.",
        ),
        entry(
            "steps",
            Shape::Named { key: &Shape::SomeProse, value: &Shape::Whole(0, 100) },
            "map of numbers of steps by rule, counted from 1",
            "no limit; no step that requires `fleet` or `ready`",
            "How many steps the ramp of a rule may have taken.",
        ),
        entry("since", Shape::Time, "time with an offset", NEEDED, "Since when it is in this phase, as RFC 3339."),
        entry("why", Shape::Prose, "text", "none", "What it was decided on."),
        entry("by", Shape::Prose, "text", "none", "Who wrote it."),
    ],
};
