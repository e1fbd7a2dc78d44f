//! Many seeds, each with its own cluster, knobs, workload and faults; first those that once failed.
//!
//! Each seed is a whole minute of simulated time with every checker on. One in eight is run twice, and its trace must
//! be the same. The number of seeds is bounded by time, so that plain `cargo test` stays short; `orlop-chaos run` has
//! no bound.

use io_sim::plan::Plan;
use io_sim::runner;
use sim_tests::{explain, on_all_cores, seeds_of};
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 400;
const BUDGET: Duration = Duration::from_secs(50);
/// Fewer than this says that simulation has become slow.
const LEAST: usize = 20;

/// Runs a seed, twice when asked; the text of what broke.
fn judge(seed: u64, twice: bool) -> Option<String> {
    let plan = Plan::from_seed(seed);
    let report = runner::run(&plan);
    if !report.passed() {
        return Some(explain(&report));
    }
    let again = twice.then(|| runner::run(&plan));
    let differs = again.is_some_and(|again| again.trace_hash != report.trace_hash);
    differs.then(|| {
        format!("seed {seed} does not repeat itself: two runs have two traces\n{}", explain(&report))
    })
}

#[test]
fn every_invariant_holds_under_every_seed() {
    let known = seeds_of(include_str!("../seeds.txt"));
    let seeds: Vec<u64> =
        known.iter().copied().chain((1..=SEEDS).filter(|seed| !known.contains(seed))).collect();
    let failures = Mutex::new(Vec::new());
    let ran = on_all_cores(seeds, BUDGET, |seed| match judge(seed, seed % 8 == 0) {
        None => true,
        Some(text) => {
            failures.lock().unwrap().push(text);
            false
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(ran >= LEAST, "only {ran} seeds ran within {BUDGET:?}");
    println!("{ran} seeds");
}
