use super::bench::*;
use kernel::Kv;
use kernel::types::CompactionRequest;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::collections::BTreeSet;

const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";

#[test]
fn another_engine_takes_over() {
    let (mut bench, first) = Bench::with(2);
    let second = bench.engine("f");
    bench.run(SECOND);
    bench.room.kill(&first.process);
    bench.submit("u.service", PLAIN);
    bench.run(4 * SECOND);
    assert!(second.engine.leads());
    assert_eq!(bench.at("u.service"), ["a"]);
}

#[test]
fn an_engine_that_is_cut_off_stops_deciding_and_comes_back() {
    let (mut bench, first) = Bench::with(2);
    let second = bench.engine("f");
    bench.run(SECOND);
    first.line.cut();
    bench.submit("u.service", PLAIN);
    bench.run(4 * SECOND);
    assert!(!first.engine.leads() && second.engine.leads());
    assert_eq!(bench.at("u.service"), ["a"]);
    second.line.cut();
    bench.run(120 * SECOND);
    assert!(!first.engine.leads() && !second.engine.leads(), "nobody reaches the store");
    bench.submit("v.service", PLAIN);
    first.line.mend();
    bench.run(5 * SECOND);
    assert!(first.engine.leads());
    assert_eq!(bench.at("v.service"), ["b"]);
}

#[test]
fn history_that_is_gone_is_read_anew() {
    let (mut bench, running) = Bench::with(2);
    bench.submit("u.service", PLAIN);
    bench.settle();
    running.line.cut();
    running.line.mend();
    bench.submit("v.service", PLAIN);
    now(bench.registry.bump_run(&unit("v.service"))).unwrap();
    let compaction = CompactionRequest { revision: bench.kv.revision(), physical: false };
    now(bench.kv.compact(compaction)).unwrap();
    bench.run(2 * SECOND);
    assert_eq!((bench.at("u.service"), bench.at("v.service")), (vec!["a".into()], vec!["b".into()]));
    assert!(running.engine.leads());
    assert!(bench.probe.counts().contains_key("engine: history was compacted under its watch"));
}

#[test]
fn a_write_whose_answer_is_lost_is_done_once() {
    let (mut bench, running) = Bench::with(2);
    running.line.lose_answers(3);
    (0..5).for_each(|n| {
        bench.submit(&format!("u{n}.service"), PLAIN);
    });
    bench.run(3 * SECOND);
    for n in 0..5 {
        assert_eq!(bench.at(&format!("u{n}.service")).len(), 1);
    }
}

#[test]
fn somebody_who_meddles_is_overruled() {
    let (mut bench, _running) = Bench::with(2);
    bench.submit("u.service", PLAIN);
    bench.settle();
    let key = |rest: &str| format!("{}{rest}", crate::registry::DEFAULT_PREFIX);
    bench.kv.unset(&key("agent/a/u.service"));
    bench.run(SECOND);
    assert_eq!((bench.at("u.service").len(), bench.ordered("u.service").len()), (1, 1));
    let order = bench.load().orders_of(&unit("u.service")).next().unwrap().1.value.clone();
    let stray = if bench.at("u.service") == ["a"] { "b" } else { "a" };
    bench.kv.set(&key(&format!("agent/{stray}/u.service")), &serde_json::to_string(&order).unwrap());
    bench.run(SECOND);
    assert_eq!((bench.at("u.service").len(), bench.ordered("u.service").len()), (1, 1));
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Submit(u8, u8),
    Destroy(u8),
    Lose(u8),
    Arrive(u8),
    Drain(u8),
    Open(u8),
    Cut(u8),
    Mend(u8),
    LoseAnswers(u8),
    Compact,
    Wait(u8),
}

impl Arbitrary for Deed {
    fn arbitrary(g: &mut Gen) -> Deed {
        let (kind, number) = (u8::arbitrary(g), u8::arbitrary(g));
        match kind % 16 {
            0..4 => Deed::Submit(number % 6, u8::arbitrary(g) % 5),
            4 => Deed::Destroy(number % 6),
            5 => Deed::Lose(number % 3),
            6 | 7 => Deed::Arrive(number % 3),
            8 => Deed::Drain(number % 3),
            9 => Deed::Open(number % 3),
            10 => Deed::Cut(number % 2),
            11 => Deed::Mend(number % 2),
            12 => Deed::LoseAnswers(number % 2),
            13 => Deed::Compact,
            _ => Deed::Wait(number),
        }
    }
}

