//! The key index: which rows belong to which key.
//!
//! It is an ordered map in memory, rebuilt by one scan of the rows at start. A key keeps its newest row apart, and the older
//! ones in a list, so that a key which was written once (most are) costs no second allocation. Where a key was
//! deleted a mark stays, and the next put begins a new *generation*: creation revision and version start again.
//!
//! Compaction must not visit every key, nor search the disk. So each change that supersedes a row, and each delete, is also
//! noted in `superseded`, in order of revision. Compacting at C changes the *scheduled* revision at once, which is what
//! readers are checked against; [`Index::prune`] then takes the notes up to C, a bounded number at a time, forgets each key's
//! rows that no allowed read can reach, and returns them: they are what is to be removed from disk.
//!
//! What a compaction at C leaves of a key, worked: rows 2, 4, 6(deleted), 8.
//! - C=3: 2 stays, because a read at 3 sees it.
//! - C=5: 4, 6, 8 stay. C=6: 6, 8 stay: whoever watches from 6 must see the delete. C=7: 8 stays.

mod key;

use crate::revision::Revision;
use kernel::{Bug, Planted};
use key::History;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

pub(crate) use key::{Newest, Seen};

/// The keys of one range, as a request writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    key: &'a [u8],
    end: &'a [u8],
}

/// First and last key of a span.
type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<'a> Span<'a> {
    /// `end` empty: `key` alone. `\0`: every key from `key`. Otherwise the first key beyond.
    pub fn new(key: &'a [u8], end: &'a [u8]) -> Self {
        Span { key, end }
    }

    /// Every key.
    pub fn everything() -> Self {
        Span::new(&[], &[0])
    }

    /// The span as bounds, or `None` when it can hold nothing.
    pub fn bounds(&self) -> Option<Bounds<'a>> {
        let from = Bound::Included(self.key);
        match self.end {
            [] => Some((from, Bound::Included(self.key))),
            [0] => Some((from, Bound::Unbounded)),
            end if end <= self.key => None,
            end => Some((from, Bound::Excluded(end))),
        }
    }
}

/// Every key that has a row.
#[derive(Default)]
pub(crate) struct Index {
    keys: BTreeMap<Arc<[u8]>, History>,
    /// Where a row was superseded or a key deleted, oldest first.
    superseded: VecDeque<(i64, Arc<[u8]>)>,
    /// Keys whose delete is exactly at the compacted revision: the next compaction takes it.
    held: Vec<Arc<[u8]>>,
    /// The revision that was asked to be compacted last.
    compacted: i64,
    /// The bug planted in this run.
    pub planted: Planted,
}

impl Index {
    /// What is known of `key`'s newest row, if the key exists.
    pub fn newest(&self, key: &[u8]) -> Option<Newest> {
        self.keys.get(key).and_then(History::newest)
    }

    /// Notes a put. `created` and `version` are those of the new row.
    pub fn put(&mut self, key: &[u8], newest: Newest) {
        let main = newest.at.main;
        match self.keys.get_mut(key) {
            Some(history) => {
                history.put(newest);
                self.supersede(main, key);
            }
            None => {
                self.keys.insert(key.into(), History::new(newest));
            }
        }
    }

    /// Notes a delete.
    pub fn delete(&mut self, key: &[u8], at: Revision) {
        match self.keys.get_mut(key) {
            Some(history) => history.delete(at),
            // Only while rebuilding: the rows before the delete are compacted away.
            None => {
                self.keys.insert(key.into(), History::deleted(at));
            }
        }
        self.supersede(at.main, key);
    }

    fn supersede(&mut self, main: i64, key: &[u8]) {
        let (shared, _) = self.keys.get_key_value(key).expect("a key that changes is in the index");
        debug_assert!(self.superseded.back().is_none_or(|(last, _)| *last <= main));
        self.superseded.push_back((main, shared.clone()));
    }

    /// The row of `key` that a read at `main` sees.
    pub fn at(&self, key: &[u8], main: i64) -> Option<Revision> {
        self.keys.get(key).and_then(|history| history.at(main))
    }

    /// Calls `each` for the keys of `span` behind `after` that a read at `main` sees. Looks at no more than `most` keys; the
    /// last one if there may be more.
    pub fn slice(
        &self,
        span: Span<'_>,
        after: Option<&Arc<[u8]>>,
        main: i64,
        most: usize,
        mut each: impl FnMut(&Arc<[u8]>, Seen),
    ) -> Option<Arc<[u8]>> {
        assert!(most > 0, "a slice makes headway");
        let (first, last) = span.bounds()?;
        let first = after.map_or(first, |key| Bound::Excluded(&key[..]));
        let mut looked = 0;
        for (key, history) in self.keys.range::<[u8], _>((first, last)) {
            if let Some(seen) = history.seen(main) {
                each(key, seen);
            }
            looked += 1;
            if looked == most {
                return Some(key.clone());
            }
        }
        None
    }

    /// The existing keys of `span` with what is known of their newest rows.
    pub fn existing<'a>(&'a self, span: Span<'a>) -> impl Iterator<Item = (&'a Arc<[u8]>, Newest)> + 'a {
        let histories = span.bounds().into_iter().flat_map(|bounds| self.keys.range::<[u8], _>(bounds));
        histories.filter_map(|(key, history)| Some((key, history.newest()?)))
    }

    /// Schedules a compaction. [`Index::prune`] does it.
    pub fn compact(&mut self, main: i64) {
        assert!(main >= self.compacted, "compaction goes forward: at {}, asked for {main}", self.compacted);
        if main > self.compacted {
            for key in self.held.drain(..) {
                self.superseded.push_front((self.compacted, key));
            }
        }
        self.compacted = main;
    }

    /// Takes up to `limit` notes of what the compaction concerns, and adds the rows that nothing can reach any more to
    /// `dropped`. True when nothing is left to prune.
    pub fn prune(&mut self, limit: usize, dropped: &mut Vec<Revision>) -> bool {
        for _ in 0..limit {
            match self.superseded.front() {
                Some((main, _)) if *main <= self.compacted => {}
                _ => return true,
            }
            let (main, key) = self.superseded.pop_front().expect("the front was seen");
            let Some(history) = self.keys.get_mut(&key) else { continue };
            history.prune(self.compacted, dropped);
            if self.planted.is(Bug::CompactNewest) {
                history.prune_newest(self.compacted, dropped);
            }
            if history.is_empty() {
                self.keys.remove(&key);
            } else if main == self.compacted && history.begins_deleted_at(main) {
                self.held.push(key);
            }
        }
        self.pruned()
    }

    /// Whether the last compaction has gone through.
    pub fn pruned(&self) -> bool {
        self.superseded.front().is_none_or(|(main, _)| *main > self.compacted)
    }

    /// Keys in the index, deleted ones that history still shows included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests;
