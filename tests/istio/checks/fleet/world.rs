//! What runs beside the cluster: twelve gateways, the simulated proxies, a Prometheus that reads them all, the judge and who
//! steers; and how each of them is asked.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kit::envoy::{module, repository};
use kit::http::Client;
use kit::swarm::{Kind, Swarm, zone};
use serde_json::{Value, json};

use super::super::crowd::{HOST, PATH, user};
use super::super::forms::ENVOY_FILTER;
use super::object::Object;
use super::trickle::{Trickle, version};
use crate::cluster::Cluster;
use crate::land::{Job, get, poll};
use crate::pod::{Pod, Proxy};

/// All proxies, with the gateways.
pub(super) const ALL: usize = 1_000;

const NAMES: [&str; 12] = [
    "fleet-a", "fleet-b", "fleet-c", "fleet-d", "fleet-e", "fleet-f", "fleet-g", "fleet-h", "fleet-i", "fleet-j",
    "fleet-k", "fleet-l",
];

const JUDGE: &str = "http://127.0.0.1:9911";
pub(super) const STEER: &str = "http://127.0.0.1:9912";
const PROMETHEUS: &str = "http://127.0.0.1:9090";

/// The families by which a proxy is judged.
const JUDGED: [&str; 8] = [
    "tidegate_guard_requests_total",
    "tidegate_guard_failed_total",
    "tidegate_guard_slow_total",
    "tidegate_guard_standing",
    "tidegate_rule_step",
    "tidegate_rule_exposure_ppm",
    "tidegate_config_fingerprint",
    "tidegate_flag_info",
];

pub(super) struct World {
    pub(super) gateways: Vec<Proxy>,
    pub(super) swarm: Arc<Swarm>,
    pub(super) object: Object,
    pub(super) trickle: Trickle,
    pub(super) prometheus: Option<Job>,
    pub(super) judge: Option<Job>,
    pub(super) steer: Option<Job>,
    /// What the judge and who steers are given.
    on: String,
}

pub(super) fn gateways(cluster: &Cluster) -> Vec<Proxy> {
    let pods = (21_u8..).zip(NAMES);
    let started: Vec<Proxy> = pods
        .map(|(network, name)| Proxy::start(cluster, Pod { name, network, ..Pod::gateway(Some(module())) }))
        .collect();
    started.into_iter().map(|gateway| gateway.ready().listening(80)).collect()
}

impl World {
    /// Begins where the gateways have a config of this form.
    pub(super) fn start(cluster: &Cluster, gateways: Vec<Proxy>, form: &str) -> Self {
        // Until a moment ago they had another form of it, of another name.
        let plugin = poll("the filter's gauges at all gateways", 60, || {
            let all = gateways.iter().map(|gateway| plugin(&gateway.metrics()));
            let all: Vec<String> = all.collect::<Option<_>>()?;
            let first = all.first()?.clone();
            let is_due = (form == ENVOY_FILTER) == (first == "tidegate");
            (is_due && all.iter().all(|one| *one == first)).then_some(first)
        });
        let kind = Kind {
            proxies: ALL - gateways.len(),
            requests: 1,
            plugin: &plugin,
            host: HOST,
            path: PATH,
            route: "x-upstream-version",
        };
        let swarm = Arc::new(Swarm::start(&kind, 1));
        let object = Object::watch(form, &swarm);
        poll("configs at the simulated proxies", 60, || (swarm.current() == swarm.proxies()).then_some(()));
        let trickle = Trickle::start(gateways.iter().map(|gateway| gateway.address(80)).collect());
        let on = if form == ENVOY_FILTER {
            "configmap/flags".to_owned()
        } else {
            format!("{}/tidegate", form.to_lowercase())
        };
        let mut this = Self { gateways, swarm, object, trickle, prometheus: None, judge: None, steer: None, on };
        this.start_prometheus(cluster);
        this.start_judge(cluster);
        this.start_steer(cluster);
        this
    }

    pub(super) fn start_prometheus(&mut self, cluster: &Cluster) {
        let dir = cluster.folder.path().join("prometheus");
        std::fs::create_dir_all(&dir).expect("a folder can be made");
        let mut targets = self.swarm.targets("ingress");
        for (place, gateway) in self.gateways.iter().enumerate() {
            targets.push(json!({"targets": [gateway.address(15_090).to_string()], "labels":
                {"__metrics_path__": "/stats/prometheus", "zone": zone(place), "workload": "ingress"}}));
        }
        let keep = json!({"source_labels": ["__name__"], "regex": "tidegate_.*", "action": "keep"});
        let config = json!({"global": {"scrape_interval": "15s"}, "scrape_configs":
            [{"job_name": "proxies", "static_configs": targets, "metric_relabel_configs": [keep]}]});
        std::fs::write(dir.join("prometheus.yaml"), config.to_string()).expect("a file can be written");
        let mut command = Command::new(prometheus(cluster));
        command.args([
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:9090",
        ]);
        let mut job = Job::start("prometheus", command.current_dir(dir));
        job.wait("readiness", || get(&format!("{PROMETHEUS}/-/ready")).filter(|said| said.contains("is Ready")));
        self.prometheus = Some(job);
    }

    fn tidegate(&self, cluster: &Cluster, name: &str, args: &[&str]) -> Job {
        let mut command = Command::new(program());
        command.args(args).args(["--on", &self.on, "-n", "istio-ingress", "--kubeconfig"]).arg(&cluster.kube.config);
        Job::start(name, &mut command)
    }

    pub(super) fn start_judge(&mut self, cluster: &Cluster) {
        let mut job =
            self.tidegate(cluster, "judge", &["judge", "--prometheus", PROMETHEUS, "--listen", "127.0.0.1:9911"]);
        job.wait("the judge's door", || get(&format!("{JUDGE}/v1/flags")));
        self.judge = Some(job);
    }

