//! Every class of fault, one at a time: it is survived, and it really happened.
//!
//! A plan that names a class proves nothing if the world then does not do it. What a fault does is counted where it is done
//! (`io_sim::Effect`); here each class must have done something, under traffic, with every checker content.

use io_sim::Effect;
use io_sim::plan::Class;
use io_sim::runner::Report;
use sim_tests::story::Story;
use std::collections::BTreeSet;

/// A line of a plan for each class. The class is the effect that must be seen.
const LINES: [&str; 38] = [
    "fault partition at=5000ms for=3000ms on=leader",
    "fault partial at=5000ms for=3000ms on=1,2",
    "fault flap at=5000ms for=3000ms on=leader every=150ms",
    "fault loss at=5000ms for=4000ms on=1,2,3 permille=50",
    "fault reorder at=5000ms for=4000ms on=1,2,3 by=100ms",
    "fault duplicate at=5000ms for=4000ms on=1,2,3 permille=50",
    "fault corrupt at=5000ms for=4000ms on=1,2,3 permille=50",
    "fault slow-link at=5000ms for=4000ms on=2 by=200ms",
    "fault bandwidth at=5000ms for=4000ms on=1,2,3 bytes=4000",
    "fault slow-peer at=5000ms for=4000ms on=2 by=300ms",
    "fault reset at=5000ms on=leader",
    "fault half-open at=5000ms on=leader",
    "fault crash at=5000ms for=1000ms on=leader",
    "fault power-loss at=5000ms for=1000ms on=1,2,3",
    "fault power-loss-after at=5000ms for=2000ms on=leader operations=5",
    "fault crash-in-recovery at=5000ms for=3000ms on=leader operations=2",
    "fault rolling-restart at=5000ms for=6000ms on=1,2,3",
    "fault pause at=5000ms for=3000ms on=leader",
    "fault suspend at=5000ms for=3000ms on=leader",
    "fault slow-cpu at=5000ms for=3000ms on=1,2,3 by=500us",
    "fault slow-disk at=5000ms for=3000ms on=1,2,3 by=50ms",
    "fault stall-disk at=5000ms for=3000ms on=leader",
    "fault fail-sync at=5000ms for=3000ms on=2",
    "fault full-disk at=5000ms for=3000ms on=1,2,3",
    "fault write-error at=5000ms for=3000ms on=leader nth=3",
    "fault short-write at=5000ms for=3000ms on=leader nth=3",
    "fault read-error at=5000ms for=3000ms on=2 nth=1\nfault crash at=5010ms for=500ms on=2",
    "fault drift at=5000ms for=5000ms on=2 ppm=20000",
    "fault wall-jump at=5000ms on=1,2,3 by=-3600000ms",
    "fault skew at=5000ms for=3000ms on=1 by=600000ms",
    "fault wipe at=5000ms for=1000ms on=2",
    "fault bit-rot at=5000ms for=1000ms on=2 bits=8",
    "fault bad-sectors at=5000ms for=3000ms on=2 count=200\nfault crash at=5010ms for=500ms on=2",
    "fault misread at=5000ms for=3000ms on=2 nth=7\nfault crash at=5010ms for=500ms on=2",
    "fault lying-sync at=6000ms for=2000ms on=follower",
    "fault lost-write at=6000ms for=2000ms on=follower nth=3",
    "fault misplaced at=6000ms for=2000ms on=follower nth=3",
    "fault stale-read at=6000ms for=2000ms on=follower nth=1",
];

/// Tells it with three seeds, because chance has a say in some of them.
fn told(faults: &str) -> Vec<Report> {
    (1..=3).map(|seed| Story::of_small_files(3).with(faults).run(seed, |_| ())).collect()
}

#[test]
fn every_class_has_its_line() {
    let named: BTreeSet<&str> = LINES.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(named, Class::NAMES.into_iter().collect());
    assert!(Class::NAMES.iter().all(|name| Effect::ALL.iter().any(|(_, effect)| effect == name)));
}

#[test]
fn every_class_happens_and_is_survived() {
    for faults in LINES {
        let class = faults.split(' ').nth(1).expect("a line has a class");
        let reports = told(faults);
        let count: u64 = reports.iter().filter_map(|report| report.happened.get(class)).sum();
        assert!(count > 0, "{class} did nothing: {:#?}", reports[0].happened);
    }
}

#[test]
fn nothing_happens_that_no_plan_wants() {
    for report in told("") {
        let usual = ["reorder", "reset", "held-at-a-cut"];
        let wrong: Vec<_> = report.happened.keys().filter(|name| !usual.contains(name)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_loss_of_power_keeps_tears_and_loses() {
    let faults: String = (0..8)
        .map(|n| {
            let (time, operations) = (3_000 + n * 1_300, 3 + n * 7);
            format!("fault power-loss-after at={time}ms for=900ms on=1,2,3 operations={operations}\n")
        })
        .collect();
    let mut seen = BTreeSet::new();
    for report in told(&faults) {
        seen.extend(report.happened.into_keys());
    }
    for effect in ["kept-sectors", "lost-sectors", "torn-sectors"] {
        assert!(seen.contains(effect), "no {effect}: {seen:?}");
    }
}

#[test]
fn a_leader_is_isolated_and_a_sender_waits() {
    let faults =
        "fault partition at=5000ms for=2000ms on=leader\nfault slow-peer at=9000ms for=3000ms on=2 by=200ms";
    let report = Story::of_small_files(3).more_knobs("window=2").with(faults).run(1, |_| ());
    for effect in ["isolated-leader", "held-at-a-cut", "back-pressure", "slow-peer"] {
        assert!(report.happened.contains_key(effect), "no {effect}: {:?}", report.happened);
    }
}
