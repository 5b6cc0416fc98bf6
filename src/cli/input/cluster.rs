//! A cluster, as options name it: the objects that hold configs, and the Pods of proxies.
//!
//! Clusters are in builds with the feature `fleet` alone, as releases are; others say so where one is named.

use std::path::PathBuf;

use tidegate_analysis::source::Document;

use crate::error::CliError;

/// Which cluster, and which namespace in it; as kubectl has them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClusterArgs {
    /// The namespace in the cluster [default: that of the context]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// A Pod whose proxy can be asked.
#[cfg(feature = "fleet")]
#[derive(Debug)]
pub(crate) struct Pod {
    cluster: std::sync::Arc<tidegate_fleet::cluster::Cluster>,
    found: tidegate_fleet::cluster::Pod,
    port: u16,
}

/// There is none in this build.
#[cfg(not(feature = "fleet"))]
#[derive(Debug)]
pub(crate) struct Pod(std::convert::Infallible);

#[cfg(feature = "fleet")]
pub(crate) use built::document_of;

#[cfg(feature = "fleet")]
mod built {
    use std::sync::Arc;

    use serde_json::Value;
    use tidegate_fleet::cluster::{Access, Cluster, Held, Kind, Place, Trouble};

    use super::{CliError, ClusterArgs, Document, Pod};
    use crate::input::{load, manifest};
    use crate::terminal::writer;

    impl From<Trouble> for CliError {
        fn from(trouble: Trouble) -> Self {
            Self::Trouble { what: trouble.what, help: trouble.help }
        }
    }

    impl ClusterArgs {
        pub(crate) fn connect(&self) -> Result<Arc<Cluster>, CliError> {
            let Self { namespace, context, kubeconfig } = self.clone();
            Ok(Arc::new(Cluster::connect(&Access { kubeconfig, context, namespace })?))
        }

        /// The Pods with these labels, asked on this port.
        pub(crate) fn pods(&self, selector: &str, port: u16) -> Result<Vec<Pod>, CliError> {
            let cluster = self.connect()?;
            let pods = cluster.pods(selector)?;
            Ok(pods.into_iter().map(|found| Pod { cluster: Arc::clone(&cluster), found, port }).collect())
        }

        /// The config that an object holds.
        pub(crate) fn document(&self, place: &str) -> Result<Document, CliError> {
            let place = Place::parse(place).map_err(CliError::Usage)?;
            document_of(&self.connect()?.read(&place)?)
        }
    }

    /// The config of an object.
    pub(crate) fn document_of(held: &Held) -> Result<Document, CliError> {
        let name = held.place().to_string();
        load::only(&name, manifest::within(&name, &text(held)?)?)
    }

    /// The config of an object as text.
    fn text(held: &Held) -> Result<String, CliError> {
        let tree = |value: &Value| {
            let node = serde_json::from_str(&value.to_string()).map_err(|error| CliError::Broken(error.to_string()))?;
            writer::yaml(&node).map_err(CliError::Broken)
        };
        match (held.content(), held.place().kind) {
            (Value::String(text), _) => Ok(text.clone()),
            (_, Kind::EnvoyFilter) => {
                let field = |name: &str| held.object().get(name).cloned().unwrap_or_default();
                let name = serde_json::json!({"name": held.place().name});
                tree(&serde_json::json!({"apiVersion": field("apiVersion"), "kind": field("kind"), "metadata": name,
                    "spec": field("spec")}))
            }
            (content, _) => tree(content),
        }
    }

    impl Pod {
        pub(crate) fn name(&self) -> &str {
            &self.found.name
        }

        /// What Prometheus would read of it.
        pub(crate) fn page(&self, wait: std::time::Duration) -> Result<String, String> {
            self.cluster.page(&self.found, self.port, "/stats/prometheus", wait).map_err(|trouble| trouble.what)
        }
    }
}

#[cfg(not(feature = "fleet"))]
mod built {
    use super::{CliError, ClusterArgs, Document, Pod};

    fn absent() -> CliError {
        CliError::Trouble {
            what: "this build of tidegate knows no clusters".to_owned(),
            help: Some("take that of a release, or build it so: cargo install tidegate --features fleet".to_owned()),
        }
    }

    #[expect(clippy::unused_self, reason = "as where there are clusters")]
    impl ClusterArgs {
        pub(crate) fn pods(&self, _: &str, _: u16) -> Result<Vec<Pod>, CliError> {
            Err(absent())
        }

        pub(crate) fn document(&self, _: &str) -> Result<Document, CliError> {
            Err(absent())
        }
    }

    impl Pod {
        pub(crate) fn name(&self) -> &str {
            match self.0 {}
        }

        pub(crate) fn page(&self, _: std::time::Duration) -> Result<String, String> {
            match self.0 {}
        }
    }
}
