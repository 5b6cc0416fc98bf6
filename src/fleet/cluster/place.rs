//! Turns what a user types for an object, such as `wasmplugin/tidegate`, into where its config stands.
//!
//! The names are those that kubectl takes. Never asks a cluster.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};

/// The kinds of objects that hold a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    WasmPlugin,
    TrafficExtension,
    ConfigMap,
    /// It is rendered from a `ConfigMap`, and written only with it.
    EnvoyFilter,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::WasmPlugin, Self::TrafficExtension, Self::ConfigMap, Self::EnvoyFilter];

    /// As manifests have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
            Self::ConfigMap => "ConfigMap",
            Self::EnvoyFilter => "EnvoyFilter",
        }
    }

    /// As a user types it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::WasmPlugin => "wasmplugin",
            Self::TrafficExtension => "trafficextension",
            Self::ConfigMap => "configmap",
            Self::EnvoyFilter => "envoyfilter",
        }
    }

    /// As roles name it.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::WasmPlugin => "wasmplugins",
            Self::TrafficExtension => "trafficextensions",
            Self::ConfigMap => "configmaps",
            Self::EnvoyFilter => "envoyfilters",
        }
    }

    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::WasmPlugin | Self::TrafficExtension => "extensions.istio.io",
            Self::ConfigMap => "",
            Self::EnvoyFilter => "networking.istio.io",
        }
    }

    const fn version(self) -> &'static str {
        match self {
            Self::WasmPlugin | Self::TrafficExtension => "v1alpha1",
            Self::ConfigMap => "v1",
            Self::EnvoyFilter => "v1alpha3",
        }
    }

    pub(super) fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group(), self.version(), self.name());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }

    fn parse(text: &str) -> Option<Self> {
        // kubectl takes the group behind it as well.
        let (word, group) = text.split_once('.').unwrap_or((text, ""));
        let word = word.to_ascii_lowercase();
        let named =
            |kind: &Self| word == kind.word() || word == kind.plural() || word == "cm" && kind.word() == "configmap";
        Self::ALL.into_iter().find(named).filter(|kind| group.is_empty() || group == kind.group())
    }
}

/// An object that holds a config, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    pub name: String,
    /// The key of a `ConfigMap`; where none is said, the only one that holds a config.
    pub key: Option<String>,
}

impl Place {
    /// # Errors
    /// If it is not the name of an object that can hold a config.
    pub fn parse(text: &str) -> Result<Self, String> {
        const DUE: &str = "wasmplugin/NAME, trafficextension/NAME, configmap/NAME[:KEY] or envoyfilter/NAME";
        let due = || format!("must be {DUE}");
        let (kind, rest) = text.split_once('/').ok_or_else(due)?;
        let kind = Kind::parse(kind).ok_or_else(due)?;
        let (name, key) = match rest.split_once(':') {
            Some((name, key)) if kind == Kind::ConfigMap && !key.is_empty() => (name, Some(key.to_owned())),
            Some(_) => return Err(due()),
            None => (rest, None),
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("'{name}' is not the name of an object: {DUE}"));
        }
        Ok(Self { kind, name: name.to_owned(), key })
    }

    /// The object without the key.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{}/{}", self.kind.word(), self.name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object())?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ":{key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_for_kubectl() {
        for (text, due) in [
            ("wasmplugin/tidegate", "wasmplugin/tidegate"),
            ("WasmPlugins/tidegate", "wasmplugin/tidegate"),
            ("wasmplugins.extensions.istio.io/a.b", "wasmplugin/a.b"),
            ("trafficextension/shop-1", "trafficextension/shop-1"),
            ("cm/flags:shop.yaml", "configmap/flags:shop.yaml"),
            ("configmap/flags", "configmap/flags"),
        ] {
            assert_eq!(Place::parse(text).unwrap().to_string(), due);
        }
        let wrong =
            ["", "tidegate", "pod/tidegate", "wasmplugin/", "wasmplugin/a:b", "cm/a:", "cm/A", "cm.apps/a", "cm/a/b"];
        for text in wrong {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
