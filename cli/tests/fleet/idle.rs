//! What a fleet costs that has nothing to do: no write in the store, and little memory.

use crate::stage::{Stage, sleeper};
use std::thread;
use std::time::Duration;

/// How long nothing is to be written.
const QUIET: Duration = Duration::from_secs(8);

/// Most memory of an optimised fleetd with nothing to run, and with [`UNITS`] units, in KiB.
const IDLE_KIB: u64 = 10 * 1024;
const BUSY_KIB: u64 = 15 * 1024;

/// Units on one machine.
const UNITS: usize = 200;

#[test]
fn an_idle_fleet_writes_nothing_and_stays_small() {
    let Some(stage) = Stage::up() else { return };
    settle(&stage);
    // Idle is what has had nothing to do for a while.
    thread::sleep(QUIET);
    let idle = Resident::of(&stage, 1, "fleetd.service");
    println!("a member of the store: {}", Resident::of(&stage, 1, "store.service"));
    let template = stage.file("many@.service", &sleeper("MachineMetadata=number=2"));
    stage.fleetctl(&["submit", &template]);
    let units: Vec<String> = (1..=UNITS).map(|number| format!("many@{number}.service")).collect();
    let start: Vec<&str> =
        ["start", "--no-block"].into_iter().chain(units.iter().map(String::as_str)).collect();
    stage.fleetctl(&start);
    stage.wait("every unit active", || {
        let rows = stage.rows(&["list-units", "--no-legend", "--fields=unit,active"]);
        rows.len() == UNITS && rows.iter().all(|row| row[1] == "active")
    });
    settle(&stage);
    let before = revision(&stage);
    thread::sleep(QUIET);
    assert_eq!(revision(&stage), before, "something was written while nothing changed");
    let busy = Resident::of(&stage, 1, "fleetd.service");
    println!("fleetd idle: {idle}\nfleetd with {UNITS} units: {busy}");
    // The memory of a development build says little.
    if std::env::var_os("ORLOP_TEST_PROGRAM").is_some() {
        assert!(idle.kib <= IDLE_KIB, "idle: {idle}");
        assert!(busy.kib <= BUSY_KIB, "with {UNITS} units: {busy}");
    }
}

/// Waits until the last reports are written.
fn settle(stage: &Stage) {
    let mut last = revision(stage);
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(500));
        let now = revision(stage);
        if now == last {
            return;
        }
        last = now;
    }
    panic!("the store never comes to rest\n{}", stage.journals());
}

/// The store's revision: it grows with every write, and not with keep-alives.
fn revision(stage: &Stage) -> u64 {
    let args = ["/opt/orlop", "etcdctl", "get", "nothing", "--write-out=json"];
    let text = stage.hosts.exec(0, &args).expect("the store answers");
    let digits = text.split("\"revision\":").nth(1).expect("a header");
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a revision")
}

/// What fleetd has in memory on a host, as the kernel counts it.
struct Resident {
    /// All of it.
    kib: u64,
    /// The part that is its own, and the part that is pages of the program's file.
    anonymous_kib: u64,
    file_kib: u64,
}

impl Resident {
    fn of(stage: &Stage, host: usize, service: &str) -> Resident {
        let show = ["systemctl", "show", "--property=MainPID", "--value", service];
        let pid = stage.hosts.exec(host, &show).expect("it runs");
        let status = format!("/proc/{}/status", pid.trim());
        let status = stage.hosts.exec(host, &["cat", &status]).expect("its status");
        let figure = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a figure");
            line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).expect("a number")
        };
        Resident { kib: figure("VmRSS:"), anonymous_kib: figure("RssAnon:"), file_kib: figure("RssFile:") }
    }
}

impl std::fmt::Display for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} KiB ({} its own, {} of the program's file)",
            self.kib, self.anonymous_kib, self.file_kib
        )
    }
}
