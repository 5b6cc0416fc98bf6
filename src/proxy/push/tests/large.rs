//! Timelines of large pushes: what a worker serves, shows and tells while it makes a config ready in slices.

use crate::host::share::Rc;
use std::time::Duration;

use super::{BAD, DECIDED, Fake, serves};
use crate::filters::Filters;
use crate::host::{Host, Level};
use crate::push::Instance;

/// A config of some 40 KiB that serves this variant to everybody.
fn large(revision: &str, variant: &str) -> String {
    let flag = |n: usize| {
        format!(
            r#""flag-{n}": {{"description": "{:200}", "match": {{"paths": ["/elsewhere/{n}"]}},
                "rules": [{{"percent": 5, "serve": "on"}}]}}, "#,
            "Says what the flag is for."
        )
    };
    let flags: String = (0..120).map(flag).collect();
    let config = serves(revision, variant).replace(r#""flags": {"#, &format!(r#""flags": {{{flags}"#));
    assert!(config.len() >= super::super::LARGE);
    config
}

/// A proxy of one worker, whose clock takes a tenth of a millisecond for each part of the work.
fn proxy() -> (Fake, Rc<Filters>) {
    let host = Fake::default();
    host.step.set(100);
    (host, Rc::default())
}

/// Pushes a config as Envoy does: to a worker that is thrown away, and then to this one.
fn push(host: &Fake, filters: &Rc<Filters>, config: &str) -> Instance {
    assert!(host.push(&Rc::default(), config).1);
    let (instance, accepted) = host.push(filters, config);
    assert!(accepted);
    instance
}

fn shown(host: &Fake, revision: &str) -> Option<u64> {
    host.metric(&format!("tidegate.config.revision=.={revision};.;info"))
}

/// Ticks of the period that was asked for, until it is the usual one; how many there were.
fn finish(host: &Fake, instance: &mut Instance) -> usize {
    let mut ticks = 0;
    while host.period.get() == super::super::PAUSE {
        host.millis.set(host.millis.get() + 1);
        instance.tick(host);
        ticks += 1;
        assert!(ticks < 1_000, "it never ends");
    }
    ticks
}

#[test]
fn a_large_push_is_made_ready_while_the_config_before_it_serves() {
    let (host, filters) = proxy();
    let mut old = push(&host, &filters, &large("old", "on"));
    host.tick(&mut old);
    let lines = host.lines.borrow().len();
    let fingerprint = || host.metric("tidegate.config.fingerprint");
    let before = fingerprint();
    let mut new = push(&host, &filters, &large("new", "off"));
    // One line of the worker that was only asked, none of this one.
    assert_eq!(host.lines.borrow().len(), lines + 1);
    for _ in 0..5 {
        host.millis.set(host.millis.get() + 1);
        new.tick(&host);
        assert_eq!(host.request(&new, 200).as_deref(), Some("on"));
        assert_eq!((shown(&host, "old"), shown(&host, "new"), fingerprint()), (Some(1), None, before));
        assert_eq!(host.period.get(), Duration::from_millis(1));
    }
    let (open, _) = host.begin(&new, "/", &[]);
    drop(old);
    assert!(finish(&host, &mut new) > 10);
    let (level, line) = host.last_line();
    assert!(level == Level::Info && line.starts_with("config: revision new is active: 121 flags"), "{line}");
    assert_eq!((shown(&host, "old"), shown(&host, "new")), (Some(0), Some(1)));
    assert_ne!(fingerprint(), before);
    assert_eq!(host.request(&new, 200).as_deref(), Some("off"));
    // What began under the config before ends under it, and is counted.
    host.end(open, 200);
    host.tick(&mut new);
    assert_eq!(host.metric(DECIDED), Some(6));
    host.tick(&mut new);
    assert_eq!(Rc::strong_count(&filters), 2, "only the new instance and this test hold them");
    assert!(!host.lines.borrow().iter().any(|(_, line)| line.contains("two filters")));
}

#[test]
fn a_clock_that_stands_still_makes_one_slice() {
    let (host, filters) = proxy();
    host.step.set(0);
    let _old = push(&host, &filters, &large("old", "on"));
    let mut new = push(&host, &filters, &large("new", "off"));
    assert_eq!(finish(&host, &mut new), 1);
    assert_eq!(host.request(&new, 200).as_deref(), Some("off"));
}

#[test]
fn what_nothing_else_could_serve_and_what_is_small_is_in_force_at_once() {
    let (host, filters) = proxy();
    // A worker's first config, although it is on record.
    let _first = push(&host, &filters, &large("one", "on"));
    assert_ne!(host.period.get(), super::super::PAUSE);
    // A small one.
    let small = push(&host, &filters, &serves("two", "off"));
    assert_eq!(host.request(&small, 200).as_deref(), Some("off"));
    // One that no worker of this version of the module has found good.
    host.shared.borrow_mut().retain(|name, _| !name.ends_with(super::super::GOOD));
    let (third, accepted) = host.push(&filters, &large("three", "on"));
    assert!(accepted && super::super::GOOD.ends_with(env!("CARGO_PKG_VERSION")));
    assert_eq!(host.request(&third, 200).as_deref(), Some("on"));
    // One that comes where nothing is decided.
    let (host, filters) = proxy();
    let (_inert, accepted) = host.push(&filters, BAD);
    assert!(accepted);
    let good = push(&host, &filters, &large("four", "on"));
    assert_eq!(host.request(&good, 200).as_deref(), Some("on"));
}

