//! The Pods that serve the variants of flags, as `--ready` names them: turns them into what is asked of a cluster, and what
//! was counted into what the judge knows.
//!
//! What is not known is not ready. Never asks anybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::CliError;
use tidegate_analysis::source::diagnostic::nearest;
use tidegate_fleet::cluster::{Selected, Trouble};
use tidegate_fleet::judge::watcher::Watcher;

/// What stands for the name of a variant.
const VARIANT: &str = "{variant}";

/// How one is written.
const FORM: &str = "FLAG=[NAMESPACE/]SELECTOR, such as 'checkout=shop/app=checkout,version={variant}'";

/// The Pods of flags.
#[derive(Debug)]
pub(super) struct Served {
    /// By flag, with [`VARIANT`] in the selector.
    flags: BTreeMap<String, Selected>,
    /// The flags of which it was said that nobody counts for them.
    told: BTreeSet<String>,
}

impl Served {
    pub(super) fn parse(all: &[String]) -> Result<Self, CliError> {
        let mut flags = BTreeMap::new();
        for text in all {
            let (flag, selected) = one(text)?;
            if flags.insert(flag.clone(), selected).is_some() {
                return Err(CliError::Usage(format!("--ready: names the flag '{flag}' twice")));
            }
        }
        Ok(Self { flags, told: BTreeSet::new() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// Whether each of its flags is judged.
    pub(super) fn check(&self, watcher: &Watcher) -> Result<(), CliError> {
        let fleet = watcher.fleet();
        for key in self.flags.keys() {
            if fleet.flags().iter().any(|flag| flag.key == *key) {
                continue;
            }
            let known = || fleet.plan().flags().iter().map(|flag| flag.key().as_str());
            let what = if known().any(|known| known == key) {
                format!("--ready: the flag '{key}' has no guard, and no step of it is granted")
            } else {
                let near = nearest(key, known()).map(|near| format!(" (did you mean '{near}'?)"));
                format!("--ready: there is no flag '{key}'{}", near.unwrap_or_default())
            };
            return Err(CliError::Usage(what));
        }
        Ok(())
    }

    /// What is to be said of flags with steps that wait for endpoints which nobody counts; of each flag once.
    pub(super) fn missing(&mut self, watcher: &Watcher) -> Vec<String> {
        let fleet = watcher.fleet();
        let mut lines = Vec::new();
        for flag in fleet.flags() {
            let rules = flag.waits_for_endpoints(fleet.plan());
            let Some(rule) = rules.first().filter(|_| !self.flags.contains_key(&flag.key)) else { continue };
            if self.told.insert(flag.key.clone()) {
                let key = &flag.key;
                lines.push(format!(
                    "rule {rule} of {key} has a step that requires ready endpoints, which nobody counts: it is not granted; \
                     name their Pods: --ready '{key}=[NAMESPACE/]app=...,version={VARIANT}'"
                ));
            }
        }
        lines
    }

    /// What is to be counted, for the variants that there are.
    pub(super) fn questions(&self, watcher: &Watcher) -> Vec<Selected> {
        let all: BTreeSet<Selected> = self.places(watcher).into_iter().map(|(_, _, selected)| selected).collect();
        all.into_iter().collect()
    }

    /// Takes up what was counted; says why something was not.
    pub(super) fn take(
        &self,
        watcher: &mut Watcher,
        counted: Option<&BTreeMap<Selected, Result<u32, Trouble>>>,
    ) -> Option<String> {
        let mut why = None;
        let mut flags: BTreeMap<String, BTreeMap<String, Option<u32>>> = BTreeMap::new();
        let unanswered = counted.is_none().then(|| "the API server has not answered yet".to_owned());
        for (flag, variant, selected) in self.places(watcher) {
            let ready = match counted.and_then(|counted| counted.get(&selected)) {
                Some(Ok(ready)) => Some(*ready),
                Some(Err(trouble)) => {
                    let help = trouble.help.as_ref().map(|help| format!("; {help}"));
                    why.get_or_insert_with(|| format!("{}{}", trouble.what, help.unwrap_or_default()));
                    None
                }
                None => None,
            };
            flags.entry(flag).or_default().insert(variant, ready);
        }
        let asks = !flags.is_empty();
        for (flag, endpoints) in flags {
            watcher.ready(&flag, endpoints);
        }
        why.or(unanswered).filter(|_| asks)
    }

    /// By flag and variant: the Pods.
    fn places(&self, watcher: &Watcher) -> Vec<(String, String, Selected)> {
        let judged = watcher.fleet().flags().iter();
        let named = judged.filter_map(|flag| Some((flag, self.flags.get(&flag.key)?)));
        named
            .flat_map(|(flag, selected)| {
                let of = move |variant: &str| {
                    let selector = selected.selector.replace(VARIANT, variant);
                    let place = Selected { namespace: selected.namespace.clone(), selector };
                    (flag.key.clone(), variant.to_owned(), place)
                };
                flag.variants().into_iter().map(of)
            })
            .collect()
    }
}

fn one(text: &str) -> Result<(String, Selected), CliError> {
    let wrong = |what: &str| CliError::Usage(format!("--ready: {what} (found \"{text}\")"));
    let (flag, place) = text.split_once('=').ok_or_else(|| wrong(&format!("must be {FORM}")))?;
    // A label's own prefix has dots: `app.kubernetes.io/name`.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let (namespace, selector) = match place.split_once('/') {
        Some((namespace, rest)) if !namespace.is_empty() && namespace.chars().all(plain) => {
            (Some(namespace.to_owned()), rest)
        }
        _ => (None, place),
    };
    if flag.is_empty() || selector.is_empty() {
        return Err(wrong(&format!("must be {FORM}")));
    }
    if !selector.contains(VARIANT) {
        return Err(wrong(&format!(
            "the selector has no {VARIANT}, and would count the same Pods for each variant of the flag"
        )));
    }
    Ok((flag.to_owned(), Selected { namespace, selector: selector.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_no_prefix_of_a_label() {
        for (text, namespace, selector) in [
            ("checkout=version={variant}", None, "version={variant}"),
            ("checkout=shop/app=a,version={variant}", Some("shop"), "app=a,version={variant}"),
            ("checkout=app.kubernetes.io/version={variant}", None, "app.kubernetes.io/version={variant}"),
            ("checkout=shop/app.io/version={variant}", Some("shop"), "app.io/version={variant}"),
            ("checkout=version in ({variant}),a.b/c", None, "version in ({variant}),a.b/c"),
        ] {
            let selected = Selected { namespace: namespace.map(str::to_owned), selector: selector.to_owned() };
            assert_eq!(one(text).unwrap(), ("checkout".to_owned(), selected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_due() {
        for (text, due) in [
            ("checkout", "must be FLAG="),
            ("=version={variant}", "must be FLAG="),
            ("checkout=shop/", "must be FLAG="),
            ("checkout=version={varient}", "the selector has no {variant}"),
        ] {
            let Err(CliError::Usage(told)) = one(text) else { panic!("{text}") };
            assert!(told.starts_with(&format!("--ready: {due}")), "{told}");
        }
        let twice = ["a=b={variant}".to_owned(), "a=c={variant}".to_owned()];
        assert!(matches!(Served::parse(&twice), Err(CliError::Usage(told)) if told.ends_with("'a' twice")));
    }
}
