//! What a judge tells at its door: asked over HTTP, and read into the words of a standing.
//!
//! What cannot be read of a flag is no verdict. Never remembers what was told before.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tidegate_engine::config::standing::Phase;
use tidegate_engine::value::time::Timestamp;
use ureq::Agent;
use ureq::http::Uri;

use crate::prometheus::unanswered;

/// The largest answer that is read, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

/// A judge whose last look is older than this many of its looks stands still.
const LOOKS: i64 = 3;

/// So many seconds more are given to it, for slow looks and for clocks that differ.
const SLACK: i64 = 15;

/// All that a judge tells at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When it has last seen proxies.
    pub last: Option<Timestamp>,
    /// Seconds between its looks.
    pub every: u64,
    /// Why it sees nothing, if so.
    pub blind: Option<String>,
    pub flags: BTreeMap<String, Flag>,
}

/// What it tells of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The generation that it speaks of.
    pub generation: u64,
    pub phase: Phase,
    pub since: Timestamp,
    pub why: String,
    /// By rule: how many steps its ramp may have taken, where it does not go by itself.
    pub steps: BTreeMap<u8, u8>,
    /// Whether a verdict, and not the config, has taken it to its phase.
    pub is_judged: bool,
    /// Why nothing is seen of it, if so.
    pub blind: Option<String>,
    pub proxies: u64,
}

/// As it is written at the door.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    last_look: Option<String>,
    every: u64,
    blind: Option<String>,
    flags: BTreeMap<String, Written>,
}

#[derive(Deserialize)]
struct Written {
    generation: String,
    phase: String,
    since: String,
    why: Option<String>,
    steps: BTreeMap<String, u8>,
    judged: bool,
    blind: Option<String>,
    proxies: u64,
}

impl Told {
    /// Reads what stands at `/v1/flags`.
    ///
    /// # Errors
    /// If it is not what a judge of this version tells.
    pub fn read(text: &str) -> Result<Self, String> {
        let page: Page = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let time = |text: &str| Timestamp::parse(text).map_err(|_| format!("'{text}' is no time"));
        let last = page.last_look.as_deref().map(time).transpose()?;
        let mut flags = BTreeMap::new();
        for (key, one) in page.flags {
            let phase = Phase::ALL.into_iter().find(|phase| phase.name() == one.phase);
            let phase = phase.ok_or_else(|| format!("{key} has the phase '{}'", one.phase))?;
            let generation =
                u64::from_str_radix(&one.generation, 16).map_err(|_| format!("{key} has no generation"))?;
            let steps = one.steps.iter().map(|(rule, steps)| Some((rule.parse().ok()?, *steps)));
            let steps: Option<BTreeMap<u8, u8>> = steps.collect();
            let steps = steps.ok_or_else(|| format!("{key} has steps of no rule"))?;
            let (since, why) = (time(&one.since)?, one.why.unwrap_or_default());
            let Written { judged: is_judged, blind, proxies, .. } = one;
            flags.insert(key, Flag { generation, phase, since, why, steps, is_judged, blind, proxies });
        }
        Ok(Self { last, every: page.every, blind: page.blind, flags })
    }

    /// Why nothing may be granted by what it tells, if so: it is blind, or what it has seen is old.
    #[must_use]
    pub fn is_old(&self, now: Timestamp) -> Option<String> {
        if let Some(why) = &self.blind {
            return Some(format!("it sees nothing: {why}"));
        }
        let Some(last) = self.last else { return Some("it has not looked yet".to_owned()) };
        let age = now.millis().saturating_sub(last.millis()) / 1_000;
        let most = i64::try_from(self.every).unwrap_or(i64::MAX).saturating_mul(LOOKS).saturating_add(SLACK);
        let clocks = "or the clocks of the two differ";
        if age > most {
            return Some(format!("its last look is {age} s old, {clocks}"));
        }
        (age < -most).then(|| format!("its last look is {} s ahead, {clocks}", -age))
    }
}

/// A judge that can be asked.
#[derive(Debug)]
pub struct Judge {
    /// Without a slash at its end.
    base: String,
    wait: Duration,
    agent: Agent,
}

impl Judge {
    /// One at this address, such as `http://127.0.0.1:9911`.
    ///
    /// # Errors
    /// If it is no address.
    pub fn new(url: &str, wait: Duration) -> Result<Self, String> {
        let uri: Option<Uri> = url.parse().ok();
        let fits = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
        if !uri.as_ref().is_some_and(fits) {
            return Err(format!("--judge {url}: must be the address of a judge, such as http://127.0.0.1:9911"));
        }
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(wait));
        Ok(Self { base: url.trim_end_matches('/').to_owned(), wait, agent: config.build().new_agent() })
    }

    /// What it tells now.
    ///
    /// # Errors
    /// If there is no answer, or not that of a judge.
    pub fn ask(&self) -> Result<Told, String> {
        let failed = |why: String| format!("the judge {} cannot be asked: {why}", self.base);
        let answer = self.agent.get(format!("{}/v1/flags", self.base)).call();
        let mut response = answer.map_err(|error| failed(unanswered(&error, self.wait)))?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MOST).read_to_string();
        let text = text.map_err(|error| failed(unanswered(&error, self.wait)))?;
        if status != 200 {
            return Err(failed(format!("it answers with {status}")));
        }
        if serde_json::from_str::<Value>(&text).is_err() {
            return Err(failed("what answers there is no judge".to_owned()));
        }
        Told::read(&text)
            .map_err(|why| failed(format!("its answer is not understood ({why}): is it of another version?")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(flag: &str) -> String {
        format!(r#"{{"lastLook": "2026-12-01T09:00:00Z", "every": 5, "blind": null, "flags": {{"checkout": {flag}}}}}"#)
    }

    const FLAG: &str = r#"{"generation": "9f3a6c1e02b7d455", "phase": "held", "since": "2026-12-01T08:00:00Z",
        "why": "errors", "steps": {"4": 2}, "judged": true, "blind": null, "proxies": 7, "else": 1}"#;

    #[test]
    fn what_a_judge_tells_is_read() {
        let told = Told::read(&page(FLAG)).unwrap();
        let flag = &told.flags["checkout"];
        assert_eq!((flag.generation, flag.phase, flag.is_judged), (0x9f3a_6c1e_02b7_d455, Phase::Held, true));
        assert_eq!((flag.steps.clone(), &*flag.why, flag.proxies), (BTreeMap::from([(4, 2)]), "errors", 7));
        for (was, is) in [
            ("\"held\"", "\"waiting\""),
            ("9f3a", "zz"),
            ("\"4\": 2", "\"x\": 2"),
            ("\"4\": 2", "\"4\": 300"),
            ("2026-12-01T08", "then"),
            ("\"judged\": true,", ""),
        ] {
            assert!(Told::read(&page(&FLAG.replace(was, is))).is_err(), "{was} -> {is}");
        }
    }

    #[test]
    fn an_old_look_grants_nothing() {
        let told = Told::read(&page(FLAG)).unwrap();
        let at = |seconds: i64| told.last.unwrap().millis() + seconds * 1_000;
        for (seconds, old) in [(0, false), (30, false), (31, true), (-30, false), (-31, true)] {
            assert_eq!(told.is_old(Timestamp::from_millis(at(seconds))).is_some(), old, "{seconds}");
        }
        let blind = Told { blind: Some("away".to_owned()), ..told.clone() };
        assert_eq!(blind.is_old(told.last.unwrap()).as_deref(), Some("it sees nothing: away"));
        assert!(Told::default().is_old(told.last.unwrap()).is_some());
    }
}
