//! The fleet's judge over made-up proxies: what they have counted goes in, look by look, and phases and steps come out.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scene that is wrong stops the test"
)]

use std::collections::BTreeMap;

use kit::fleet::{Clients, Fleet as Simulated, Path, Sight, Zone, find, watch};
use kit::simulate::{Times, all, limits};
use tidegate_engine::config::standing::{Phase, Standing};
use tidegate_engine::plan::Plan;
use tidegate_engine::value::name::Prose;
use tidegate_engine::value::time::Timestamp;
use tidegate_judge::flag::{Cause, Event, Told};
use tidegate_judge::fleet::{Counted, Fleet, Proxy};
use tidegate_judge::scope::Scope;
use tidegate_proxy::guard::window::{Count, Measure};

const CONFIG: &str = r#"{"version": 1, "identity": [{"header": "x-user"}], "flags": {"checkout": {
    "variants": ["v1", "v2"], "baseline": "v1", "rules": [{"serve": "v2", "steps": [
        {"at": "2027-01-01T00:00:00Z", "percent": 5},
        {"at": "2027-01-02T00:00:00Z", "percent": 50, "requires": "fleet"}]}],
    "guard": {"errors": {"overBaseline": "2%"}}}}}"#;

/// The second step is due by then.
const BEGIN: i64 = 1_798_934_400_000;

fn plan(config: &str) -> Plan {
    Plan::from_bytes(config.as_bytes()).0.ready().unwrap()
}

/// Sixty proxies in three zones.
struct Scene {
    fleet: Fleet,
    looks: i64,
    standing: BTreeMap<usize, u64>,
    steps: u8,
}

impl Scene {
    fn new(config: &str) -> Self {
        let plan = plan(config);
        Self {
            fleet: Fleet::new(plan, 5, Timestamp::from_millis(BEGIN)),
            looks: 0,
            standing: BTreeMap::new(),
            steps: 1,
        }
    }

    fn name(number: usize) -> String {
        format!("10.0.0.{number}:15090")
    }

    fn see(&mut self) {
        let fingerprint = self.fleet.plan().fingerprint() & 0xffff_ffff_ffff;
        let proxies = (0..60).map(|number| {
            let standing = self.standing.get(&number).copied().unwrap_or_default();
            let told = Told { is_current: true, standing, steps: [(1, self.steps)].into() };
            let zone = ["a", "b", "c"][number % 3].to_owned();
            let flags = [("checkout".to_owned(), told)].into();
            (Self::name(number), Proxy { zone, workload: String::new(), fingerprint, flags })
        });
        self.fleet.see(proxies.collect());
    }

    /// A look, after each proxy has counted 20 requests of v2 and 380 of v1; of v2 so many have failed, by proxy.
    fn look(&mut self, failed: impl Fn(usize) -> u32) -> Vec<Event> {
        self.see();
        let arms = (0..60).flat_map(|number| {
            let counted = |exposed, requests, failed| Counted {
                proxy: Self::name(number),
                flag: "checkout".to_owned(),
                rule: 1,
                variant: "v2".to_owned(),
                exposed,
                group: None,
                count: Count { requests, failed, slow: 0 },
            };
            [counted(true, 20, failed(number)), counted(false, 380, 3)]
        });
        self.fleet.count(&arms.collect::<Vec<_>>());
        self.advance()
    }

    fn advance(&mut self) -> Vec<Event> {
        self.looks += 1;
        let now = Timestamp::from_millis(BEGIN + self.looks * 5_000);
        self.fleet.advance(now).into_iter().map(|(_, event)| event).collect()
    }

    fn phase(&self) -> Phase {
        self.fleet.flags()[0].phase()
    }

    fn steps(&self) -> Vec<(u8, u8)> {
        self.fleet.flags()[0].steps().into_iter().collect()
    }
}

#[test]
fn a_version_that_fails_everywhere_is_rolled_back_once() {
    let mut scene = Scene::new(CONFIG);
    let events = scene.look(|_| 6);
    let [Event::Phase { from: Phase::Running, to: Phase::RolledBack, cause }] = &events[..] else {
        panic!("{events:?}")
    };
    let Cause::Breach { variant, scope, proxies, .. } = cause else { panic!("{cause:?}") };
    assert_eq!((variant.as_str(), scope, *proxies), ("v2", &Scope::Fleet, 60));
    assert!(scene.look(|_| 6).is_empty());
    assert_eq!(scene.phase(), Phase::RolledBack);
}

