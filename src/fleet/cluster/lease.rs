//! Turns a Lease of a cluster into who may act: of several that run, one leads, and the others stand by.
//!
//! The one that leads renews the Lease, and gives it back when it ends; if it is gone without a word, the next one takes
//! it after some seconds. While the API server cannot be asked, nobody leads.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::connect::Cluster;
use super::trouble::{Cause, Trouble};

/// For how many seconds a Lease holds that is not renewed, and how many before its end it is renewed.
const HOLDS: u64 = 15;
const RENEWED: u64 = 5;

/// The pause before the API server is asked again after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the end of one that leads may take.
const END: Duration = Duration::from_secs(2);

/// Whether one leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    Leads,
    /// Another one does.
    StandsBy,
    /// Why that cannot be known.
    Unknown(String),
}

/// One that would lead.
pub struct Candidate<'c> {
    cluster: &'c Cluster,
    lead: watch::Receiver<Lead>,
    end: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("lead", &*self.lead.borrow()).finish_non_exhaustive()
    }
}

impl Candidate<'_> {
    /// Whether it leads now.
    #[must_use]
    pub fn lead(&self) -> Lead {
        if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
            return Lead::Unknown("what renews the Lease has ended".to_owned());
        }
        self.lead.borrow().clone()
    }
}

impl Drop for Candidate<'_> {
    /// Gives the Lease back, if there is somebody to give it to.
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(task) = self.task.take() {
            self.cluster.wait(async {
                // What is not given back ends by itself.
                timeout(END, task).await.ok();
            });
        }
    }
}

impl Cluster {
    /// Stands for the lead, under the Lease of this name, which is made if it is not there.
    ///
    /// # Errors
    /// If the Lease can be neither read nor made.
    pub fn stand(&self, lease: &str, identity: &str) -> Result<Candidate<'_>, Trouble> {
        let builder = Builder {
            client: self.client.clone(),
            lease: lease.to_owned(),
            namespace: self.namespace.clone(),
            identity: identity.to_owned(),
        };
        let manager = self.wait(builder.build()).map_err(|error| self.unled(lease, &error))?;
        let (tell, lead) = watch::channel(Lead::StandsBy);
        let (end, ended) = oneshot::channel();
        let task = self.spawn(hold(builder, manager, tell, ended));
        Ok(Candidate { cluster: self, lead, end: Some(end), task: Some(task) })
    }

    /// Why a Lease cannot be had.
    fn unled(&self, lease: &str, error: &LeaseManagerError) -> Trouble {
        let object = format!("lease/{lease}");
        let asked = self.asked("get, create and patch", "leases", "coordination.k8s.io", &object);
        match api(error) {
            Some(error) => asked.failed(error),
            None => Trouble::new(Cause::Other, format!("{object}: {error}")),
        }
    }
}

/// What the API server said, where it is that.
fn api(error: &LeaseManagerError) -> Option<&kube::Error> {
    let mut inner: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(found) = inner.downcast_ref::<kube::Error>() {
            return Some(found);
        }
        inner = inner.source()?;
    }
}

/// What a manager of the Lease is made of.
struct Builder {
    client: Client,
    lease: String,
    namespace: String,
    identity: String,
}

impl Builder {
    async fn build(&self) -> Result<LeaseManager, LeaseManagerError> {
        let builder = LeaseManagerBuilder::new(self.client.clone(), &self.lease).with_namespace(&self.namespace);
        let builder = builder.with_identity(&self.identity).with_duration(HOLDS).with_grace(RENEWED);
        builder.with_field_manager(format!("tidegate-steer-{}", self.identity)).build().await
    }
}

/// Holds the Lease whenever it is free, and tells, until it is told to end.
async fn hold(builder: Builder, first: LeaseManager, tell: watch::Sender<Lead>, mut ended: oneshot::Receiver<()>) {
    let mut manager = Some(first);
    loop {
        let work = async {
            match &manager {
                Some(manager) => manager.changed().await.map(|leads| (leads, None)),
                None => builder.build().await.map(|manager| (false, Some(manager))),
            }
        };
        let changed = tokio::select! {
            biased;
            // A sender that is dropped says so as well.
            _ = &mut ended => break,
            changed = work => changed,
        };
        match changed {
            Ok((_, Some(new))) => manager = Some(new),
            Ok((leads, None)) => {
                tell.send_replace(if leads { Lead::Leads } else { Lead::StandsBy });
            }
            Err(error) => {
                tell.send_replace(Lead::Unknown(told(&error)));
                // A new one asks whose the Lease is: this one would only tell of a change.
                manager = None;
                sleep(PAUSE).await;
            }
        }
    }
    if let Some(manager) = manager {
        manager.release().await.ok();
    }
}

fn told(error: &LeaseManagerError) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
