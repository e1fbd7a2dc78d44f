//! The ways of units: what is done, in which order, at which moment.

use super::machine::*;
use crate::agent::MAX_JOBS;
use crate::model::DesiredState;
use crate::unit::UnitHash;
use std::time::Duration;

const OTHER: &str = "[Service]\nExecStart=/bin/sleep 2000\n";
const ONESHOT: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";

#[test]
fn a_launched_unit_is_claimed_before_systemd_hears_of_it() {
    let machine = Machine1::new();
    machine.line.cut();
    machine.launch("a.service");
    machine.wait(2);
    assert_eq!(machine.systemd.log(), "", "no claim, no unit");
    machine.line.mend();
    machine.wait(3);
    assert_eq!(machine.systemd.running(), ["a.service"]);
    assert_eq!(machine.reports(), "a.service active/running launched");
    let log = machine.systemd.log();
    let verbs: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(verbs, ["install a.service", "reload", "start a.service"]);
}

#[test]
fn a_loaded_unit_is_not_started() {
    let machine = Machine1::new();
    machine.order("a.service", SLEEP, DesiredState::Loaded, 0);
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "2.000 install a.service\n2.006 reload");
    assert_eq!(machine.reports(), "a.service inactive/dead");

    machine.launch("a.service");
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "3.000 start a.service");
    assert_eq!(machine.reports(), "a.service active/running launched");

    machine.order("a.service", SLEEP, DesiredState::Loaded, 0);
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "4.000 stop a.service");
    assert_eq!(machine.reports(), "a.service inactive/dead");
}

#[test]
fn another_text_takes_the_place_of_the_first() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.order("a.service", OTHER, DesiredState::Launched, 0);
    machine.wait(1);
    let expected = "3.000 stop a.service\n3.002 uninstall a.service\n3.003 install a.service\n3.009 reload\n3.029 start a.service";
    assert_eq!(machine.systemd.log(), expected);
    assert_eq!(machine.reports(), "a.service active/running launched");
}

#[test]
fn a_text_that_cannot_be_had_stops_nothing() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.order_hash("a.service", UnitHash([7; 20]), DesiredState::Launched, 0);
    machine.wait(10);
    assert_eq!(machine.systemd.log(), "");
    let error = "fetch: the store has no text of 0707070707070707070707070707070707070707";
    assert_eq!(machine.reports(), format!("a.service active/running launched ({error})"));
}

#[test]
fn a_run_asked_for_again_restarts_it_once() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.order("a.service", SLEEP, DesiredState::Launched, 1);
    machine.wait(10);
    assert_eq!(machine.systemd.log(), "3.000 stop a.service\n3.002 start a.service");
    assert_eq!(machine.reports(), "a.service active/running launched run 1");
}

#[test]
fn an_order_that_goes_takes_the_unit_with_it() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.unorder("a.service");
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "3.000 stop a.service\n3.002 uninstall a.service\n3.008 reload");
    assert_eq!((machine.reports(), machine.systemd.files()), (String::new(), Vec::new()));
    assert_eq!(machine.status().units, 0);
}

#[test]
fn a_report_stays_until_the_unit_is_at_rest() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.systemd.faults(|faults| faults.stubborn.extend(["a.service".to_owned()]));
    machine.unorder("a.service");
    machine.wait(30);
    assert_eq!(machine.systemd.log(), "3.000 stop a.service");
    assert_eq!(machine.reports(), "a.service deactivating/stop-sigterm launched");
    machine.systemd.faults(|faults| faults.stubborn.clear());
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "33.002 uninstall a.service\n33.008 reload");
    assert_eq!(machine.reports(), "");
}

#[test]
fn a_stop_overtakes_a_slow_start() {
    let machine = Machine1::new();
    machine.systemd.slow("a.service", MINUTE);
    machine.launch("a.service");
    machine.wait(5);
    assert_eq!(machine.reports(), "a.service activating/start");
    machine.systemd.log();
    machine.unorder("a.service");
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "7.000 stop a.service\n7.002 uninstall a.service\n7.008 reload");
    assert_eq!(machine.reports(), "");
}

