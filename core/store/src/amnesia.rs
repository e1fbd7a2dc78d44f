//! What a member may have forgotten whose data directory was empty when it started.
//!
//! An empty directory looks the same on the first day of a cluster and on the day after somebody wiped a disk. In the second
//! case the member has granted votes and acknowledged entries of which it knows nothing; were it to vote again as a newborn, it
//! could elect two leaders in one term, or a leader without an entry that was committed with its help. So it finds out first,
//! from those who cannot have forgotten:
//!
//! - It is silent (no vote, no campaign), but takes what a leader sends and acknowledges it.
//! - It asks **every** other member for its term and for the end of its log. T and I are the highest answers.
//! - It never votes in a term up to T. This is durable before it goes on.
//! - Once it has applied index I, or an entry of a term above T, it takes part again.
//!
//! Why that is enough. Each vote it ever granted went to a candidate, each entry it ever acknowledged came from a leader, and
//! both had their term on disk before they asked. That member is among those asked now, so T is not below any term in which a
//! vote was granted; and I is not below any entry that was acknowledged and may count as committed, because the leader it
//! came from has it still, or has cut it off for a later leader's log, which would have held it were it committed. An entry of a
//! term above T, which was won without this member, proves as much as I: its leader has everything that was committed
//! before. What was promised to a leader that has yet to count it is covered as well; hence every other member, and not just a
//! quorum (decision 5 has the run in which a quorum is too few).
//!
//! On the first day everybody answers "term 1, index 1", and the rule lets all of them begin at once. The price is that a
//! first start waits until each member has been reached once.
//!
//! A file in the directory, made before the log and removed when all is made up for, carries the state over restarts.

use crate::frame::PastAnswer;
use kernel::{Disk, Open};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The file that marks a directory as unproven.
pub(crate) const MARK: &str = "unproven";
/// Above any term or index that is ever reached.
const ABSURD: u64 = u64::MAX / 4;

/// How far a member has come in making up for what it may have forgotten.
#[derive(Debug, PartialEq, Eq)]
pub struct Amnesia {
    /// Tells the answers to this life's questions from older ones.
    life: u64,
    unheard: BTreeSet<u64>,
    term: u64,
    index: u64,
    /// The mark is being removed.
    pub ending: bool,
    /// Ticks since the start.
    pub ticks: usize,
}

impl Amnesia {
    /// Nobody of `others` has been heard. `life` differs between two lives of the member's process.
    pub fn new(life: u64, others: impl Iterator<Item = u64>) -> Amnesia {
        Amnesia { life, unheard: others.collect(), term: 0, index: 0, ending: false, ticks: 0 }
    }

    /// What its questions carry.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Members that have not answered in this life.
    pub fn unheard(&self) -> &BTreeSet<u64> {
        &self.unheard
    }

    /// Takes an answer. One to a question of another life says nothing about what came after it.
    pub fn learn(&mut self, from: u64, answer: PastAnswer) {
        let sane = answer.term < ABSURD && answer.last_index < ABSURD;
        if answer.life == self.life && sane && self.unheard.remove(&from) {
            self.term = self.term.max(answer.term);
            self.index = self.index.max(answer.last_index);
        }
    }

    /// The highest term and index of all answers, once everybody has answered.
    pub fn past(&self) -> Option<(u64, u64)> {
        self.unheard.is_empty().then_some((self.term, self.index))
    }

    /// Whether a state at index `applied`, whose last entry is of `term`, holds all that may have been acknowledged.
    pub fn is_made_up_for(&self, applied: u64, term: u64) -> bool {
        self.unheard.is_empty() && (applied >= self.index || term > self.term)
    }
}

/// Called at a start, before a log is made. Whether the directory is unproven; one that has no log is, and is marked durably.
pub fn begin(disk: &Arc<dyn Disk>, dir: &str, has_log: bool) -> io::Result<bool> {
    if has_log {
        return Ok(disk.list(dir)?.iter().any(|name| name == MARK));
    }
    disk.open(&format!("{dir}/{MARK}"), Open::Any)?.sync()?;
    disk.sync_dir(dir)?;
    Ok(true)
}

/// Takes the mark away. Should a power loss bring it back, the questions are asked again, which costs nothing but time.
pub fn end(disk: &Arc<dyn Disk>, dir: &str) -> io::Result<()> {
    disk.remove(&format!("{dir}/{MARK}"))?;
    disk.sync_dir(dir)
}

#[cfg(test)]
mod tests;
