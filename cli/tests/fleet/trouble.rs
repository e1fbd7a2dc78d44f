//! Parts that die in the middle of the work: the engine, the store's leader, the bus. All converge, nothing runs twice.

use crate::stage::{Stage, sleeper};
use std::process::Stdio;

/// How many units are started; `ORLOP_FLEET_UNITS` asks for more.
fn count() -> usize {
    std::env::var("ORLOP_FLEET_UNITS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn converges(disturb: impl FnOnce(&Stage)) {
    let Some(stage) = Stage::up() else { return };
    let template = stage.file("many@.service", &sleeper("Placement=spread"));
    stage.fleetctl(&["submit", &template]);
    let units: Vec<String> = (1..=count()).map(|number| format!("many@{number}.service")).collect();
    let mut start = stage.hosts.command(0, "/opt/orlop");
    start.args(["fleetctl", "start", "--no-block"]).args(&units).stdout(Stdio::null());
    let mut started = start.spawn().expect("fleetctl starts");
    stage.wait("some units", || stage.rows(&["list-units", "--no-legend"]).len() > count() / 10);
    disturb(&stage);
    // Whatever it could not say before the trouble, it says again.
    if !started.wait().expect("it ends").success() {
        let again: Vec<&str> =
            ["start", "--no-block"].into_iter().chain(units.iter().map(String::as_str)).collect();
        stage.wait("fleetctl to get through", || stage.ask(0, &again).0 == 0);
    }
    stage.wait("every unit active", || {
        let rows = stage.rows(&["list-units", "--no-legend", "--fields=unit,active"]);
        rows.len() == count() && rows.iter().all(|row| row[1] == "active")
    });
    let running: usize = (0..3)
        .map(|host| {
            let list = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active", "many@*"];
            stage.hosts.exec(host, &list).map_or(0, |text| text.lines().count())
        })
        .sum();
    assert_eq!(running, count(), "each runs once");
}

fn kill(stage: &Stage, service: &str) {
    for host in 0..3 {
        stage.hosts.exec(host, &["systemctl", "kill", "--signal=KILL", service]).expect("killed");
        stage.wait("a fleet that answers", || stage.ask(0, &["list-machines"]).0 == 0);
    }
}

#[test]
fn every_engine_in_turn_is_killed_while_units_start() {
    converges(|stage| kill(stage, "fleetd.service"));
}

#[test]
fn every_member_of_the_store_in_turn_is_killed_while_units_start() {
    converges(|stage| kill(stage, "store.service"));
}

#[test]
fn the_bus_is_restarted_while_units_start() {
    converges(|stage| {
        for host in 0..3 {
            stage.hosts.exec(host, &["systemctl", "restart", "dbus.service"]).expect("restarted");
        }
    });
}
