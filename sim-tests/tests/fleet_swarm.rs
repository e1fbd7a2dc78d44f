//! Many seeds, each with a fleet of its own: machines, units with wishes, an operator, mishaps; first those that once failed.
//!
//! As `swarm.rs` does for the store. One in eight is run twice, and its trace must be the same.

use io_sim::fleet::plan::FleetPlan;
use io_sim::fleet::runner;
use sim_tests::{explain_fleet, on_all_cores, seeds_of};
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 400;
const BUDGET: Duration = Duration::from_secs(40);
/// Fewer than this says that simulation has become slow.
const LEAST: usize = 20;

/// Runs a seed, twice when asked; the text of what broke.
fn judge(seed: u64, twice: bool) -> Option<String> {
    let plan = FleetPlan::from_seed(seed);
    let report = runner::run(&plan);
    if !report.passed() {
        return Some(explain_fleet(&report));
    }
    let again = twice.then(|| runner::run(&plan));
    let differs = again.is_some_and(|again| again.trace_hash != report.trace_hash);
    differs.then(|| {
        format!("seed {seed} does not repeat itself: two runs have two traces\n{}", explain_fleet(&report))
    })
}

#[test]
fn every_invariant_holds_under_every_seed() {
    let known = seeds_of(include_str!("../fleet-seeds.txt"));
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
