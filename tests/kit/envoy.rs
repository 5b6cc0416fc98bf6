//! Turns a bootstrap file into a running Envoy, and a new configuration into a push that is known to be in force.
//!
//! An [`Envoy`] is the process: it is killed and waited for when the value is dropped, also by a panic, and a guard
//! kills it should this program itself be killed. Ports are the kernel's choice and are read back from the admin
//! interface, so that any number of Envoys can run side by side. Never sleeps for a fixed time: it polls, with a limit.

use super::http::{Client, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The Envoy that tests run unless they name another one.
pub const ENVOY: &str = "1.40.0";

/// The oldest Envoy that is tested.
pub const OLDEST_ENVOY: &str = "1.36.4";

/// The oldest one that takes the library.
pub const OLDEST_NATIVE: &str = "1.39.0";

/// The name of the filter in the listener, and of its resource in a push.
pub const FILTER: &str = "tidegate";

/// How long Envoy may take to start, or to say what it makes of a push.
const PATIENCE: Duration = Duration::from_mins(1);

/// The pause between two looks at something that is not there yet.
const POLL: Duration = Duration::from_millis(2);

/// Where the filter's configuration stands in a discovery response: through the wasm door, and through the native one.
const CONFIGURATION: [&str; 2] =
    ["/resources/0/typed_config/config/configuration/value", "/resources/0/typed_config/filter_config/value"];

/// How the filter gets into Envoy: as a wasm module, or as a library in its own process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Wasm,
    Native,
}

impl Default for Door {
    /// The suites are compiled twice: what is called `native` goes through that door. `TIDEGATE_DOOR` decides for all.
    fn default() -> Self {
        static DOOR: LazyLock<Door> = LazyLock::new(|| {
            let named = std::env::var("TIDEGATE_DOOR").ok().filter(|door| !door.is_empty());
            let program = std::env::current_exe().ok();
            let program = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let native =
                named.map_or_else(|| program.is_some_and(|name| name.starts_with("native-")), |d| d == "native");
            if native { Door::Native } else { Door::Wasm }
        });
        *DOOR
    }
}

/// Everything that is needed to start an Envoy, and to start it again.
#[derive(Debug)]
pub struct Launch {
    /// Envoy's version, as a folder below `target/envoy`.
    pub version: String,
    /// The number of workers.
    pub concurrency: u32,
    /// The level of Envoy's own log.
    pub log_level: String,
    /// The level of what the filter logs.
    pub wasm_log_level: String,
    /// The folder that holds all files, and that relative paths start from. Removed at the end.
    pub dir: TempDir,
    /// The bootstrap file.
    pub bootstrap: PathBuf,
    /// The discovery response that delivers the filter, if the bootstrap has it delivered.
    pub filter: Option<FilterFile>,
}

/// A discovery response in a file that Envoy watches.
#[derive(Clone, Debug)]
pub struct FilterFile {
    /// The file.
    pub path: PathBuf,
    /// Its content: one resource, the filter.
    pub response: Value,
}

impl FilterFile {
    /// Puts a configuration and a version into the response and the response into the file, by atomic rename:
    /// Envoy never sees half of it, and sees each one.
    pub fn write(&mut self, config: &str, version: u64) {
        let place = CONFIGURATION.iter().find(|place| self.response.pointer(place).is_some());
        let text = place.and_then(|place| self.response.pointer_mut(place));
        *text.expect("the response holds a StringValue") = config.into();
        self.response["version_info"] = version.to_string().into();
        let next = self.path.with_extension("next");
        let text = serde_json::to_vec(&self.response).expect("a value can be written");
        fs::write(&next, text).and_then(|()| fs::rename(&next, &self.path)).expect("the filter file can be replaced");
    }

    /// The configuration that the response holds.
    pub fn config(&self) -> &str {
        configuration(&self.response).expect("the response holds a StringValue")
    }
}

/// The configuration in a discovery response.
fn configuration(response: &Value) -> Option<&str> {
    CONFIGURATION.iter().find_map(|place| response.pointer(place)).and_then(Value::as_str)
}

