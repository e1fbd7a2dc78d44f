//! Rows that redb does not have yet.
//!
//! Rows come in order of revision, so the overlay is a list of sorted *parts*. The open part grows; sealing it makes it
//! shareable, so that a flush, a snapshot or a reader of history can hold the very rows without copying them and without
//! a lock. A flush takes every part; they stay readable here until redb has them durably, and only then are they dropped.

use crate::revision::Revision;
use crate::row::Row;
use std::sync::Arc;

/// Rows that the open part may hold when somebody wants to hold all rows: they are copied one by one.
pub(crate) const OPEN_MOST: usize = 1_000;

/// Rows in order of revision. A sealed part is never empty.
pub(crate) type Part = Vec<(Revision, Row)>;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Overlay {
    sealed: Vec<Arc<Part>>,
    open: Part,
    bytes: usize,
}

impl Overlay {
    /// Adds the newest row.
    pub fn push(&mut self, at: Revision, row: Row) {
        debug_assert!(self.last().is_none_or(|last| last < at), "rows come in order");
        self.bytes += row.cost();
        self.open.push((at, row));
    }

    fn last(&self) -> Option<Revision> {
        let part = if self.open.is_empty() { self.sealed.last()? } else { &self.open };
        part.last().map(|(at, _)| *at)
    }

    /// The row at `at`, if it is here.
    pub fn get(&self, at: Revision) -> Option<&Row> {
        let part = if self.open.first().is_some_and(|(first, _)| *first <= at) {
            &self.open
        } else {
            let after = self.sealed.partition_point(|part| part[0].0 <= at);
            &self.sealed[after.checked_sub(1)?]
        };
        let found = part.binary_search_by_key(&at, |(revision, _)| *revision).ok()?;
        Some(&part[found].1)
    }

    /// All rows as shared parts, oldest first.
    pub fn seal(&mut self) -> Vec<Arc<Part>> {
        if !self.open.is_empty() {
            self.sealed.push(Arc::new(std::mem::take(&mut self.open)));
        }
        self.sealed.clone()
    }

    /// The first row's revision.
    pub fn first(&self) -> Option<Revision> {
        let part = self.sealed.first().map_or(&self.open, |part| part);
        part.first().map(|(at, _)| *at)
    }

    /// Rows in the open part.
    pub fn open_rows(&self) -> usize {
        self.open.len()
    }

    /// The rows from `from` on, held in memory for as long as the caller wants. Of sealed parts, whole parts.
    pub fn hold(&self, from: Revision) -> Vec<Arc<Part>> {
        let before = self.sealed.partition_point(|part| part.last().is_some_and(|(last, _)| *last < from));
        let mut parts = self.sealed[before..].to_vec();
        parts.push(Arc::new(rows_from(&self.open, from).to_vec()));
        parts
    }

    /// Drops the `count` oldest parts, which redb now has, and which take `bytes`. Whoever took them still holds them, so no
    /// memory is given back here.
    pub fn release(&mut self, count: usize, bytes: usize) {
        self.sealed.drain(..count);
        self.bytes -= bytes;
        debug_assert_eq!(
            self.bytes,
            self.sealed.iter().map(|part| cost(part)).sum::<usize>() + cost(&self.open)
        );
    }

    /// What the rows take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The rows of `part` from `from` on.
pub(crate) fn rows_from(part: &[(Revision, Row)], from: Revision) -> &[(Revision, Row)] {
    &part[part.partition_point(|(at, _)| *at < from)..]
}

/// What the rows of `part` take in memory.
pub(crate) fn cost(part: &[(Revision, Row)]) -> usize {
    part.iter().map(|(_, row)| row.cost()).sum()
}
