//! The lease: got, lost, taken over; and what becomes of units meanwhile.

use super::machine::*;
use crate::agent::Ending;
use crate::model::DesiredState;
use futures_util::FutureExt;
use kernel::Kv;
use kernel::lease::LeaseRevokeRequest;
use std::time::Duration;

const STRICT: &str = "[Service]\nExecStart=/bin/sleep 1000\n[X-Fleet]\nPartition=stop\nStopGrace=5\n";
const HELD: &str = "[Service]\nExecStart=/bin/sleep 1000\n[X-Fleet]\nPartition=hold\n";
const RUNNING: &str = "a.service active/running launched";

#[test]
fn a_fleetd_that_crashed_finds_its_units_running() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    let revision = machine.store.revision();
    machine.crash();
    machine.room.run(Duration::from_secs(1));
    machine.boot();
    machine.wait(10);
    assert_eq!(machine.systemd.log(), "4.007 reload", "nothing restarts");
    assert_eq!((machine.reports().as_str(), machine.store.revision()), (RUNNING, revision));
}

#[test]
fn a_fleetd_that_was_away_for_longer_tells_of_its_units_anew() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.order("b.service", SLEEP, DesiredState::Loaded, 0);
    machine.wait(1);
    machine.systemd.log();
    machine.crash();
    machine.wait(10);
    assert_eq!((machine.reports().as_str(), machine.is_present()), ("", false));
    machine.boot();
    machine.wait(10);
    assert_eq!(machine.systemd.running(), ["a.service"]);
    assert_eq!(machine.reports(), format!("{RUNNING}\nb.service inactive/dead"));
    assert!(!machine.systemd.log().contains("start"), "nothing restarts");
}

#[test]
fn a_unit_that_failed_while_fleetd_was_away_is_not_started_again() {
    for away in [1, 10] {
        let mut machine = Machine1::launched("a.service", SLEEP);
        machine.crash();
        machine.systemd.set("a.service", "failed", "failed");
        machine.wait(away);
        machine.boot();
        machine.wait(10);
        assert_eq!(machine.reports(), "a.service failed/failed launched");
        assert!(!machine.systemd.log().contains("start"), "not after {away} s");
    }
}

#[test]
fn orders_that_went_while_fleetd_was_away_are_gone() {
    for away in [1, 10] {
        let mut machine = Machine1::launched("a.service", SLEEP);
        machine.crash();
        machine.unorder("a.service");
        machine.wait(away);
        machine.boot();
        machine.wait(5);
        assert_eq!(
            (machine.systemd.running(), machine.systemd.files()),
            (Vec::new(), Vec::new()),
            "{away} s"
        );
        assert_eq!((machine.reports().as_str(), machine.is_present()), ("", true));
    }
}

#[test]
fn a_crash_between_uninstall_and_release_leaves_no_report_behind() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.unorder("a.service");
    machine.room.run(Duration::from_millis(10));
    assert_eq!(machine.systemd.files(), Vec::<String>::new());
    machine.crash();
    assert_ne!(machine.reports(), "");
    machine.boot();
    machine.wait(2);
    assert_eq!(machine.reports(), "");
}

#[test]
fn somebody_elses_presence_is_waited_for() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.crash();
    machine.instance("boot-2");
    machine.boot();
    machine.room.run(Duration::from_secs(1));
    assert_eq!(machine.systemd.log(), "", "nothing is done without a lease");
    assert!(machine.status().summary.contains("two machines have one /etc/machine-id"));
    machine.wait(10);
    assert!(machine.status().present);
    assert_eq!(machine.reports(), RUNNING);
}

#[test]
fn units_run_on_while_the_store_is_away() {
    for text in [SLEEP, HELD] {
        let machine = Machine1::launched("a.service", text);
        machine.line.cut();
        machine.wait(600);
        assert_eq!(machine.systemd.log(), "", "nothing changes");
        assert_eq!((machine.reports().as_str(), machine.is_present()), ("", false));
        machine.line.mend();
        machine.wait(3);
        assert_eq!((machine.reports().as_str(), machine.is_present()), (RUNNING, true));
        assert_eq!(machine.systemd.log(), "", "nothing restarts");
    }
}

#[test]
fn orders_that_went_while_the_store_was_away_are_carried_out_after() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.line.cut();
    machine.wait(10);
    machine.unorder("a.service");
    machine.launch("b.service");
    machine.line.mend();
    machine.wait(5);
    assert_eq!(machine.systemd.running(), ["b.service"]);
    assert_eq!(machine.reports(), "b.service active/running launched");
}

