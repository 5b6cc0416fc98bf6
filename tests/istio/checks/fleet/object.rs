//! The object that holds the config, as everybody who watches it sees it: turns its changes into configs for the simulated
//! proxies, and into when a standing was written. Never writes it.

use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kit::swarm::Swarm;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::super::forms::{ENVOY_FILTER, TRAFFIC_EXTENSION};

/// How long after the change the last of the simulated proxies has it: istiod waits for more changes, and sends them one by
/// one.
const WITHIN: Duration = Duration::from_secs(1);

/// What was seen at last.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) config: Option<Value>,
    /// Since when a standing has this phase, by the generation that it is of.
    written: Vec<(String, String, Instant)>,
}

/// A watch of the object, until it is dropped.
pub(super) struct Object {
    seen: Arc<Mutex<Seen>>,
    /// Held by the watching thread as well: it ends with this one.
    _alive: Arc<()>,
}

impl Object {
    pub(super) fn watch(form: &str, swarm: &Arc<Swarm>) -> Self {
        let (seen, alive) = (Arc::<Mutex<Seen>>::default(), Arc::new(()));
        let (ours, form, swarm) = (Arc::clone(&seen), form.to_owned(), Arc::clone(swarm));
        let needed = Arc::downgrade(&alive);
        thread::spawn(move || {
            // The API server ends it now and then, and may be away.
            while needed.upgrade().is_some() {
                read(&form, |object| {
                    take(&form, object, &swarm, &ours);
                    needed.upgrade().is_some()
                });
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { seen, _alive: alive }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When this phase was written for a generation of the flag.
    pub(super) fn written(&self, generation: &str, phase: &str) -> Option<Instant> {
        let seen = self.seen();
        seen.written.iter().find(|(of, is, _)| of == generation && is == phase).map(|(.., at)| *at)
    }

    /// How many steps the standing lets the ramp of this generation of the flag take.
    pub(super) fn steps(&self, generation: &str) -> Option<u64> {
        let config = self.seen().config?;
        let stands = &config["standing"]["checkout"];
        stands["steps"].as_object().filter(|_| stands["of"] == generation)?.values().next()?.as_u64()
    }
}

fn read(form: &str, mut take: impl FnMut(&Value) -> bool) -> Option<()> {
    let kind = match form {
        ENVOY_FILTER => "networking.istio.io/v1alpha3/namespaces/istio-ingress/envoyfilters",
        TRAFFIC_EXTENSION => "extensions.istio.io/v1alpha1/namespaces/istio-ingress/trafficextensions",
        _ => "extensions.istio.io/v1alpha1/namespaces/istio-ingress/wasmplugins",
    };
    let url = format!("https://127.0.0.1:6443/apis/{kind}?watch=1&fieldSelector=metadata.name%3Dtidegate");
    let tls = TlsConfig::builder().disable_verification(true).build();
    let agent: Agent = Agent::config_builder().tls_config(tls).build().into();
    let mut answer = agent.get(&url).header("authorization", "Bearer inside").call().ok()?;
    for line in BufReader::new(answer.body_mut().as_reader()).lines() {
        let event: Value = serde_json::from_str(&line.ok()?).ok()?;
        if event["type"] != "DELETED" && !take(&event["object"]) {
            return None;
        }
    }
    Some(())
}

/// The config in an object of this form.
fn config(form: &str, object: &Value) -> Option<Value> {
    match form {
        ENVOY_FILTER => {
            let path = "/spec/configPatches/1/patch/value/typed_config/config/configuration/value";
            serde_json::from_str(object.pointer(path)?.as_str()?).ok()
        }
        TRAFFIC_EXTENSION => object.pointer("/spec/wasm/pluginConfig").cloned(),
        _ => object.pointer("/spec/pluginConfig").cloned(),
    }
}

fn take(form: &str, object: &Value, swarm: &Swarm, seen: &Mutex<Seen>) {
    let Some(config) = config(form, object) else { return };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.config.as_ref() == Some(&config) {
        return;
    }
    let stands = &config["standing"]["checkout"];
    let text = |name: &str| stands[name].as_str().unwrap_or_default().to_owned();
    let (of, phase) = (text("of"), text("phase"));
    if !seen.written.iter().any(|(known, is, _)| *known == of && *is == phase) {
        seen.written.push((of, phase, Instant::now()));
    }
    swarm.push(&config.to_string(), WITHIN);
    seen.config = Some(config);
}