/// What Envoy made of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in force in every worker; one of 32 KiB or more, some milliseconds later.
    Accepted,
    /// The one before it is still in force.
    Rejected,
}

/// A push that has been written; [`Envoy::settle`] waits for what became of it.
#[derive(Clone, Debug)]
pub struct Ticket {
    before: BTreeMap<String, u64>,
    repeated: bool,
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    launch: Launch,
    process: Option<Process>,
    pushes: Mutex<u64>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    guard: Child,
    admin: u16,
    ports: BTreeMap<String, u16>,
}

impl Envoy {
    /// Starts Envoy and waits until every listener takes connections.
    pub fn launch(launch: Launch) -> Self {
        let process = Some(start(&launch));
        Self { launch, process, pushes: Mutex::new(1) }
    }

    /// Pushes a configuration and waits until Envoy has taken or refused it.
    #[track_caller]
    pub fn push(&self, config: &str) -> Pushed {
        self.settle(&self.publish(config))
    }

    /// Writes a configuration for Envoy to find, and does not wait.
    #[track_caller]
    pub fn publish(&self, config: &str) -> Ticket {
        let before = self.discovery();
        let mut pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        *pushes += 1;
        let mut file = self.launch.filter.clone().expect("this Envoy gets its filter from a file");
        let current: Value =
            serde_json::from_slice(&fs::read(&file.path).expect("the filter file is there")).unwrap_or(Value::Null); // the first one may be hand-written YAML
        let repeated = configuration(&current) == Some(config);
        file.write(config, *pushes);
        Ticket { before, repeated }
    }

    /// Waits until Envoy has taken or refused a push.
    ///
    /// Envoy counts a success on its main thread and a reload when the last worker has changed over, so both are
    /// awaited; a configuration equal to the one before it is a success and no reload.
    #[track_caller]
    pub fn settle(&self, ticket: &Ticket) -> Pushed {
        self.poll("an answer to the push", || {
            let now = self.discovery();
            let rose = |name: &str| now.get(name) > ticket.before.get(name);
            if rose("update_rejected") {
                return Some(Pushed::Rejected);
            }
            (rose("update_success") && (ticket.repeated || rose("config_reload"))).then_some(Pushed::Accepted)
        })
    }

