//! A proxy's Pod: a network of its own, the files that a kubelet would mount, and the agent with its Envoy.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kit::envoy::{ENVOY, binary, repository};
use kit::http::Client;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::land::{Job, get, open, poll, run};

/// What stands in a Pod's description.
#[derive(Clone)]
pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) space: &'static str,
    pub(crate) account: &'static str,
    /// `router`, `sidecar` or `waypoint`.
    pub(crate) role: &'static str,
    pub(crate) labels: Value,
    /// The fourth network of this run: `10.2.N.1` is the Pod.
    pub(crate) network: u8,
    /// The module on its volume; none if there is no such ConfigMap.
    pub(crate) module: Option<PathBuf>,
    pub(crate) env: Vec<(&'static str, String)>,
    /// An application beside the proxy, on port 9080 of its loopback.
    pub(crate) version: Option<&'static str>,
}

impl Pod {
    pub(crate) fn gateway(module: Option<PathBuf>) -> Self {
        Self {
            name: "ingress",
            space: "istio-ingress",
            account: "default",
            role: "router",
            labels: json!({"istio": "ingress"}),
            network: 1,
            module,
            env: Vec::new(),
            version: None,
        }
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 2, self.network, 1)
    }
}

/// A Pod that runs.
pub(crate) struct Proxy {
    job: Job,
    pod: Pod,
    /// The folder that its volume shows: files in it change as those of a ConfigMap do.
    pub(crate) volume: PathBuf,
}

impl Proxy {
    pub(crate) fn start(cluster: &Cluster, pod: Pod) -> Self {
        let kube = &cluster.kube;
        let address = pod.address();
        cluster.pod(pod.space, pod.name, &address.to_string(), &pod.labels, pod.account);
        let dir = cluster.folder.path().join(format!("pod-{}-{}", pod.name, pod.network));
        // The agent's paths begin in the folder that it runs in.
        let (volume, secrets) = (dir.join("volume"), dir.join("var/run/secrets"));
        for folder in ["volume", "var/run/secrets/tokens", "var/run/secrets/istio", "etc/istio/proxy"] {
            fs::create_dir_all(dir.join(folder)).expect("a folder can be made");
        }
        let module = volume.join("tidegate.wasm");
        match &pod.module {
            Some(source) => drop(fs::copy(source, &module).expect("the module is built")),
            None => drop(fs::remove_file(&module)),
        }
        let token = kube.run(&["create", "token", pod.account, "--namespace", pod.space, "--audience=istio-ca"]);
        fs::write(secrets.join("tokens/istio-token"), token.trim()).expect("a file can be written");
        let root = poll("istiod's root certificate", 60, || {
            let found = kube.attempt(
                &["get", "configmap", "istio-ca-root-cert", "-n", pod.space, "-o", r"jsonpath={.data.root-cert\.pem}"],
                "",
            );
            found.ok().filter(|text| text.contains("BEGIN"))
        });
        fs::write(secrets.join("istio/root-cert.pem"), root).expect("a file can be written");
        // As a kubelet writes them for the agent.
        let lines = |map: &Value| {
            let entries = map.as_object().into_iter().flatten();
            // Quoted, as the downward API writes them.
            entries.map(|(key, value)| format!("{key}={value}\n")).collect::<String>()
        };
        fs::create_dir_all(dir.join("etc/istio/pod")).expect("a folder can be made");
        fs::write(dir.join("etc/istio/pod/labels"), lines(&pod.labels)).expect("a file can be written");
        fs::write(dir.join("etc/istio/pod/annotations"), lines(&annotations())).expect("a file can be written");

        // Waits for its network before anything runs in it.
        let script = "read -r go; mount -t tmpfs tmpfs /var/lib; mkdir -p /var/lib/tidegate /var/lib/istio/data; \
            mount --bind \"$VOLUME\" /var/lib/tidegate; \
            [ -z \"$VERSION\" ] || \"$SELF\" --echo 127.0.0.1:9080 \"$VERSION\" & exec \"$@\"";
        let mut command = Command::new("unshare");
        // What runs in it ends with it.
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", script, "pod"]);
        command.arg(cluster.tool("pilot-agent")).args(["proxy", pod.role]);
        command.arg(format!("--domain={}.svc.cluster.local", pod.space));
        command.args(["--proxyLogLevel=warning", "--proxyComponentLogLevel=wasm:info"]);
        command.current_dir(&dir).stdin(Stdio::piped());
        // Without an extension of waypoints that only Istio's own build of Envoy has.
        let template = cluster.sources("istio").join("tools/packaging/common/envoy_bootstrap.json");
        let template = fs::read_to_string(template).expect("Go has its sources");
        let bootstrap = dir.join("bootstrap.json");
        fs::write(&bootstrap, template.replace("if .metadata_discovery", "if false")).expect("a file can be written");
        let labels = pod.labels.to_string();
        let ip = address.to_string();
        let config = json!({"binaryPath": binary(ENVOY), "concurrency": 2,
            "discoveryAddress": "istiod.istio-system.svc:15012"})
        .to_string();
        for (name, value) in [
            ("POD_NAME", pod.name),
            ("POD_NAMESPACE", pod.space),
            ("INSTANCE_IP", &ip),
            ("SERVICE_ACCOUNT", pod.account),
            ("ISTIO_META_SERVICE_ACCOUNT", pod.account),
            ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            ("ISTIO_META_ISTIO_VERSION", "1.31.0"),
            ("ISTIO_META_NODE_NAME", "here"),
            ("ISTIO_METAJSON_LABELS", &labels),
            ("PILOT_CERT_PROVIDER", "istiod"),
            ("CA_ADDR", "istiod.istio-system.svc:15012"),
            ("TRUST_DOMAIN", "cluster.local"),
            ("ISTIO_BOOTSTRAP", bootstrap.to_str().expect("a path of text")),
            ("PROXY_CONFIG", &config),
            ("VERSION", pod.version.unwrap_or_default()),
        ] {
            command.env(name, value);
        }
        command.env("VOLUME", &volume);
        command.env("SELF", std::env::current_exe().expect("the program has a path"));
        for (name, value) in &pod.env {
            command.env(name, value);
        }
        let mut job = Job::start(&format!("{}-{}", pod.name, pod.network), &mut command);
        let (id, n) = (job.id(), pod.network);
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let (own, theirs) = (network("self"), id.to_string());
        job.wait("network", || (network(&theirs)? != *own.as_ref()?).then_some(()));
        run(&format!(
            "ip link add pod{n} type veth peer name eth0 netns {id} && ip addr add 10.2.{n}.254/24 dev pod{n} && \
             ip link set pod{n} up && nsenter -t {id} -n sh -c 'ip link set lo up && ip addr add {ip}/24 dev eth0 && \
             ip link set eth0 up && ip route add default via 10.2.{n}.254'"
        ));
        let mut stdin = job.child().stdin.take().expect("a pipe");
        stdin.write_all(b"go\n").expect("the Pod waits");
        Self { job, pod, volume }
    }