#[test]
fn of_two_large_pushes_the_later_one_is_in_force() {
    let (host, filters) = proxy();
    let old = push(&host, &filters, &large("old", "on"));
    let mut one = push(&host, &filters, &large("one", "off"));
    host.millis.set(host.millis.get() + 1);
    one.tick(&host);
    let mut two = push(&host, &filters, &large("two", "on"));
    drop(old);
    // The first one does nothing more.
    one.tick(&host);
    assert_eq!(host.period.get(), Duration::from_millis(250));
    host.period.set(super::super::PAUSE);
    finish(&host, &mut two);
    one.tick(&host);
    assert_eq!((shown(&host, "old"), shown(&host, "one"), shown(&host, "two")), (Some(0), None, Some(1)));
    // Unless the host goes back to it, without a word: then it is made ready, and soon it is the one that is shown.
    assert_eq!(host.request(&one, 200).as_deref(), Some("on"));
    host.period.set(super::super::PAUSE);
    finish(&host, &mut one);
    assert_eq!((shown(&host, "one"), shown(&host, "two")), (None, Some(1)));
    let (_open, _) = host.begin(&two, "/", &[]);
    for _ in 0..4 {
        assert_eq!(host.request(&one, 200).as_deref(), Some("off"));
        host.tick(&mut two);
    }
    assert_eq!((shown(&host, "one"), shown(&host, "two")), (Some(1), Some(0)));
}

#[test]
fn pushes_that_come_faster_than_they_get_ready_do_not_keep_each_other_out() {
    let (host, filters) = proxy();
    let mut last = push(&host, &filters, &large("0", "on"));
    let mut served = Vec::new();
    for n in 1..=30 {
        last = push(&host, &filters, &large(&n.to_string(), "on"));
        host.millis.set(host.millis.get() + 100);
        last.tick(&host);
        served.extend((0..=n).find(|n| shown(&host, &n.to_string()) == Some(1)));
    }
    served.dedup();
    // None had the time that it takes to get ready, but one each second was not left to wait.
    assert_eq!(served, [0, 11, 22]);
    assert_eq!(Rc::strong_count(&filters), 2, "only the last instance and this test hold them");
    drop(last);
}

#[test]
fn the_same_bytes_again_are_one_more_push() {
    let (host, filters) = proxy();
    let _old = push(&host, &filters, &large("old", "on"));
    let mut one = push(&host, &filters, &large("new", "off"));
    one.tick(&host);
    let mut two = push(&host, &filters, &large("new", "off"));
    drop(one);
    finish(&host, &mut two);
    assert_eq!(host.request(&two, 200).as_deref(), Some("off"));
    assert_eq!((shown(&host, "old"), shown(&host, "new")), (Some(0), Some(1)));
}

#[test]
fn a_bad_push_meanwhile_is_refused_and_stays_told() {
    let (host, filters) = proxy();
    let _old = push(&host, &filters, &large("old", "on"));
    let mut new = push(&host, &filters, &large("new", "off"));
    new.tick(&host);
    assert!(!host.push(&Rc::default(), BAD).1);
    let (refused, accepted) = host.push(&filters, BAD);
    assert!(!accepted && refused.stream().is_none());
    drop(refused);
    host.period.set(super::super::PAUSE);
    finish(&host, &mut new);
    assert_eq!(host.request(&new, 200).as_deref(), Some("off"));
    // It tells of the last push.
    assert_eq!([host.metric("tidegate.config.refused"), host.metric("tidegate.config.problems")], [Some(1), Some(1)]);
}

#[test]
fn counts_are_told_in_time_however_long_the_work_takes() {
    let (host, filters) = proxy();
    let old = push(&host, &filters, &large("old", "on"));
    let mut new = push(&host, &filters, &large("new", "off"));
    // The host may give the old instance up at once.
    drop(old);
    for _ in 0..3 {
        host.request(&new, 200);
    }
    host.millis.set(host.millis.get() + 250);
    new.tick(&host);
    assert_eq!(host.metric(DECIDED), Some(3));
    // An instance that goes away before its config is ready takes nothing with it.
    host.request(&new, 200);
    drop(new);
    let mut next = push(&host, &filters, &serves("next", "on"));
    host.tick(&mut next);
    assert_eq!(host.metric(DECIDED), Some(4));
    assert_eq!((shown(&host, "old"), shown(&host, "new"), shown(&host, "next")), (Some(0), None, Some(1)));
}

#[test]
fn bytes_that_are_on_record_and_not_good_change_nothing() {
    let (host, filters) = proxy();
    let _old = push(&host, &filters, &large("old", "on"));
    let bad = format!("{BAD}{}", " ".repeat(super::super::LARGE));
    let mut records = host.shared.borrow_mut();
    let (record, _) = records.iter_mut().find(|(name, _)| name.ends_with(super::super::GOOD)).unwrap().1;
    let mut known = crate::lifecycle::Accepted::new(record.clone());
    known.add(bad.as_bytes());
    *record = known.as_bytes().to_vec();
    drop(records);
    let (mut new, accepted) = host.push(&filters, &bad);
    assert!(accepted);
    finish(&host, &mut new);
    let (level, line) = host.last_line();
    assert!(level == Level::Error && line.contains("though on record as good"), "{line}");
    assert_eq!(host.request(&new, 200).as_deref(), Some("on"));
    host.tick(&mut new);
    assert_eq!(host.metric(DECIDED), Some(1));
    assert_eq!(host.now().millis(), host.millis.get());
}
