//! Machines on one bridge, a store on the first of them, and a flanneld on each that a test starts.
#![allow(dead_code, reason = "tests and benchmarks use their parts")]

use crate::store::Store;
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

/// The network namespace of a machine's container.
const CONTAINER: &str = "c1";

/// The stage. Dropping it ends everything.
pub struct Stage {
    pub net: Namespaces,
    pub store: Store,
    daemons: Vec<Option<Child>>,
}

impl Stage {
    /// With this config in a store of one; none where machines cannot be made.
    pub fn up(count: usize, config: &str) -> Option<Stage> {
        Stage::over(Namespaces::up, count, 1, config)
    }

    /// The same, with a store of three.
    pub fn up_with_three(count: usize, config: &str) -> Option<Stage> {
        Stage::over(Namespaces::up, count, 3, config)
    }

    /// Machines with addresses of both families, and a store of one.
    pub fn up_dual(count: usize, config: &str) -> Option<Stage> {
        Stage::over(Namespaces::up_dual, count, 1, config)
    }

    fn over(
        make: fn(usize) -> std::io::Result<Namespaces>,
        count: usize,
        members: usize,
        config: &str,
    ) -> Option<Stage> {
        if Namespaces::skip() {
            return None;
        }
        let net = make(count).expect("machines");
        let store = Store::start(&net, members);
        let stage = Stage { net, store, daemons: (0..count).map(|_| None).collect() };
        stage.until("the store answers", || stage.etcdctl(&["endpoint", "health"]).is_ok());
        if !config.is_empty() {
            stage.put("config", config);
        }
        Some(stage)
    }

    /// Writes a key of the network's.
    pub fn put(&self, name: &str, value: &str) {
        self.etcdctl(&["put", &format!("{PREFIX}/{name}"), value]).expect("the store takes it");
    }

    /// Reads one; empty if there is none.
    pub fn get(&self, name: &str) -> String {
        let got = self.etcdctl(&["get", "--print-value-only", &format!("{PREFIX}/{name}")]);
        got.expect("the store answers").trim().to_string()
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.net.directory().join(format!("{name}.log"))
    }

    /// Runs etcdctl against the store.
    pub fn etcdctl(&self, args: &[&str]) -> Result<String, String> {
        let (program, endpoint) = (program(), self.store.endpoints());
        let mut argv = vec![program.to_str().expect("UTF-8"), "etcdctl", "--endpoints", &endpoint];
        argv.extend(args);
        self.net.exec(0, &argv).map_err(|error| error.to_string())
    }

    /// Starts the flanneld of a machine.
    pub fn start(&mut self, machine: usize, flags: &[&str]) {
        assert!(self.daemons[machine].is_none(), "flanneld {machine} runs");
        let mut command = self.net.command(machine, program());
        command.arg("flanneld").arg(format!("--etcd-endpoints={}", self.store.endpoints())).args(flags);
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

    /// Makes what a container runtime would: a bridge with the first address of the subnet, and behind it a container with the
    /// second, in a network namespace of its own.
    pub fn container(&self, machine: usize) {
        let (subnet, env) = (self.subnet(machine), self.env(machine));
        let mtu = env.lines().find_map(|line| line.strip_prefix("FLANNEL_MTU=")).expect("an MTU");
        for line in [
            "ip link add cni0 type bridge".to_string(),
            format!("ip address add {subnet}.1/24 dev cni0"),
            format!("ip link set cni0 mtu {mtu} up"),
            format!("ip netns add {CONTAINER}"),
            format!("ip link add v1 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {CONTAINER}"),
            "ip link set v1 master cni0 up".to_string(),
            format!("ip -n {CONTAINER} address add {subnet}.2/24 dev eth0"),
            format!("ip -n {CONTAINER} link set eth0 up"),
            format!("ip -n {CONTAINER} route add default via {subnet}.1"),
        ] {
            self.run(machine, &line.split(' ').collect::<Vec<_>>());
        }
    }

    /// Runs a command in the container of a machine.
    pub fn in_container(&self, machine: usize, argv: &[&str]) -> std::io::Result<String> {
        self.net.exec(machine, &[&["ip", "netns", "exec", CONTAINER], argv].concat())
    }

    /// The address of a machine's container.
    pub fn container_address(&self, machine: usize) -> String {
        format!("{}.2", self.subnet(machine))
    }

    /// Whether a packet gets from one container to another and back.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        self.in_container(from, &["ping", "-c1", "-W1", &self.container_address(to)]).is_ok()
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
        for child in self.daemons.iter_mut().flatten() {
            // Ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program under test: `ORLOP_TEST_PROGRAM` names another build, for figures that only an optimised one has.
pub fn program() -> PathBuf {
    std::env::var_os("ORLOP_TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_orlop").into(), PathBuf::from)
}

/// Whether it is another build, whose figures count.
pub fn optimised() -> bool {
    std::env::var_os("ORLOP_TEST_PROGRAM").is_some()
}

/// Starts a program that writes into a log.
pub fn spawned(mut command: std::process::Command, log: PathBuf) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("a log file");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.spawn().expect("the program starts")
}
