//! A request of any bytes against a plan that looks at everything: who is asking is found as a naive reader finds
//! it, what is written comes from the config, and what a client forged is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;
use tidegate_engine::config::ClaimPath;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::decide::{Decisions, decide};
use tidegate_engine::output::effect::{Effect, OnResponse, on_request, rewritten};
use tidegate_engine::plan::Plan;
use tidegate_engine::request::{Request, claim, host_address, token_payload};
use tidegate_engine::value::hash::Salt;

use super::encoding;
use super::message::{Message, upstream};

pub const CONFIG: &str = include_str!("everything.json");

static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::from_bytes(CONFIG.as_bytes()).0.ready().expect("a good config"));

/// What the config allows to be written: the values of each header.
static WRITTEN: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let config: Value = serde_json::from_str(CONFIG).expect("JSON");
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, flag) in config["flags"].as_object().expect("flags") {
        let variants = flag["variants"].as_array().cloned().unwrap_or_else(|| vec!["on".into(), "off".into()]);
        for variant in variants {
            let name = variant.as_str().or(variant["name"].as_str()).expect("a name");
            let value = variant["value"].as_str().unwrap_or(name);
            let own = flag["header"].as_str().map_or_else(|| format!("x-flag-{key}"), str::to_owned);
            let route = flag["route"]["header"].as_str().map(str::to_owned);
            let more = variant["headers"].as_object().into_iter().flatten();
            let more = more.map(|(header, value)| (header.clone(), value.as_str().expect("text").to_owned()));
            let usual = [Some(own), route].into_iter().flatten().map(|header| (header, value.to_owned()));
            for (header, value) in usual.chain(more) {
                written.entry(header).or_default().insert(value);
            }
        }
    }
    written
});

pub fn check(bytes: &[u8]) {
    let message = Message::read(bytes);
    let request = message.request(&PLAN);
    let decisions = decide(&PLAN, &request, &Standing::NONE, message.timestamp());
    let effects = on_request(&PLAN, &request, &decisions);
    let carry = OnResponse::new(&PLAN, &request, &decisions);
    check_decisions(&message, &request, &decisions);
    check_effects(&message, &effects);
    check_response(&message, &carry, &decisions);
    let again = decide(&PLAN, &request, &Standing::NONE, message.timestamp());
    assert_eq!(effects, on_request(&PLAN, &request, &again), "a second decision has other effects");
    assert_eq!(carry, OnResponse::new(&PLAN, &request, &again), "a second decision answers otherwise");
}

/// Which flags are decided, for whom, and what conditions see.
fn check_decisions(message: &Message<'_>, request: &Request<'_>, decisions: &Decisions<'_>) {
    let keys: Vec<&str> = decisions.list().iter().map(|decision| decision.flag().key().as_str()).collect();
    assert!(keys.is_sorted() && keys.len() == 13 + usize::from(is_shop(request)), "{keys:?}");
    assert_eq!(decisions.find("shop").is_some(), is_shop(request), "{:?}", request.path());

    let user = user(message);
    assert_eq!(exposure(decisions, "by-user"), drawn("by-user", user.as_deref()), "{user:?}");
    let session = message.cookie("session").or_else(|| tidy(message.query("session")?, true, false));
    let session = session.filter(fits).or_else(|| tidy(message.query("session")?, true, false).filter(fits));
    assert_eq!(exposure(decisions, "by-session"), drawn("by-session", session.as_deref()), "{session:?}");
    let property = |name| message.property(name).map(<[u8]>::to_vec);
    let address = property("address").map(|address| host_address(&address));
    let place = [property("peer"), address, property("proxy")].into_iter().flatten().find(fits);
    assert_eq!(exposure(decisions, "by-place"), drawn("place", place.as_deref()), "{place:?}");

    let on = |key: &str| decisions.find(key).expect("it matches all").variant().name().as_str() == "on";
    assert_eq!(on("cookie-there"), !message.cookies("uid").is_empty(), "{:?}", message.cookies("uid"));
    assert_eq!(on("cookie-is"), message.cookie("uid").as_deref() == Some(b"ana b"));
    assert_eq!(on("query-there"), !message.queries("q").is_empty(), "{:?}", message.queries("q"));
    assert_eq!(on("query-is"), message.query("q").as_deref() == Some(b"ana b"));
    assert!(!on("killed"));
}