    fn discovery(&self) -> BTreeMap<String, u64> {
        let prefix = format!("extension_config_discovery.http_filter.{FILTER}.");
        let stats = self.stats(&prefix).into_iter();
        stats.filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value))).collect()
    }

    /// Puts new code in place, with this configuration: the same module with another section at its end is another one
    /// to Envoy, and so a new VM. Each version is another one. Returns at once.
    #[track_caller]
    pub fn upgrade(&self, config: &str, version: u64) {
        let mut code = fs::read(module()).expect("the module");
        code.extend_from_slice(b"\x00\x0d\x04next");
        code.extend_from_slice(&version.to_le_bytes());
        let upgraded = self.dir().join("next.wasm");
        fs::write(&upgraded, code).expect("the folder can be written");
        let file = self.dir().join("filter.json");
        let mut response: Value = serde_json::from_slice(&fs::read(&file).expect("a filter file")).expect("JSON");
        let plugin = &mut response["resources"][0]["typed_config"]["config"];
        plugin["vm_config"]["code"]["local"]["filename"] = upgraded.to_string_lossy().into();
        plugin["configuration"]["value"] = config.into();
        response["version_info"] = version.to_string().into();
        fs::write(file.with_extension("next"), response.to_string()).expect("the folder can be written");
        fs::rename(file.with_extension("next"), &file).expect("the file can be renamed");
    }

    /// Polls until there is an answer; panics after a minute, or when Envoy has gone.
    #[track_caller]
    pub fn poll<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "waited a minute for {what}; Envoy's log ends:\n{}", tail(&self.log()));
            std::thread::sleep(POLL);
        }
    }

    /// The value of one counter or gauge, by its full name; none while Envoy does not know it.
    #[track_caller]
    pub fn stat(&self, name: &str) -> Option<u64> {
        self.stats(name).get(name).copied()
    }

    /// All counters and gauges whose name contains the text.
    #[track_caller]
    pub fn stats(&self, text: &str) -> BTreeMap<String, u64> {
        let ours = Door::default() == Door::Native && (text.starts_with(OURS) || text.starts_with("tidegate."));
        let literal = if ours { OURS } else { text }.replace('.', "%5C.");
        let listing = self.admin_get(&format!("/stats?filter={literal}"));
        let lines = listing.lines().filter_map(|line| line.rsplit_once(": "));
        let named = lines.map(|(name, value)| (as_in_wasm(name).unwrap_or_else(|| name.to_owned()), value));
        let found = named.filter(|(name, _)| name.contains(text));
        found.filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
    }

    /// The body of a page of the admin interface.
    #[track_caller]
    pub fn admin_get(&self, path: &str) -> String {
        Client::new(self.admin_port()).send(&Request::get(path)).text()
    }

    /// Sets a value of Envoy's runtime.
    #[track_caller]
    pub fn set_runtime(&self, key: &str, value: u32) {
        let request = Request::new("POST", format!("/runtime_modify?{key}={value}"));
        let response = Client::new(self.admin_port()).send(&request);
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// The port of the admin interface.
    #[track_caller]
    pub fn admin_port(&self) -> u16 {
        self.running().admin
    }

    /// The port of a listener, by its name.
    #[track_caller]
    pub fn port(&self, listener: &str) -> u16 {
        let ports = &self.running().ports;
        *ports.get(listener).unwrap_or_else(|| panic!("no listener {listener} among {ports:?}"))
    }

    /// A new connection to the listener `ingress`.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::new(self.port("ingress"))
    }

    /// Everything that Envoy and the filter have logged, over all restarts.
    pub fn log(&self) -> String {
        read(&self.launch.dir.path().join("envoy.log"))
    }

    /// The lines of the access log that have been flushed so far (50 ms after they were written).
    pub fn access_log(&self) -> Vec<String> {
        read(&self.launch.dir.path().join("access.log")).lines().map(str::to_owned).collect()
    }

    /// The folder that holds all files of this Envoy.
    pub fn dir(&self) -> &Path {
        self.launch.dir.path()
    }

    /// The process id.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// User and system time that the process has used; none where there is no `/proc`.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The name of the command may hold blanks, so fields are counted from its closing bracket. A tick is 10 ms.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(f64::from(user + system) / 100.0)
    }

    /// Resident memory; none where there is no `/proc`.
    pub fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// Kills Envoy and starts it again with the same files. Ports change.
    pub fn restart(&mut self) {
        self.kill9();
        self.process = Some(start(&self.launch));
    }

    /// Kills Envoy without a warning, and waits until it is gone. [`Envoy::restart`] brings it back.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    #[track_caller]
    fn running(&self) -> &Process {
        self.process.as_ref().expect("Envoy runs")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Envoy's log ends:\n{}", tail(&self.log()));
        }
        self.kill9();
    }
}

impl Process {
    /// The guard goes first, so that it can never kill a stranger that got the same process id.
    fn stop(mut self) {
        for child in [&mut self.guard, &mut self.child] {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What begins the names of our metrics on Envoy's own page.
const OURS: &str = "wasmcustom.";

/// The name that the wasm door gives to a metric with labels.
#[cfg(feature = "suites")]
fn as_in_wasm(name: &str) -> Option<String> {
    let named = tidegate_proxy::metrics::catalogue::read(name.strip_prefix(OURS)?)?;
    Some([OURS, &named.metric.name(named.plugin, &named.values)].concat())
}

#[cfg(not(feature = "suites"))]
fn as_in_wasm(_: &str) -> Option<String> {
    None
}

/// Where an Envoy of this version is, as `make setup` installs it; `TIDEGATE_ENVOY` names one to be used for all.
pub fn binary(version: &str) -> PathBuf {
    let named = std::env::var_os("TIDEGATE_ENVOY").filter(|path| !path.is_empty());
    let path = named.map_or_else(|| repository().join("target/envoy").join(version).join("envoy"), PathBuf::from);
    assert!(path.is_file(), "no Envoy {version} at {}: run `make setup`", path.display());
    path
}

/// Where the built module is, as `make wasm` leaves it; `TIDEGATE_WASM` names another one.
pub fn module() -> PathBuf {
    let built = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        repository().join(target).join("tidegate.wasm")
    };
    let path = std::env::var_os("TIDEGATE_WASM").filter(|path| !path.is_empty()).map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "no module at {}: run `make wasm`", path.display());
    path
}

/// Where the built library is, as `make module` leaves it; `TIDEGATE_MODULE` names another one.
pub fn library() -> PathBuf {
    let built = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        repository().join(target).join("libtidegate.so")
    };
    let path = std::env::var_os("TIDEGATE_MODULE").filter(|path| !path.is_empty()).map_or_else(built, PathBuf::from);
    assert!(path.is_file(), "no library at {}: run `make module`", path.display());
    path.canonicalize().expect("a file that is there")
}