#[test]
fn a_unit_that_cannot_start_holds_up_nobody() {
    let machine = Machine1::new();
    machine.systemd.faults(|faults| faults.refused.extend(["a.service".to_owned()]));
    machine.launch("a.service");
    machine.launch("b.service");
    machine.wait(8);
    let expected = "2.000 install a.service\n2.000 install b.service\n2.006 reload\n2.026 start a.service\n\
         2.026 start b.service\n3.026 start a.service\n5.026 start a.service\n9.026 start a.service";
    assert_eq!(machine.systemd.log(), expected);
    let expected = "a.service inactive/dead (start: a.service is refused)\nb.service active/running launched";
    assert_eq!(machine.reports(), expected);
    // The pause has its bound, and an operator who asks again is heard at once.
    machine.wait(600);
    assert!(machine.systemd.log().lines().count() <= 13, "more than one try a minute");
    machine.systemd.faults(|faults| faults.refused.clear());
    machine.order("a.service", SLEEP, DesiredState::Launched, 1);
    machine.wait(1);
    assert_eq!(machine.systemd.log(), "610.000 start a.service");
    let expected = "a.service active/running launched run 1\nb.service active/running launched";
    assert_eq!(machine.reports(), expected);
}

#[test]
fn a_unit_that_fails_is_reported_and_left_to_systemd() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.systemd.set("a.service", "failed", "failed");
    machine.wait(120);
    assert_eq!(machine.systemd.log(), "");
    assert_eq!(machine.reports(), "a.service failed/failed launched");
    machine.order("bad.service", "[Service]\nExecStart=/bin/false\n", DesiredState::Launched, 0);
    machine.wait(120);
    assert!(machine.systemd.log().ends_with("start bad.service"), "started once");
    assert!(machine.reports().ends_with("bad.service failed/failed launched (start: the unit failed)"));
}

#[test]
fn a_oneshot_that_has_run_is_told_of() {
    let machine = Machine1::new();
    machine.store.set(&format!("{PREFIX}job/once.service/object"), "{}");
    machine.order("once.service", ONESHOT, DesiredState::Launched, 2);
    machine.wait(1);
    assert_eq!(machine.reports(), "once.service inactive/dead launched run 2");
    let done = machine.store.dump(&format!("{PREFIX}job/once.service/done"));
    assert_eq!(done.len(), 1);
    assert!(done[0].1.contains("\"run\":2"), "{done:?}");
}

#[test]
fn many_units_share_a_reload_and_are_bounded() {
    let machine = Machine1::new();
    for number in 0..200 {
        let name = format!("u{number:03}.service");
        machine.systemd.slow(&name, Duration::from_millis(300));
        machine.launch(&name);
    }
    machine.wait(5);
    assert_eq!(machine.systemd.running().len(), 200);
    let log = machine.systemd.log();
    let reloads = log.lines().filter(|line| line.ends_with("reload")).count();
    assert!(reloads <= 4, "{reloads} reloads for 200 units");
    assert!(machine.systemd.most_jobs() <= MAX_JOBS, "{} at a time", machine.systemd.most_jobs());
    assert_eq!(
        machine.reports().lines().filter(|line| line.contains("active/running launched")).count(),
        200
    );
}

#[test]
fn long_starts_do_not_keep_others_waiting() {
    let machine = Machine1::new();
    for number in 0..MAX_JOBS + 10 {
        let name = format!("u{number:03}.service");
        machine.systemd.slow(&name, MINUTE * 60);
        machine.launch(&name);
    }
    machine.wait(1);
    machine.launch("z.service");
    machine.wait(3);
    assert!(machine.reports().contains("z.service active/running launched"), "{}", machine.reports());
}

