//! What a sequence of records amounts to: the pure half of recovery.

use crate::record::{Found, Tag};
use crate::segment::Carried;
use crate::types::{Kind, Record};
use bytes::Bytes;
use kernel::{Bug, Planted};

/// The state after the records seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    pub carried: Carried,
    /// Without a gap.
    pub entries: Vec<Record>,
    /// The highest index that the next entry may have; none where the log is empty and may begin anywhere.
    pub(crate) next: Option<u64>,
    pub planted: Planted,
}

/// An entry that would leave a gap, or a payload that makes no sense: not what this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Replay {
    /// Adds a record.
    pub fn add(&mut self, found: &Found<'_>) -> Result<(), OutOfOrder> {
        match found.tag {
            Tag::Segment => {
                // The first segment that is left says where the released ones ended.
                self.next = self.next.or((found.last > 0).then_some(found.last + 1));
                Ok(())
            }
            Tag::Entry => self.add_entry(record(Kind::Entry, found)),
            Tag::Snapshot => {
                self.set_snapshot(record(Kind::Snapshot, found));
                Ok(())
            }
            Tag::HardState | Tag::Marker => {
                if let Some(state) = found.hard_state() {
                    self.carried.hard_state = Some(Bytes::copy_from_slice(state));
                }
                Ok(())
            }
            Tag::Quarantine => {
                let index = u64::from_le_bytes(found.payload.try_into().map_err(|_| OutOfOrder)?);
                let remembered = index > 0 && !self.planted.is(Bug::QuarantineForgotten);
                self.carried.quarantine = remembered.then_some(index);
                Ok(())
            }
        }
    }

    fn add_entry(&mut self, entry: Record) -> Result<(), OutOfOrder> {
        if self.next.is_some_and(|next| entry.index > next) {
            return Err(OutOfOrder);
        }
        // What was released lies below the first entry; an entry down there replaces all that is kept.
        let first = self.entries.first().map_or(entry.index, |first| first.index);
        let keep = usize::try_from(entry.index.saturating_sub(first)).map_err(|_| OutOfOrder)?;
        assert!(keep <= self.entries.len(), "no entry beyond the next");
        if keep < self.entries.len() && self.planted.is(Bug::KeepConflictingSuffix) {
            self.entries[keep] = entry;
            return Ok(());
        }
        self.next = Some(entry.index + 1);
        self.entries.truncate(keep);
        self.entries.push(entry);
        Ok(())
    }

    /// Takes a newer snapshot mark. The entries stay if they lead up to it, and go if the log starts anew behind it.
    pub fn set_snapshot(&mut self, snapshot: Record) {
        let index = snapshot.index;
        let first = self.entries.first().map(|entry| entry.index);
        if let Some(at) = first.and_then(|first| index.checked_sub(first)) {
            let entry = usize::try_from(at).ok().and_then(|at| self.entries.get(at));
            if entry.is_none_or(|entry| entry.term != snapshot.term) {
                self.entries.clear();
                self.next = Some(index + 1);
            }
        }
        if self.entries.is_empty() {
            self.next = self.next.max(Some(index + 1));
        }
        self.carried.snapshot = Some(snapshot);
    }

    /// Index of the last entry, or of the snapshot where the log holds none.
    pub fn last(&self) -> u64 {
        let snapshot = self.carried.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        self.entries.last().map_or(snapshot, |entry| entry.index)
    }
}

/// A copy of the record, so that the segment's bytes can go.
pub(crate) fn record(kind: Kind, found: &Found<'_>) -> Record {
    Record { kind, index: found.index, term: found.term, payload: Bytes::copy_from_slice(found.payload) }
}