/// The root of the repository; a program that was built elsewhere is told by `TIDEGATE_ROOT`.
pub fn repository() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let built_in = || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).to_owned();
        std::env::var_os("TIDEGATE_ROOT").map_or_else(built_in, PathBuf::from)
    });
    &ROOT
}

fn start(launch: &Launch) -> Process {
    let binary = binary(&launch.version);
    let dir = launch.dir.path();
    let admin_file = dir.join("admin.txt");
    drop(fs::remove_file(&admin_file));
    let log = fs::File::options().create(true).append(true).open(dir.join("envoy.log")).expect("the log can be opened");
    let mut command = Command::new(&binary);
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
    command.arg("--config-path").arg(&launch.bootstrap).arg("--admin-address-path").arg(&admin_file);
    command.args(["--disable-hot-restart", "--file-flush-interval-msec", "50"]);
    command.args(["--concurrency", &launch.concurrency.to_string(), "--log-level", &launch.log_level]);
    command.args([
        "--component-log-level",
        &format!("wasm:{level},dynamic_modules:{level}", level = launch.wasm_log_level),
    ]);
    let child = command.spawn().unwrap_or_else(|error| panic!("{} does not run: {error}", binary.display()));
    let mut process = Process { guard: guard(child.id(), dir), child, admin: 0, ports: BTreeMap::new() };
    let begin = Instant::now();
    loop {
        let gone = process.child.try_wait().expect("a child can be asked");
        if gone.is_some() || begin.elapsed() > PATIENCE {
            process.stop();
            panic!("Envoy did not start; its log ends:\n{}", tail(&read(&dir.join("envoy.log"))));
        }
        if let Some((admin, ports)) = ready(&admin_file) {
            process.admin = admin;
            process.ports = ports;
            return process;
        }
        std::thread::sleep(POLL);
    }
}

/// The admin port and the listeners' ports, once Envoy is live and all of them take connections.
fn ready(admin_file: &Path) -> Option<(u16, BTreeMap<String, u16>)> {
    let admin = fs::read_to_string(admin_file).ok()?.rsplit_once(':')?.1.trim().parse().ok()?;
    let mut client = Client::new(admin);
    if client.try_send(&Request::get("/ready")).ok()?.status != 200 {
        return None;
    }
    let listing = client.try_send(&Request::get("/listeners?format=json")).ok()?;
    let listing: Value = serde_json::from_slice(&listing.body).ok()?;
    let mut ports = BTreeMap::new();
    for listener in listing.get("listener_statuses")?.as_array()? {
        let name = listener.get("name")?.as_str()?.to_owned();
        if let Some(port) = listener.pointer("/local_address/socket_address/port_value").and_then(Value::as_u64) {
            let port = u16::try_from(port).ok()?;
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
            ports.insert(name, port);
        }
    }
    Some((admin, ports))
}

/// A shell that kills a process and removes its files when this program ends without having done so: the pipe that it
/// reads from is then closed. It lets a Ctrl-C in the terminal pass, which reaches all three.
pub fn guard(process: u32, dir: &Path) -> Child {
    let script = r#"trap "" INT TERM HUP; read -r _; kill -9 "$1"; rm -rf "$2""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "guard", &process.to_string()]).arg(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell can be started")
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
