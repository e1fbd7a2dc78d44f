use super::bench::*;
use crate::model::DesiredState;

const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";
const GLOBAL: &str = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n";

#[test]
fn a_unit_lives_and_leaves_nothing_behind() {
    let (mut bench, running) = Bench::with(2);
    assert!(running.engine.leads());
    bench.submit_as("u.service", PLAIN, DesiredState::Loaded);
    bench.settle();
    assert_eq!(bench.at("u.service"), ["a"]);
    now(bench.registry.set_desired(&unit("u.service"), DesiredState::Launched)).unwrap();
    bench.settle();
    let view = bench.load();
    assert_eq!(view.orders[&(unit("u.service"), "a".into())].value.state, DesiredState::Launched);
    assert_eq!(view.jobs[&unit("u.service")].target.as_ref().unwrap().value, "a".into());
    now(bench.registry.bump_run(&unit("u.service"))).unwrap();
    bench.settle();
    assert_eq!(bench.load().orders[&(unit("u.service"), "a".into())].value.run, 1);
    now(bench.registry.delete_job(&unit("u.service"))).unwrap();
    bench.settle();
    let view = bench.load();
    assert!(view.jobs.is_empty() && view.orders.is_empty() && view.reports.is_empty(), "{view:?}");
    assert!(view.files.is_empty(), "the text is dropped with the last that names it");
}

#[test]
fn a_global_unit_is_everywhere() {
    let (mut bench, _running) = Bench::with(3);
    bench.submit("g.service", GLOBAL);
    bench.settle();
    assert_eq!(bench.at("g.service"), ["a", "b", "c"]);
    bench.arrive("d");
    bench.lose("a");
    bench.settle();
    assert_eq!(bench.at("g.service"), ["b", "c", "d"]);
    assert_eq!(bench.ordered("g.service"), ["a", "b", "c", "d"], "a goes on running its copy");
    now(bench.registry.set_gone(&"a".into())).unwrap();
    bench.settle();
    assert_eq!(bench.ordered("g.service"), ["b", "c", "d"]);
    bench.submit("g.service", PLAIN);
    bench.settle();
    assert_eq!((bench.at("g.service").len(), bench.ordered("g.service").len()), (1, 1), "global no more");
    bench.submit("g.service", GLOBAL);
    bench.settle();
    assert_eq!(bench.at("g.service"), ["b", "c", "d"]);
    assert_eq!(bench.load().jobs[&unit("g.service")].target, None);
}

#[test]
fn a_drained_machine_is_left_and_rebalancing_comes_back() {
    let (mut bench, _running) = Bench::with(2);
    (0..6).for_each(|n| {
        bench.submit(&format!("u{n}.service"), PLAIN);
    });
    bench.settle();
    let on =
        |bench: &Bench, id: &str| bench.load().reports.keys().filter(|(_, at)| at.as_str() == id).count();
    assert_eq!((on(&bench, "a"), on(&bench, "b")), (3, 3));
    now(bench.registry.set_admission(&"a".into(), crate::model::Admission::Drain)).unwrap();
    bench.settle();
    assert_eq!((on(&bench, "a"), on(&bench, "b")), (0, 6));
    now(bench.registry.set_admission(&"a".into(), crate::model::Admission::Open)).unwrap();
    bench.settle();
    assert_eq!(on(&bench, "a"), 0, "nothing moves for balance unless asked");
    now(bench.registry.ask_rebalance(2)).unwrap();
    bench.settle();
    assert_eq!((on(&bench, "a"), on(&bench, "b")), (2, 4));
    assert_eq!(bench.load().rebalance, None);
}

#[test]
fn a_oneshot_that_has_run_is_not_run_again_unless_asked() {
    let (mut bench, _running) = Bench::with(1);
    let hash = bench.submit("once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n");
    bench.settle();
    assert_eq!(bench.at("once.service"), ["a"]);
    let done = crate::registry::Done { hash, run: 0, machine: "a".into() };
    now(bench.registry.put_done(&unit("once.service"), &done)).unwrap();
    bench.settle();
    bench.lose("a");
    bench.arrive("b");
    bench.settle();
    assert_eq!(bench.at("once.service"), [""; 0]);
    now(bench.registry.bump_run(&unit("once.service"))).unwrap();
    bench.settle();
    assert_eq!(bench.at("once.service"), ["b"]);
    now(bench.registry.delete_job(&unit("once.service"))).unwrap();
    bench.settle();
    assert!(bench.load().jobs.is_empty());
}

