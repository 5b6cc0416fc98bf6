//! Renders the config of a `ConfigMap` into the `EnvoyFilter` that it is the source of.
//!
//! All else of the `EnvoyFilter` stays. Its patches are a list, which is written whole.

use tidegate_analysis::source::carrier::refill;
use tidegate_engine::plan::Plan;

use super::connect::Cluster;
use super::object::Held;
use super::place::{Kind, Place};
use super::trouble::{Cause, Trouble};
use super::write::{Act, Written};

/// The annotation of a `ConfigMap` that names the `EnvoyFilter` in its namespace that is rendered from it.
pub const RENDERS: &str = "tidegate.dev/envoyfilter";

impl Held {
    /// The `EnvoyFilter` that is rendered from this one, where its annotation names one.
    #[must_use]
    pub fn renders(&self) -> Option<Place> {
        let name = self.annotation(RENDERS).filter(|_| self.place().kind == Kind::ConfigMap)?;
        Some(Place { kind: Kind::EnvoyFilter, name: name.to_owned(), key: None })
    }
}

impl Cluster {
    /// Puts a config, written as JSON, into an `EnvoyFilter`; nothing, where it is there already.
    ///
    /// # Errors
    /// If there is no such `EnvoyFilter`, or it carries no config, or it cannot be written.
    pub fn render(&self, place: &Place, json: &str, plan: &Plan, act: &Act<'_>) -> Result<Option<Written>, Trouble> {
        let held = self.read(place)?;
        let mut patches = held.content().clone();
        refill(&mut patches, json, plan)
            .map_err(|what| Trouble::new(Cause::Foreign, format!("{place} {what}")))
            .map_err(|trouble| trouble.help("tidegate render istio --kind envoyfilter writes one, to begin with"))?;
        if patches == *held.content() { Ok(None) } else { self.write(&held, &patches, act).map(Some) }
    }
}
