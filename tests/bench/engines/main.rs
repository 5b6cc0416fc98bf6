//! Measures what one decision costs in Tidegate's engine and in public ones, all doing the same: a sticky 50 % rollout.
//!
//! Each engine has its config compiled and its user at hand, decides all flags one after the other as its interface
//! has it, and is asked for a thousand users first: a rollout that is not near a half is no rollout. Engines take turns;
//! what is told is the lower quartile. Prints one JSON object: for each number of flags, nanoseconds a decision.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_engine::decide::decide;
use tidegate_engine::decide::standing::Standing;
use tidegate_engine::plan::Plan;
use tidegate_engine::request::Request;
use tidegate_engine::value::time::Timestamp;

const TURNS: usize = 40;
const TURN: Duration = Duration::from_millis(10);
const USERS: usize = 1_000;

/// Something that decides all its flags for one of its users, and says how many of them are on.
struct Engine {
    name: &'static str,
    decide: Box<dyn Fn(usize) -> usize>,
    nanos: Vec<f64>,
}

fn engine(name: &'static str, decide: impl Fn(usize) -> usize + 'static) -> Engine {
    Engine { name, decide: Box::new(decide), nanos: Vec::new() }
}

fn user(number: usize) -> String {
    format!("user-{number}")
}

fn keys(flags: usize) -> Vec<String> {
    (0..flags).map(|n| format!("flag-{n}")).collect()
}

/// What lives until the end of the program: configs, and users made ready.
fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn tidegate(flags: usize) -> Engine {
    let rule = json!({"rules": [{"percent": 50, "serve": "on"}]});
    let all: serde_json::Map<String, Value> = keys(flags).into_iter().map(|key| (key, rule.clone())).collect();
    let config = json!({"version": 1, "identity": [{"header": "x-user-id"}], "flags": all}).to_string();
    let (compiled, problems) = Plan::from_bytes(config.as_bytes());
    let plan: &Plan = kept(compiled.ready().unwrap_or_else(|| panic!("{problems}")));
    let requests: Vec<Request<'static>> = (0..USERS)
        .map(|number| {
            let headers: [(&[u8], &[u8]); 2] = [(b":path", b"/"), (b"x-user-id", kept(user(number)).as_bytes())];
            Request::new(plan.inputs(), headers.into_iter(), std::iter::empty())
        })
        .collect();
    engine("tidegate", move |user| {
        let decisions = decide(plan, &requests[user], &Standing::NONE, Timestamp::from_millis(0));
        decisions.list().iter().filter(|decision| decision.variant().name.as_str() == "on").count()
    })
}

fn unleash(flags: usize) -> Engine {
    use unleash_types::client_features::{ClientFeatures, Context};
    use unleash_yggdrasil::state::EnrichedContext;
    use unleash_yggdrasil::{EngineState, UpdateMessage};

    let features: Vec<Value> = keys(flags)
        .iter()
        .map(|key| {
            let rollout = json!({"rollout": "50", "stickiness": "userId", "groupId": key});
            json!({"name": key, "enabled": true, "strategies": [{"name": "flexibleRollout", "parameters": rollout}]})
        })
        .collect();
    let features: ClientFeatures = serde_json::from_value(json!({"version": 2, "features": features})).unwrap();
    let state = EngineState::initial_state(chrono::Utc::now());
    assert!(state.take_state(UpdateMessage::FullResponse(features)).is_none());
    let users: Vec<Context> =
        (0..USERS).map(|number| Context { user_id: Some(user(number)), ..Context::default() }).collect();
    let keys = keys(flags);
    engine("unleash-yggdrasil", move |user| {
        let context = &users[user];
        keys.iter().filter(|key| state.check_enabled(&EnrichedContext::from(context, key, None)) == Some(true)).count()
    })
}

