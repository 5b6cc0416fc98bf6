//! Turns a policy and configs into lines of a CODEOWNERS file: who must approve changes of which file.
//!
//! CODEOWNERS works by file, not by flag: a file gets the approvers of all owners of its flags. Never writes a file.

use std::collections::BTreeSet;

use super::format::Policy;
use crate::source::Loaded;

/// A line of a CODEOWNERS file, and what stands behind it.
#[derive(Debug)]
pub struct Line {
    pub path: String,
    pub approvers: Vec<String>,
    pub owners: Vec<String>,
    /// Flags that nobody approves, with the reason.
    pub open: Vec<(String, String)>,
}

impl Line {
    /// The line of one file, for all configs in it.
    pub fn new(policy: &Policy, file: &str, configs: &[&Loaded]) -> Result<Self, String> {
        let path = pattern(file)?;
        let (mut owners, mut approvers, mut open) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for (key, flag) in configs.iter().flat_map(|loaded| &loaded.config.flags) {
            let owner = flag.owner.as_ref().map(|owner| owner.as_str().trim()).unwrap_or_default();
            let teams = policy.owners.as_ref().and_then(|owners| owners.get(owner));
            owners.extend((!owner.is_empty()).then(|| owner.to_owned()));
            let why = match teams {
                _ if owner.is_empty() => Some("has no owner".to_owned()),
                None => Some(format!("is owned by {owner}, which is not an owner in the policy")),
                Some(teams) if teams.is_empty() => Some(format!("is owned by {owner}, which has no approvers")),
                Some(teams) => {
                    approvers.extend(teams.iter().map(ToString::to_string));
                    None
                }
            };
            // Who approves everything approves this, too.
            open.extend(why.filter(|_| policy.approvers.is_empty()).map(|why| (key.to_string(), why)));
        }
        approvers.extend(policy.approvers.iter().map(ToString::to_string));
        let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
        Ok(Self { path, approvers: list(approvers), owners: list(owners), open })
    }

    /// The line, if anybody approves: one without approvers would say that nobody has to.
    pub fn text(&self) -> Option<String> {
        (!self.approvers.is_empty()).then(|| format!("{} {}", self.path, self.approvers.join(" ")))
    }
}

/// A file as a pattern of CODEOWNERS, from the root of the repository.
fn pattern(file: &str) -> Result<String, String> {
    let bare = file.strip_prefix("./").unwrap_or(file);
    let outside = bare.starts_with('/') || bare.split('/').any(|part| part == "..") || bare == "-";
    if outside {
        return Err(format!("{file} is not a path below the root of the repository, which CODEOWNERS needs"));
    }
    if let Some(sign) = bare.chars().find(|c| matches!(c, '*' | '?' | '[' | ']' | '!' | '\\' | '#') || c.is_control()) {
        return Err(format!("{file} has a '{}', which means something else in CODEOWNERS", sign.escape_default()));
    }
    Ok(format!("/{}", bare.replace(' ', "\\ ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_at_the_root() {
        assert_eq!(pattern("./flags/shop one.yaml").unwrap(), "/flags/shop\\ one.yaml");
        for file in ["/etc/flags.yaml", "a/../flags.yaml", "a/../../b", "-", "flags*.yaml", "a#b", "a\nb"] {
            assert!(pattern(file).is_err(), "{file}");
        }
    }
}