const TEXTS: [&str; 5] = [
    PLAIN,
    "[Service]\nExecStart=/bin/false\n",
    "[Service]\nExecStart=/bin/g\n[X-Fleet]\nGlobal=true\n",
    "[Service]\nExecStart=/bin/p\n[X-Fleet]\nGlobal=true\nMaxUnavailable=1\nRollBack=true\n",
    "[Service]\nExecStart=/bin/h\n[X-Fleet]\nPartition=hold\nConflicts=u1.service\n",
];

fn act(bench: &mut Bench, engines: &[Running; 2], deed: Deed) {
    let machine = |number: u8| ["a", "b", "c"][number as usize];
    match deed {
        Deed::Submit(name, text) => {
            bench.submit(&format!("u{name}.service"), TEXTS[text as usize]);
        }
        Deed::Destroy(name) => drop(now(bench.registry.delete_job(&unit(&format!("u{name}.service"))))),
        Deed::Lose(id) if bench.machines.contains_key(&machine(id).into()) => bench.lose(machine(id)),
        Deed::Arrive(id) if !bench.machines.contains_key(&machine(id).into()) => bench.arrive(machine(id)),
        Deed::Lose(_) | Deed::Arrive(_) => {}
        Deed::Drain(id) => {
            now(bench.registry.set_admission(&machine(id).into(), crate::model::Admission::Drain)).unwrap()
        }
        Deed::Open(id) => {
            now(bench.registry.set_admission(&machine(id).into(), crate::model::Admission::Open)).unwrap()
        }
        Deed::Cut(engine) => engines[engine as usize].line.cut(),
        Deed::Mend(engine) => engines[engine as usize].line.mend(),
        Deed::LoseAnswers(engine) => engines[engine as usize].line.lose_answers(1),
        Deed::Compact => {
            let revision = bench.kv.revision();
            drop(now(bench.kv.compact(CompactionRequest { revision, physical: false })));
        }
        Deed::Wait(ticks) => bench.run(u32::from(ticks % 100) * TICK),
    }
    bench.run(TICK);
}

/// A unit that never was global is ordered and reported by one machine at most.
fn is_single(bench: &Bench, global: &BTreeSet<u8>) -> bool {
    let view = bench.load();
    (0..6).filter(|number| !global.contains(number)).all(|number| {
        let name = unit(&format!("u{number}.service"));
        view.orders_of(&name).count() <= 1 && view.reports_of(&name).count() <= 1
    })
}

quickcheck! {
    /// Whatever is done to a cluster, when it is left alone it comes to what was asked for.
    fn comes_to_rest_as_wished(deeds: Vec<Deed>) -> bool {
        let mut bench = Bench::new();
        ["a", "b", "c"].iter().for_each(|id| bench.arrive(id));
        let engines = [bench.engine("e"), bench.engine("f")];
        let mut global = BTreeSet::new();
        for deed in deeds.into_iter().take(40) {
            if let Deed::Submit(name, 2 | 3) = deed {
                global.insert(name);
            }
            act(&mut bench, &engines, deed);
            if !is_single(&bench, &global) {
                return false;
            }
        }
        engines.iter().for_each(|engine| engine.line.mend());
        ["a", "b", "c"].into_iter().for_each(|id| {
            if !bench.machines.contains_key(&id.into()) {
                bench.arrive(id);
            }
            now(bench.registry.set_admission(&id.into(), crate::model::Admission::Open)).unwrap();
        });
        bench.rest();
        let view = bench.load();
        view.jobs.iter().all(|(name, job)| {
            let text = &view.files[&job.hash.expect("what is destroyed is gone")].value;
            let reports: Vec<_> = view.reports_of(name).collect();
            let orders = view.orders_of(name).count();
            // u1 keeps units with the last text away, and may be everywhere.
            let copies = if text.contains("Global") { 3 } else { 1 };
            let fits = if text.contains("Conflicts") { reports.len() <= 1 } else { reports.len() == copies || name.as_str() == "u1.service" };
            fits && orders == reports.len() && reports.iter().all(|(_, report)| Some(report.value.hash) == job.hash)
        })
    }
}
