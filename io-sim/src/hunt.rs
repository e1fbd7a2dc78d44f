//! How many seeds it takes to find a planted bug.
//!
//! A hunt begins at a seed and goes on until one fails. Several hunts from far apart say how much of it was luck. Bugs can
//! only be planted in builds with `--cfg orlop_mutations`; in others [`plant`] says how to make one.

use crate::checkers::Failure;
use crate::load::{Kind, Load};
use crate::pool;
use kernel::{Bug, Planted};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Builds in which bugs can be planted.
pub const BUILD: &str =
    "RUSTFLAGS='--cfg madsim --cfg orlop_mutations' CARGO_TARGET_DIR=target/mutations cargo build -p chaos";

/// Whether bugs can be planted in this build.
pub const CAN_PLANT: bool = cfg!(orlop_mutations);

/// How far apart the hunts for one bug begin.
pub const STRIDE: u64 = 10_000;

/// Every bug, with the kind of run that shall find it.
pub fn bugs() -> impl Iterator<Item = (Kind, Bug)> {
    Kind::ALL.iter().flat_map(|kind| kind.bugs().iter().map(|bug| (*kind, *bug)))
}

/// A bug's name on the command line: `ack-before-sync`.
pub fn name(bug: Bug) -> String {
    let mut name = String::new();
    for letter in format!("{bug:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The bug with this name.
pub fn named(word: &str) -> Result<(Kind, Bug), String> {
    bugs().find(|(_, bug)| name(*bug) == word).ok_or_else(|| {
        let all: Vec<String> = bugs().map(|(_, bug)| name(bug)).collect();
        format!("{word:?} is no bug that can be planted: {}", all.join(", "))
    })
}

/// Plants a bug; an error in builds that cannot.
pub fn plant(bug: Bug) -> Result<Planted, String> {
    #[cfg(orlop_mutations)]
    return Ok(Planted::bug(bug));
    #[cfg(not(orlop_mutations))]
    Err(format!("{} cannot be planted in this build: {BUILD}", name(bug)))
}

/// One hunt.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The first seed.
    pub from: u64,
    /// Runs made; with several threads a few more than were needed.
    pub runs: u64,
    /// The seed that found it, and what it found.
    pub found: Option<(u64, Failure)>,
    /// Time taken.
    pub wall: Duration,
}

impl Hunt {
    /// Seeds that were needed, the last one too.
    pub fn needed(&self) -> Option<u64> {
        self.found.as_ref().map(|(seed, _)| seed - self.from + 1)
    }
}

/// Tries `most` seeds from `from` on, `jobs` at a time, until one fails or `stop` says so.
pub fn hunt(
    kind: Kind,
    planted: Planted,
    from: u64,
    most: u64,
    jobs: usize,
    stop: impl Fn() -> bool + Sync,
) -> Hunt {
    let (began, runs) = (Instant::now(), AtomicU64::new(0));
    let found = pool::first(usize::try_from(most).unwrap_or(usize::MAX), jobs, stop, |item| {
        runs.fetch_add(1, Ordering::Relaxed);
        let seed = from + item as u64;
        Load::from_seed(kind, seed).run_planted(planted).failure.map(|failure| (seed, failure))
    });
    Hunt { from, runs: runs.into_inner(), found: found.map(|(_, found)| found), wall: began.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_found_by_its_name() {
        for (kind, bug) in bugs() {
            assert_eq!(named(&name(bug)), Ok((kind, bug)));
        }
        assert_eq!(name(Bug::AckBeforeSync), "ack-before-sync");
        assert!(named("none").unwrap_err().contains("vote-twice"));
        assert_eq!(plant(Bug::VoteTwice).is_ok(), CAN_PLANT);
    }
}