#[test]
fn what_nobody_can_read_disturbs_nobody() {
    let (mut bench, _running) = Bench::with(1);
    bench.submit("u.service", PLAIN);
    bench.settle();
    let key = |rest: &str| format!("{}{rest}", crate::registry::DEFAULT_PREFIX);
    bench.kv.set(&key("agent/a/no name"), "?");
    bench.kv.set(&key("job/v.service/object"), "?");
    bench.kv.set(&key("machines/b/object"), "[]");
    bench
        .kv
        .set(&key("job/w.service/object"), &format!("{{\"Name\":\"w.service\",\"UnitHash\":{:?}}}", [7; 20]));
    bench.kv.set(&key("job/w.service/target-state"), "launched");
    bench.kv.set(&key("anything"), "");
    bench.submit("x.service", PLAIN);
    bench.settle();
    assert_eq!((bench.at("u.service"), bench.at("x.service")), (vec!["a".into()], vec!["a".into()]));
    assert_eq!(bench.at("w.service"), [""; 0], "it has no text");
}

/// Nothing changes, nothing is asked: the lease alone is renewed.
#[test]
fn an_idle_engine_renews_its_lease_and_does_nothing_else() {
    let (mut bench, running) = Bench::with(3);
    (0..20).for_each(|n| {
        bench.submit(&format!("u{n}.service"), PLAIN);
    });
    bench.settle();
    let (revision, calls) = (bench.kv.revision(), running.line.calls());
    let follower = bench.engine("f");
    bench.room.run(SECOND);
    let follower_calls = follower.line.calls();
    bench.room.run(59 * SECOND);
    assert!(running.engine.leads() && !follower.engine.leads());
    assert_eq!(bench.kv.revision(), revision, "nothing is written");
    assert!((59..=61).contains(&(running.line.calls() - calls)), "{} calls", running.line.calls() - calls);
    assert_eq!(follower.line.calls(), follower_calls, "who does not lead asks for nothing");
}

#[test]
fn a_machine_whose_fleetd_was_stopped_keeps_what_it_has_and_gets_nothing_new() {
    let (mut bench, _running) = Bench::with(2);
    bench.submit("u.service", PLAIN);
    bench.submit("g.service", GLOBAL);
    bench.settle();
    assert_eq!(bench.at("u.service"), ["a"]);
    // The last order before the mark reaches nobody any more.
    bench.stopped.push("b".into());
    bench.submit("v.service", PLAIN);
    bench.settle();
    assert_eq!((bench.ordered("v.service"), bench.at("v.service")), (vec!["b".into()], Vec::new()));
    bench.leave("b", true);
    bench.settle();
    assert_eq!(bench.at("v.service"), ["a"], "taken back, for nobody has claimed it");
    bench.leave("a", true);
    bench.leave("b", false);
    bench.submit("w.service", PLAIN);
    bench.submit("x.service", PLAIN);
    bench.submit("h.service", GLOBAL);
    bench.settle();
    assert_eq!((bench.at("w.service"), bench.at("x.service")), (vec!["b".into()], vec!["b".into()]));
    assert_eq!(bench.at("h.service"), ["b"]);
    assert_eq!((bench.at("u.service"), bench.at("v.service")), (vec!["a".into()], vec!["a".into()]));
    assert_eq!(bench.at("g.service"), ["a", "b"]);
    bench.leave("a", false);
    bench.settle();
    assert_eq!(bench.at("h.service"), ["a", "b"]);
}

#[test]
fn an_order_that_was_claimed_before_the_machine_left_stays() {
    let (mut bench, _running) = Bench::with(1);
    bench.submit("u.service", PLAIN);
    bench.settle();
    bench.leave("a", true);
    bench.arrive("b");
    bench.settle();
    assert_eq!((bench.at("u.service"), bench.ordered("u.service")), (vec!["a".into()], vec!["a".into()]));
}