/// What is written comes from the config, and what was forged is gone.
fn check_effects(message: &Message<'_>, effects: &[Effect<'_>]) {
    for effect in effects {
        match effect {
            Effect::Remove(name) => {
                assert!(message.pairs().any(|(sent, _)| *sent == **name), "{name:?} was never sent");
                let text = core::str::from_utf8(name).expect("names are text");
                assert!(owned(text) || **name == *b"baggage", "{text} is not ours to take");
            }
            Effect::Set(name, value) => {
                assert!(WRITTEN.get(*name).is_some_and(|values| values.contains(*value)), "{name}: {value}");
            }
            Effect::Dictionary(text) => {
                for member in text.split(", ") {
                    let (key, value) = member.split_once('=').expect("key=value");
                    let known = ["?0", "?1", "a", "b", "c", "\"1\"", "v2", "v3", "v4"];
                    assert!(PLAN.flags().iter().any(|flag| flag.key().as_str() == key), "{text}");
                    assert!(known.contains(&value), "{text}");
                }
            }
            Effect::Baggage(value) => check_baggage(message, value),
            Effect::ClearRoute => {}
        }
    }
    let sent = upstream(message.headers.iter().copied(), &[]);
    let left = upstream(message.headers.iter().copied(), effects);
    let left_by_engine = rewritten(sent.iter().map(|(name, value)| (name.as_bytes(), &**value)), effects);
    assert!(
        left.iter().map(|(name, value)| (name.as_bytes(), &**value)).eq(left_by_engine),
        "written at once it is other"
    );
    let written: Vec<(&str, &[u8])> = effects.iter().filter_map(Effect::written).collect();
    for (name, value) in left {
        if owned(&name) {
            let ours = written.iter().any(|(ours, text)| *ours == name && *text == value);
            assert!(ours, "{name} went through with {}", value.escape_ascii());
        }
    }
}

/// What is added to a baggage comes last and is of the config; what stands before it came with the request.
fn check_baggage(message: &Message<'_>, value: &[u8]) {
    let sent = message.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("baggage"));
    let mut sent = sent.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut added = false;
    for member in value.split(|byte| *byte == b',') {
        let text = member.strip_prefix(b"tidegate.").and_then(|member| std::str::from_utf8(member).ok());
        let ours = text.and_then(|text| text.split_once('=')).is_some_and(|(key, variant)| {
            let flag = PLAN.flags().iter().find(|flag| flag.key().as_str() == key);
            flag.is_some() && ["on", "off", "a", "b", "c", "v1", "v2", "v3", "v4"].contains(&variant)
        });
        let came = !ours && sent.any(|sent| sent == member);
        added |= ours;
        assert!(ours || came && !added, "{} is neither sent nor ours", member.escape_ascii());
    }
}

/// The response has the decisions in our own words, and no more of the request than a cookie made of its id.
fn check_response(message: &Message<'_>, carry: &OnResponse, decisions: &Decisions<'_>) {
    assert_eq!(carry.inspection.is_some(), message.one("x-inspect").is_some());
    let members = carry.inspection.as_deref().into_iter().flat_map(|text| text.split(", "));
    for (member, decision) in members.zip(decisions.list()) {
        let mut parts = member.split(';');
        let (key, variant) = (decision.flag().key(), decision.variant().name());
        assert_eq!(parts.next(), Some(&*format!("{key}={variant}")));
        assert_eq!(parts.next(), Some(&*format!("reason={}", decision.reason().code())));
        for part in parts {
            let draw = part.strip_prefix("exposure=").and_then(|draw| draw.parse::<u32>().ok());
            assert!(part == "no_identity" || draw.is_some_and(|draw| draw < 1_000_000), "{member}");
        }
    }
    if let Some(cookie) = &carry.cookie {
        let id = fresh_id(message.one("x-request-id").expect("an id is made of an id"));
        assert_eq!(*cookie, format!("visitor={id}; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax; Secure"));
        assert!(message.cookies("visitor").is_empty(), "there was a cookie");
    }
}

/// A name that some server could take for one that the config writes.
fn owned(name: &str) -> bool {
    let folded = name.to_ascii_lowercase().replace('_', "-");
    folded == "x-flags" || folded == "x-inspect" || WRITTEN.keys().any(|known| known.replace('_', "-") == folded)
}

