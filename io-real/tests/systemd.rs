//! The Systemd port against real systemd, on hosts made for it. Needs root and the packages that `.ci/run` installs.

use fleet::contract::{CASES, Stage};
use fleet::model::SystemdState;
use fleet::systemd::{Change, Changes, JobResult, Systemd, SystemdError};
use io_real::hosts::{Hosts, HostsOptions};
use io_real::ports::RealClock;
use io_real::systemd::{Bus, BusConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const RUNS: &str = "[Service]\nExecStart=/bin/sleep 1000\n";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bus of a host, seen from outside.
fn config(hosts: &Hosts, host: usize) -> BusConfig {
    BusConfig {
        address: Some(hosts.bus_address(host)),
        user: false,
        units_directory: hosts.path(host, "/run/fleet/units"),
        units_seen_as: Some("/run/fleet/units".into()),
        links_directory: Some(hosts.path(host, "/run/systemd/system")),
    }
}

/// One host and its bus.
async fn one_host() -> Option<(Hosts, Bus)> {
    if Hosts::skip() {
        return None;
    }
    let hosts = Hosts::up(1, &HostsOptions::default()).expect("a host");
    let bus = Bus::connect(config(&hosts, 0)).await.expect("connects");
    Some((hosts, bus))
}

/// Reads changes until it is told to look at everything.
async fn resync(changes: &mut Box<dyn Changes>) {
    let wait = async { while changes.next().await != Change::Resync {} };
    timeout(PATIENCE, wait).await.expect("told to look at everything");
}

async fn state(bus: &Bus, name: &str) -> SystemdState {
    let states = bus.states(&[name.to_string()]).await.expect("states");
    states[name].clone()
}

fn running() -> SystemdState {
    SystemdState::new("loaded", "active", "running")
}

#[tokio::test(flavor = "multi_thread")]
async fn real_systemd_keeps_the_contract() {
    let Some((hosts, bus)) = one_host().await else { return };
    keeps_the_contract(bus).await;
    // The same where this process may not make links itself.
    let bus = Bus::connect(BusConfig { links_directory: None, ..config(&hosts, 0) }).await.expect("connects");
    keeps_the_contract(bus).await;
}

async fn keeps_the_contract(bus: Bus) {
    let stage = Stage { systemd: Arc::new(bus), clock: Arc::new(RealClock::new()) };
    for (name, case) in CASES {
        println!("{name}");
        case(stage.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_look_at_a_unit_is_no_change_of_it() {
    let Some((_hosts, bus)) = one_host().await else { return };
    // Neither is in systemd's memory: it reads them for each answer, and says so to everybody.
    let names = ["look.service".to_string(), "nobody.service".to_string(), "template@.service".to_string()];
    bus.install(&names[0], RUNS).await.expect("installs");
    let mut changes = bus.changes();
    for _ in 0..3 {
        let states = bus.states(&names).await.expect("states");
        assert_eq!(states[&names[0]].load, "loaded");
        assert_eq!(states[&names[1]].load, "not-found");
        assert_eq!(states[&names[2]].load, "not-found", "a template never runs");
    }
    bus.reload().await.expect("reloads");
    let told = timeout(Duration::from_millis(500), changes.next()).await;
    assert!(told.is_err(), "nothing happened but what was asked for: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_by_somebody_else_is_told() {
    let Some((hosts, bus)) = one_host().await else { return };
    let mut changes = bus.changes();
    hosts.exec(0, &["systemctl", "daemon-reload"]).expect("reloads");
    resync(&mut changes).await;
    bus.reload().await.expect("reloads");
    hosts.exec(0, &["systemctl", "daemon-reload"]).expect("reloads");
    resync(&mut changes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_restarts_is_found_again() {
    let Some((hosts, bus)) = one_host().await else { return };
    bus.install("stays.service", RUNS).await.expect("installs");
    assert_eq!(bus.start("stays.service").await, Ok(JobResult::Done));
    let slow = "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n";
    bus.install("slow.service", slow).await.expect("installs");
    let mut changes = bus.changes();
    let restart = async {
        while state(&bus, "slow.service").await.sub != "start" {
            changes.next().await;
        }
        hosts.exec(0, &["systemctl", "restart", "dbus.service"]).expect("restarts");
    };
    let (slow, ()) = tokio::join!(bus.start("slow.service"), restart);
    assert!(matches!(slow, Err(SystemdError::Gone(_))), "nobody hears how it ends: {slow:?}");
    resync(&mut changes).await;
    assert_eq!(state(&bus, "stays.service").await, running(), "it never noticed");
    // Verbs, jobs and changes work as before.
    bus.kill("stays.service").await.expect("kills");
    while state(&bus, "stays.service").await.active != "failed" {
        timeout(PATIENCE, changes.next()).await.expect("told");
    }
    assert_eq!(bus.stop("slow.service").await, Ok(JobResult::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_may_execute_itself_anew() {
    let Some((hosts, bus)) = one_host().await else { return };
    bus.install("stays.service", RUNS).await.expect("installs");
    assert_eq!(bus.start("stays.service").await, Ok(JobResult::Done));
    let mut changes = bus.changes();
    hosts.exec(0, &["systemctl", "daemon-reexec"]).expect("executes");
    resync(&mut changes).await;
    let outcome = async {
        // It may leave the bus once more while it settles.
        loop {
            match bus.start("stays.service").await {
                Err(SystemdError::Gone(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => return other,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, outcome).await, Ok(Ok(JobResult::Done)));
    assert_eq!(state(&bus, "stays.service").await, running());
    bus.kill("stays.service").await.expect("kills");
    while state(&bus, "stays.service").await.active != "failed" {
        timeout(PATIENCE, changes.next()).await.expect("told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_forgets_units_and_is_told() {
    let Some((hosts, bus)) = one_host().await else { return };
    bus.install("gone.service", RUNS).await.expect("installs");
    assert_eq!(bus.start("gone.service").await, Ok(JobResult::Done));
    let mut changes = bus.changes();
    hosts.crash(0).expect("crashes");
    let down = async {
        loop {
            if let Err(error) = bus.states(&["gone.service".to_string()]).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let error = timeout(PATIENCE, down).await.expect("noticed");
    assert!(matches!(error, SystemdError::Gone(_)), "{error:?}");
    hosts.boot(0).expect("boots");
    resync(&mut changes).await;
    assert_eq!(state(&bus, "gone.service").await.load, "not-found", "runtime units end with the boot");
    // The units directory went with /run; it is made again when it is needed.
    assert_eq!(bus.installed().await, Ok(Default::default()));
    bus.install("gone.service", RUNS).await.expect("installs");
    assert_eq!(bus.start("gone.service").await, Ok(JobResult::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_bus_says_what_to_do() {
    let home = tempfile::tempdir().expect("a directory");
    let address = format!("unix:path={}/no-bus", home.path().display());
    let config = BusConfig::at(&address, home.path().join("units"));
    let error = Bus::connect(config).await.err().expect("nobody is there").to_string();
    assert!(error.contains(&address) && error.contains("is dbus running"), "{error}");
}

/// Runs a test of this program in the host, from a copy of it.
fn run_inside(hosts: &Hosts, test: &str) {
    hosts
        .exec(0, &["/opt/test", "--exact", test, "--ignored", "--nocapture"])
        .unwrap_or_else(|error| panic!("{error}\n{}", hosts.journal(0, None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_bus_is_the_default() {
    if Hosts::skip() {
        return;
    }
    let this = std::env::current_exe().expect("a path");
    let options = HostsOptions { files: vec![(this, "/opt/test".into())], ..HostsOptions::default() };
    let hosts = Hosts::up(1, &options).expect("a host");
    run_inside(&hosts, "inside");
    hosts.exec(0, &["systemctl", "stop", "dbus.socket", "dbus.service"]).expect("stops");
    run_inside(&hosts, "inside_without_a_bus");
}

/// No bus at all. Only to be run on a host made for it: see `the_system_bus_is_the_default`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants a machine without a bus"]
async fn inside_without_a_bus() {
    let error = Bus::connect(BusConfig::system("/run/fleet/units")).await.err().expect("no bus").to_string();
    assert!(error.contains("system bus: ") && error.contains("is dbus running"), "{error}");
}

/// A unit's life with the machine's own systemd. Only to be run on a host made for it: see `the_system_bus_is_the_default`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "changes the machine that it runs on"]
async fn inside() {
    let mine = std::fs::read_to_string("/proc/1/environ").unwrap_or_default();
    assert!(mine.contains("container=orlop-hosts"), "not on a machine of somebody's own");
    let bus = Bus::connect(BusConfig::system("/run/fleet/units")).await.expect("connects");
    bus.install("inside.service", RUNS).await.expect("installs");
    assert_eq!(bus.start("inside.service").await, Ok(JobResult::Done));
    let mut changes = bus.changes();
    bus.kill("inside.service").await.expect("kills");
    while state(&bus, "inside.service").await.active != "failed" {
        timeout(PATIENCE, changes.next()).await.expect("told");
    }
    bus.uninstall("inside.service").await.expect("uninstalls");
    bus.reload().await.expect("reloads");
    bus.reset_failed("inside.service").await.expect("resets");
    assert_eq!(state(&bus, "inside.service").await.load, "not-found");
}

/// Prints what verbs cost: `cargo test -p io-real --features hosts --test systemd -- --ignored --nocapture what_verbs_cost`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn what_verbs_cost() {
    let Some((_hosts, bus)) = one_host().await else { return };
    let names: Vec<String> = (0..200).map(|number| format!("cost-{number}.service")).collect();
    let begin = Instant::now();
    for name in &names {
        bus.install(name, RUNS).await.expect("installs");
    }
    println!("install: {:?} each", begin.elapsed() / 200);
    let begin = Instant::now();
    bus.reload().await.expect("reloads");
    println!("reload with 200 units: {:?}", begin.elapsed());
    let begin = Instant::now();
    futures_util::future::join_all(names.iter().map(|name| bus.start(name))).await;
    println!("200 starts at once, each job awaited: {:?}", begin.elapsed());
    let begin = Instant::now();
    for _ in 0..10 {
        bus.states(&names).await.expect("states");
    }
    println!("states of 200: {:?}", begin.elapsed() / 10);
    let mut took: Vec<Duration> = Vec::new();
    for name in &names {
        assert_eq!(bus.stop(name).await, Ok(JobResult::Done));
        let begin = Instant::now();
        assert_eq!(bus.start(name).await, Ok(JobResult::Done));
        took.push(begin.elapsed());
    }
    took.sort();
    println!("start until the job ended, one after the other: median {:?}, p99 {:?}", took[100], took[198]);
    let begin = Instant::now();
    futures_util::future::join_all(names.iter().map(|name| bus.stop(name))).await;
    println!("200 stops at once: {:?}", begin.elapsed());
    let begin = Instant::now();
    for name in &names {
        bus.uninstall(name).await.expect("uninstalls");
    }
    println!("uninstall: {:?} each", begin.elapsed() / 200);
}