#[test]
fn a_unit_of_the_machine_itself_is_never_touched() {
    let machine = Machine1::new();
    machine.systemd.set("sshd.service", "active", "running");
    machine.order_hash("sshd.service", UnitHash([7; 20]), DesiredState::Launched, 0);
    machine.wait(5);
    machine.unorder("sshd.service");
    machine.wait(5);
    assert_eq!((machine.systemd.log(), machine.reports()), (String::new(), String::new()));
    assert_eq!(machine.systemd.running(), ["sshd.service"]);
}

#[test]
fn an_order_that_cannot_be_read_changes_nothing() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.store.set(&format!("{PREFIX}agent/{ID}/a.service"), "{\"of\": \"tomorrow\"}");
    machine.wait(5);
    assert!(machine.probe.counts().contains_key("agent: an order cannot be read"));
    machine.crash();
    machine.wait(1);
    machine.boot();
    machine.wait(5);
    assert_eq!(
        (machine.systemd.log().as_str(), machine.systemd.running()),
        ("", vec!["a.service".to_owned()])
    );
    machine.unorder("a.service");
    machine.wait(1);
    assert_eq!(machine.systemd.running(), Vec::<String>::new());
}

#[test]
fn a_file_that_somebody_deletes_is_put_back() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.systemd.delete_file("a.service");
    machine.systemd.resync();
    machine.wait(5);
    assert!(machine.probe.counts().contains_key("agent: a file has gone behind its back"));
    let unit = vec!["a.service".to_owned()];
    assert_eq!((machine.systemd.files(), machine.systemd.running()), (unit.clone(), unit));
}

#[test]
fn a_unit_that_comes_and_goes_is_not_told_of_each_time() {
    let machine = Machine1::launched("a.service", SLEEP);
    let revision = machine.store.revision();
    for round in 0..200 {
        let (active, sub) =
            if round % 2 == 0 { ("activating", "auto-restart") } else { ("active", "running") };
        machine.systemd.set("a.service", active, sub);
        machine.room.run(Duration::from_millis(100));
    }
    let writes = machine.store.revision() - revision;
    assert!((20..=50).contains(&writes), "{writes} writes in 20 s");
    machine.wait(10);
    assert_eq!(machine.reports(), "a.service active/running launched", "the last word is told");
}

#[test]
fn changes_that_come_together_are_told_together() {
    let machine = Machine1::new();
    for number in 0..100 {
        machine.launch(&format!("u{number:03}.service"));
    }
    machine.wait(2);
    let (calls, revision) = (machine.line.calls(), machine.store.revision());
    for number in 0..100 {
        machine.systemd.set(&format!("u{number:03}.service"), "failed", "failed");
    }
    machine.room.run(Duration::from_millis(500));
    assert_eq!(machine.store.revision(), revision + 1, "one transaction");
    assert!(machine.line.calls() <= calls + 2, "{} calls", machine.line.calls() - calls);
    assert_eq!(machine.reports().lines().filter(|line| line.contains("failed/failed")).count(), 100);
}

#[test]
fn an_idle_agent_writes_nothing() {
    let machine = Machine1::launched("a.service", SLEEP);
    let (calls, revision) = (machine.line.calls(), machine.store.revision());
    machine.wait(60);
    assert_eq!(machine.store.revision(), revision);
    assert_eq!(machine.line.calls() - calls, 60, "keep-alives, three in a TTL of three seconds");
    assert_eq!(machine.systemd.log(), "");
}

#[test]
fn the_bus_goes_and_comes_back() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.systemd.faults(|faults| faults.gone = true);
    machine.systemd.set("a.service", "failed", "failed");
    machine.launch("b.service");
    machine.wait(10);
    assert!(machine.reports().starts_with("a.service active/running launched"), "{}", machine.reports());
    machine.systemd.faults(|faults| faults.gone = false);
    machine.systemd.resync();
    machine.wait(20);
    let expected = "a.service failed/failed launched\nb.service active/running launched";
    assert_eq!(machine.reports(), expected);
    assert!(!machine.systemd.log().contains("a.service"), "only looked at");
}
