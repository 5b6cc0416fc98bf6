//! The cluster: etcd, the API server, and istiod with its webhook.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use kit::envoy::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::echo;
use crate::keys::Key;
use crate::kube::Kube;
use crate::land::{Job, get, logs, open, poll, run};
use crate::registry::Registry;

/// Addresses that are local to everything outside of Pods: of services, and of upstreams.
const SERVICES: &str = "10.96.0.0/16";
const ISTIOD: &str = "10.96.0.10";
pub(crate) const REGISTRY: &str = "10.96.0.20";
const VERSIONS: [(&str, &str); 2] = [("v1", "10.1.100.1"), ("v2", "10.1.100.2")];

pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) kube: Kube,
    istiod: Option<Job>,
    server: Option<Job>,
    pub(crate) registry: Registry,
    _etcd: Job,
    tools: PathBuf,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let begin = Instant::now();
        let tools = repository().join("target/istio");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path();
        let _ = fs::remove_dir_all(logs());
        fs::create_dir_all(logs()).expect("a folder can be made");
        run("ip link set lo up");
        run(&format!("ip route add local {SERVICES} dev lo && ip route add local 10.1.100.0/24 dev lo"));
        run("echo 1 >/proc/sys/net/ipv4/ip_forward");
        // Names as in a cluster, for this run alone.
        let names = "istiod.istio-system.svc istiod.istio-system.svc.cluster.local";
        let hosts = format!("127.0.0.1 localhost\n{ISTIOD} {names}\n");
        fs::write(dir.join("hosts"), hosts).expect("a file can be written");
        run(&format!("mount --bind {}/hosts /etc/hosts && mount -t tmpfs tmpfs /run", dir.display()));

        let mut etcd = Command::new(tools.join("etcd"));
        etcd.arg("--data-dir").arg(dir.join("etcd")).arg("--unsafe-no-fsync");
        let mut etcd = Job::start("etcd", &mut etcd);
        etcd.wait("port", || open("127.0.0.1:2379").then_some(()));

        let account = Key::new();
        fs::write(dir.join("account.key"), account.private_pem()).expect("a file can be written");
        fs::write(dir.join("account.pub"), account.public_pem()).expect("a file can be written");
        fs::write(dir.join("tokens.csv"), "inside,admin,1,system:masters\n").expect("a file can be written");
        let config = dir.join("kubeconfig");
        fs::write(&config, kubeconfig()).expect("a file can be written");
        let kube = Kube { program: tools.join("kubectl"), config };
        let server = Some(start_server(&tools, dir, &kube));
        println!("the API server is there after {:.1?}", begin.elapsed());

        let registry = Registry::start(&tools);
        let mut this = Self { kube, istiod: None, server, registry, _etcd: etcd, tools, folder };
        this.define();
        this.versions();
        this.start_istiod();
        this.await_webhook();
        println!("istiod answers, and its webhook, after {:.1?}", begin.elapsed());
        this
    }

    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.tools.join(name)
    }

    /// Where the sources of one of the two are.
    pub(crate) fn sources(&self, name: &str) -> PathBuf {
        let path = fs::read_to_string(self.tools.join(format!("{name}.path"))).expect("make test-istio has asked Go");
        PathBuf::from(path.trim())
    }

    /// The kinds of Istio and of the Gateway API, and what a cluster has by itself.
    fn define(&self) {
        let crds = self.sources("istio").join("manifests/charts/base/files/crd-all.gen.yaml");
        let gateways = self.sources("gateway-api").join("config/crd/standard");
        for file in [crds, gateways] {
            let file = file.to_str().expect("a path of text");
            self.kube.run(&["apply", "--server-side", "-f", file]);
        }
        self.kube.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        let mesh = mesh();
        let name = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        let mut all =
            vec![name("Namespace", "istio-system"), name("Namespace", "istio-ingress"), name("Namespace", "shop")];
        for space in ["istio-system", "istio-ingress", "shop"] {
            for account in ["default", "waypoint", "client"] {
                all.push(json!({"apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": {"name": account, "namespace": space}}));
            }
        }
        all.push(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": mesh.to_string(), "meshNetworks": "networks: {}"}}));
        all.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "istiod", "namespace": "istio-system"},
            "spec": {"clusterIP": ISTIOD, "ports": [{"name": "https-dns", "port": 15012}, {"name": "webhook", "port": 15017}]}}));
        let rules = json!([{"operations": ["CREATE", "UPDATE"], "apiVersions": ["*"], "resources": ["*"], "apiGroups":
            ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io"]}]);
        // As the base chart has it. istiod writes its certificate into it, and makes it strict.
        all.push(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "istiod-default-validator",
                "labels": {"app": "istiod", "istio": "istiod", "istio.io/rev": "default"}},
            "webhooks": [{"name": "validation.istio.io", "rules": rules, "failurePolicy": "Ignore", "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "clientConfig": {"service":
                    {"name": "istiod", "namespace": "istio-system", "path": "/validate", "port": 15017}}}]}));
        self.kube.apply(&json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string());
    }

    /// The two versions: addresses, Pods, and who is behind the sample's Service. No kubelet makes them here.
    fn versions(&self) {
        for (version, address) in VERSIONS {
            run(&format!("ip addr add {address}/32 dev lo"));
            let listener = TcpListener::bind((address, 8080)).expect("an address of this run");
            echo::start(listener, version);
            self.pod(
                "shop",
                &format!("checkout-{version}"),
                address,
                &json!({"app": "checkout", "version": version}),
                "default",
            );
        }
        self.endpoints(&VERSIONS.map(|(version, address)| (format!("checkout-{version}"), address.to_owned())));
    }

    /// Who is behind the sample's Service.
    pub(crate) fn endpoints(&self, pods: &[(String, String)]) {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|(pod, address)| {
                json!({"addresses": [address], "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": pod, "namespace": "shop"}})
            })
            .collect();
        self.kube.apply(
            &json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": "checkout-1", "namespace": "shop",
                    "labels": {"kubernetes.io/service-name": "checkout"}},
                "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints})
            .to_string(),
        );
    }

    /// A Pod that runs and is ready, as the API server knows it.
    pub(crate) fn pod(&self, space: &str, name: &str, address: &str, labels: &Value, account: &str) {
        self.kube.apply(
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space, "labels": labels},
                "spec": {"nodeName": "here", "serviceAccountName": account,
                    "containers": [{"name": "main", "image": "none"}]}})
            .to_string(),
        );
        let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}]}});
        self.kube.run(&[
            "patch",
            "pod",
            name,
            "--namespace",
            space,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ]);
    }

    pub(crate) fn start_istiod(&mut self) {
        let mut command = Command::new(self.tool("pilot-discovery"));
        command.args(["discovery", "--monitoringAddr=:15014", "--httpAddr=127.0.0.1:8081", "--domain=cluster.local"]);
        command.arg("--kubeconfig").arg(&self.kube.config).current_dir(self.folder.path());
        for (name, value) in [
            ("POD_NAME", "istiod"),
            ("POD_NAMESPACE", "istio-system"),
            ("REVISION", "default"),
            ("CLUSTER_ID", "Kubernetes"),
            ("PILOT_CERT_PROVIDER", "istiod"),
            ("PILOT_ENABLE_AMBIENT", "true"),
            ("INJECT_ENABLED", "false"),
            // Filters that only Istio's own build of Envoy has.
            ("PILOT_ENABLE_ALPN_FILTER", "false"),
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
        ] {
            command.env(name, value);
        }
        let mut job = Job::start("istiod", &mut command);
        job.wait("readiness", || get("http://127.0.0.1:8081/ready").filter(|_| open("127.0.0.1:15012")));
        self.istiod = Some(job);
    }

    /// Kills the API server; what it has written stays.
    pub(crate) fn stop_server(&mut self) {
        self.server = None;
    }

    pub(crate) fn start_server(&mut self) {
        self.server = Some(start_server(&self.tools, self.folder.path(), &self.kube));
    }

    pub(crate) fn stop_istiod(&mut self) {
        self.istiod = None;
    }

    pub(crate) fn istiod_log(&self) -> String {
        self.istiod.as_ref().map(Job::log).unwrap_or_default()
    }

    /// A count of istiod's own.
    pub(crate) fn istiod_count(&self, name: &str, label: &str) -> f64 {
        let page = get("http://127.0.0.1:15014/metrics").unwrap_or_default();
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn await_webhook(&self) {
        poll("the webhook to be strict", 60, || {
            let hook = self.kube.get(&["validatingwebhookconfiguration", "istiod-default-validator"]);
            (hook["webhooks"][0]["failurePolicy"] == "Fail").then_some(())
        });
    }
}

