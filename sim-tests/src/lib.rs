//! What the tests over whole simulated clusters share: many seeds on all cores, and a failure that says how to see it
//! again.
#![forbid(unsafe_code)]

pub mod overlay;
pub mod scale;
pub mod story;

use io_sim::bugbase;
use io_sim::load::{self, Kind, Load};
use io_sim::plan::Plan;
use io_sim::runner::{self, Report};
use kernel::Planted;
use std::path::{Path, PathBuf};
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

/// What a failing run prints: what broke, the commit, and the command that shows it.
pub fn explain(report: &Report, replay: &str) -> String {
    format!("{report}\n  commit {}\n  {replay}", commit())
}

/// What a seed is known by, and the command that runs it again.
pub type Named = (Load, String);

/// What tests of a kind of run go through: everything of that kind in the bugbase, then the seeds up to `last`.
pub fn known_first(kind: Kind, last: u64) -> Vec<Named> {
    let dir = bugbase_dir();
    let kept = bugbase::read(&dir).unwrap_or_else(|error| panic!("{error}"));
    let kept: Vec<_> = kept.into_iter().filter(|entry| entry.load.kind() == kind).collect();
    let is_kept = |seed: &u64| kept.iter().any(|entry| entry.seed == Some(*seed));
    let seeds = (1..=last).filter(|seed| !is_kept(seed));
    let seeds: Vec<Named> =
        seeds.map(|seed| (Load::from_seed(kind, seed), load::replay_line(kind, seed))).collect();
    kept.iter().map(|entry| (entry.load.clone(), entry.replay_line(&dir))).chain(seeds).collect()
}

/// Where the bugbase stands.
fn bugbase_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bugbase")
}

/// Runs what is known and then seeds until `budget` is spent, one in eight twice; panics with what broke. Fewer than
/// `least` runs say that simulation has become slow.
pub fn swarm(kind: Kind, last: u64, budget: Duration, least: usize) {
    let failures = Mutex::new(Vec::new());
    let loads = known_first(kind, last).into_iter().enumerate().collect();
    let ran = on_all_cores(loads, budget, |(number, (load, replay))| {
        match judge(&load, &replay, number % 8 == 0) {
            None => true,
            Some(text) => {
                locked(&failures).push(text);
                false
            }
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(ran >= least, "only {ran} runs within {budget:?}");
    println!("{ran} runs");
}

/// Runs `load`, twice when asked; the text of what broke.
fn judge(load: &Load, replay: &str, twice: bool) -> Option<String> {
    let report = load.run_planted(Planted::none());
    if !report.passed() {
        return Some(explain(&report, replay));
    }
    let again = twice.then(|| load.run_planted(Planted::none()));
    let differs = again.is_some_and(|again| again.trace_hash != report.trace_hash);
    differs
        .then(|| format!("it does not repeat itself: two runs have two traces\n{}", explain(&report, replay)))
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
