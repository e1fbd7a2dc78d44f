//! What the engine and the registry have counted, as figures for `/metrics`, under fleet's own names where fleet had them.

use fleet::meter::Counts;
use io_real::fleet::figures::Figure;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A kind of step, and the names of its figures.
macro_rules! task {
    ($kind:literal) => {
        (
            $kind,
            [
                concat!("fleet_engine_task_count_total{type=\"", $kind, "\"}"),
                concat!("fleet_engine_task_failure_count_total{type=\"", $kind, "\"}"),
            ],
        )
    };
}

/// A kind of call, and the names of its figures.
macro_rules! operation {
    ($kind:literal) => {
        (
            $kind,
            [
                concat!("fleet_registry_operation_count_total{type=\"", $kind, "\"}"),
                concat!("fleet_registry_operation_failed_count_total{type=\"", $kind, "\"}"),
                concat!("fleet_registry_operation_duration_second_sum{ops=\"", $kind, "\"}"),
                concat!("fleet_registry_operation_duration_second_count{ops=\"", $kind, "\"}"),
            ],
        )
    };
}

const TASKS: [(&str, [&str; 2]); 5] = [
    task!("attemptscheduleunit"),
    task!("unscheduleunit"),
    task!("changeorder"),
    task!("haltrollout"),
    task!("cleanup"),
];

const OPERATIONS: [(&str, [&str; 4]); 4] =
    [operation!("get"), operation!("get_all"), operation!("set"), operation!("lease")];

const FAILURES: &str = "Units that could not be or stay where they were wanted.";
const CALLS: &str = "Calls to the store.";
const FAILED_CALLS: &str = "Calls to the store that failed.";
const CALL_TIME: &str = "Seconds that calls to the store took.";
const TURN_TIME: &str = "Seconds that the engine's turns took.";

/// All of them.
pub fn of(counts: &Counts, leads_for: Option<Duration>) -> Vec<Figure> {
    let figure = |kind, name, help, value| Figure { kind, name, help, value };
    let count = |name, help, value: u64| figure("counter", name, help, value as f64);
    let since = leads_for.and_then(|age| SystemTime::now().checked_sub(age));
    let since = since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    let mut figures = vec![
        figure(
            "gauge",
            "fleet_engine_leads",
            "1 while this engine leads.",
            f64::from(u8::from(leads_for.is_some())),
        ),
        figure(
            "gauge",
            "fleet_engine_leader_start_time",
            "When this engine began to lead, in seconds since 1970; 0 while it does not.",
            since.as_secs_f64(),
        ),
        figure(
            "gauge",
            "fleet_engine_unplaced_units",
            "Units that no machine can take.",
            counts.unplaced as f64,
        ),
        count("fleet_engine_reconcile_count_total", "Turns of the engine.", counts.turns),
        figure(
            "summary",
            "fleet_engine_reconcile_duration_second_sum",
            TURN_TIME,
            counts.turn_time.as_secs_f64(),
        ),
        figure("summary", "fleet_engine_reconcile_duration_second_count", TURN_TIME, counts.turns as f64),
        count(
            "fleet_engine_reconcile_failure_count_total{type=\"machine_away\"}",
            FAILURES,
            counts.machine_away,
        ),
        count("fleet_engine_reconcile_failure_count_total{type=\"run\"}", FAILURES, counts.run_failures),
        count(
            "fleet_engine_reconcile_failure_count_total{type=\"schedule\"}",
            FAILURES,
            counts.schedule_failures,
        ),
    ];
    let of = |map: &BTreeMap<&str, u64>, task| map.get(task).copied().unwrap_or(0);
    figures.extend(
        TASKS.map(|(task, [sent, _])| count(sent, "Steps sent to the store.", of(&counts.tasks, task))),
    );
    figures.extend(TASKS.map(|(task, [_, failed])| {
        count(failed, "Steps that were not done.", of(&counts.failed_tasks, task))
    }));
    let called = |kind| counts.operations.get(kind).copied().unwrap_or_default();
    figures.extend(OPERATIONS.map(|(kind, [name, ..])| count(name, CALLS, called(kind).done)));
    figures.extend(OPERATIONS.map(|(kind, [_, name, ..])| count(name, FAILED_CALLS, called(kind).failed)));
    for (kind, [_, _, sum, number]) in OPERATIONS {
        figures.push(figure("summary", sum, CALL_TIME, called(kind).time.as_secs_f64()));
        figures.push(figure("summary", number, CALL_TIME, called(kind).done as f64));
    }
    figures
}