#[test]
fn a_version_that_fails_in_one_zone_is_held() {
    let mut scene = Scene::new(CONFIG);
    let mut events = Vec::new();
    for _ in 0..4 {
        events.extend(scene.look(|number| if number % 3 == 0 { 8 } else { 0 }));
    }
    let phases: Vec<_> = events.iter().filter(|event| matches!(event, Event::Phase { .. })).collect();
    let [Event::Phase { to: Phase::Held, cause: Cause::Breach { scope, .. }, .. }] = phases[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*scope, Scope::Zone("a".to_owned()));
    assert_eq!(scene.steps(), [(1, 1)]);
}

#[test]
fn proxies_that_go_back_by_themselves_stop_the_others() {
    let mut scene = Scene::new(CONFIG);
    scene.standing = [(1, 3), (2, 3)].into();
    scene.look(|_| 0);
    assert_eq!(scene.phase(), Phase::Running);
    scene.standing.insert(3, 3);
    let events = scene.look(|_| 0);
    assert!(matches!(events[..], [Event::Phase { cause: Cause::Alarmed { proxies: 3, of: 60 }, .. }]), "{events:?}");
    assert_eq!(scene.phase(), Phase::Held);
}

#[test]
fn a_step_is_granted_when_all_are_well_and_there() {
    let mut scene = Scene::new(CONFIG);
    assert_eq!(scene.look(|_| 0), [Event::Step { rule: 1, steps: 2 }]);
    assert_eq!(scene.steps(), [(1, 2)]);
}

#[test]
fn nothing_changes_where_nothing_is_seen() {
    let mut scene = Scene::new(CONFIG);
    scene.see();
    scene.fleet.blind();
    for _ in 0..10 {
        assert!(scene.advance().is_empty());
    }
    assert_eq!((scene.phase(), scene.steps()), (Phase::Running, vec![]));
    // Silence is no health, either.
    scene.see();
    assert!(scene.advance().is_empty());
}

#[test]
fn what_the_config_says_is_taken_up_and_never_relaxed() {
    let mut scene = Scene::new(CONFIG);
    let since = Timestamp::from_millis(BEGIN);
    let flag = scene.fleet.flag_mut("checkout").unwrap();
    let entry = |phase, steps, by: &str| Standing { of: 0, phase, steps, since, why: None, by: Prose::parse(by).ok() };
    flag.stands(&entry(Phase::RolledBack, Vec::new(), "tidegate steer"));
    flag.stands(&entry(Phase::Running, vec![(1, 2)], "an old view"));
    assert!(scene.look(|_| 0).is_empty());
    assert_eq!(scene.phase(), Phase::RolledBack);
    let plan = plan(CONFIG);
    scene.fleet.replace(plan, since);
    assert_eq!(scene.phase(), Phase::RolledBack);
    // Another generation begins anew.
    scene.fleet.replace(self::plan(&CONFIG.replace("\"percent\": 5}", "\"percent\": 6}")), since);
    assert_eq!(scene.phase(), Phase::Running);
}

#[test]
fn a_fleet_finds_what_one_proxy_alone_cannot() {
    let zone = Zone { proxies: 1_000, requests: 1.0, canary: 5.0, base: 1.0 };
    let sight = Sight { scrape: 15, look: 5 };
    let fleet = Simulated { zones: &[zone], clients: None, sight, limits: limits(Measure::Errors, None, Some(2)) };
    for (fault, most) in [(50.0, 15_000), (5.0, 45_000)] {
        let times = Times::new(all(10, |run| find(&fleet, fault, run), |_| {}));
        let median = times.percentile(50);
        assert!(median.is_some_and(|median| median <= most), "{fault} %: {median:?}");
    }
}

#[test]
fn a_day_on_which_each_client_breaks_once_moves_nothing() {
    let zone = Zone { proxies: 1_000, requests: 1.0, canary: 5.0, base: 1.0 };
    let sight = Sight { scrape: 15, look: 5 };
    for path in [Path::All, Path::One] {
        let clients = Some(Clients { identities: 2_000, path });
        let fleet = Simulated { zones: &[zone], clients, sight, limits: limits(Measure::Errors, None, Some(2)) };
        assert_eq!(watch(&fleet, 1), None, "{path:?}");
    }
}
