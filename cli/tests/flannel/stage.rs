//! Machines on one bridge, a store on the first of them, and a flanneld on each that a test starts.

use io_real::namespaces::Namespaces;
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the network's keys are.
pub const PREFIX: &str = "/coreos.com/network";

/// The stage. Dropping it ends everything.
pub struct Stage {
    pub net: Namespaces,
    store: Option<Child>,
    daemons: Vec<Option<Child>>,
}

impl Stage {
    /// With this config in the store; none where machines cannot be made.
    pub fn up(count: usize, config: &str) -> Option<Stage> {
        if Namespaces::skip() {
            return None;
        }
        let net = Namespaces::up(count).expect("machines");
        let daemons = (0..count).map(|_| None).collect();
        let mut stage = Stage { net, store: None, daemons };
        let url = stage.endpoint();
        let data = stage.net.directory().join("store");
        let mut etcd = stage.net.command(0, program());
        etcd.arg("etcd").args(["--log-level=warn", &format!("--data-dir={}", data.display())]);
        etcd.args([format!("--listen-client-urls={url}"), format!("--advertise-client-urls={url}")]);
        stage.store = Some(spawned(etcd, stage.log_path("store")));
        stage.until("the store answers", || stage.etcdctl(&["endpoint", "health"]).is_ok());
        stage.etcdctl(&["put", &format!("{PREFIX}/config"), config]).expect("the store takes the config");
        Some(stage)
    }

    fn endpoint(&self) -> String {
        format!("http://{}:2379", self.net.address(0))
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.net.directory().join(format!("{name}.log"))
    }

    /// Runs etcdctl against the store.
    pub fn etcdctl(&self, args: &[&str]) -> Result<String, String> {
        let (program, endpoint) = (program(), self.endpoint());
        let mut argv = vec![program.to_str().expect("UTF-8"), "etcdctl", "--endpoints", &endpoint];
        argv.extend(args);
        self.net.exec(0, &argv).map_err(|error| error.to_string())
    }

    /// Starts the flanneld of a machine.
    pub fn start(&mut self, machine: usize, flags: &[&str]) {
        assert!(self.daemons[machine].is_none(), "flanneld {machine} runs");
        let mut command = self.net.command(machine, program());
        command.arg("flanneld").arg(format!("--etcd-endpoints={}", self.endpoint())).args(flags);
        self.daemons[machine] = Some(spawned(command, self.log_path(&format!("flanneld-{machine}"))));
    }

    /// Starts all and waits until each has written its subnet.
    pub fn start_all(&mut self, flags: &[&str]) {
        (0..self.net.count()).for_each(|machine| self.start(machine, flags));
        (0..self.net.count()).for_each(|machine| drop(self.subnet(machine)));
    }

    /// Ends a flanneld by SIGTERM; it must end well.
    pub fn stop(&mut self, machine: usize) {
        let mut daemon = self.daemons[machine].take().expect("it was started");
        let pid = daemon.id().to_string();
        self.run(machine, &["kill", "-TERM", &pid]);
        let status = daemon.wait().expect("a child of ours");
        assert!(status.success(), "flanneld {machine}: {status}\n{}", self.log(machine));
    }

    /// What a flanneld has said.
    pub fn log(&self, machine: usize) -> String {
        fs::read_to_string(self.log_path(&format!("flanneld-{machine}"))).unwrap_or_default()
    }

    /// Its memory, as the kernel counts it.
    pub fn resident(&self, machine: usize) -> String {
        let pid = self.daemons[machine].as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let lines = status.lines().filter(|line| line.starts_with("VmRSS:") || line.starts_with("RssAnon:"));
        lines.map(|line| line.replace(['\t', ' '], "")).collect::<Vec<_>>().join(" ")
    }

    /// Runs a command on a machine; it must end well.
    pub fn run(&self, machine: usize, argv: &[&str]) -> String {
        self.net
            .exec(machine, argv)
            .unwrap_or_else(|error| panic!("machine {machine}, {argv:?}: {error}\n{}", self.log(machine)))
    }

    /// What a command of iproute2 says in JSON; an empty list where it fails.
    pub fn list(&self, machine: usize, argv: &[&str]) -> Vec<Value> {
        let text = self.net.exec(machine, argv).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// subnet.env, once it is there.
    pub fn env(&self, machine: usize) -> String {
        let read = || self.net.exec(machine, &["cat", "/run/flannel/subnet.env"]).ok();
        self.until("subnet.env is written", || read().is_some());
        read().expect("it was there")
    }

    /// The machine's subnet without its last number: `10.5.1`.
    pub fn subnet(&self, machine: usize) -> String {
        let env = self.env(machine);
        let subnet = env.lines().find_map(|line| line.strip_prefix("FLANNEL_SUBNET=")).expect("a subnet");
        let (address, _) = subnet.split_once('/').expect("a prefix");
        address.rsplit_once('.').expect("an address of IPv4").0.to_string()
    }

    /// Makes what a container runtime would: a device with the first address of the subnet.
    pub fn container(&self, machine: usize) {
        let address = format!("{}.1/24", self.subnet(machine));
        self.run(machine, &["ip", "link", "add", "cni0", "type", "bridge"]);
        self.run(machine, &["ip", "address", "add", &address, "dev", "cni0"]);
        self.run(machine, &["ip", "link", "set", "cni0", "up"]);
    }

    /// Whether a packet gets from one container to another and back.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        let (source, target) = (format!("{}.1", self.subnet(from)), format!("{}.1", self.subnet(to)));
        self.net.exec(from, &["ping", "-c1", "-W1", "-I", &source, &target]).is_ok()
    }

    /// Waits for something; panics with every log when it does not come.
    pub fn until(&self, what: &str, holds: impl FnMut() -> bool) -> Duration {
        self.within(PATIENCE, what, holds)
    }

    /// The same within a time. How long it took.
    pub fn within(&self, limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > limit {
                let logs: String = (0..self.net.count())
                    .map(|machine| format!("-- flanneld {machine}\n{}", self.log(machine)))
                    .collect();
                panic!("not within {limit:?}: {what}\n{logs}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.daemons.iter_mut().flatten().chain(&mut self.store) {
            // Ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The binary under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_orlop"))
}

fn spawned(mut command: std::process::Command, log: PathBuf) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("a log file");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.spawn().expect("the program starts")
}
