//! Many seeds, each with a whole cluster: store, fleet and flannel on the same machines; first those that once failed.
//!
//! As `swarm.rs` does for the store. One in eight is run twice, and its trace must be the same.

use io_sim::load::Kind;
use std::time::Duration;

const SEEDS: u64 = 24;
const BUDGET: Duration = Duration::from_secs(40);
/// Fewer than this says that simulation has become slow.
const LEAST: usize = 6;

#[test]
fn every_invariant_holds_under_every_seed() {
    sim_tests::swarm(Kind::Whole, SEEDS, BUDGET, LEAST);
}