fn eppo(flags: usize) -> Engine {
    use eppo_core::eval::get_assignment;
    use eppo_core::ufc::UniversalFlagConfig;
    use eppo_core::{Attributes, Configuration, SdkMetadata, Str};

    let flag = |key: &String| {
        let split = |variation: &str, start: u32, end: u32| json!({"variationKey": variation, "shards": [{"salt": key, "ranges": [{"start": start, "end": end}]}]});
        json!({
            "key": key, "enabled": true, "variationType": "BOOLEAN", "totalShards": 10_000,
            "variations": {"on": {"key": "on", "value": true}, "off": {"key": "off", "value": false}},
            "allocations": [{"key": "all", "splits": [split("on", 0, 5_000), split("off", 5_000, 10_000)], "doLog": false}],
        })
    };
    let all: serde_json::Map<String, Value> = keys(flags).iter().map(|key| (key.clone(), flag(key))).collect();
    let config = json!({
        "createdAt": "2026-01-01T00:00:00.000Z", "format": "SERVER", "environment": {"name": "bench"}, "flags": all,
    });
    let about = SdkMetadata { name: "bench", version: "1" };
    let config = UniversalFlagConfig::from_json(about, config.to_string().into_bytes()).unwrap();
    let config = Configuration::from_server_response(config, None);
    let users: Vec<Str> = (0..USERS).map(|number| Str::from(user(number))).collect();
    let (keys, attributes, now) = (keys(flags), Arc::new(Attributes::default()), chrono::Utc::now());
    engine("eppo_core", move |user| {
        let on = |key: &&String| {
            let assigned = get_assignment(Some(&config), key, &users[user], &attributes, None, now);
            assigned.ok().flatten().and_then(|assigned| assigned.value.as_boolean()) == Some(true)
        };
        keys.iter().filter(on).count()
    })
}

fn launchdarkly(flags: usize) -> Engine {
    use launchdarkly_server_sdk_evaluation::{Context, ContextBuilder, Flag, FlagValue, Segment, Store, evaluate};

    struct Nothing;
    impl Store for Nothing {
        fn flag(&self, _: &str) -> Option<Flag> {
            None
        }
        fn segment(&self, _: &str) -> Option<Segment> {
            None
        }
    }
    let flag = |key: String| -> Flag {
        let half = |variation: usize| json!({"variation": variation, "weight": 50_000});
        let flag = json!({
            "key": key, "version": 1, "on": true, "targets": [], "rules": [], "prerequisites": [], "salt": key,
            "fallthrough": {"rollout": {"kind": "rollout", "contextKind": "user", "variations": [half(0), half(1)]}},
            "offVariation": 1, "variations": [true, false], "clientSide": false,
        });
        serde_json::from_value(flag).unwrap()
    };
    let flags: Vec<Flag> = keys(flags).into_iter().map(flag).collect();
    let users: Vec<Context> = (0..USERS).map(|number| ContextBuilder::new(user(number)).build().unwrap()).collect();
    engine("launchdarkly", move |user| {
        let on =
            |flag: &&Flag| matches!(evaluate(&Nothing, flag, &users[user], None).value, Some(FlagValue::Bool(true)));
        flags.iter().filter(on).count()
    })
}

fn main() {
    let mut result = BTreeMap::new();
    for flags in [1_usize, 20, 200] {
        let mut engines = [tidegate(flags), unleash(flags), eppo(flags), launchdarkly(flags)];
        for engine in &engines {
            let on: usize = (0..USERS).map(|user| (engine.decide)(user)).sum();
            let share = on as f64 / (USERS * flags) as f64;
            assert!((0.45..0.55).contains(&share), "{}: {share} of all decisions are on", engine.name);
        }
        for _ in 0..TURNS {
            for engine in &mut engines {
                let (begun, mut rounds) = (Instant::now(), 0);
                while begun.elapsed() < TURN {
                    for user in 0..32 {
                        black_box((engine.decide)(black_box(user + rounds % (USERS - 32))));
                    }
                    rounds += 32;
                }
                engine.nanos.push(begun.elapsed().as_nanos() as f64 / (rounds * flags) as f64);
            }
        }
        let nanos: BTreeMap<&str, f64> = engines
            .iter_mut()
            .map(|engine| {
                engine.nanos.sort_by(f64::total_cmp);
                (engine.name, engine.nanos[TURNS / 4])
            })
            .collect();
        result.insert(flags.to_string(), nanos);
    }
    println!("{}", serde_json::to_string_pretty(&result).unwrap());
}
