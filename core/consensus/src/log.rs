//! The log in memory: what the `raft` crate reads when it sends, matches and commits.
//!
//! ```text
//!      base          first                      last
//!   (index, term)  base+1 ................ base+entries
//!      forgotten |  entries held in memory           | offered: a mark at which the owner can hand out the state
//! ```
//!
//! The base is the last entry that is no longer held; its term is kept, because a peer's log may end exactly there.
//! An entry lives here from the moment its output is taken, durable or not: the crate keeps account of durability by
//! itself. What a follower needs below the first entry is not here, so it is told to fetch the offered snapshot.

use crate::convert;
use crate::messages::{ConfState, HardState, SnapshotMark};
use raft::eraftpb::{Entry, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use std::cell::Cell;
use std::collections::VecDeque;

/// What an entry costs beside its payload: its fixed fields and its place in the queue.
const ENTRY_OVERHEAD: usize = std::mem::size_of::<Entry>();

/// The log in memory.
#[derive(Debug, Default)]
pub struct Log {
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    start: (HardState, ConfState),
    offered: Option<SnapshotMark>,
    wanted: Cell<bool>,
}

impl Log {
    /// A log that begins after `base` (index, term) and holds `entries`; the rest is what the crate starts with.
    pub fn new(base: (u64, u64), entries: Vec<Entry>, hard_state: HardState, conf_state: ConfState) -> Self {
        let (base_index, base_term) = base;
        let mut log = Log { base_index, base_term, start: (hard_state, conf_state), ..Default::default() };
        log.append(entries);
        log
    }

    /// The first index held, or the one that would be.
    pub fn first(&self) -> u64 {
        self.base_index + 1
    }

    /// The last index held, or the base.
    pub fn last(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    /// Memory held, payloads and overhead, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The term of an index from the base to the last.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        self.position(index).map(|position| self.entries[position].term)
    }

    /// Adds entries; from the first of their indexes on, whatever was here before is void.
    pub fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        assert!(first > self.base_index, "entry {first} is at or below the base {}", self.base_index);
        assert!(first <= self.last() + 1, "entry {first} leaves a gap after {}", self.last());
        while self.last() >= first {
            let gone = self.entries.pop_back().expect("the log reaches past its base");
            self.bytes -= size(&gone);
        }
        for entry in entries {
            assert_eq!(entry.index, self.last() + 1, "entries follow each other");
            self.bytes += size(&entry);
            self.entries.push_back(entry);
        }
    }

    /// Forgets entries up to and including `index`, which must be held.
    pub fn compact(&mut self, index: u64) {
        assert!(index <= self.last(), "cannot forget {index}, the log ends at {}", self.last());
        while self.base_index < index {
            let gone = self.entries.pop_front().expect("the log reaches past its base");
            self.bytes -= size(&gone);
            self.base_index = gone.index;
            self.base_term = gone.term;
        }
    }

    /// Begins anew after a snapshot that was installed.
    pub fn restart_after(&mut self, mark: &SnapshotMark) {
        assert!(mark.index > 0, "a snapshot holds something");
        self.entries.clear();
        self.bytes = 0;
        self.base_index = mark.index;
        self.base_term = mark.term;
        self.offer(mark.clone());
    }

    /// From now on a follower that is behind the log is told to fetch this. An older offer than the last is ignored.
    pub fn offer(&mut self, mark: SnapshotMark) {
        if self.offered.as_ref().is_none_or(|offered| offered.index < mark.index) {
            self.wanted.set(false);
            self.offered = Some(mark);
        }
    }

    /// Whether a follower needs a snapshot and no fitting one is on offer.
    pub fn snapshot_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// Entries from `low` up to and without `high`, at least one and as many as fit into `max_bytes`.
    pub fn range(&self, low: u64, high: u64, max_bytes: u64) -> Vec<Entry> {
        let Some(start) = self.position(low) else { return Vec::new() };
        let count = high.min(self.last() + 1).saturating_sub(low) as usize;
        let mut budget = max_bytes;
        let mut taken = Vec::with_capacity(count.min(1024));
        for entry in self.entries.iter().skip(start).take(count) {
            let cost = size(entry) as u64;
            if !taken.is_empty() && cost > budget {
                break;
            }
            budget = budget.saturating_sub(cost);
            taken.push(entry.clone());
        }
        taken
    }

    fn position(&self, index: u64) -> Option<usize> {
        let position = index.checked_sub(self.first())? as usize;
        (position < self.entries.len()).then_some(position)
    }
}

fn size(entry: &Entry) -> usize {
    ENTRY_OVERHEAD + entry.data.len() + entry.context.len()
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let (hard_state, conf_state) = self.start.clone();
        Ok(RaftState::new(convert::hard_state_to_raft(hard_state), convert::conf_state_to_raft(conf_state)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(StorageError::Compacted.into());
        }
        assert!(high <= self.last() + 1, "entries up to {high} are wanted, the log ends at {}", self.last());
        Ok(self.range(low, high, max_size.into().unwrap_or(u64::MAX)))
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let missing =
            if index < self.base_index { StorageError::Compacted } else { StorageError::Unavailable };
        self.term_at(index).ok_or_else(|| missing.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // A snapshot from below the base would leave its receiver as far behind the log as before, and one from before the
        // receiver was added is refused by it.
        let knows = |mark: &SnapshotMark| mark.conf_state.as_ref().is_some_and(|state| state.contains(to));
        let fits =
            |mark: &&SnapshotMark| mark.index >= request_index.max(self.base_index).max(1) && knows(mark);
        match self.offered.as_ref().filter(fits) {
            Some(mark) => Ok(convert::mark_to_raft(mark.clone())),
            None => {
                self.wanted.set(true);
                Err(StorageError::SnapshotTemporarilyUnavailable.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