    /// Waits until the agent says that it is ready.
    pub(crate) fn ready(mut self) -> Self {
        let url = format!("http://{}:15021/healthz/ready", self.pod.address());
        self.job.wait("readiness", || ready(&url));
        self
    }

    /// Waits until a port of the Pod takes connections.
    pub(crate) fn listening(mut self, port: u16) -> Self {
        let address = self.address(port).to_string();
        self.job.wait("listener", || open(&address).then_some(()));
        self
    }

    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.pod.address(), port))
    }

    pub(crate) fn client(&self, port: u16) -> Client {
        Client::at(self.address(port))
    }

    pub(crate) fn id(&self) -> u32 {
        self.job.id()
    }

    /// Kills its Envoy without a warning; the agent ends with it, and so does the Pod.
    pub(crate) fn kill_envoy(mut self) {
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let ours = network(&self.id().to_string());
        let all = fs::read_dir("/proc").expect("there are processes").flatten();
        let mut all = all.filter_map(|entry| entry.file_name().into_string().ok());
        let is_envoy =
            |id: &String| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "envoy");
        let envoy = all.find(|id| is_envoy(id) && network(id) == ours).expect("it has an Envoy");
        run(&format!("kill -9 {envoy}"));
        let job = self.job.child();
        poll("the end of the Pod", 30, || job.try_wait().expect("a child can be asked"));
    }

    pub(crate) fn log(&self) -> String {
        self.job.log()
    }

    /// What Prometheus would scrape.
    pub(crate) fn metrics(&self) -> String {
        get(&format!("http://{}:15090/stats/prometheus", self.pod.address())).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.job.child().kill();
        let _ = self.job.child().wait();
        let _ = Command::new("ip").args(["link", "delete", &format!("pod{}", self.pod.network)]).status();
    }
}

/// Those of the sample's gateway, as they stand in its manifest.
fn annotations() -> Value {
    let file = repository().join("envoy/istio/components/ingress/ingress.yaml");
    let all: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(file).expect("a file")).expect("YAML");
    let deployment = all.into_iter().find(|one| one["kind"] == "Deployment").expect("the sample has a gateway");
    deployment["spec"]["template"]["metadata"]["annotations"].clone()
}

fn ready(url: &str) -> Option<()> {
    ureq::get(url).call().is_ok_and(|response| response.status() == 200).then_some(())
}
