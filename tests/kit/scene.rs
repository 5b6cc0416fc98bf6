//! Turns a few choices into the bootstrap of a whole scene: clients, the proxy with the filter, versions of an upstream.
//!
//! All in one Envoy: the listener `ingress` holds the filter and the routes; each version of the upstream is a
//! listener on a socket file, and answers with the headers that it got. Never contains a configuration of Tidegate:
//! that is the test's own.

use super::envoy::{Door, ENVOY, Envoy, FILTER, FilterFile, Launch, OLDEST_ENVOY, OLDEST_NATIVE, library, module};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_proxy::metrics::catalogue::Tag;

/// Fails what asks for it.
const FAILS: &str = "function envoy_on_request(request)
  if request:headers():get('x-fail') then request:respond({[':status'] = '500'}, '') end
  local status = request:headers():get('x-grpc')
  if status then
    request:respond({[':status'] = '200', ['content-type'] = 'application/grpc', ['grpc-status'] = status}, '')
  end
end";

const TYPES: &str = "type.googleapis.com/envoy";

/// How the filter gets to Envoy.
#[derive(Clone, Debug)]
enum Delivery {
    /// From a file, by the extension config discovery service: the way of the mesh.
    Discovered(String),
    /// In the bootstrap, with this `Any` as configuration.
    Inline(Value),
    /// There is no filter.
    Absent,
}

/// How a version of the upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Headers,
    Nothing,
}

/// The scene to be; every choice has a default but the configuration.
#[derive(Clone, Debug)]
pub struct Scene {
    delivery: Delivery,
    answer: Answer,
    door: Door,
    told: bool,
    envoy: String,
    module: Option<PathBuf>,
    concurrency: u32,
    ingress: usize,
    versions: Vec<String>,
    routes: Option<Value>,
    filters: Vec<Value>,
    plugin: Value,
    vm_id: String,
    access_log: Option<String>,
    fields: Value,
    clusters: Vec<Value>,
    log_levels: (String, String),
    faults: bool,
    edits: Vec<fn(&mut Value)>,
    values: Vec<(String, Value)>,
}

impl Scene {
    /// The filter with this configuration, delivered from a file and open to [`Envoy::push`].
    pub fn new(config: impl Into<String>) -> Self {
        Self::of(Delivery::Discovered(config.into()))
    }