#[test]
fn a_strict_unit_stops_before_its_lease_can_end() {
    let machine = Machine1::launched("a.service", STRICT);
    // The last keep-alive that was answered was sent at 3 s at the earliest, so the lease ends at 6 s at the earliest.
    machine.line.cut();
    machine.wait(30);
    let log = machine.systemd.log();
    let (time, verb) = log.split_once(' ').unwrap();
    assert_eq!(verb, "stop a.service");
    let time: f64 = time.parse().unwrap();
    assert!((4.6..=5.8).contains(&time), "stopped at {time}");
    assert_eq!(machine.systemd.running(), Vec::<String>::new());
    // It still is ordered here: with the lease it comes back.
    machine.line.mend();
    machine.wait(3);
    assert!(machine.systemd.log().ends_with("start a.service"));
    assert_eq!(machine.reports(), RUNNING);
}

#[test]
fn a_strict_unit_that_does_not_stop_is_killed_after_its_grace() {
    let machine = Machine1::launched("a.service", STRICT);
    machine.systemd.faults(|faults| faults.stubborn.extend(["a.service".to_owned()]));
    machine.line.cut();
    machine.wait(30);
    let log = machine.systemd.log();
    let times: Vec<f64> = log.lines().map(|line| line.split_once(' ').unwrap().0.parse().unwrap()).collect();
    assert!(log.ends_with("kill a.service"), "{log}");
    assert!((times[1] - times[0] - 5.0).abs() < 0.01, "{log}");
    assert_eq!(machine.systemd.running(), Vec::<String>::new());
}

#[test]
fn what_holds_when_cut_off_is_what_the_orders_text_says() {
    for (runs, ordered, killed) in [(SLEEP, STRICT, true), (STRICT, HELD, false)] {
        let machine = Machine1::launched("a.service", runs);
        machine.systemd.faults(|faults| faults.stubborn.extend(["a.service".to_owned()]));
        machine.order("a.service", ordered, DesiredState::Launched, 0);
        machine.wait(2);
        machine.line.cut();
        machine.wait(30);
        let log = machine.systemd.log();
        assert!(log.contains("stop a.service"), "the other text waits for it: {log}");
        assert_eq!(log.contains("kill a.service"), killed, "{log}");
    }
}

#[test]
fn a_strict_unit_that_is_slow_to_start_is_stopped_too() {
    let machine = Machine1::new();
    machine.systemd.slow("a.service", MINUTE);
    machine.order("a.service", STRICT, DesiredState::Launched, 0);
    machine.wait(1);
    machine.line.cut();
    machine.wait(10);
    assert_eq!(machine.systemd.running(), Vec::<String>::new());
}

#[test]
fn a_strict_unit_found_without_a_store_is_stopped_too() {
    let mut machine = Machine1::launched("a.service", STRICT);
    machine.crash();
    machine.line.cut();
    machine.boot();
    machine.wait(2);
    assert_eq!(machine.systemd.running(), ["a.service"], "its lease may live yet");
    machine.wait(2);
    assert_eq!(machine.systemd.running(), Vec::<String>::new());
}

#[test]
fn a_strict_unit_that_was_still_ending_when_fleetd_came_back_is_started_again() {
    // With the reports of the life before, and without.
    for away in [1, 5] {
        let mut machine = Machine1::launched("a.service", STRICT);
        machine.crash();
        machine.systemd.set("a.service", "deactivating", "stop-sigterm");
        machine.wait(away);
        machine.boot();
        machine.wait(2);
        machine.systemd.set("a.service", "failed", "failed");
        machine.wait(3);
        assert_eq!(machine.systemd.running(), ["a.service"], "{away} s: {}", machine.systemd.log());
    }
}

#[test]
fn a_lease_that_somebody_revokes_is_got_again() {
    let machine = Machine1::launched("a.service", SLEEP);
    let lease = i64::from_str_radix(&machine.status().lease, 16).unwrap();
    let revoked = machine.store.lease_revoke(LeaseRevokeRequest { id: lease }).now_or_never();
    assert!(revoked.expect("a store in memory answers at once").is_ok());
    machine.wait(5);
    assert_eq!((machine.reports().as_str(), machine.is_present()), (RUNNING, true));
    assert_eq!(machine.systemd.log(), "", "nothing restarts");
}

#[test]
fn a_presence_that_somebody_deletes_is_put_again() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.store.unset(&format!("{PREFIX}machines/{ID}/object"));
    machine.wait(1);
    assert_eq!((machine.reports().as_str(), machine.is_present()), (RUNNING, true));
    machine.wait(10);
    assert_eq!((machine.reports().as_str(), machine.is_present()), (RUNNING, true));
    assert_eq!(machine.systemd.log(), "", "nothing restarts");
}

