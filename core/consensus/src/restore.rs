//! What a member starts with, and whether it agrees with itself.
//!
//! Three sources meet at a start: the hard state and the entries from the log on disk, and the mark of the state machine's
//! checkpoint. They were written at different moments, so they rarely end at the same index; they must not contradict.

use crate::error::Error;
use crate::filter;
use crate::log::Log;
use crate::messages::{ConfState, Entry, HardState, SnapshotMark};
use crate::{convert, messages::EntryKind};

/// What a member starts with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// From the log on disk.
    pub hard_state: HardState,
    /// Where the state machine's checkpoint stands. Its configuration is the one in force at `applied`.
    pub snapshot: SnapshotMark,
    /// From the log on disk, contiguous. They may begin below the mark: those are kept for followers that are behind. If
    /// the entry at the mark's index has another term than the mark, none of them count: the log on disk is to be cut at
    /// the mark before anything is appended to it.
    pub entries: Vec<Entry>,
    /// The state machine holds everything up to here; at least the mark's index. Committed entries above it come again.
    pub applied: u64,
}

/// The index and the term at which a new cluster begins.
const BIRTH: u64 = 1;

impl Restored {
    /// The first start of a member of a new cluster; all its members must start with the same configuration.
    ///
    /// The log begins after a mark at index 1 and term 1, as if a first entry with the configuration had been committed and
    /// forgotten. A member that joins later has an empty log, so it can only be given a snapshot, with the configuration in
    /// it, and never a log that says nothing of the founders.
    pub fn founding(conf_state: ConfState) -> Self {
        let snapshot = SnapshotMark { index: BIRTH, term: BIRTH, conf_state: Some(conf_state) };
        let hard_state = HardState { term: BIRTH, vote: 0, commit: BIRTH };
        Restored { hard_state, snapshot, entries: Vec::new(), applied: BIRTH }
    }

    /// The first start of a member that joins a cluster: it knows nothing and waits for a leader to find it.
    pub fn joining() -> Self {
        Restored::default()
    }

    /// The log in memory, or what contradicts what.
    pub(crate) fn into_log(mut self) -> Result<Log, Error> {
        let mark = self.snapshot.clone();
        self.check().map_err(Error::Invalid)?;
        let base = self.base()?;
        self.entries.retain(|entry| entry.index > base.0);
        let (last_index, last_term) = self.entries.last().map_or(base, |entry| (entry.index, entry.term));
        if self.applied > last_index {
            return Err(Error::Invalid(format!(
                "the state holds index {}, the log ends at {last_index}; give the state's own mark as the snapshot",
                self.applied
            )));
        }
        let hard_state = self.hard_state_for(last_index, last_term);
        let entries = self.entries.into_iter().map(convert::entry_to_raft).collect();
        Ok(Log::new(base, entries, hard_state, mark.conf_state.unwrap_or_default()))
    }

    fn check(&self) -> Result<(), String> {
        let mark = &self.snapshot;
        if (mark.index == 0) != (mark.term == 0) {
            return Err(format!("the snapshot's mark has index {} and term {}", mark.index, mark.term));
        }
        match &mark.conf_state {
            Some(state) if *state != ConfState::default() => filter::conf_state(state)?,
            _ if mark.index == 0 => {}
            _ => return Err(format!("the snapshot at index {} has no voters", mark.index)),
        }
        if self.applied < mark.index {
            let (applied, index) = (self.applied, mark.index);
            return Err(format!("the state ends at index {applied}, before the snapshot at {index}"));
        }
        filter::contiguous(
            &self.entries,
            self.entries.first().map_or(0, |entry| entry.index.saturating_sub(1)),
        )?;
        let unknown = |entry: &&Entry| EntryKind::try_from(entry.kind).is_err();
        match self.entries.iter().find(unknown) {
            Some(entry) => Err(format!("entry {} has the unknown kind {}", entry.index, entry.kind)),
            None => Ok(()),
        }
    }

    /// The last entry before those that are held: the mark, or an older one where the log on disk reaches below it.
    fn base(&mut self) -> Result<(u64, u64), Error> {
        let mark = (self.snapshot.index, self.snapshot.term);
        let ends = (self.entries.first(), self.entries.last());
        let (Some(first), Some(last)) = ends else { return Ok(mark) };
        if last.index < mark.0 {
            return Ok(mark);
        }
        if first.index > mark.0 + 1 {
            let (from, to) = (mark.0 + 1, first.index - 1);
            return Err(Error::Invalid(format!("entries {from} to {to} are missing after the snapshot")));
        }
        if first.index == mark.0 + 1 {
            return Ok(mark);
        }
        let at_mark = &self.entries[(mark.0 - first.index) as usize];
        if at_mark.term != mark.1 {
            // The state was installed from a leader whose log differs from this one, and the crash came before the log on
            // disk was cut there. So nothing in this log from the difference on was ever committed.
            self.entries.clear();
            return Ok(mark);
        }
        Ok(if first.index == 1 { (0, 0) } else { (first.index, first.term) })
    }

    /// The hard state, made to agree with the log. Its commit index is a hint that is written without a sync, so it may be
    /// behind the state, or (when a tail was lost) beyond the log. A term below that of the last entry means that the write
    /// of both was torn, so nothing was promised in that term.
    fn hard_state_for(&self, last_index: u64, last_term: u64) -> HardState {
        let mut state = self.hard_state;
        if state.term < last_term {
            state.term = last_term;
            state.vote = 0;
        }
        state.commit = state.commit.max(self.applied).min(last_index);
        state
    }
}

#[cfg(test)]
mod tests;
