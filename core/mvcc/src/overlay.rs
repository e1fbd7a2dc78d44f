//! Rows that redb does not have yet.
//!
//! Rows come in order of revision, so the overlay is a list of sorted *parts*. The open part grows; sealing it makes it
//! shareable, so that a flush, a snapshot or a reader of history can hold the very rows without copying them and without
//! a lock. A flush takes every part; they stay readable here until redb has them durably, and only then are they dropped.

use crate::revision::Revision;
use crate::row::Row;
use std::sync::Arc;

/// Rows in order of revision.
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
        let parts = std::iter::once(&self.open).chain(self.sealed.iter().rev().map(|part| &**part));
        for part in parts {
            if part.first().is_some_and(|(first, _)| *first <= at) {
                let found = part.binary_search_by_key(&at, |(revision, _)| *revision).ok()?;
                return Some(&part[found].1);
            }
        }
        None
    }

    /// All rows as shared parts, oldest first.
    pub fn seal(&mut self) -> Vec<Arc<Part>> {
        if !self.open.is_empty() {
            self.sealed.push(Arc::new(std::mem::take(&mut self.open)));
        }
        self.sealed.clone()
    }

    /// The rows from `from` on, in order.
    pub fn rows_from(&self, from: Revision) -> impl Iterator<Item = &(Revision, Row)> + '_ {
        let parts = self.sealed.iter().map(|part| &**part).chain(std::iter::once(&self.open));
        parts.flat_map(move |part| &part[part.partition_point(|(at, _)| *at < from)..])
    }

    /// The first row's revision.
    pub fn first(&self) -> Option<Revision> {
        let part = self.sealed.first().map_or(&self.open, |part| part);
        part.first().map(|(at, _)| *at)
    }

    /// All rows, held in memory for as long as the caller wants.
    pub fn hold(&self) -> Vec<Arc<Part>> {
        let mut parts = self.sealed.clone();
        parts.push(Arc::new(self.open.clone()));
        parts
    }

    /// Drops the `count` oldest parts, which redb now has.
    pub fn release(&mut self, count: usize) {
        for part in self.sealed.drain(..count) {
            self.bytes -= part.iter().map(|(_, row)| row.cost()).sum::<usize>();
        }
    }

    /// What the rows take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
