//! Proof that the simulator finds bugs: each bug that can be planted in `core/` must be found within a bound of seeds.
//!
//! Only under `--cfg orlop_mutations`, which no production build has: `cargo test --config
//! "target.'cfg(all())'.rustflags=['--cfg','madsim','--cfg','orlop_mutations']" -p sim-tests --test mutations`
#![cfg(orlop_mutations)]

use io_sim::fleet;
use io_sim::fleet::plan::FleetPlan;
use io_sim::plan::Plan;
use io_sim::runner::{Options, Report, run_with};
use kernel::{Bug, Planted};
use sim_tests::on_all_cores;
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 2_000;
const BUDGET: Duration = Duration::from_secs(600);

/// A run of the store with a seed.
fn store(seed: u64, options: Options) -> Report {
    run_with(&Plan::from_seed(seed), options)
}

/// A run of a fleet with a seed.
fn fleet(seed: u64, options: Options) -> Report {
    fleet::runner::run_with(&FleetPlan::from_seed(seed), options)
}

/// The first seed found with `bug` planted, and what found it.
fn hunt(bug: Bug, run: fn(u64, Options) -> Report) -> (usize, Option<(u64, String)>) {
    let found = Mutex::new(None);
    let ran = on_all_cores((1..=SEEDS).collect(), BUDGET, |seed| {
        let options = Options { planted: Planted::bug(bug), trace: None };
        let Some(failure) = run(seed, options).failure else { return true };
        found.lock().unwrap().get_or_insert((seed, failure.to_string()));
        false
    });
    (ran, found.into_inner().unwrap())
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    let store = Bug::STORE.map(|bug| (bug, store as fn(u64, Options) -> Report));
    let fleet = Bug::FLEET.map(|bug| (bug, fleet as fn(u64, Options) -> Report));
    for (bug, run) in fleet.into_iter().chain(store) {
        match hunt(bug, run) {
            (ran, Some((seed, failure))) => println!("{bug:?}: seed {seed}, {ran} runs: {failure:.160}"),
            (ran, None) => {
                println!("{bug:?}: not found in {ran} runs");
                missed.push(bug);
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
