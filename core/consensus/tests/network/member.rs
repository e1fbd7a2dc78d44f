//! One member and its disk.

use bytes::Bytes;
use consensus::*;
use std::collections::VecDeque;

/// What was applied: the entry's index, term and data.
pub type Applied = (u64, u64, Bytes);

/// A durable copy of the state.
#[derive(Clone, Default)]
pub struct Checkpoint {
    pub mark: SnapshotMark,
    pub state: Vec<Applied>,
}

/// What survives a crash.
#[derive(Clone, Default)]
pub struct Disk {
    pub checkpoint: Checkpoint,
    pub hard_state: HardState,
    pub log: Vec<Entry>,
    /// Acknowledged up to here, and lost.
    pub quarantine: Option<u64>,
}

/// A member, running or not.
pub struct Member {
    pub node: Option<Consensus>,
    pub disk: Disk,
    pub waiting: VecDeque<Output>,
    pub state: Vec<Applied>,
    pub conf_state: ConfState,
    pub arrived: Option<Checkpoint>,
    pub answers: Vec<ReadState>,
}

impl Disk {
    /// Takes an output: what it cuts, what it adds, what it replaces.
    pub fn write(&mut self, output: &Output) {
        if let Some(mark) = &output.snapshot {
            let kept = self.log.iter().any(|entry| entry.index == mark.index && entry.term == mark.term);
            if !kept {
                self.log.clear();
            }
        }
        if let Some(first) = output.entries.first() {
            self.log.retain(|entry| entry.index < first.index);
            self.log.extend(output.entries.iter().cloned());
        }
        if let Some(state) = output.hard_state {
            self.hard_state = state;
        }
    }
}

impl Member {
    /// Whether an entry would survive a crash now.
    pub fn is_durable(&self, entry: &Entry) -> bool {
        self.disk.log.iter().any(|stored| stored == entry)
    }
}
