//! Many seeds, each with its own cluster, knobs, workload and faults; first those that once failed.
//!
//! Each seed is a whole minute of simulated time with every checker on. One in eight is run twice, and its trace must
//! be the same. The number of seeds is bounded by time, so that plain `cargo test` stays short; `orlop-chaos run` has
//! no bound.

use io_sim::load::Kind;
use std::time::Duration;

const SEEDS: u64 = 400;
const BUDGET: Duration = Duration::from_secs(50);
/// Fewer than this says that simulation has become slow.
const LEAST: usize = 20;

#[test]
fn every_invariant_holds_under_every_seed() {
    sim_tests::swarm(Kind::Store, SEEDS, BUDGET, LEAST);
}
