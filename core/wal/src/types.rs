//! What callers give to the log and get back from it.

use bytes::Bytes;
use kernel::{Planted, Probe};

/// How a log is kept.
#[derive(Clone, Default)]
pub struct Options {
    /// Size of a segment in bytes, rounded up to 4 KiB; one that must hold more is larger.
    pub segment_bytes: u64,
    /// At most one bug, for the test of the tests.
    pub planted: Planted,
    /// Counts the rare branches.
    pub probe: Probe,
}

/// What a record is to recovery; its payload is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An entry of the replicated log. Replaces every entry with the same or a higher index.
    Entry,
    /// Term, vote and commit. Replaces the one before.
    HardState,
    /// The state holds everything up to `index`. If no entry of that index and `term` is in the log (and the log does not
    /// begin above it), the log starts anew behind it.
    Snapshot,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Index of the entry or snapshot. Means nothing to the log in a hard state.
    pub index: u64,
    /// Term, likewise.
    pub term: u64,
    /// The caller's bytes.
    pub payload: Bytes,
}

/// What to do about damage to something that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// Change nothing and say what is lost. For a member that is alone: nobody else has the data.
    Refuse,
    /// Keep what is before the damage, and remember durably up to where entries were acknowledged, until
    /// [`Wal::clear_quarantine`](crate::Wal::clear_quarantine).
    Repair,
}

/// A tail that was never acknowledged, and was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Path of the segment.
    pub segment: String,
    /// The byte at which it was cut.
    pub offset: u64,
}

/// What was in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// What the log was created with.
    pub metadata: Bytes,
    /// The newest hard state. Under quarantine its commit index may lie beyond the last entry.
    pub hard_state: Option<Bytes>,
    /// The newest snapshot mark.
    pub snapshot: Option<Record>,
    /// The entries still in the log, without a gap, also those at or below the snapshot mark. They are durable.
    pub entries: Vec<Record>,
    /// What was cut off.
    pub torn: Option<Torn>,
    /// Entries up to this index were acknowledged here and are lost: no vote and no campaign until the log reaches it.
    pub quarantine: Option<u64>,
}
