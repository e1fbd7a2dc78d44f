//! What the tests over whole simulated clusters share: many seeds on all cores, and a failure that says how to see it
//! again.
#![forbid(unsafe_code)]

pub mod story;

use io_sim::plan::Plan;
use io_sim::runner::{self, Report};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `each` on every item, on all cores, until `budget` is spent or one call returns `false`; returns how many ran.
pub fn on_all_cores<T: Send>(items: Vec<T>, budget: Duration, each: impl Fn(T) -> bool + Sync) -> usize {
    let (began, stop, ran) = (Instant::now(), AtomicBool::new(false), Mutex::new(0));
    let items = Mutex::new(items.into_iter());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && began.elapsed() < budget {
                    let Some(item) = locked(&items).next() else { return };
                    *locked(&ran) += 1;
                    if !each(item) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    ran.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a failing seed prints: what broke, the commit, and the command that shows it.
pub fn explain(report: &Report) -> String {
    format!(
        "{report}\n  commit {}\n  cargo run -p chaos --bin orlop-chaos -- replay {} --trace",
        commit(),
        report.seed
    )
}

/// As [`explain`], for a fleet run.
pub fn explain_fleet(report: &Report) -> String {
    format!(
        "{report}\n  commit {}\n  cargo run -p chaos --bin orlop-chaos -- replay {} --workload fleet --trace",
        commit(),
        report.seed
    )
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let text =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default();
    if text.is_empty() { "unknown".to_string() } else { text }
}

/// Runs a plan given as text (without its `plan` line's seed a person would have to choose one), and demands that it
/// passes.
pub fn scenario(text: &str) -> Report {
    let plan = Plan::parse(text).unwrap_or_else(|error| panic!("the scenario is no plan: {error}"));
    let report = runner::run(&plan);
    assert!(report.passed(), "{report}\nwith the plan\n{text}");
    report
}

/// The seeds in a checked-in list: one a line, `#` opens a comment.
pub fn seeds_of(list: &str) -> Vec<u64> {
    let words = list.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace);
    words
        .map(|word| word.parse().unwrap_or_else(|_| panic!("{word:?} in the list of seeds is no number")))
        .collect()
}