fn start_server(tools: &Path, dir: &Path, kube: &Kube) -> Job {
    let mut server = Command::new(tools.join("kube-apiserver"));
    server.args(["--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1", "--secure-port=6443"]);
    server.args(["--authorization-mode=AlwaysAllow", "--endpoint-reconciler-type=none"]);
    server.args(["--disable-admission-plugins=ServiceAccount", "--advertise-address=10.1.100.250"]);
    server.arg(format!("--service-cluster-ip-range={SERVICES}"));
    server.args(["--service-account-issuer=https://kubernetes.default.svc", "--api-audiences=istio-ca,kubernetes"]);
    server.arg(format!("--service-account-key-file={}", dir.join("account.pub").display()));
    server.arg(format!("--service-account-signing-key-file={}", dir.join("account.key").display()));
    server.arg(format!("--token-auth-file={}", dir.join("tokens.csv").display()));
    server.arg("--cert-dir").arg(dir.join("certificates"));
    let mut server = Job::start("kube-apiserver", &mut server);
    server.wait("readiness", || kube.attempt(&["get", "--raw", "/readyz"], "").ok());
    server
}

/// The providers of mesh.yaml as they stand, and nothing of Istio's own telemetry, which its own Envoy alone has.
fn mesh() -> Value {
    let file = repository().join("envoy/istio/mesh.yaml");
    let values: Value = serde_saphyr::from_str(&fs::read_to_string(file).expect("a file")).expect("YAML");
    let mut mesh = values["meshConfig"].clone();
    mesh["defaultProviders"] = json!({});
    mesh["enablePrometheusMerge"] = json!(false);
    mesh["rootNamespace"] = "istio-system".into();
    mesh["trustDomain"] = "cluster.local".into();
    mesh["defaultConfig"] = json!({"discoveryAddress": "istiod.istio-system.svc:15012"});
    mesh
}

fn kubeconfig() -> String {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true}}],
        "users": [{"name": "admin", "user": {"token": "inside"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}]})
    .to_string()
}
