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
//! On the first day everybody answers "term 1, index 1", and the rule lets all of them begin at once. If some cannot be reached
//! then, a majority of members that all know of nothing, this one included, begins after [`FIRST_DAY`] election time-outs, as in
//! etcd. That would be wrong only if a member had never run while the others made history without it, and now meets a
//! wiped one while the rest is away (decision 5).
//!
//! A file in the directory, made before the log and removed when all is made up for, carries the state over restarts.

use crate::frame::PastAnswer;
use kernel::{Disk, Open};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The file that marks a directory as unproven.
pub(crate) const MARK: &str = "unproven";
/// Election time-outs for which a majority of newborns waits for the others.
pub(crate) const FIRST_DAY: usize = 3;
/// The term and the index with which every member begins.
pub(crate) const BIRTH: u64 = 1;
/// Above any term or index that is ever reached.
const ABSURD: u64 = u64::MAX / 4;

/// How far a member has come in making up for what it may have forgotten.
#[derive(Debug, PartialEq, Eq)]
pub struct Amnesia {
    /// Tells the answers to this life's questions from older ones.
    life: u64,
    unheard: BTreeSet<u64>,
    /// How many members of the others make a majority together with this one.
    enough: usize,
    others: usize,
    term: u64,
    index: u64,
    /// Nothing speaks against the first day of the cluster: this member never had anything that it knows of.
    newborn: bool,
    /// It has waited long enough for those who have not answered.
    pub patience_over: bool,
    /// The mark is being removed.
    pub ending: bool,
    /// Ticks since the start.
    pub ticks: usize,
}

impl Amnesia {
    /// Nobody of `others` has been heard. `life` differs between two lives of the member's process; `newborn` unless something
    /// shows that this member has a past.
    pub fn new(life: u64, others: impl Iterator<Item = u64>, newborn: bool) -> Amnesia {
        let unheard: BTreeSet<u64> = others.collect();
        let others = unheard.len();
        Amnesia {
            life,
            unheard,
            enough: others.div_ceil(2),
            others,
            term: 0,
            index: 0,
            newborn,
            patience_over: false,
            ending: false,
            ticks: 0,
        }
    }

    /// What its questions carry.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Members that have not answered in this life.
    pub fn unheard(&self) -> &BTreeSet<u64> {
        &self.unheard
    }

    /// Takes an answer; whether it says anything. One to a question of another life says nothing about what came after it.
    pub fn learn(&mut self, from: u64, answer: PastAnswer) -> bool {
        let sane = answer.term < ABSURD && answer.last_index < ABSURD;
        let news = answer.life == self.life && sane && self.unheard.remove(&from);
        if news {
            self.term = self.term.max(answer.term);
            self.index = self.index.max(answer.last_index);
        }
        news
    }

    /// The highest term and index of all answers, once there are enough of them.
    pub fn past(&self) -> Option<(u64, u64)> {
        (self.unheard.is_empty() || self.is_first_day()).then_some((self.term, self.index))
    }

    /// Whether a majority, this member among it, knows of nothing, and has waited for the others.
    pub fn is_first_day(&self) -> bool {
        let answered = self.others - self.unheard.len();
        let nothing_known = self.newborn && self.term <= BIRTH && self.index <= BIRTH;
        self.patience_over && nothing_known && answered >= self.enough
    }

    /// Whether a state at index `applied`, whose last entry is of `term`, holds all that may have been acknowledged.
    pub fn is_made_up_for(&self, applied: u64, term: u64) -> bool {
        self.past().is_some() && (applied >= self.index || term > self.term)
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