    /// The filter with this configuration, a fixed part of the bootstrap.
    pub fn inline(config: &str) -> Self {
        Self::inline_any(json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config}))
    }

    /// As [`Scene::inline`], with the configuration as any message, such as a `google.protobuf.Struct`.
    pub fn inline_any(config: Value) -> Self {
        Self::of(Delivery::Inline(config))
    }

    /// The same proxy without the filter.
    pub fn bare() -> Self {
        Self::of(Delivery::Absent)
    }

    fn of(delivery: Delivery) -> Self {
        Self {
            delivery,
            answer: Answer::Headers,
            door: Door::default(),
            told: true,
            envoy: ENVOY.to_owned(),
            module: None,
            concurrency: 1,
            ingress: 1,
            versions: vec!["v1".to_owned(), "v2".to_owned()],
            routes: None,
            filters: Vec::new(),
            plugin: json!({"name": FILTER, "root_id": FILTER}),
            vm_id: String::new(),
            access_log: None,
            fields: json!({}),
            clusters: Vec::new(),
            log_levels: ("warning".to_owned(), "info".to_owned()),
            faults: false,
            edits: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Another Envoy than the default one.
    pub fn envoy(mut self, version: &str) -> Self {
        let oldest = self.door == Door::Native && version == OLDEST_ENVOY;
        let version = if oldest { OLDEST_NATIVE } else { version };
        version.clone_into(&mut self.envoy);
        self
    }

    /// Another door than wasm's.
    pub fn door(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    /// Nothing in front of a library that tells it claims, listener and node: for configs that ask for none of them.
    pub fn untold(mut self) -> Self {
        self.told = false;
        self
    }

    /// Another module than the built one.
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// The number of workers; one unless said otherwise.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// The number of listeners with the filter: `ingress`, `ingress-2`, `ingress-3` and so on.
    pub fn ingress(mut self, listeners: usize) -> Self {
        self.ingress = listeners;
        self
    }

    /// The versions of the upstream, each with a cluster of its name; `v1` and `v2` unless said otherwise.
    pub fn versions(mut self, names: &[&str]) -> Self {
        self.versions = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The routes of the ingress, instead of one by the header `x-upstream-version` for each version.
    pub fn routes(mut self, routes: Value) -> Self {
        self.routes = Some(routes);
        self
    }

    /// Adds an HTTP filter in front of Tidegate.
    pub fn filter(mut self, filter: Value) -> Self {
        self.filters.push(filter);
        self
    }

    /// Adds a Lua filter in front of Tidegate.
    pub fn lua(self, source: &str) -> Self {
        self.filter(lua(json!({"inline_string": source})))
    }

    /// What Envoy does when the module fails: `FAIL_CLOSED`, `FAIL_OPEN` or `FAIL_RELOAD`.
    pub fn failure_policy(mut self, policy: &str) -> Self {
        self.plugin["failure_policy"] = policy.into();
        self
    }

    /// The name of the plugin, which its shared state and its statistics go by.
    pub fn plugin_name(mut self, name: &str) -> Self {
        self.plugin["name"] = name.into();
        self
    }

    /// The name of the space that plugins share.
    pub fn vm_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.vm_id);
        self
    }

    /// Writes a line of this format for each request, to be read by [`Envoy::access_log`].
    pub fn access_log(mut self, format: &str) -> Self {
        self.access_log = Some(format!("{format}\n"));
        self
    }

    /// Sets fields of the ingress's connection manager. Envoy runs in [`Envoy::dir`]: paths may be relative to that.
    pub fn fields(mut self, fields: Value) -> Self {
        self.fields = fields;
        self
    }

    /// Adds a cluster that is no version of the upstream.
    pub fn cluster(mut self, cluster: Value) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// The levels of Envoy's log and of the filter's: `warning` and `info` unless said otherwise.
    pub fn log_levels(mut self, envoy: &str, filter: &str) -> Self {
        self.log_levels = (envoy.to_owned(), filter.to_owned());
        self
    }

    /// Upstreams that answer at once and do not list headers: for measuring the proxy in front of them.
    pub fn silent_upstreams(mut self) -> Self {
        self.answer = Answer::Nothing;
        self
    }

    /// Versions that can be made to fail, or to take their time, while Envoy runs: see [`Envoy::set_runtime`] with
    /// the keys `fail.v2` and `slow.v2`, in percent of the requests. A request with the header `x-fail` always fails, one
    /// with `x-grpc: 14` is answered with that status of gRPC.
    pub fn faults(mut self) -> Self {
        self.faults = true;
        self
    }

    /// Changes the finished bootstrap in a way that has no method here.
    pub fn edit(mut self, edit: fn(&mut Value)) -> Self {
        self.edits.push(edit);
        self
    }

    /// Sets what stands at this pointer of the finished bootstrap.
    pub fn set(mut self, pointer: impl Into<String>, value: Value) -> Self {
        self.values.push((pointer.into(), value));
        self
    }

    /// Starts the scene.
    pub fn start(self) -> Envoy {
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir().expect("a temporary folder");
        let mut bootstrap = self.bootstrap(dir.path());
        for edit in &self.edits {
            edit(&mut bootstrap);
        }
        for (pointer, value) in &self.values {
            *bootstrap.pointer_mut(pointer).expect("the pointer leads to something") = value.clone();
        }
        let path = dir.path().join("envoy.json");
        fs::write(&path, format!("{bootstrap:#}")).expect("the bootstrap can be written");
        let filter = self.filter_file(dir.path());
        let (log_level, wasm_log_level) = self.log_levels;
        let (version, concurrency) = (self.envoy, self.concurrency);
        Envoy::launch(Launch { version, concurrency, log_level, wasm_log_level, dir, bootstrap: path, filter })
    }

    fn bootstrap(&self, dir: &Path) -> Value {
        let ingress = (1..=self.ingress).map(|number| {
            let name = if number == 1 { "ingress".to_owned() } else { format!("ingress-{number}") };
            let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
            listener(&name, &address, self.manager(dir))
        });
        let upstreams = self
            .versions
            .iter()
            .map(|version| listener(&format!("upstream-{version}"), &socket(dir, version), self.upstream(version)));
        let clusters = self.versions.iter().map(|version| {
            let endpoint = json!({"endpoint": {"address": socket(dir, version)}});
            json!({
                "name": version,
                "load_assignment": {"cluster_name": version, "endpoints": [{"lb_endpoints": [endpoint]}]},
            })
        });
        let tags = Tag::ALL.iter().map(|tag| json!({"tag_name": tag.name(), "regex": tag.pattern()}));
        json!({
            "node": {"id": "proxy-1", "cluster": "test"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            // Without this, Envoy shows the metrics of a library to Prometheus with a prefix of its own.
            "layered_runtime": {"layers": [
                {"name": "names", "static_layer": {"envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix": true}},
                {"name": "admin", "admin_layer": {}},
            ]},
            "stats_config": {"stats_tags": tags.collect::<Value>()},
            "static_resources": {
                "listeners": ingress.chain(upstreams).collect::<Value>(),
                "clusters": clusters.chain(self.clusters.iter().cloned()).collect::<Value>(),
            },
        })
    }

    fn manager(&self, dir: &Path) -> Value {
        let routes = self.routes.clone().unwrap_or_else(|| by_header(&self.versions));
        let mut filters = self.filters.clone();
        match &self.delivery {
            Delivery::Absent => {}
            _ if self.door == Door::Native && self.told => filters.push(told()),
            _ => {}
        }
        match &self.delivery {
            Delivery::Discovered(_) => filters.push(discovered(&dir.join("filter.json"))),
            Delivery::Inline(config) => filters.push(json!({"name": FILTER, "typed_config": self.typed(config)})),
            Delivery::Absent => {}
        }
        let mut manager = manager("ingress", filters, &routes);
        manager["use_remote_address"] = true.into();
        for (field, value) in self.fields.as_object().into_iter().flatten() {
            manager[field] = value.clone();
        }
        if let Some(format) = &self.access_log {
            manager["access_log"] = json!([{"name": "file", "typed_config": {
                "@type": format!("{TYPES}.extensions.access_loggers.file.v3.FileAccessLog"),
                "path": dir.join("access.log"),
                "log_format": {"text_format_source": {"inline_string": format}},
            }}]);
        }
        manager
    }

    fn upstream(&self, version: &str) -> Value {
        let body = format!("{{\"version\": \"{version}\", \"headers\": []}}\n");
        let routes = json!([{
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": body}},
            "metadata": {"filter_metadata": {"envoy.filters.http.lua": {"version": version}}},
        }]);
        let script = include_str!("../../envoy/upstream.lua");
        let mut filters = Vec::new();
        if self.faults {
            let nobody = json!({"numerator": 0, "denominator": "HUNDRED"});
            filters.push(json!({"name": "envoy.filters.http.fault", "typed_config": {
                "@type": format!("{TYPES}.extensions.filters.http.fault.v3.HTTPFault"),
                "abort": {"http_status": 500, "percentage": nobody},
                "abort_percent_runtime": format!("fail.{version}"),
                "delay": {"fixed_delay": "0.3s", "percentage": nobody},
                "delay_percent_runtime": format!("slow.{version}"),
            }}));
            filters.push(lua(json!({"inline_string": FAILS})));
        }
        if self.answer == Answer::Headers {
            filters.push(lua(json!({"inline_string": script})));
        }
        manager(&format!("upstream-{version}"), filters, &routes)
    }

    fn typed(&self, config: &Value) -> Value {
        match self.door {
            Door::Wasm => self.wasm(config),
            Door::Native => self.native(config),
        }
    }

    fn native(&self, config: &Value) -> Value {
        let library = self.module.clone().unwrap_or_else(library);
        json!({
            "@type": format!("{TYPES}.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"),
            "dynamic_module_config": {"module": {"local": {"filename": library}}, "metrics_namespace": "wasmcustom"},
            "filter_name": self.plugin["name"],
            "filter_config": config,
        })
    }

    fn wasm(&self, config: &Value) -> Value {
        let module = self.module.clone().unwrap_or_else(module);
        let mut plugin = self.plugin.clone();
        plugin["configuration"] = config.clone();
        plugin["vm_config"] = json!({
            "vm_id": self.vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": module}},
        });
        json!({"@type": format!("{TYPES}.extensions.filters.http.wasm.v3.Wasm"), "config": plugin})
    }

    fn filter_file(&self, dir: &Path) -> Option<FilterFile> {
        let Delivery::Discovered(config) = &self.delivery else { return None };
        let any = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": ""});
        let response = json!({"resources": [{
            "@type": format!("{TYPES}.config.core.v3.TypedExtensionConfig"),
            "name": FILTER,
            "typed_config": self.typed(&any),
        }]});
        let mut file = FilterFile { path: dir.join("filter.json"), response };
        file.write(config, 1);
        Some(file)
    }
}

/// One route for each version by the header `x-upstream-version`; what has none goes to the first version.
pub fn by_header(versions: &[String]) -> Value {
    let matched = versions.iter().skip(1).map(|version| {
        let header = json!({"name": "x-upstream-version", "string_match": {"exact": version}});
        json!({"match": {"prefix": "/", "headers": [header]}, "route": {"cluster": version}})
    });
    let rest = versions.first().map(|version| json!({"match": {"prefix": "/"}, "route": {"cluster": version}}));
    matched.chain(rest).collect()
}

/// What a library cannot ask Envoy for, as `envoy/native` has it.
fn told() -> Value {
    let key = |key: &str, format: &str| {
        json!({
            "object_key": key,
            "factory_key": "envoy.string",
            "format_string": {"text_format_source": {"inline_string": format}, "omit_empty_values": true},
            "skip_if_empty": true,
        })
    };
    json!({"name": "told", "typed_config": {
        "@type": format!("{TYPES}.extensions.filters.http.set_filter_state.v3.Config"),
        "on_request_headers": [
            key("tidegate.claims", "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload)%"),
            key("tidegate.listener", "%METADATA(LISTENER:tidegate:listener)%"),
            key("tidegate.node", "%CEL(xds.node.id)%"),
        ],
    }})
}

fn discovered(file: &Path) -> Value {
    json!({"name": FILTER, "config_discovery": {
        "config_source": {"path_config_source": {"path": file}, "resource_api_version": "V3"},
        "type_urls": [
            format!("{TYPES}.extensions.filters.http.wasm.v3.Wasm"),
            format!("{TYPES}.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"),
        ],
    }})
}

fn lua(source: Value) -> Value {
    let mut config = json!({"@type": format!("{TYPES}.extensions.filters.http.lua.v3.Lua")});
    config["default_source_code"] = source;
    json!({"name": "envoy.filters.http.lua", "typed_config": config})
}

fn manager(name: &str, mut filters: Vec<Value>, routes: &Value) -> Value {
    let last = json!({"@type": format!("{TYPES}.extensions.filters.http.router.v3.Router")});
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": last}));
    json!({
        "@type": format!("{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "http_filters": filters,
        "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
    })
}

fn listener(name: &str, address: &Value, manager: Value) -> Value {
    let mut filter = json!({"name": "envoy.filters.network.http_connection_manager"});
    filter["typed_config"] = manager;
    json!({"name": name, "address": address, "filter_chains": [{"filters": [filter]}]})
}

/// The address of a version: a socket file, so that its cluster can name it before it is open.
fn socket(dir: &Path, version: &str) -> Value {
    json!({"pipe": {"path": dir.join(format!("{version}.sock"))}})
}
