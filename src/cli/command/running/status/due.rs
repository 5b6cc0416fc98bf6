//! What should run: the configs that options name, by the fingerprint of what they decide.
//!
//! A config with errors is one that no proxy takes: that is told at once. Never asks a proxy.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Args;
use crate::error::CliError;
use crate::input::load;
use crate::terminal::Screen;
use tidegate_analysis::source::Document;
use tidegate_proxy::metrics::catalogue::plain;

/// What stands in a metric of a fingerprint.
pub(super) const BITS: u64 = 0xffff_ffff_ffff;

/// A config that should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) from: From,
    /// As it was named.
    pub(super) name: String,
    pub(super) revision: Option<String>,
    /// As metrics tell it; none where only a revision was named.
    pub(super) print: Option<u64>,
    /// The flags that it holds or rolls back itself.
    standing: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    File,
    Cluster,
    Option,
}

impl From {
    /// Stable: seen in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Cluster => "cluster",
            Self::Option => "option",
        }
    }
}

impl Due {
    /// Whether these two are one.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let revisions = self.revision == other.revision;
        match (self.print, other.print) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => revisions,
        }
    }

    /// Whether it says of a flag itself what a guard might say.
    pub(super) fn stands(&self, flag: &str, phase: &str) -> bool {
        let word = phase.replace("rolled_back", "rolledBack");
        self.standing.get(flag).is_some_and(|said| *said == word)
    }
}

/// All that should run.
pub(super) fn read(args: &Args, screen: &mut Screen) -> Result<Vec<Due>, CliError> {
    let mut all = Vec::new();
    if let Some(file) = &args.config {
        all.push(of(From::File, file, load::one(file)?, screen)?);
    }
    if let Some(place) = &args.on {
        all.push(of(From::Cluster, place, args.cluster.document(place)?, screen)?);
    }
    if let Some(revision) = &args.revision {
        let revision = Some(plain(revision));
        let (name, standing) = ("--revision".to_owned(), BTreeMap::new());
        all.push(Due { from: From::Option, name, revision, print: None, standing });
    }
    Ok(all)
}

/// Reads again what a cluster has.
pub(super) fn renew(args: &Args, all: &mut [Due], screen: &mut Screen) -> Result<(), CliError> {
    let Some(place) = &args.on else { return Ok(()) };
    for due in all.iter_mut().filter(|due| due.from == From::Cluster) {
        *due = of(From::Cluster, place, args.cluster.document(place)?, screen)?;
    }
    Ok(())
}

fn of(from: From, name: &str, document: Document, screen: &mut Screen) -> Result<Due, CliError> {
    let wire: Value = serde_json::from_slice(&document.wire).unwrap_or_default();
    let plan = load::compile(document, screen)?.plan;
    let phase = |(flag, standing): (&String, &Value)| Some((flag.clone(), standing.get("phase")?.as_str()?.to_owned()));
    let standing = wire.get("standing").and_then(Value::as_object);
    Ok(Due {
        from,
        name: name.to_owned(),
        revision: plan.revision().map(|revision| plain(revision.as_str())),
        print: Some(plan.fingerprint() & BITS),
        standing: standing.into_iter().flatten().filter_map(phase).collect(),
    })
}