    pub(super) fn start_steer(&mut self, cluster: &Cluster) {
        let mut job =
            self.tidegate(cluster, "steer", &["steer", "--apply", "--judge", JUDGE, "--listen", "127.0.0.1:9912"]);
        job.wait("steer's door", || get(&format!("{STEER}/metrics")));
        self.steer = Some(job);
    }

    /// What the judge says of the flag.
    pub(super) fn judged() -> Value {
        let told = get(&format!("{JUDGE}/v1/flags/checkout")).unwrap_or_default();
        serde_json::from_str(&told).unwrap_or_default()
    }

    /// Waits until all proxies have the config of this revision, and the Prometheus has read so of each, and the judge has
    /// it, too: the generation of the flag.
    pub(super) fn settled(&self, revision: &str) -> String {
        poll("one config at all proxies", 120, || {
            let is_seen = self.object.seen().config.is_some_and(|config| config["revision"] == revision);
            let prints: Option<Vec<String>> = self.gateways.iter().map(|gateway| print(&gateway.metrics())).collect();
            let (prints, simulated) = (prints?, print(&self.swarm.page(0))?);
            let are_equal = prints.iter().all(|one| *one == simulated);
            (is_seen && are_equal && self.swarm.current() == self.swarm.proxies()).then_some(())
        });
        poll("one config at all proxies, as the Prometheus has read it", 120, || {
            let due = print(&self.swarm.page(0))?.parse::<f64>().ok()?;
            let is = |what: &str, due: f64| (number(what)? - due).abs().lt(&0.5).then_some(());
            is("count(tidegate_config_fingerprint)", f64::from(u32::try_from(ALL).expect("a thousand")))?;
            is("min(tidegate_config_fingerprint)", due)?;
            is("max(tidegate_config_fingerprint)", due)
        });
        poll("the judge to see all of them", 60, || {
            let told = Self::judged();
            let sees = told["phase"] == "running" && told["blind"].is_null() && told["proxies"] == ALL;
            sees.then(|| told["generation"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// Since this moment, how long until the last gateway sends nobody to `v2` any more, over connections to both of its
    /// workers.
    pub(super) fn until_all(&self, begin: Instant) -> Duration {
        thread::scope(|scope| {
            let waiting: Vec<_> = self
                .gateways
                .iter()
                .map(|gateway| {
                    scope.spawn(move || {
                        let mut clients = [(); 4].map(|()| gateway.client(80));
                        poll("v1", 60, || {
                            let all = clients.each_mut().map(|client| employee(client).as_deref() == Some("v1"));
                            all.into_iter().all(|is| is).then(|| begin.elapsed())
                        })
                    })
                })
                .collect();
            waiting.into_iter().map(|one| one.join().expect("it comes")).max().unwrap_or_default()
        })
    }

    /// Whether a simulated proxy has the series of a gateway, apart from the groups of identities that some tell.
    pub(super) fn is_alike(&self) -> Result<usize, String> {
        let series = |page: &str| {
            let lines =
                page.lines().filter(|line| JUDGED.iter().any(|family| line.starts_with(&format!("{family}{{"))));
            let named = lines.filter_map(|line| Some(line.rsplit_once('}')?.0.to_owned()));
            let plain = named.map(|line| {
                let (family, labels) = line.split_once('{').unwrap_or((&line, ""));
                let labels = labels.split(',').filter(|label| !label.starts_with("group="));
                let mut labels: Vec<String> = labels.map(str::to_owned).collect();
                labels.sort();
                format!("{family} {labels:?}")
            });
            let mut all: Vec<String> = plain.collect();
            all.sort();
            all.dedup();
            all
        };
        let simulated = series(&self.swarm.page(0));
        for gateway in &self.gateways {
            let real = series(&gateway.metrics());
            if real != simulated {
                return Err(format!("simulated {simulated:#?}\nreal {real:#?}"));
            }
        }
        Ok(simulated.len())
    }
}

/// Somebody who is at `v2` while the flag is not rolled back, and who is not counted by its guard.
pub(super) fn employee(client: &mut Client) -> Option<String> {
    version(&client.try_send(&user(1).header("x-employee", "true")).ok()?.body)
}

/// The fingerprint that a page tells.
pub(super) fn print(page: &str) -> Option<String> {
    let line = page.lines().find(|line| line.starts_with("tidegate_config_fingerprint"))?;
    line.rsplit(' ').next().map(str::to_owned)
}

/// The filter's name, as a page tells it.
fn plugin(page: &str) -> Option<String> {
    let line = page.lines().find(|line| line.starts_with("tidegate_config_fingerprint"))?;
    let named = line.split_once("plugin=\"").and_then(|(_, rest)| rest.split_once('"'));
    Some(named.map_or("tidegate", |(name, _)| name).to_owned())
}

/// What the Prometheus says to an expression.
pub(super) fn number(expression: &str) -> Option<f64> {
    let told = get(&format!("{PROMETHEUS}/api/v1/query?query={expression}"))?;
    let told: Value = serde_json::from_str(&told).ok()?;
    told["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// The one that `make test-istio` has built, or another one that is named.
pub(super) fn prometheus(cluster: &Cluster) -> PathBuf {
    let named = std::env::var_os("TIDEGATE_PROMETHEUS").filter(|path| !path.is_empty());
    named.map_or_else(|| cluster.tool("prometheus"), PathBuf::from)
}

/// The command, or another build of it that is named.
pub(super) fn program() -> PathBuf {
    let named = std::env::var_os("TIDEGATE_COMMAND").filter(|path| !path.is_empty());
    named.map_or_else(|| repository().join("target/debug/tidegate"), PathBuf::from)
}