#[test]
fn a_report_that_somebody_deletes_is_written_again() {
    let machine = Machine1::launched("a.service", SLEEP);
    machine.store.unset(&format!("{PREFIX}states/a.service/{ID}"));
    machine.systemd.set("a.service", "failed", "failed");
    machine.wait(5);
    assert_eq!(machine.reports(), "a.service failed/failed launched");
}

#[test]
fn answers_that_are_lost_do_no_harm() {
    for lost in 1..8 {
        let machine = Machine1::new();
        machine.line.lose_answers(lost);
        machine.launch("a.service");
        machine.wait(100);
        assert_eq!(machine.reports(), RUNNING, "{lost} answers lost");
        machine.line.lose_answers(lost);
        machine.unorder("a.service");
        machine.wait(200);
        assert_eq!(machine.reports(), "", "{lost} answers lost");
    }
}

#[test]
fn a_stop_that_leaves_keeps_the_machine_for_a_while() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    assert!(machine.stop(Ending::Leave, Duration::from_secs(1)));
    machine.wait(50);
    assert_eq!((machine.reports().as_str(), machine.is_present()), (RUNNING, true));
    machine.boot();
    machine.wait(5);
    assert_eq!((machine.reports().as_str(), machine.is_present()), (RUNNING, true));
    assert!(!machine.systemd.log().contains("a.service"), "nothing restarts");
    // The lease is a short one again.
    machine.crash();
    machine.wait(4);
    assert!(!machine.is_present());
}

#[test]
fn a_unit_whose_start_is_under_way_when_fleetd_is_stopped_is_its_own_afterwards() {
    let mut machine = Machine1::new();
    machine.systemd.slow("a.service", Duration::from_millis(600));
    machine.order("a.service", SLEEP, DesiredState::Launched, 0);
    let begun = (0..50).any(|_| {
        machine.room.run(Duration::from_millis(20));
        machine.systemd.log().contains("start a.service")
    });
    assert!(begun && machine.stop(Ending::Leave, Duration::from_secs(3)));
    assert!(machine.reports().contains("launched"), "{}", machine.reports());
    machine.order("a.service", SLEEP, DesiredState::Loaded, 0);
    machine.boot();
    machine.wait(3);
    assert_eq!(machine.systemd.running(), Vec::<String>::new(), "{}", machine.systemd.log());
}

#[test]
fn a_stop_that_leaves_is_bounded_without_a_store() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.line.cut();
    assert!(machine.stop(Ending::Leave, Duration::from_secs(6)));
    assert_eq!(machine.systemd.running(), ["a.service"]);
}

#[test]
fn a_stop_that_purges_leaves_nothing() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    assert!(machine.stop(Ending::Purge, Duration::from_secs(1)));
    assert_eq!(machine.systemd.log(), "3.000 stop a.service\n3.002 uninstall a.service\n3.008 reload");
    assert_eq!((machine.reports().as_str(), machine.is_present()), ("", false));
    assert!(machine.store.dump(&format!("{PREFIX}agent/")).is_empty(), "the order goes too");
}

#[test]
fn a_purge_that_cannot_stop_a_unit_keeps_its_report_until_the_lease_ends() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.systemd.faults(|faults| faults.stubborn.extend(["a.service".to_owned()]));
    assert!(!machine.stop(Ending::Purge, Duration::from_secs(60)), "it is waited for");
    assert_ne!(machine.reports(), "");
    machine.wait(4);
    assert_eq!(machine.reports(), "");
}

#[test]
fn a_machine_that_goes_down_lets_go_of_its_units_as_they_rest() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.systemd.faults(|faults| faults.stopping = true);
    assert!(machine.stop(Ending::Leave, Duration::from_secs(1)));
    assert_eq!(machine.systemd.log(), "3.000 stop a.service");
    assert_eq!((machine.reports().as_str(), machine.is_present()), ("", false));
    assert_eq!(machine.systemd.files(), ["a.service"], "a reboot takes them");
}

#[test]
fn a_machine_that_booted_anew_starts_what_is_ordered() {
    let mut machine = Machine1::launched("a.service", SLEEP);
    machine.crash();
    machine.instance("boot-2");
    machine.systemd = super::systemd::Script::new(&machine.room);
    machine.boot();
    machine.wait(10);
    assert_eq!(machine.systemd.running(), ["a.service"]);
    assert_eq!(machine.reports(), RUNNING);
    assert!(machine.now() > Duration::from_secs(10));
}
