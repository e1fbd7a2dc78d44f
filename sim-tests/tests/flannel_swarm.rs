//! Many seeds, each with a flannel cluster of its own: machines, mishaps, meddlers; first those that once failed.
//!
//! As `swarm.rs` does for the store. One in eight is run twice, and its trace must be the same.

use io_sim::load::Kind;
use std::time::Duration;

const SEEDS: u64 = 40;
const BUDGET: Duration = Duration::from_secs(40);
/// Fewer than this says that simulation has become slow.
const LEAST: usize = 10;

#[test]
fn every_invariant_holds_under_every_seed() {
    sim_tests::swarm(Kind::Flannel, SEEDS, BUDGET, LEAST);
}
