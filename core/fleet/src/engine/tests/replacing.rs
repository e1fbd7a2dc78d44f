use super::bench::*;
use std::collections::BTreeSet;

fn text(command: &str, more: &str) -> String {
    format!("[Service]\nExecStart=/bin/{command}\n[X-Fleet]\n{more}\nHealthyAfter=2\nHealthyWithin=10\n")
}

const PACED: &str = "Global=true\nMaxUnavailable=1";

fn versions(bench: &Bench, name: &str) -> usize {
    bench.load().orders_of(&unit(name)).map(|(_, order)| order.value.hash).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_global_unit_is_replaced_one_by_one() {
    let (mut bench, _running) = Bench::with(3);
    bench.submit("g.service", &text("one", PACED));
    bench.settle();
    let new = bench.submit("g.service", &text("two", PACED));
    let replaced = |bench: &Bench| {
        bench.load().orders_of(&unit("g.service")).filter(|(_, order)| order.value.hash == new).count()
    };
    bench.run(SECOND);
    assert_eq!(replaced(&bench), 1);
    bench.run(2 * SECOND);
    assert_eq!(replaced(&bench), 2);
    bench.run(2 * SECOND);
    assert_eq!(replaced(&bench), 3);
    let files = bench.load().files;
    assert_eq!(files.len(), 2, "the text before is kept for the way back");
}

#[test]
fn without_a_pace_all_at_once() {
    let (mut bench, _running) = Bench::with(3);
    bench.submit("g.service", &text("one", "Global=true"));
    bench.settle();
    let new = bench.submit("g.service", &text("two", "Global=true"));
    bench.run(5 * TICK);
    assert_eq!((versions(&bench, "g.service"), bench.hash("g.service", "a")), (1, new));
}

#[test]
fn a_failure_stops_the_replacement() {
    let (mut bench, _running) = Bench::with(3);
    let old = bench.submit("g.service", &text("one", PACED));
    bench.settle();
    let bad = bench.submit("g.service", &text("broken", PACED));
    bench.run(30 * SECOND);
    let hashes = ["a", "b", "c"].map(|id| bench.hash("g.service", id));
    assert_eq!(hashes, [bad, old, old]);
    let halt = bench.load().jobs[&unit("g.service")].halt.clone().unwrap();
    assert_eq!((halt.hash, halt.rolled_back), (bad, false));
    assert!(halt.reason.starts_with("g.service on a: it failed/failed"), "{}", halt.reason);
    bench.arrive("d");
    bench.settle();
    assert_eq!(bench.hash("g.service", "d"), old, "a new copy gets the text that works");
    let good = bench.submit("g.service", &text("three", PACED));
    bench.run(30 * SECOND);
    assert_eq!(
        (versions(&bench, "g.service"), bench.hash("g.service", "d")),
        (1, good),
        "the next text goes on"
    );
}

#[test]
fn a_failure_is_rolled_back() {
    let (mut bench, _running) = Bench::with(3);
    let rules = format!("{PACED}\nRollBack=true");
    let old = bench.submit("g.service", &text("one", &rules));
    bench.settle();
    let bad = bench.submit("g.service", &text("broken", &rules));
    bench.run(30 * SECOND);
    assert_eq!((versions(&bench, "g.service"), bench.hash("g.service", "a")), (1, old));
    let job = bench.load().jobs[&unit("g.service")].clone();
    assert_eq!((job.hash, job.previous), (Some(old), Some(bad)));
    assert!(job.halt.is_some_and(|halt| halt.rolled_back && halt.hash == bad));
    let revision = bench.kv.revision();
    bench.run(60 * SECOND);
    assert_eq!(bench.kv.revision(), revision, "and that is the end of it");
}

#[test]
fn instances_of_a_template_go_together() {
    let (mut bench, _running) = Bench::with(2);
    let names = ["w@1.service", "w@2.service", "w@3.service"];
    let rules = "MaxUnavailable=1\nRollBack=true";
    let old = bench.submit(names[0], &text("one", rules));
    names.iter().for_each(|name| {
        bench.submit(name, &text("one", rules));
    });
    bench.settle();
    let hashes =
        |bench: &Bench| names.map(|name| bench.load().orders_of(&unit(name)).next().unwrap().1.value.hash);
    let bad = {
        let hash = bench.submit(names[0], &text("broken", rules));
        names.iter().for_each(|name| {
            bench.submit(name, &text("broken", rules));
        });
        hash
    };
    let mut seen = 0;
    for _ in 0..100 {
        bench.run(TICK);
        seen = seen.max(hashes(&bench).iter().filter(|hash| **hash == bad).count());
    }
    bench.run(20 * SECOND);
    assert_eq!((seen, hashes(&bench)), (1, [old; 3]));
}
