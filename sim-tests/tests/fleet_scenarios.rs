//! What an operator of a fleet fears, one story at a time: each a plan by hand, and a look at what really ran.

use io_sim::fleet::checkers::Seen;
use io_sim::fleet::plan::FleetPlan;
use io_sim::fleet::runner::{Fleet, run_scripted};
use io_sim::runner::Options;
use io_sim::systemd::Run;
use sim_tests::scale;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Units 1 to `count` submitted at `at` milliseconds, each with `more`.
fn units(count: u16, at: u64, more: &str) -> String {
    (1..=count).map(|unit| format!("deed put at={at}ms unit={unit} {more}\n")).collect()
}

/// A fleet over a store of three, with a calm from 30 s on.
fn plan(machines: u16, lines: &str) -> FleetPlan {
    let head = "plan seed=1 members=3 clients=1 calm=30000ms end=120000ms\n";
    let text = format!("{head}fleet machines={machines}\n{lines}");
    FleetPlan::parse(&text).unwrap_or_else(|error| panic!("the story is no plan: {error}\n{text}"))
}

/// Runs a plan that must pass, and looks at it.
fn story<T: Send + 'static>(plan: &FleetPlan, look: impl FnOnce(&Seen) -> T + Send + 'static) -> T {
    scripted(plan, |_| (), look)
}

fn scripted<T: Send + 'static>(
    plan: &FleetPlan,
    script: impl FnOnce(&Fleet) + Send + 'static,
    look: impl FnOnce(&Seen) -> T + Send + 'static,
) -> T {
    let (report, looked) = run_scripted(plan, Options::default(), script, |_, seen| look(seen));
    assert!(report.passed(), "{report}\nwith the plan\n{plan}");
    looked.expect("a run that passed was looked at")
}

/// All lives of all processes of a unit, with their machines, by time.
fn lives(seen: &Seen, unit: &str) -> Vec<(u16, Run)> {
    let all = seen.runs.iter().flat_map(|(machine, runs)| runs.iter().map(|run| (*machine, run.clone())));
    let mut lives: Vec<_> = all.filter(|(_, run)| run.unit == unit).collect();
    lives.sort_by_key(|(_, run)| run.from);
    lives
}

/// Each unit that ran on `machine` at `at`, with the life it had there and the next that it had elsewhere.
fn moves(seen: &Seen, machine: u16, at: Duration) -> Vec<(Run, Option<Run>)> {
    let there = seen.runs[&machine].iter().filter(|run| run.is_at(at));
    there
        .map(|run| {
            let mut next = lives(seen, &run.unit).into_iter();
            let next = next.find(|(other, life)| *other != machine && life.from > at);
            (run.clone(), next.map(|(_, life)| life))
        })
        .collect()
}

#[test]
fn units_of_a_dead_machine_run_elsewhere_within_five_seconds() {
    let faults = "mishap power-loss at=10000ms for=15000ms on=2\n";
    let plan = plan(5, &format!("{faults}{}", units(40, 2_000, "")));
    let slowest = story(&plan, |seen| {
        let died = 10 * SECOND;
        let moved = moves(seen, 2, died - Duration::from_millis(1));
        assert_eq!(moved.len(), 8, "40 units on 5 machines");
        moved.into_iter().map(|(_, next)| next.expect("it runs elsewhere").from - died).max().unwrap()
    });
    println!("the slowest unit runs elsewhere {slowest:?} after its machine died");
    assert!(slowest <= 5 * SECOND, "{slowest:?}");
}

#[test]
fn keep_starts_a_second_copy_and_ends_with_one() {
    let faults = "mishap partition at=10000ms for=15000ms on=2\n";
    let plan = plan(3, &format!("{faults}{}", units(6, 2_000, "policy=keep")));
    story(&plan, |seen| {
        let moved = moves(seen, 2, 10 * SECOND);
        assert_eq!(moved.len(), 2);
        for (here, next) in moved {
            let next = next.expect("a second copy starts");
            assert!(next.from < 16 * SECOND && here.is_at(next.from), "{here:?} {next:?}");
        }
    });
}

