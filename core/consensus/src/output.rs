//! What is to be done, in the order in which it becomes safe.

use crate::messages::{Entry, HardState, Message, SnapshotMark};

/// A read that became safe: once everything up to `index` is applied, the state answers it linearizably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// What [`crate::Consensus::read_index`] was given.
    pub context: u64,
    /// The index to wait for.
    pub index: u64,
}

/// One batch of effects. Outputs are taken, written and reported in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// To be given to [`crate::Consensus::persisted`]. Counts up from 1.
    pub number: u64,
    /// To be appended to the log on disk; whatever it holds at the first of their indexes and above is void.
    pub entries: Vec<Entry>,
    /// To be written behind the entries.
    pub hard_state: Option<HardState>,
    /// Entries, term or vote changed: the write must be synced. Otherwise it may reach the disk whenever it does.
    pub must_sync: bool,
    /// To be installed, and to be durable, before anything else of this output is carried out. The log begins anew after it.
    pub snapshot: Option<SnapshotMark>,
    /// Promises nothing that is not durable: may leave beside the disk write.
    pub send_now: Vec<Message>,
    /// May leave only after this output, and all before it, are durable.
    pub send_after_persist: Vec<Message>,
    /// Committed, and durable here: to be applied in this order.
    pub committed: Vec<Entry>,
    /// Reads that became safe.
    pub reads: Vec<ReadState>,
}

impl Output {
    /// Whether there is anything to write to the log.
    pub fn has_writes(&self) -> bool {
        self.snapshot.is_some() || self.hard_state.is_some() || !self.entries.is_empty()
    }
}
