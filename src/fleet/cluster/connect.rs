//! Turns the user's kubeconfig, as kubectl takes it, into a connection to one cluster.
//!
//! Looks at `--kubeconfig`, `KUBECONFIG` and `~/.kube/config`, in this order, and at the service account of a Pod where
//! none of them is there. Never writes to any of them.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tidegate_analysis::source::diagnostic::nearest;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::trouble::{Asked, Cause, Trouble};

/// How long a connection, and then an answer, may take.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(20);

/// Which cluster is meant, and which namespace; all as kubectl has it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
}

/// A cluster, and the namespace that is meant in it.
pub struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) server: String,
    runtime: Runtime,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// # Errors
    /// If there is no kubeconfig, or it does not know the context, or it cannot be used. Nobody is asked yet.
    pub fn connect(access: &Access) -> Result<Self, Trouble> {
        let other =
            |error: &dyn fmt::Display| Trouble::new(Cause::Other, format!("no connection can be made: {error}"));
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| other(&error))?;
        let mut config = match kubeconfig(access)? {
            Some(found) => {
                known(&found, access.context.as_deref())?;
                let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
                let config = runtime.block_on(Config::from_custom_kubeconfig(found, &options));
                config.map_err(|error| unusable("the kubeconfig", &error))?
            }
            None => Config::incluster().map_err(|_| {
                Trouble::new(Cause::Away, "there is no kubeconfig").help(
                    "name one with --kubeconfig or in KUBECONFIG, or write ~/.kube/config; in a Pod its service \
                           account is taken",
                )
            })?,
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.write_timeout = Some(ANSWER);
        let namespace = access.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = {
            // A client starts tasks of its own.
            let _entered = runtime.enter();
            Client::try_from(config).map_err(|error| other(&error))?
        };
        Ok(Self { client, namespace, server, runtime })
    }

    /// The namespace that is meant.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address of the API server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Starts something that goes on by itself.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(work)
    }

    /// What is asked, for the words of an error.
    pub(super) fn asked<'a>(&'a self, verb: &'a str, resource: &'a str, group: &'a str, object: &'a str) -> Asked<'a> {
        Asked { server: &self.server, verb, resource, group, object, namespace: &self.namespace }
    }
}

/// The kubeconfig that is meant; none in a Pod without one.
fn kubeconfig(access: &Access) -> Result<Option<Kubeconfig>, Trouble> {
    let read = |path: &Path| {
        Kubeconfig::read_from(path).map_err(|error| match error {
            KubeconfigError::ReadConfig(error, path) => {
                Trouble::new(Cause::Away, format!("cannot read the kubeconfig {}: {error}", path.display()))
            }
            other => unusable(&path.display().to_string(), &other),
        })
    };
    if let Some(path) = &access.kubeconfig {
        return read(path).map(Some);
    }
    let named = env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let usual = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let paths: Vec<PathBuf> = match &named {
        Some(list) => env::split_paths(list).collect(),
        None => usual().into_iter().collect(),
    };
    let mut merged: Option<Kubeconfig> = None;
    // Files that are not there are passed over, as kubectl does it.
    for path in paths.iter().filter(|path| path.is_file()) {
        let next = read(path)?;
        merged = Some(match merged {
            Some(before) => before.merge(next).map_err(|error| unusable("KUBECONFIG", &error))?,
            None => next,
        });
    }
    Ok(merged)
}

fn unusable(what: &str, error: &KubeconfigError) -> Trouble {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    Trouble::new(Cause::Away, format!("{what} cannot be used: {text}"))
}

/// Whether the context that is meant is there.
fn known(config: &Kubeconfig, context: Option<&str>) -> Result<(), Trouble> {
    let names: Vec<&str> = config.contexts.iter().map(|context| context.name.as_str()).collect();
    let all = match names[..] {
        [] => "it has none".to_owned(),
        _ => format!("it has {}", names.join(", ")),
    };
    match (context, config.current_context.as_deref()) {
        (Some(name), _) | (None, Some(name)) if names.contains(&name) => Ok(()),
        (Some(name), _) => {
            let meant = nearest(name, names.iter().copied()).map(|near| format!("did you mean {near}? "));
            Err(Trouble::new(Cause::Away, format!("the kubeconfig has no context '{name}'"))
                .help(format!("{}{all}", meant.unwrap_or_default())))
        }
        (None, Some(name)) => {
            Err(Trouble::new(Cause::Away, format!("the kubeconfig's current-context '{name}' is not in it"))
                .help(format!("name one with --context: {all}")))
        }
        (None, None) => Err(Trouble::new(Cause::Away, "the kubeconfig has no current-context")
            .help(format!("name one with --context: {all}"))),
    }
}
