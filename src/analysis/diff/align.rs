//! Pairs the rules of two lists: rules have no names, and a new rule in front must not make all others look new.
//!
//! Pairs the most similar rules, in order; a rule that is left over on both sides was moved. Never says what differs
//! inside a pair.

use tidegate_engine::config::Rule;

/// A rule before and after, each with its number; one of them may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'r> {
    pub old: Option<(usize, &'r Rule)>,
    pub new: Option<(usize, &'r Rule)>,
    /// Whether it is tried before others that it was tried behind, or the other way round.
    pub moved: bool,
}

/// How alike two rules must be to be one rule that changed.
const LEAST: u32 = 3;

/// How alike two rules are. What is served to whom makes a rule; how many are taken in is what changes.
fn likeness(old: &Rule, new: &Rule) -> u32 {
    if old == new {
        return 20;
    }
    let when = match (&old.when, &new.when) {
        (None, None) => 4,
        (one, two) if one == two => 6,
        _ => 0,
    };
    let serve = if old.serve == new.serve { 3 } else { 0 };
    let exposure = u32::from(old.exposure == new.exposure);
    let sum: u32 = [when, serve, exposure].iter().sum();
    if sum < LEAST { 0 } else { sum }
}

/// Pairs the rules of two lists, in the order of the new one, with what is gone near where it stood.
pub fn align<'r>(old: &'r [Rule], new: &'r [Rule]) -> Vec<Pair<'r>> {
    let width = new.len() + 1;
    // best[i][j]: how alike the pairs are that the rules from i and from j on can make.
    let mut best = vec![0_u32; old.len().saturating_add(1).saturating_mul(width)];
    let at = |i: usize, j: usize| i.saturating_mul(width).saturating_add(j);
    let of = |best: &[u32], i: usize, j: usize| best.get(at(i, j)).copied().unwrap_or(0);
    let (down, right) = (|i: usize| i + 1, |j: usize| j + 1);
    for (i, was) in old.iter().enumerate().rev() {
        for (j, is) in new.iter().enumerate().rev() {
            let skip = of(&best, down(i), j).max(of(&best, i, right(j)));
            let pair = match likeness(was, is) {
                0 => 0,
                alike => alike.saturating_add(of(&best, down(i), right(j))),
            };
            if let Some(cell) = best.get_mut(at(i, j)) {
                *cell = skip.max(pair);
            }
        }
    }
    let mut pairs: Vec<Pair<'r>> = Vec::new();
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (None, None) => break,
            (Some(was), Some(is)) => {
                let alike = likeness(was, is);
                let paired = alike > 0 && of(&best, i, j) == alike + of(&best, down(i), right(j));
                let gone = of(&best, i, j) == of(&best, down(i), j);
                if paired {
                    pairs.push(Pair { old: Some((down(i), was)), new: Some((right(j), is)), moved: false });
                    (i, j) = (down(i), right(j));
                } else if gone {
                    pairs.push(Pair { old: Some((down(i), was)), new: None, moved: false });
                    i = down(i);
                } else {
                    pairs.push(Pair { old: None, new: Some((right(j), is)), moved: false });
                    j = right(j);
                }
            }
            (Some(was), None) => {
                pairs.push(Pair { old: Some((down(i), was)), new: None, moved: false });
                i = down(i);
            }
            (None, Some(is)) => {
                pairs.push(Pair { old: None, new: Some((right(j), is)), moved: false });
                j = right(j);
            }
        }
    }
    find_moved(pairs)
}

/// Joins what is gone at one place and has come at another.
fn find_moved(pairs: Vec<Pair<'_>>) -> Vec<Pair<'_>> {
    let mut gone: Vec<Pair<'_>> = pairs.iter().filter(|pair| pair.new.is_none()).copied().collect();
    let mut joined = Vec::new();
    for pair in pairs.into_iter().filter(|pair| pair.new.is_some()) {
        let same = |lost: &Pair<'_>| lost.old.map(|(_, rule)| rule) == pair.new.map(|(_, rule)| rule);
        match gone.iter().position(same) {
            Some(place) if pair.old.is_none() => {
                joined.push(Pair { old: gone.remove(place).old, moved: true, ..pair });
            }
            Some(_) | None => joined.push(pair),
        }
    }
    joined.extend(gone);
    let number = |pair: &Pair<'_>| pair.new.or(pair.old).map_or(0, |(number, _)| number);
    joined.sort_by_key(|pair| (number(pair), pair.new.is_some()));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::config::Config;
    use tidegate_engine::problem::Problems;

    fn rules(text: &str) -> Vec<Rule> {
        let config = format!(r#"{{"version": 1, "flags": {{"f": {{"rules": {text}}}}}}}"#);
        let mut problems = Problems::default();
        let config = Config::from_bytes(config.as_bytes(), &mut problems);
        assert!(problems.errors().is_empty(), "{text}");
        config.flags.into_iter().next().unwrap().1.rules
    }

    fn numbers(old: &str, new: &str) -> Vec<(usize, usize, bool)> {
        let (old, new) = (rules(old), rules(new));
        let number = |rule: Option<(usize, &Rule)>| rule.map_or(0, |(number, _)| number);
        align(&old, &new).iter().map(|pair| (number(pair.old), number(pair.new), pair.moved)).collect()
    }

    #[test]
    fn a_rule_in_front_makes_none_of_the_others_new() {
        let (deny, ramp) =
            (r#"{"when": {"header": "x", "equals": "a"}, "serve": "off"}"#, r#"{"percent": 5, "serve": "on"}"#);
        let more = r#"{"percent": 9, "serve": "on"}"#;
        assert_eq!(numbers(&format!("[{ramp}]"), &format!("[{deny}, {more}]")), [(0, 1, false), (1, 2, false)]);
        assert_eq!(numbers(&format!("[{deny}, {ramp}]"), &format!("[{ramp}]")), [(1, 0, false), (2, 1, false)]);
        assert_eq!(numbers(&format!("[{deny}, {ramp}]"), &format!("[{ramp}, {deny}]")).len(), 2);
        assert!(numbers(&format!("[{deny}, {ramp}]"), &format!("[{ramp}, {deny}]")).iter().any(|(_, _, moved)| *moved));
        assert_eq!(numbers("[]", "[]"), []);
    }
}
