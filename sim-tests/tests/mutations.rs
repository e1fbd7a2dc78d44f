//! Proof that the simulator finds bugs: each bug that can be planted in `core/` must be found within a bound of seeds.
//!
//! Only under `--cfg orlop_mutations`, which no production build has: `cargo test --config
//! "target.'cfg(all())'.rustflags=['--cfg','madsim','--cfg','orlop_mutations']" -p sim-tests --test mutations`.
//! `orlop-chaos mutants` is the same hunt, several times, with the numbers.
//!
//! A seed that is known to find a bug is tried first, all of them side by side. Where plans are drawn otherwise than when the
//! list was made, the hunt begins at seed 1, and the seed that it prints belongs into the list.
#![cfg(orlop_mutations)]

use io_sim::hunt::{self, Hunt};
use io_sim::load::Kind;
use kernel::Bug;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const SEEDS: u64 = 5_000;
const BUDGET: Duration = Duration::from_secs(600);

/// A seed at which a bug is found, for those that take a while. Others are hunted from seed 1.
const KNOWN: &[(Bug, u64)] = &[
    (Bug::PreviousUnchecked, 50),
    (Bug::IgnoreResync, 52),
    (Bug::ConflictOneWay, 77),
    (Bug::ReadsJoinLate, 78),
    (Bug::RenewUnconfirmed, 87),
    (Bug::PromiseBeforePersist, 157),
    (Bug::KeepConflictingSuffix, 279),
    (Bug::VoteTwice, 671),
];

/// Whether the run of `seed` with the bug fails; what came of it as a hunt of one run.
fn at(kind: Kind, bug: Bug, seed: u64) -> Hunt {
    hunt::hunt(kind, hunt::plant(bug).expect("this build can plant"), seed, 1, 1, || false)
}

/// The bugs that their known seeds do not find, each seed tried on one of `jobs` threads.
fn missed_by_known_seeds(jobs: usize) -> Vec<(Kind, Bug)> {
    let waiting: Mutex<Vec<(Kind, Bug)>> = Mutex::new(hunt::bugs().collect());
    let missed = Mutex::new(Vec::new());
    let work = || {
        while let Some((kind, bug)) = { waiting.lock().expect("no holder panics").pop() } {
            let known = KNOWN.iter().find(|(one, _)| *one == bug).map(|(_, seed)| *seed);
            match known.and_then(|seed| at(kind, bug, seed).found) {
                Some((seed, failure)) => println!("{bug:?}: seed {seed}: {failure:.160}"),
                None => missed.lock().expect("no holder panics").push((kind, bug)),
            }
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    missed.into_inner().expect("no holder panics")
}

#[test]
fn every_planted_bug_is_found() {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut missed = Vec::new();
    for (kind, bug) in missed_by_known_seeds(jobs) {
        let planted = hunt::plant(bug).expect("this build can plant");
        let began = Instant::now();
        let hunt = hunt::hunt(kind, planted, 1, SEEDS, jobs, || began.elapsed() >= BUDGET);
        match &hunt.found {
            Some((seed, failure)) => {
                println!("{bug:?}: hunted, seed {seed}, {} runs: {failure:.160}", hunt.runs);
            }
            None => {
                println!("{bug:?}: not found in {} runs", hunt.runs);
                missed.push(bug);
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
