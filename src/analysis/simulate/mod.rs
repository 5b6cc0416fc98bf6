//! Counts who gets what: [`tally`] at one time, [`course`] along the steps of ramps, [`figure`] with how sure that is.

pub mod course;
pub mod figure;
pub mod tally;

#[cfg(test)]
mod tests {
    use super::course::Ramps;
    use super::tally::{self, Tally};
    use crate::explain::explain;
    use crate::request::{Identities, RequestSpec, Sender};
    use crate::source::{Document, Loaded};
    use std::collections::BTreeMap;
    use tidegate_engine::value::time::{Span, Timestamp};

    /// A config below the folder of golden texts, and a request that all its flags match.
    fn shop() -> (Loaded, RequestSpec) {
        let text = include_str!("../../../tests/cli/configs/shop.yaml");
        let loaded = Loaded::new(Document::only("shop.yaml", text).unwrap(), false).unwrap();
        let mut spec = RequestSpec::new("GET", "checkout.shop.svc.cluster.local", "/api/export");
        spec.headers.push(("x-plan".to_owned(), b"gold".to_vec()));
        spec.headers.push(("x-country".to_owned(), b"SE".to_vec()));
        (loaded, spec)
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn what_is_counted_is_what_explain_says() {
        let (loaded, spec) = shop();
        let ids = Identities::Listed((0..300).map(|n| format!("someone-{n}@example.org").into()).collect());
        let mut sender = Sender::new(&spec, &[&loaded.plan]);
        for now in ["2026-11-01T00:00:00Z", "2026-12-03T00:00:00Z", "2027-01-01T00:00:00Z"].map(at) {
            let mut due: BTreeMap<(String, String, String), u64> = BTreeMap::new();
            for place in 0..ids.len() {
                let explained = explain(&loaded, sender.send_as(&ids.id(place)), now);
                let told = serde_json::to_value(explained.json(&|_| true)).unwrap();
                for flag in told["flags"].as_array().unwrap() {
                    let text = |name: &str| flag[name].as_str().unwrap().to_owned();
                    *due.entry((text("flag"), text("variant"), text("reason"))).or_default() += 1;
                }
            }
            let tally = Tally::of(&loaded.plan, &sender, &ids, now, &());
            let mut counted = BTreeMap::new();
            for (flag, tally) in loaded.plan.flags().iter().zip(tally.flags()) {
                for (variant, (_, reasons)) in flag.variants.iter().zip(tally.variants()) {
                    for (reason, count) in reasons {
                        let text = (flag.key().to_string(), variant.name().to_string(), reason.code().to_owned());
                        counted.insert(text, count);
                    }
                }
            }
            assert_eq!(counted, due);
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (loaded, spec) = shop();
        let sender = Sender::new(&spec, &[&loaded.plan]);
        let (from, over) = (at("2026-12-01T00:00:00Z"), Span::parse("7d").unwrap());
        let ramps = Ramps::new(loaded.config, from, over);
        let ids = Identities::Sampled(3 * u32::try_from(tally::CHUNK).unwrap() + 17);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let tally = Tally::of(&loaded.plan, &sender, &ids, from, &());
                (tally, ramps.course(from, over, &sender, &ids, &()))
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }

    #[test]
    fn a_course_is_what_is_counted_at_each_of_its_moments() {
        let (loaded, spec) = shop();
        let sender = Sender::new(&spec, &[&loaded.plan]);
        let (from, over) = (at("2026-11-30T00:00:00Z"), Span::parse("7d").unwrap());
        let ids = Identities::Sampled(2_000);
        let course = Ramps::new(loaded.config, from, over).course(from, over, &sender, &ids, &());
        let ramp = &course.ramps[0];
        assert_eq!((course.ramps.len(), ramp.flag.as_str(), ramp.moments.len()), (1, "checkout", 4));
        let place = loaded.plan.flags().iter().position(|flag| flag.key().as_str() == "checkout").unwrap();
        for moment in &ramp.moments {
            let tally = Tally::of(&loaded.plan, &sender, &ids, moment.at, &());
            let counts: Vec<u64> = tally.flags()[place].variants().map(|(count, _)| count).collect();
            assert_eq!(counts, moment.counts);
        }
    }

    #[test]
    fn pairs_are_those_who_get_something_new_of_both() {
        let (loaded, spec) = shop();
        let mut sender = Sender::new(&spec, &[&loaded.plan]);
        let (now, ids) = (at("2026-12-06T00:00:00Z"), Identities::Sampled(3_000));
        let tally = Tally::of(&loaded.plan, &sender, &ids, now, &());
        for ((one, two), counted) in tally.pairs() {
            let due = (0..ids.len()).filter(|place| {
                let request = sender.send_as(&ids.id(*place)).seen(loaded.plan.inputs());
                let decisions = tidegate_engine::decide::decide(
                    &loaded.plan,
                    &request,
                    &tidegate_engine::decide::standing::Standing::NONE,
                    now,
                );
                let moved = |place: usize| {
                    let flag = &loaded.plan.flags()[place];
                    decisions.find(flag.key().as_str()).is_some_and(|decision| decision.served() != flag.baseline)
                };
                moved(one) && moved(two)
            });
            assert_eq!(usize::try_from(counted), Ok(due.count()), "{one} {two}");
        }
    }
}
