//! fleetd as an operator runs it: real machines with systemd, the program and its sockets, and `fleetctl` beside them.
//!
//! Needs root and the packages that `.ci/run` installs.

use io_real::hosts::{Hosts, HostsOptions};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PROGRAM: &str = "/opt/orlop";
const TOKEN: &str = "a-token-of-the-tests-0123456789";
const UNIT: &str =
    "[Unit]\nDescription=Says hello\n\n[Service]\nExecStart=/bin/sh -c 'echo hello; exec sleep 1000'\n";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Machines with a store on the first, and fleetd on each.
struct Fleet(Hosts);

impl Fleet {
    fn up(count: usize) -> Option<Fleet> {
        if Hosts::skip() {
            return None;
        }
        let files = vec![(PathBuf::from(env!("CARGO_BIN_EXE_orlop")), PathBuf::from(PROGRAM))];
        let hosts = Hosts::up(count, &HostsOptions { files, ..HostsOptions::default() }).expect("hosts");
        let fleet = Fleet(hosts);
        let store = format!("http://{}:2379", fleet.0.address(0));
        let urls = [
            format!("--listen-client-urls={store}"),
            format!("--advertise-client-urls={store}"),
            "--data-dir=/run/store".to_string(),
        ];
        let mut etcd = vec!["systemd-run", "--unit=store", "--property=Type=notify", PROGRAM, "etcd"];
        etcd.extend(urls.iter().map(String::as_str));
        fleet.run(0, &etcd);
        for host in 0..count {
            let address = fleet.0.address(host);
            let conf = format!(
                "etcd_servers={store}\npublic_ip={address}\nmetadata=number={host}\napi_listen={address}:49153\n\
                 api_tokens_file=/etc/fleet/tokens\ncapacity_cpu=2\n"
            );
            let folder = fleet.0.path(host, "/etc/fleet");
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("fleet.conf"), conf).expect("a configuration");
            fs::write(folder.join("tokens"), format!("{TOKEN}\n")).expect("tokens");
            fs::write(fleet.0.path(host, "/opt/hello.service"), UNIT).expect("a unit");
            let service = format!(
                "[Service]\nType=notify\nExecStart={PROGRAM} fleetd\nExecReload=/bin/kill -HUP $MAINPID\n"
            );
            fs::write(fleet.0.path(host, "/run/systemd/system/fleetd.service"), service).expect("a service");
            fleet.run(host, &["systemctl", "daemon-reload"]);
            fleet.run(host, &["systemctl", "start", "fleetd"]);
        }
        fleet.until("every machine is there", || {
            fleet.fleetctl(0, &["list-machines", "--no-legend"]).lines().count() == count
        });
        Some(fleet)
    }

    fn run(&self, host: usize, argv: &[&str]) -> String {
        self.0
            .exec(host, argv)
            .unwrap_or_else(|error| panic!("{argv:?}: {error}\n{}", self.0.journal(host, None)))
    }

    fn fleetctl(&self, host: usize, args: &[&str]) -> String {
        let argv: Vec<&str> = [PROGRAM, "fleetctl"].iter().chain(args).copied().collect();
        self.run(host, &argv)
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > PATIENCE {
                let journals: String = (0..self.0.count()).map(|host| self.log(host)).collect();
                panic!("not within {PATIENCE:?}: {what}\n{journals}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn pid(&self, host: usize, unit: &str) -> String {
        self.run(host, &["systemctl", "show", "--property=MainPID", "--value", unit]).trim().to_string()
    }

    fn log(&self, host: usize) -> String {
        self.run(host, &["journalctl", "--no-pager", "--unit=fleetd.service"])
    }

    /// What fleetd has in memory: all of it, and the part that is not the program's own file.
    fn resident(&self, host: usize) -> String {
        let pid = self.pid(host, "fleetd");
        let status = self.run(host, &["cat", &format!("/proc/{pid}/status")]);
        let lines = status.lines().filter(|line| line.starts_with("VmRSS:") || line.starts_with("RssAnon:"));
        lines.map(|line| line.replace(['\t', ' '], "")).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_unit_is_started_read_from_afar_and_outlives_its_fleetd() {
    let Some(fleet) = Fleet::up(2) else { return };
    println!("fleetd, idle: {}", fleet.resident(0));
    let began = Instant::now();
    fleet.fleetctl(0, &["start", "/opt/hello.service"]);
    println!("fleetctl start: {:?}", began.elapsed());
    let units =
        fleet.fleetctl(1, &["list-units", "--no-legend", "--full", "--fields=unit,machine,active,sub"]);
    assert!(units.contains("active") && units.contains("running"), "{units}");
    let here =
        (0..2).find(|host| units.contains(&fleet.0.machine_id(*host))).expect("it is on one of the machines");
    let there = 1 - here;
    assert_eq!(fleet.run(here, &["systemctl", "is-active", "hello.service"]).trim(), "active");

    // The other machine asks this one over TCP, with its token.
    let journal = fleet.fleetctl(there, &["journal", "--output=cat", "hello.service"]);
    assert!(journal.contains("hello"), "{journal}");
    assert!(fleet.fleetctl(there, &["status", "hello.service"]).contains("Active: active (running)"));
    let why = fleet.fleetctl(there, &["why", "hello.service"]);
    assert!(!why.trim().is_empty());

    // Nothing that happens to fleetd happens to its units.
    let pid = fleet.pid(here, "hello.service");
    assert_ne!(pid, "0");
    fleet.run(here, &["systemctl", "restart", "fleetd"]);
    fleet.run(here, &["systemctl", "kill", "--signal=SIGKILL", "fleetd"]);
    fleet.until("the killed fleetd has ended", || fleet.pid(here, "fleetd") == "0");
    fleet.run(here, &["systemctl", "reset-failed", "fleetd"]);
    fleet.run(here, &["systemctl", "start", "fleetd"]);
    fleet.until("it is present again", || {
        fleet.fleetctl(here, &["list-machines", "--no-legend"]).lines().count() == 2
    });
    let conf = fleet.0.path(here, "/etc/fleet/fleet.conf");
    let text = fs::read_to_string(&conf).expect("the configuration");
    fs::write(&conf, text.replace("metadata=number=", "metadata=new=yes,number="))
        .expect("another configuration");
    fleet.run(here, &["systemctl", "reload", "fleetd"]);
    fleet
        .until("the new metadata is known", || fleet.fleetctl(there, &["list-machines"]).contains("new=yes"));
    assert_eq!(fleet.pid(here, "hello.service"), pid, "{}", fleet.0.journal(here, None));

    fleet.run(here, &["systemctl", "kill", "--kill-whom=main", "--signal=SIGUSR1", "fleetd"]);
    fleet.until("the state was dumped", || fleet.log(here).contains("\"settings\""));
    let second =
        fleet.0.exec(here, &[PROGRAM, "fleetd"]).expect_err("a second fleetd is refused").to_string();
    assert!(second.contains("another fleetd runs on this machine"), "{second}");

    fleet.fleetctl(there, &["destroy", "hello.service"]);
    fleet.until("it is stopped", || fleet.pid(here, "hello.service") == "0");
    assert_eq!(fleet.fleetctl(here, &["list-unit-files", "--no-legend"]).trim(), "");
}

/// What the socket of systemd answers to a plain request, asked from the machine itself.
fn fetch(fleet: &Fleet, port: u16, path: &str) -> String {
    let ask =
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    fleet.run(0, &["bash", "-c", &ask])
}

#[test]
fn sockets_of_systemd_start_fleetd_and_outlive_it() {
    let Some(fleet) = Fleet::up(1) else { return };
    fleet.run(0, &["systemctl", "stop", "fleetd"]);
    let socket = "[Socket]\nListenStream=/run/fleet.sock\nSocketMode=0660\nListenStream=127.0.0.1:49154\n";
    fs::write(fleet.0.path(0, "/run/systemd/system/fleetd.socket"), socket).expect("a socket unit");
    let tokens = fleet.0.path(0, "/etc/fleet/fleet.conf");
    let conf = fs::read_to_string(&tokens).expect("the configuration");
    let own = |line: &&str| !line.starts_with("api_listen") && !line.starts_with("api_tokens");
    fs::write(&tokens, conf.lines().filter(own).collect::<Vec<_>>().join("\n"))
        .expect("no sockets of its own");
    fleet.run(0, &["systemctl", "daemon-reload"]);
    fleet.run(0, &["systemctl", "start", "fleetd.socket"]);
    assert_eq!(fleet.pid(0, "fleetd"), "0", "nobody has asked yet");

    // The first request waits for the fleetd that it starts; until the machine is registered the answer is 503.
    fleet.until("the API answers", || fleet.0.exec(0, &[PROGRAM, "fleetctl", "list-machines"]).is_ok());
    let before = fleet.pid(0, "fleetd");
    assert_ne!(before, "0");
    assert!(fetch(&fleet, 49154, "/fleet/v1/discovery").contains("discoveryVersion"), "{}", fleet.log(0));
    fleet.until("its engine leads", || fetch(&fleet, 49154, "/metrics").contains("\nfleet_engine_leads 1\n"));
    let page = fetch(&fleet, 49154, "/metrics");
    for name in [
        "# TYPE fleet_engine_leader_start_time gauge",
        "# TYPE fleet_engine_task_count_total counter",
        "fleet_engine_task_failure_count_total{type=\"attemptscheduleunit\"} 0",
        "fleet_engine_reconcile_failure_count_total{type=\"machine_away\"} 0",
        "# TYPE fleet_engine_reconcile_duration_second summary",
        "fleet_registry_operation_count_total{type=\"get_all\"} ",
        "fleet_registry_operation_duration_second_count{ops=\"set\"} ",
    ] {
        assert!(page.contains(name), "{name} is not in\n{page}");
    }

    // A restart closes no door: who asks meanwhile waits in the socket's queue.
    fleet.run(0, &["systemctl", "restart", "fleetd"]);
    assert!(fetch(&fleet, 49154, "/fleet/v1/discovery").contains("discoveryVersion"), "{}", fleet.log(0));
    assert_ne!(fleet.pid(0, "fleetd"), before);
    assert!(fleet.0.path(0, "/run/fleet.sock").exists(), "the socket is systemd's to remove");
}

#[test]
fn a_node_for_development_runs_units_beside_its_store() {
    if Hosts::skip() {
        return;
    }
    let files = vec![(PathBuf::from(env!("CARGO_BIN_EXE_orlop")), PathBuf::from(PROGRAM))];
    let fleet = Fleet(Hosts::up(1, &HostsOptions { files, ..HostsOptions::default() }).expect("a host"));
    fs::write(fleet.0.path(0, "/opt/hello.service"), UNIT).expect("a unit");
    let node = [
        "systemd-run",
        "--unit=node",
        "--property=Type=notify",
        PROGRAM,
        "node",
        "--dev",
        "--data-dir=/run/node",
    ];
    fleet.run(0, &node);
    fleet.until("the API answers", || fleet.0.exec(0, &[PROGRAM, "fleetctl", "list-machines"]).is_ok());
    fleet.fleetctl(0, &["start", "/opt/hello.service"]);
    let pid = fleet.pid(0, "hello.service");
    assert_ne!(pid, "0");
    fleet.run(0, &["systemctl", "stop", "node"]);
    assert_eq!(fleet.pid(0, "hello.service"), pid, "units run on when the node ends");
}
