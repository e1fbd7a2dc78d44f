//! Three hosts, on each `orlop etcd` and `orlop fleetd` as units of its systemd, as an operator would install them.

use io_real::hosts::{Hosts, HostsOptions};
use std::fs;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The program under test: `ORLOP_TEST_PROGRAM` names another build, for figures that only an optimised one has.
pub fn program() -> String {
    std::env::var("ORLOP_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_orlop").to_string())
}

/// Three machines that are one cluster.
pub struct Stage {
    /// The machines.
    pub hosts: Hosts,
}

/// Shell in a unit: the host's number is the last letter of its name.
const STORE: &str = "\
[Service]
ExecStart=/bin/sh -c 'N=$$(hostname | tr -d h); exec /opt/orlop etcd --name h$$N --data-dir /var/lib/orlop \
--listen-peer-urls http://10.99.0.$$N:2380 --initial-advertise-peer-urls http://10.99.0.$$N:2380 \
--listen-client-urls http://10.99.0.$$N:2379,http://127.0.0.1:2379 --advertise-client-urls http://10.99.0.$$N:2379 \
--initial-cluster h1=http://10.99.0.1:2380,h2=http://10.99.0.2:2380,h3=http://10.99.0.3:2380 --log-level warn'
Restart=always
RestartSec=100ms
";
const FLEETD: &str = "\
[Unit]
After=store.service
[Service]
ExecStart=/bin/sh -c 'N=$$(hostname | tr -d h); exec /opt/orlop fleetd --public_ip=10.99.0.$$N --metadata=number=$$N,rack=r$$N \
--api_listen=10.99.0.$$N:49153 --api_insecure=true \
--etcd_servers=http://10.99.0.1:2379,http://10.99.0.2:2379,http://10.99.0.3:2379'
Restart=always
RestartSec=100ms
";

impl Stage {
    /// Boots the machines and waits until each is present; `None`, with the reason printed, where that cannot be.
    pub fn up() -> Option<Stage> {
        if Hosts::skip() {
            return None;
        }
        let services = [("store.service", STORE), ("fleetd.service", FLEETD)];
        let options = HostsOptions {
            files: vec![(program().into(), "/opt/orlop".into())],
            services: services.map(|(name, text)| (name.to_string(), text.to_string())).to_vec(),
        };
        let stage = Stage { hosts: Hosts::up(3, &options).expect("three hosts") };
        stage.wait("three machines", || stage.machines().len() == 3);
        Some(stage)
    }

    /// Writes a unit file into host 0, from where fleetctl is run, and returns its path there.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = format!("/root/{name}");
        fs::write(self.hosts.path(0, &path), text).expect("a unit file");
        path
    }

    /// Runs fleetctl on a host: exit code, standard output, standard error.
    pub fn ask(&self, host: usize, args: &[&str]) -> (i32, String, String) {
        let output = self.hosts.command(host, "/opt/orlop").arg("fleetctl").args(args).output();
        let Output { status, stdout, stderr } = output.expect("fleetctl starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Runs fleetctl on host 0, demands that it succeeds, and returns what it prints.
    pub fn fleetctl(&self, args: &[&str]) -> String {
        let (code, out, err) = self.ask(0, args);
        assert_eq!(code, 0, "fleetctl {args:?}\n{out}{err}{}", self.journals());
        out
    }

    /// Rows of a listing, cells by cells.
    pub fn rows(&self, args: &[&str]) -> Vec<Vec<String>> {
        let (_, out, _) = self.ask(0, args);
        let cells =
            |line: &str| line.split('\t').filter(|cell| !cell.is_empty()).map(str::to_string).collect();
        out.lines().map(cells).collect()
    }

    /// Ids of the machines that are present, as host 0 sees them.
    pub fn machines(&self) -> Vec<String> {
        self.rows(&["list-machines", "--no-legend", "--full", "--fields=machine"]).concat()
    }

    /// Which leaders of the cluster are on this host: the store's, the engine.
    pub fn what_leads_on(&self, host: usize) -> String {
        let endpoint = format!("--endpoints=10.99.0.{}:2379", host + 1);
        let etcdctl = |args: &[&str]| {
            let argv = [&["/opt/orlop", "etcdctl", endpoint.as_str()], args].concat();
            self.hosts.exec(0, &argv).unwrap_or_default()
        };
        let status = etcdctl(&["endpoint", "status", "--write-out=fields"]);
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split(" : ").nth(1).unwrap_or_default().to_string()
        };
        let store = !field("\"MemberID\"").is_empty() && field("\"MemberID\"") == field("\"Leader\"");
        let leader = etcdctl(&["get", "--print-value-only", "/_coreos.com/fleet/lease/engine-leader"]);
        let engine = leader.contains(&self.hosts.machine_id(host));
        let named = [(store, "the store's leader"), (engine, "the engine")];
        named.iter().filter(|(leads, _)| *leads).map(|(_, name)| format!("[{name}]")).collect()
    }

    /// On which hosts this unit has a process, whatever fleet says. Hosts that are off have none.
    pub fn running(&self, unit: &str) -> Vec<usize> {
        (0..self.hosts.count()).filter(|host| self.runs_on(*host, unit)).collect()
    }

    /// Whether this unit is active on this host, by its own systemd.
    pub fn runs_on(&self, host: usize, unit: &str) -> bool {
        self.hosts.is_on(host)
            && self
                .hosts
                .exec(host, &["systemctl", "is-active", unit])
                .is_ok_and(|state| state.trim() == "active")
    }

    /// Waits for something to hold.
    pub fn wait(&self, what: &str, holds: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}\n{}", self.journals());
            thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    }

    /// What fleetd said on each host.
    pub fn journals(&self) -> String {
        let last = ["journalctl", "--no-pager", "--lines=25", "--unit=fleetd.service"];
        let of = |host| match self.hosts.is_on(host) {
            true => format!("--- h{}\n{}\n", host + 1, self.hosts.exec(host, &last).unwrap_or_default()),
            false => format!("--- h{} is off\n", host + 1),
        };
        (0..self.hosts.count()).map(of).collect()
    }
}

/// A unit that runs for ever, with these lines in its `[X-Fleet]` section.
pub fn sleeper(x_fleet: &str) -> String {
    // systemd puts the unit's own name for its %n; only [X-Fleet] is fleet's to read.
    format!(
        "[Unit]\nDescription=Sleeps\n\n[Service]\nExecStart=/bin/sh -c 'echo %n speaks; exec sleep 100000'\n\n[X-Fleet]\n{x_fleet}\n"
    )
}
