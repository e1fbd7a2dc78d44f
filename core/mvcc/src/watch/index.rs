//! Who watches a key: exact keys by lookup, ranges by interval tree.
//!
//! The cost of a put is the two lookups and the watchers that it concerns; ten thousand others cost nothing.

use super::intervals::{End, Intervals};
use bytes::Bytes;
use kernel::watch::{Event, EventType, Filter};
use std::collections::{BTreeMap, BTreeSet};

/// A watcher, over all streams of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatcherId {
    /// Its stream.
    pub(super) stream: u64,
    /// Its id there.
    pub(super) watch: i64,
}

/// The keys that a watcher wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// One key.
    Key(Bytes),
    /// Every key from the first up to the end.
    Range(Bytes, End),
}

impl Span {
    /// From the two fields of a request; copies them, since it outlives the buffer that they are in. `None` when no key
    /// could ever be in it.
    pub(super) fn of(key: &[u8], range_end: &[u8]) -> Option<Span> {
        // The empty key does not exist; it stands for the least that does.
        let start = Bytes::copy_from_slice(if key.is_empty() { &[0] } else { key });
        match range_end {
            [] => Some(Span::Key(start)),
            [0] => Some(Span::Range(start, End::Never)),
            end if end <= &start[..] => None,
            end => Some(Span::Range(start, End::Before(Bytes::copy_from_slice(end)))),
        }
    }
}

/// The kinds of event that a watcher wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds {
    puts: bool,
    deletes: bool,
}

impl Kinds {
    /// From the filters of a request; unknown ones are ignored, as by etcd.
    pub(super) fn without(filters: &[i32]) -> Kinds {
        let wants = |filter: Filter| !filters.contains(&(filter as i32));
        Kinds { puts: wants(Filter::NoPut), deletes: wants(Filter::NoDelete) }
    }

    /// Whether it wants this event.
    pub(super) fn wants(self, event: &Event) -> bool {
        if event.r#type == EventType::Delete as i32 { self.deletes } else { self.puts }
    }
}

/// Watchers by the keys that they want.
pub(super) struct Index {
    keys: BTreeMap<Bytes, BTreeSet<WatcherId>>,
    ranges: Intervals<WatcherId>,
}

impl Index {
    /// An empty index; `seed` decides the shape of its tree.
    pub(super) fn new(seed: u64) -> Self {
        Index { keys: BTreeMap::new(), ranges: Intervals::new(seed) }
    }

    /// Adds a watcher.
    pub(super) fn insert(&mut self, span: &Span, id: WatcherId) {
        match span {
            Span::Key(key) => {
                self.keys.entry(key.clone()).or_default().insert(id);
            }
            Span::Range(start, end) => self.ranges.insert(start, end, id),
        }
    }

    /// Takes a watcher out, which must be in it.
    pub(super) fn remove(&mut self, span: &Span, id: WatcherId) {
        let was_there = match span {
            Span::Key(key) => {
                let holders = self.keys.get_mut(key);
                let (removed, left) = holders.map_or((false, true), |ids| (ids.remove(&id), !ids.is_empty()));
                if !left {
                    self.keys.remove(key);
                }
                removed
            }
            Span::Range(start, end) => self.ranges.remove(start, end, id),
        };
        assert!(was_there, "watcher {id:?} was to be indexed under {span:?}");
    }

    /// Who watches the keys of `events`: pairs of watcher and position, sorted, so the positions of one watcher stand
    /// together and ascend.
    pub(super) fn matches<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Vec<(WatcherId, usize)> {
        let mut found = Vec::new();
        let mut pairs = Vec::new();
        for (position, event) in events.into_iter().enumerate() {
            let key = event.kv.as_ref().map_or(&[][..], |kv| &kv.key[..]);
            if let Some(ids) = self.keys.get(key) {
                found.extend(ids.iter().copied());
            }
            self.ranges.find(key, &mut found);
            pairs.extend(found.drain(..).map(|id| (id, position)));
        }
        pairs.sort_unstable();
        pairs
    }
}