#[test]
fn stop_ends_the_first_copy_before_the_second_begins() {
    let faults = "mishap partition at=10000ms for=15000ms on=2\n";
    for run in ["forever", "stubborn"] {
        let plan =
            plan(3, &format!("{faults}{}", units(6, 2_000, &format!("policy=stop grace=2s run={run}"))));
        story(&plan, |seen| {
            let moved = moves(seen, 2, 10 * SECOND);
            assert_eq!(moved.len(), 2);
            for (here, next) in moved {
                let (next, until) = (next.expect("it runs elsewhere"), here.until.expect("it was stopped").0);
                assert!(until <= next.from && next.from < 22 * SECOND, "{here:?} {next:?}");
            }
        });
    }
}

#[test]
fn hold_runs_on_and_nobody_else_starts_it() {
    let faults = "mishap partition at=10000ms for=15000ms on=2\n";
    let plan = plan(3, &format!("{faults}{}", units(6, 2_000, "policy=hold")));
    story(&plan, |seen| {
        let moved = moves(seen, 2, 10 * SECOND);
        assert_eq!(moved.len(), 2);
        for (here, next) in moved {
            assert_eq!((here.until, next), (None, None));
        }
    });
}

/// Every unit has had one life, and has it still.
fn each_once(seen: &Seen, count: u16) {
    for unit in 1..=count {
        let lives = lives(seen, &format!("u{unit}.service"));
        assert!(lives.len() == 1 && lives[0].1.until.is_none(), "u{unit}: {lives:?}");
    }
}

#[test]
fn an_engine_that_dies_in_the_middle_starts_nothing_twice() {
    for at in [2_050, 2_200, 2_400] {
        let fault = format!("mishap crash at={at}ms for=1500ms on=engine\n");
        let plan = plan(10, &format!("{fault}{}", units(200, 2_000, "")));
        story(&plan, |seen| each_once(seen, 200));
    }
}

#[test]
fn a_bus_that_restarts_in_the_middle_loses_no_unit() {
    let fault = "mishap bus at=2200ms for=1500ms on=1,2,3,4,5\n";
    let plan = plan(5, &format!("{fault}{}", units(100, 2_000, "")));
    story(&plan, |seen| each_once(seen, 100));
}

#[test]
fn a_fleetd_that_comes_back_disturbs_nobody() {
    let faults = "mishap restart at=8000ms for=2000ms on=1,2,3\n\
                  mishap crash at=14000ms for=1000ms on=1,2,3\n\
                  mishap restart at=18000ms for=100ms on=engine\n";
    let plan = plan(3, &format!("{faults}{}", units(12, 2_000, "")));
    story(&plan, |seen| each_once(seen, 12));
}

#[test]
fn a_machine_whose_fleetd_was_stopped_gets_nothing_new() {
    // Half of the units are there when machine 2 leaves, the others come a moment later.
    let stop = "mishap restart at=8000ms for=15000ms on=2\n";
    let late: String = (7..=12).map(|unit| format!("deed put at=8500ms unit={unit}\n")).collect();
    let plan = plan(3, &format!("{stop}{}{late}", units(6, 2_000, "")));
    story(&plan, |seen| {
        each_once(seen, 12);
        for unit in 7..=12 {
            let (machine, life) = lives(seen, &format!("u{unit}.service")).remove(0);
            assert!(machine != 2 && life.from < 10 * SECOND, "u{unit} on {machine}: {life:?}");
        }
    });
}

#[test]
fn a_store_that_changes_its_leader_disturbs_nobody() {
    let faults = "fault crash at=8000ms for=4000ms on=leader\nfault pause at=18000ms for=3000ms on=leader\n";
    let plan = plan(3, &format!("{faults}{}", units(12, 2_000, "")));
    story(&plan, |seen| each_once(seen, 12));
}

#[test]
fn a_hundred_machines_start_a_thousand_units_within_two_seconds() {
    let start = scale::cold_start(100, 1_000);
    println!("{start}");
    assert!(start.took <= 2 * SECOND, "{start}");
}

#[test]
fn a_hundred_machines_start_a_thousand_submitted_units_within_two_seconds() {
    let start = scale::flood(100, 1_000);
    println!("{start}");
    assert!(start.took <= 2 * SECOND, "{start}");
}