fn is_shop(request: &Request<'_>) -> bool {
    let (host, path) = (request.host(), request.path());
    let below = |prefix: &[u8]| path.starts_with(prefix) && matches!(path.get(prefix.len()), None | Some(b'/'));
    [&b"GET"[..], b"POST"].contains(&request.method())
        && (host == b"shop.example" || host.len() > 13 && host.ends_with(b".shop.example"))
        && (below(b"/api") || below(b"/cart"))
}

fn exposure(decisions: &Decisions<'_>, key: &str) -> Option<u32> {
    decisions.find(key).expect("it matches all").exposure()
}

fn drawn(salt: &str, identity: Option<&[u8]>) -> Option<u32> {
    identity.map(|identity| Salt::new(salt).point(identity).exposure())
}

/// The config's own identity: the first source that gives one value that fits.
fn user(message: &Message<'_>) -> Option<Vec<u8>> {
    let sub = message.property("claim.sub").filter(|sub| !sub.is_empty()).map(|sub| encoding::claim(sub.to_vec()));
    let header = message.one("x-user-id").and_then(|header| tidy(header.to_vec(), true, true));
    let token = message
        .one("authorization")
        .and_then(token_payload)
        .and_then(|payload| claim(&payload, &ClaimPath(["realm", "user"].map(Box::from).into())));
    let visitor = match message.cookies("visitor").as_slice() {
        [] => message.one("x-request-id").map(|id| fresh_id(id).into_bytes()),
        [one] => Some(one.clone()),
        _ => None,
    };
    [sub, header, message.cookie("uid"), message.query("uid"), token, visitor].into_iter().flatten().find(fits)
}

fn fresh_id(request_id: &[u8]) -> String {
    let half = |salt: &str| Salt::new(salt).point(request_id).bits();
    format!("{:016x}{:016x}", half("tidegate-visitor-1"), half("tidegate-visitor-2"))
}

#[allow(clippy::ptr_arg, reason = "it filters vectors")]
fn fits(identity: &Vec<u8>) -> bool {
    (1..=256).contains(&identity.len())
}

#[allow(clippy::unnecessary_wraps, reason = "it stands in chains of options")]
fn tidy(mut value: Vec<u8>, trim: bool, lower: bool) -> Option<Vec<u8>> {
    if trim {
        value = strip(&value).to_vec();
    }
    if lower {
        value.make_ascii_lowercase();
    }
    Some(value)
}

fn strip(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n' | 0x0c, rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r' | b'\n' | 0x0c] =
        bytes
    {
        bytes = rest;
    }
    bytes
}

/// Percent-encoding undone; what is none stays as it is.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if let (b'%', Some(hex)) = (bytes[at], hex) {
            decoded.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    decoded
}

impl Message<'_> {
    /// All cookies of this name.
    fn cookies(&self, name: &str) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for header in self.all("cookie") {
            for pair in header.split(|byte| *byte == b';') {
                let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
                if strip(&pair[..equals]) == name.as_bytes() {
                    match strip(&pair[equals + 1..]) {
                        [b'"', inside @ .., b'"'] => found.push(decode(inside)),
                        bare => found.push(decode(bare)),
                    }
                }
            }
        }
        found
    }

    fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        <[Vec<u8>; 1]>::try_from(self.cookies(name)).ok().map(|[one]| one)
    }

    /// All parameters of this name, of the last path.
    fn queries(&self, name: &str) -> Vec<Vec<u8>> {
        let path = self.headers.iter().rfind(|(known, _)| *known == ":path").map_or(&b""[..], |(_, path)| path);
        let Some(mark) = path.iter().position(|byte| *byte == b'?') else { return Vec::new() };
        let mut found = Vec::new();
        for pair in path[mark + 1..].split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let key = halves.next().unwrap_or_default();
            if decode(key) == name.as_bytes() {
                found.push(decode(halves.next().unwrap_or_default()));
            }
        }
        found
    }

    fn query(&self, name: &str) -> Option<Vec<u8>> {
        <[Vec<u8>; 1]>::try_from(self.queries(name)).ok().map(|[one]| one)
    }
}
