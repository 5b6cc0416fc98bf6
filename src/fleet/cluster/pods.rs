//! Finds the Pods of proxies, reads a page of one through the API server, and counts the Pods that are ready.
//!
//! A page goes through the subresource `proxy` of its Pod: nothing has to reach the Pods from here, and no port is
//! opened on this machine. Never asks a Pod for anything but a page.

use std::time::Duration;

use axum::http::Request;
use k8s_openapi::api::core::v1::Pod as Found;
use kube::Api;
use kube::api::ListParams;
use tokio::time::timeout;

use super::connect::Cluster;
use super::trouble::{Asked, Cause, Trouble};

/// A Pod that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
}

/// Pods by their labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selected {
    /// Where none is named, that of the connection.
    pub namespace: Option<String>,
    pub selector: String,
}

/// Whether requests may be sent to it.
fn is_ready(pod: &Found) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Cluster {
    /// The Pods with these labels that run, by their names.
    ///
    /// # Errors
    /// If there are none, or they may not be listed.
    pub fn pods(&self, selector: &str) -> Result<Vec<Pod>, Trouble> {
        let api: Api<Found> = Api::namespaced(self.client.clone(), &self.namespace);
        let asked = self.asked("list", "pods", "", "pods");
        let list =
            self.wait(api.list(&ListParams::default().labels(selector))).map_err(|error| asked.failed(&error))?;
        let runs = |pod: &Found| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        };
        let running = list.items.into_iter().filter(runs);
        let pod = |pod: Found| Pod {
            name: pod.metadata.name.unwrap_or_default(),
            namespace: pod.metadata.namespace.unwrap_or_else(|| self.namespace.clone()),
        };
        let mut pods: Vec<Pod> = running.map(pod).collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        if pods.is_empty() {
            let what = format!("no Pod with the labels {selector} runs in namespace {}", self.namespace);
            return Err(Trouble::new(Cause::Missing, what).help("-n names another namespace"));
        }
        Ok(pods)
    }

    /// How many Pods with these labels are ready, and are not about to end.
    ///
    /// # Errors
    /// If they may not be listed, or nothing is answered. None at all are no error.
    pub fn ready(&self, selected: &Selected) -> Result<u32, Trouble> {
        let namespace = selected.namespace.as_ref().unwrap_or(&self.namespace);
        let api: Api<Found> = Api::namespaced(self.client.clone(), namespace);
        let asked = Asked { namespace, ..self.asked("list", "pods", "", "pods") };
        let labels = ListParams::default().labels(&selected.selector);
        let list = self.wait(api.list(&labels)).map_err(|error| asked.failed(&error))?;
        let ready = list.items.iter().filter(|pod| is_ready(pod)).count();
        Ok(u32::try_from(ready).unwrap_or(u32::MAX))
    }

    /// A page of a Pod, if it comes in this time.
    ///
    /// # Errors
    /// If there is no answer, or another one than the page.
    pub fn page(&self, pod: &Pod, port: u16, path: &str, wait: Duration) -> Result<String, Trouble> {
        let Pod { name, namespace } = pod;
        let url = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}");
        let request = Request::get(url).body(Vec::new());
        let request = request.map_err(|error| Trouble::new(Cause::Other, format!("{path}: {error}")))?;
        let object = format!("pod/{name}");
        // The client asks again and again where the API server says that nobody is there.
        let answer = self.wait(async { timeout(wait, self.client.request_text(request)).await });
        let answer = answer.map_err(|_| {
            let millis = wait.as_millis();
            Trouble::new(Cause::Away, format!("port {port} does not answer the API server within {millis} ms"))
        })?;
        answer.map_err(|error| match &error {
            kube::Error::Api(status) if matches!(status.code, 500 | 502..=504) => {
                let text = status.message.rsplit(": ").next().unwrap_or_default();
                Trouble::new(Cause::Away, format!("port {port} does not answer the API server: {text}"))
            }
            kube::Error::Api(status) if status.code == 404 => {
                Trouble::new(Cause::Foreign, format!("port {port} has no page {path}"))
            }
            _ => self.asked("get", "pods/proxy", "", &object).failed(&error),
        })
    }
}
