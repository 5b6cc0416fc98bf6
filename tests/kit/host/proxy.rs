//! An Envoy with several workers: turns a configuration push into what Envoy 1.40 does with it.
//! A push is judged by a canary in a throw-away VM and then loaded into the VM of the main thread and of each
//! worker; identical bytes are not looked at again, even where they were refused before.
//! Never calls two VMs at once: a test that wants a race takes the hosts of [`Proxy::workers`] to threads.

use super::{Host, Module, Shared, Trap};

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The bytes of the last push, or those that run: a success to the control plane, and nothing is called.
    Unchanged,
    /// The canary said no, or trapped: NACK, the old configuration goes on.
    Refused(Option<Trap>),
    /// All instances took it.
    Applied,
    /// The canary said yes and an instance did not: from here Envoy skips the filter there in silence, and
    /// refuses every later push. A filter must never get here.
    Split(Vec<Result<bool, Trap>>),
}

/// The VMs of one Envoy process under one `vm_id`; the first is the main thread's, which sees no requests.
#[derive(Debug)]
pub struct Proxy {
    module: Module,
    root_id: String,
    shared: Shared,
    hosts: Vec<Host>,
    pushed: Option<Vec<u8>>,
    running: Option<Vec<u8>>,
    poisoned: bool,
    now: Option<u64>,
}

impl Proxy {
    /// # Errors
    /// Where a VM does not start.
    pub fn new(module: &Module, root_id: &str, workers: usize) -> Result<Self, Trap> {
        let shared = Shared::default();
        let instances = workers.saturating_add(1);
        let hosts = (0..instances).map(|_| Host::in_proxy(module, &shared)).collect::<Result<_, _>>()?;
        let (module, root_id) = (module.clone(), root_id.to_owned());
        Ok(Self { module, root_id, shared, hosts, pushed: None, running: None, poisoned: false, now: None })
    }

    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// The main thread's VM and then the workers'.
    pub fn hosts(&mut self) -> &mut [Host] {
        &mut self.hosts
    }

    /// The VMs that serve requests.
    pub fn workers(&mut self) -> &mut [Host] {
        self.hosts.get_mut(1..).unwrap_or_default()
    }

    /// # Errors
    /// Where the canary's VM does not start.
    pub fn push(&mut self, configuration: &[u8]) -> Result<Push, Trap> {
        let same = |seen: &Option<Vec<u8>>| seen.as_deref() == Some(configuration);
        let known = same(&self.pushed) || same(&self.running);
        self.pushed = Some(configuration.to_vec());
        if known {
            return Ok(Push::Unchanged);
        }
        if self.poisoned {
            return Ok(Push::Refused(None));
        }
        let mut canary = self.vm()?;
        match canary.configure(&self.root_id, configuration) {
            Ok(true) => {}
            Ok(false) => return Ok(Push::Refused(None)),
            Err(trap) => return Ok(Push::Refused(Some(trap))),
        }
        Ok(self.load(configuration))
    }

    /// Loads what a canary accepted into each instance.
    fn load(&mut self, configuration: &[u8]) -> Push {
        self.running = Some(configuration.to_vec());
        let hosts = self.hosts.iter_mut();
        let taken: Vec<_> = hosts.map(|host| host.configure(&self.root_id, configuration)).collect();
        if taken.iter().all(|taken| *taken == Ok(true)) {
            return Push::Applied;
        }
        self.poisoned = true;
        Push::Split(taken)
    }

    /// A new VM for each instance on the same shared data, as after a trap or new code, with the configuration
    /// that was running.
    ///
    /// # Errors
    /// Where a VM does not start.
    pub fn reload(&mut self) -> Result<Push, Trap> {
        let fresh = self.hosts.iter().map(|_| self.vm()).collect::<Result<_, _>>()?;
        self.hosts = fresh;
        self.poisoned = false;
        Ok(self.running.take().map_or(Push::Unchanged, |running| self.load(&running)))
    }

    fn vm(&self) -> Result<Host, Trap> {
        let mut host = Host::in_proxy(&self.module, &self.shared)?;
        if let Some(now) = self.now {
            host.set_now(now);
        }
        Ok(host)
    }

    /// One clock for all VMs, those to come included.
    pub fn set_now(&mut self, nanos: u64) {
        self.now = Some(nanos);
        for host in &mut self.hosts {
            host.set_now(nanos);
        }
    }

    /// One tick in each VM, the main thread's first.
    ///
    /// # Errors
    /// A trap in a tick.
    pub fn tick_all(&mut self) -> Result<(), Trap> {
        self.hosts.iter_mut().try_for_each(Host::tick_all)
    }
}
