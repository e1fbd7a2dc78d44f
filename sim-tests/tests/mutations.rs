//! Proof that the simulator finds bugs: each bug that can be planted in `core/` must be found within a bound of seeds.
//!
//! Only under `--cfg orlop_mutations`, which no production build has: `cargo test --config
//! "target.'cfg(all())'.rustflags=['--cfg','madsim','--cfg','orlop_mutations']" -p sim-tests --test mutations`.
//! `orlop-chaos mutants` is the same hunt, several times, with the numbers.
#![cfg(orlop_mutations)]

use io_sim::hunt;
use std::thread;
use std::time::{Duration, Instant};

const SEEDS: u64 = 2_000;
const BUDGET: Duration = Duration::from_secs(600);

#[test]
fn every_planted_bug_is_found() {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut missed = Vec::new();
    for (kind, bug) in hunt::bugs() {
        let planted = hunt::plant(bug).expect("this build can plant");
        let began = Instant::now();
        let hunt = hunt::hunt(kind, planted, 1, SEEDS, jobs, || began.elapsed() >= BUDGET);
        match &hunt.found {
            Some((seed, failure)) => println!("{bug:?}: seed {seed}, {} runs: {failure:.160}", hunt.runs),
            None => {
                println!("{bug:?}: not found in {} runs", hunt.runs);
                missed.push(bug);
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
