//! Machines that die, come back, and are cut off: where units run then, and how often.

use crate::stage::{Stage, sleeper};
use std::thread;
use std::time::{Duration, Instant};

/// From the death of a host until its units run elsewhere, with default settings.
const BOUND: Duration = Duration::from_secs(5);

/// Kills in a test run; `ORLOP_FLEET_KILLS` asks for more.
fn kills() -> usize {
    std::env::var("ORLOP_FLEET_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[test]
fn units_of_a_dead_host_run_elsewhere_and_its_return_disturbs_nobody() {
    let Some(stage) = Stage::up() else { return };
    let units: Vec<String> = (1..=6).map(|number| format!("job@{number}.service")).collect();
    let template = stage.file("job@.service", &sleeper("Conflicts=nothing"));
    stage.fleetctl(&["submit", &template]);
    let start: Vec<&str> = ["start"].into_iter().chain(units.iter().map(String::as_str)).collect();
    stage.fleetctl(&start);
    let mut times = Vec::new();
    for kill in 0..kills() {
        // Host 0 is where fleetctl runs.
        let victim = 1 + kill % 2;
        // Every second pair dies without a word, as a machine does that loses its power: no connection of it is closed.
        let silent = kill % 4 >= 2;
        let lost: Vec<&String> = units.iter().filter(|unit| stage.runs_on(victim, unit)).collect();
        let before: Vec<_> = units.iter().map(|unit| (unit, main_pid(&stage, victim, unit))).collect();
        let also = stage.what_leads_on(victim);
        let began = Instant::now();
        if silent {
            stage.hosts.cut(victim).expect("cut");
        }
        stage.hosts.crash(victim).expect("the power is cut");
        stage.wait("the lost units elsewhere", || lost.iter().all(|unit| stage.running(unit).len() == 1));
        times.push(began.elapsed());
        let word = if silent { "without a word" } else { "" };
        println!("kill {kill}: {} units run elsewhere after {:?} {also} {word}", lost.len(), began.elapsed());
        for (unit, pid) in &before {
            let Some((host, pid)) = pid else { continue };
            assert_eq!(main_pid(&stage, victim, unit), Some((*host, pid.clone())), "{unit} was disturbed");
        }
        stage.hosts.boot(victim).expect("the host boots");
        stage.wait("three machines", || stage.machines().len() == 3);
        thread::sleep(Duration::from_millis(500));
        for unit in &units {
            assert_eq!(stage.running(unit).len(), 1, "{unit}, after the return");
        }
        // So that the next victim has something to lose.
        stage.ask(0, &["rebalance"]);
        stage.wait("every unit once", || units.iter().all(|unit| stage.running(unit).len() == 1));
    }
    times.sort_unstable();
    println!(
        "failover: median {:?}, worst {:?} of {}",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    );
    assert!(times[times.len() - 1] <= BOUND, "{times:?}");
}

/// Where a unit runs apart from `but`, and as which process.
fn main_pid(stage: &Stage, but: usize, unit: &str) -> Option<(usize, String)> {
    let hosts = (0..stage.hosts.count()).filter(|host| *host != but);
    hosts.into_iter().find(|host| stage.runs_on(*host, unit)).map(|host| {
        let pid = stage.hosts.exec(host, &["systemctl", "show", "--property=MainPID", unit]);
        (host, pid.expect("it runs"))
    })
}

#[test]
fn a_host_that_is_cut_off_follows_each_units_policy() {
    let Some(stage) = Stage::up() else { return };
    let rack = "PreferMachineMetadata=rack=r3 1000";
    for (name, policy) in [("keep", "keep"), ("halt", "stop\nStopGrace=1s"), ("hold", "hold")] {
        let file = stage.file(&format!("{name}.service"), &sleeper(&format!("{rack}\nPartition={policy}")));
        stage.fleetctl(&["start", &file]);
        assert_eq!(stage.running(&format!("{name}.service")), [2]);
    }
    stage.hosts.cut(2).expect("cut");
    stage.wait("a second copy of keep", || stage.running("keep.service").len() == 2);
    stage.wait("halt elsewhere", || {
        // Seen from the cut-off host first: what stopped there does not start again there.
        let there = stage.runs_on(2, "halt.service");
        let here = stage.runs_on(0, "halt.service") || stage.runs_on(1, "halt.service");
        assert!(!(there && here), "two copies beyond the policy");
        here
    });
    assert_eq!(stage.running("hold.service"), [2], "held");
    stage.hosts.heal(2).expect("heal");
    stage.wait("three machines", || stage.machines().len() == 3);
    stage.wait("one copy of each", || {
        ["keep", "halt", "hold"].iter().all(|name| stage.running(&format!("{name}.service")).len() == 1)
    });
    assert_eq!(stage.running("hold.service"), [2], "never moved");
    stage.hosts.crash(2).expect("the power is cut");
    stage.wait("its end to be seen", || stage.machines().len() == 2);
    thread::sleep(Duration::from_secs(2));
    assert!(stage.running("hold.service").is_empty(), "held until declared gone");
    stage.fleetctl(&["declare-gone", "--yes", &stage.hosts.machine_id(2)]);
    stage.wait("hold elsewhere", || stage.running("hold.service").len() == 1);
}

#[test]
fn a_host_whose_fleetd_was_stopped_keeps_its_units_and_gets_no_new_ones() {
    let Some(stage) = Stage::up() else { return };
    let stays = stage.file("stays.service", &sleeper("MachineMetadata=rack=r3"));
    stage.fleetctl(&["start", &stays]);
    let admission = || {
        let rows = stage.rows(&["list-machines", "--no-legend", "--full", "--fields=machine,admission"]);
        let row = rows.into_iter().find(|row| row[0] == stage.hosts.machine_id(2));
        row.map(|row| row[1].clone())
    };
    stage.hosts.exec(2, &["systemctl", "stop", "fleetd.service"]).expect("fleetd is stopped");
    assert_eq!(admission().as_deref(), Some("leaving"));
    let template = stage.file("new@.service", &sleeper("Conflicts=nothing"));
    stage.fleetctl(&["submit", &template]);
    stage.fleetctl(&["start", "new@1", "new@2", "new@3", "new@4"]);
    for unit in ["new@1.service", "new@2.service", "new@3.service", "new@4.service"] {
        assert!(matches!(stage.running(unit)[..], [0 | 1]), "{unit}");
    }
    let waits = stage.file("waits.service", &sleeper("MachineMetadata=rack=r3"));
    stage.fleetctl(&["start", "--no-block", &waits]);
    let (_, why, _) = stage.ask(0, &["why", "waits"]);
    assert!(why.contains("without fleetd"), "{why}");
    assert_eq!(stage.running("stays.service"), [2], "it runs on");
    stage.hosts.exec(2, &["systemctl", "start", "fleetd.service"]).expect("fleetd is started");
    stage.wait("the host to be open again", || admission().as_deref() == Some("open"));
    stage.wait("what waited", || stage.running("waits.service") == [2]);
    assert_eq!(stage.running("stays.service"), [2], "undisturbed");
}
