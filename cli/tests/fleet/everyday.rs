//! What is done every day: submit, load, start, look, stop, destroy; placement by every constraint.

use crate::stage::{Stage, sleeper};

fn machine_of<'a>(rows: &'a [Vec<String>], unit: &str) -> &'a str {
    let row = rows.iter().find(|row| row[0] == unit);
    &row.unwrap_or_else(|| panic!("{unit} is not in {rows:?}"))[1]
}

#[test]
fn a_day_of_an_operator() {
    let Some(stage) = Stage::up() else { return };
    machines_are_listed(&stage);
    one_unit_from_submit_to_destroy(&stage);
    constraints_are_kept(&stage);
    what_cannot_be_is_explained(&stage);
}

fn machines_are_listed(stage: &Stage) {
    let rows = stage.rows(&["list-machines"]);
    assert_eq!(rows[0], ["MACHINE", "IP", "METADATA"]);
    let id = stage.hosts.machine_id(0);
    let first = rows.iter().find(|row| row[1] == "10.99.0.1").expect("host 0 is listed");
    assert_eq!(first[0], format!("{}...", &id[..8]));
    assert_eq!(first[2], "number=1,rack=r1");
}

fn one_unit_from_submit_to_destroy(stage: &Stage) {
    let path = stage.file("hello.service", &sleeper("MachineMetadata=rack=r2"));
    stage.fleetctl(&["submit", &path]);
    let files = stage.rows(&["list-unit-files"]);
    assert_eq!(files[0], ["UNIT", "HASH", "DSTATE", "STATE", "TARGET"]);
    assert_eq!(files[1][0], "hello.service");
    assert_eq!(files[1][2..], ["inactive", "inactive", "-"].map(String::from));

    stage.fleetctl(&["load", "hello.service"]);
    let rows = stage.rows(&["list-unit-files", "--no-legend", "--fields=unit,dstate,state,target"]);
    let on = format!("{}.../10.99.0.2", &stage.hosts.machine_id(1)[..8]);
    assert_eq!(rows, [["hello.service", "loaded", "loaded", on.as_str()].map(String::from)]);
    assert!(stage.running("hello.service").is_empty(), "loaded is not started");

    stage.fleetctl(&["start", "hello"]);
    assert_eq!(stage.running("hello.service"), [1]);
    stage.wait("the unit's state", || {
        let rows = stage.rows(&["list-units", "--no-legend"]);
        rows == [["hello.service", on.as_str(), "active", "running"].map(String::from)]
    });
    assert_eq!(stage.rows(&["list-units"])[0], ["UNIT", "MACHINE", "ACTIVE", "SUB"]);
    assert!(stage.fleetctl(&["cat", "hello"]).contains("exec sleep 100000"));
    assert!(stage.fleetctl(&["status", "hello"]).contains("Active: active (running)"));
    let journal = stage.fleetctl(&["journal", "hello"]);
    assert!(journal.contains("hello.service speaks"), "{journal:?}");

    stage.fleetctl(&["stop", "hello"]);
    stage.wait("the unit to stop", || stage.running("hello.service").is_empty());
    stage.fleetctl(&["destroy", "hello"]);
    stage.wait("nothing left", || {
        stage.rows(&["list-units", "--no-legend"]).is_empty()
            && stage.rows(&["list-unit-files", "--no-legend"]).is_empty()
            && !stage.hosts.path(1, "/run/fleet/units/hello.service").exists()
    });
}

fn constraints_are_kept(stage: &Stage) {
    let template = stage.file("web@.service", &sleeper("Conflicts=web@*.service"));
    stage.fleetctl(&["submit", &template]);
    stage.fleetctl(&["start", "web@1", "web@2", "web@3"]);
    let side = stage.file("side.service", &sleeper("MachineOf=web@2.service"));
    let global = stage.file("agent.service", &sleeper("Global=true"));
    stage.fleetctl(&["start", &side, &global]);
    stage.wait("every copy of the global unit", || stage.running("agent.service") == [0, 1, 2]);

    let rows = stage.rows(&["list-units", "--no-legend", "--full"]);
    let mut of_web = ["web@1.service", "web@2.service", "web@3.service"].map(|unit| machine_of(&rows, unit));
    assert_eq!(machine_of(&rows, "side.service"), of_web[1]);
    of_web.sort_unstable();
    assert!(of_web[0] != of_web[1] && of_web[1] != of_web[2], "{rows:?}");

    // One machine takes what the other had: Replaces.
    let old = stage.file("old.service", &sleeper("MachineMetadata=rack=r3"));
    stage.fleetctl(&["start", &old]);
    assert_eq!(stage.running("old.service"), [2]);
    stage.fleetctl(&["destroy", "old", "side", "agent", "web@1", "web@2", "web@3", "web@"]);
    stage.wait("an empty cluster", || stage.rows(&["list-units", "--no-legend"]).is_empty());
}

fn what_cannot_be_is_explained(stage: &Stage) {
    let nowhere = stage.file("nowhere.service", &sleeper("MachineMetadata=rack=r9"));
    stage.fleetctl(&["start", "--no-block", &nowhere]);
    let (_, why, _) = stage.ask(0, &["why", "nowhere"]);
    assert!(why.contains("rack") && why.contains('3'), "{why}");
    let bad = stage.file("bad.service", &sleeper("MachineMetadata=rack"));
    let (code, _, error) = stage.ask(0, &["start", "--no-block", &bad]);
    assert_eq!(code, 0, "a bare key is a condition: {error}");
    let bad = stage.file("worse.service", &sleeper("MachineMetadata=rack="));
    let (code, _, error) = stage.ask(0, &["start", "--no-block", &bad]);
    assert_ne!(code, 0);
    assert!(error.contains("MachineMetadata") && error.contains("rack="), "{error}");
    let (code, _, error) = stage.ask(0, &["status", "nowhere"]);
    assert!(code == 1 && error.contains("rack=r9"), "{code} {error}");
    what_does_not_start_is_explained(stage);
    stage.fleetctl(&["destroy", "nowhere", "bad"]);
}

fn what_does_not_start_is_explained(stage: &Stage) {
    let text = "[Service]\nExecStart=/bin/false\n\n[X-Fleet]\nColour=red\n";
    let fails = stage.file("fails.service", text);
    let (code, _, error) = stage.ask(0, &["start", &fails]);
    assert!(
        code == 1 && error.contains("fails.service failed on") && error.contains("Colour"),
        "{code} {error}"
    );
    let (code, why, _) = stage.ask(0, &["why", "fails"]);
    assert!(code == 0 && why.contains("failed") && why.contains("line 5") && why.contains("Colour"), "{why}");
    let (code, status, _) = stage.ask(0, &["status", "fails"]);
    assert!(code == 3 && status.contains("failed"), "{code} {status}");
    let (_, text, _) = stage.ask(0, &["status", "--output=json", "fails"]);
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (told[0]["exitCode"].as_u64(), told[0]["state"]["systemdActiveState"].as_str()),
        (Some(3), Some("failed"))
    );
    stage.fleetctl(&["destroy", "fails"]);
}
