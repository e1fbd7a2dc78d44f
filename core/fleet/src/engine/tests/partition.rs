use super::bench::*;
use crate::engine::STOP_SLACK;
use crate::model::{Report, SystemdState};
use std::time::Duration;

fn text(policy: &str) -> String {
    format!("[Service]\nExecStart=/bin/true\n[X-Fleet]\nPartition={policy}\nStopGrace=10\n")
}

/// A unit that was on a, and b to take it.
fn with(policy: &str) -> (Bench, Running) {
    let (mut bench, running) = Bench::with(1);
    bench.submit("u.service", &text(policy));
    bench.settle();
    assert_eq!(bench.at("u.service"), ["a"]);
    bench.arrive("b");
    bench.settle();
    (bench, running)
}

fn is_at_after(bench: &mut Bench, time: Duration) -> Vec<String> {
    bench.run(time);
    bench.at("u.service")
}

#[test]
fn keep_frees_at_once() {
    let (mut bench, _running) = with("keep");
    bench.lose("a");
    assert_eq!(is_at_after(&mut bench, 5 * TICK), ["b"]);
    assert_eq!(bench.ordered("u.service"), ["b"], "a is to stop its copy when it is back");
}

#[test]
fn stop_waits_for_the_grace_and_the_slack() {
    let (mut bench, _running) = with("stop");
    bench.lose("a");
    let wait = 10 * SECOND + STOP_SLACK;
    assert_eq!(is_at_after(&mut bench, wait - 2 * TICK), [""; 0]);
    assert_eq!(is_at_after(&mut bench, 10 * TICK), ["b"]);
}

#[test]
fn a_new_engine_counts_anew() {
    let (mut bench, running) = with("stop");
    bench.lose("a");
    bench.run(9 * SECOND);
    now_stopping(&mut bench, running);
    let _next = bench.engine("f");
    assert_eq!(is_at_after(&mut bench, 10 * SECOND), [""; 0]);
    assert_eq!(is_at_after(&mut bench, 3 * SECOND), ["b"]);
}

fn now_stopping(bench: &mut Bench, running: Running) {
    use futures_util::FutureExt;
    use kernel::Spawn;
    bench.room.process().spawn("stop", running.engine.stop().boxed());
    bench.run(TICK);
}

#[test]
fn hold_waits_for_the_machine_or_a_word_from_the_operator() {
    let (mut bench, _running) = with("hold");
    bench.lose("a");
    assert_eq!(is_at_after(&mut bench, 1_000 * SECOND), [""; 0]);
    bench.arrive("a");
    assert_eq!(is_at_after(&mut bench, 5 * TICK), ["a"], "its order stands");
    bench.lose("a");
    assert_eq!(is_at_after(&mut bench, 100 * SECOND), [""; 0]);
    now(bench.registry.set_gone(&"a".into())).unwrap();
    assert_eq!(is_at_after(&mut bench, 5 * TICK), ["b"]);
    bench.arrive("a");
    bench.settle();
    assert!(!bench.load().machines[&"a".into()].gone, "it is back");
}

#[test]
fn a_unit_that_was_leaving_when_its_machine_was_lost_is_held_as_well() {
    let (mut bench, _running) = with("hold");
    now(bench.registry.set_admission(&"a".into(), crate::model::Admission::Drain)).unwrap();
    bench.room.run(10 * TICK); // The agent of a does nothing meanwhile.
    assert_eq!((bench.ordered("u.service").len(), bench.at("u.service").len()), (0, 1));
    bench.lose("a");
    assert_eq!(is_at_after(&mut bench, 100 * SECOND), [""; 0]);
    let state = SystemdState::new("loaded", "active", "running");
    let hash = bench.load().jobs[&unit("u.service")].hash.unwrap();
    let report = Report { state, hash, launched: true, starting: false, run: 0, error: String::new() };
    bench.arrive_with("a", &[(unit("u.service"), report)]);
    bench.room.run(10 * TICK);
    assert_eq!(bench.ordered("u.service"), [""; 0], "what it says it has blocks");
    assert_eq!(is_at_after(&mut bench, 10 * TICK), ["b"], "and is free when it has let go");
}

#[test]
fn a_machine_that_goes_down_hands_over_at_once_whatever_the_policy() {
    let (mut bench, _running) = with("hold");
    let lease = bench.machines.remove(&"a".into()).unwrap();
    now(bench.registry.withdraw(&"a".into())).unwrap();
    bench.run(SECOND);
    assert_eq!(bench.at("u.service"), ["a"], "not before it is at rest");
    now(bench.registry.release(&"a".into(), &unit("u.service"), true)).unwrap();
    assert_eq!(is_at_after(&mut bench, 5 * TICK), ["b"]);
    now(bench.registry.revoke(lease)).unwrap();
}

/// Whoever destroys a unit and submits it again has no second copy either.
#[test]
fn a_destroyed_unit_is_held_too() {
    let (mut bench, _running) = with("hold");
    bench.lose("a");
    bench.run(SECOND);
    now(bench.registry.delete_job(&unit("u.service"))).unwrap();
    bench.run(SECOND);
    bench.submit("u.service", &text("hold"));
    assert_eq!(is_at_after(&mut bench, 100 * SECOND), [""; 0]);
    bench.arrive("a");
    assert_eq!(is_at_after(&mut bench, SECOND), ["a"]);
}

#[test]
fn the_grace_counts_from_the_last_time_the_machine_went() {
    let (mut bench, _running) = with("stop");
    bench.lose("a");
    bench.run(9 * SECOND);
    bench.arrive("a");
    bench.lose("a");
    assert_eq!(is_at_after(&mut bench, 10 * SECOND), [""; 0]);
    assert_eq!(is_at_after(&mut bench, 2 * SECOND), ["b"]);
}
