//! Ranges: which keys, in which order, how many.
//!
//! What can be decided from the index is: the count, the bounds on the mod revision, a limit on an unsorted range, and
//! all but the values of keys that have not changed since. Only rows that are left then are fetched. The limit
//! comes last when there is a sort order or another filter, so that it cuts what the client sees, not what was looked at.

use crate::Error;
use crate::fetch::Spot;
use crate::index::{Newest, Seen, Span};
use crate::moment::{Locked, Moment, Wish};
use crate::revision::Revision;
use crate::row::Row;
use crate::state::State;
use bytes::Bytes;
use kernel::KvError;
use kernel::types::{KeyValue, RangeRequest, RangeResponse, ResponseHeader, SortOrder, SortTarget};
use std::cmp::Ordering;

/// A range request, understood.
pub(crate) struct Query<'a> {
    request: &'a RangeRequest,
    order: SortOrder,
    target: SortTarget,
}

impl<'a> Query<'a> {
    /// Refuses sort options that do not exist.
    pub fn new(request: &'a RangeRequest) -> Result<Self, KvError> {
        let order = SortOrder::try_from(request.sort_order).map_err(|_| KvError::invalid_sort_option())?;
        let target = SortTarget::try_from(request.sort_target).map_err(|_| KvError::invalid_sort_option())?;
        let order = match order {
            SortOrder::None if target != SortTarget::Key => SortOrder::Ascend,
            order => order,
        };
        Ok(Query { request, order, target })
    }

    /// The keys asked for.
    pub fn span(&self) -> Span<'a> {
        Span::new(&self.request.key, &self.request.range_end)
    }

    /// The answer, of the keys as they are seen at `at`, which is readable at `moment`. Takes up the lock if it is given.
    pub fn run(
        &self,
        moment: &Moment<'a>,
        state: Option<Locked<'a>>,
        at: i64,
    ) -> Result<RangeResponse, Error> {
        let pick = |state: &State, key: &[u8], seen: Seen| {
            self.wants_row(seen.at).then(|| self.spot(state, key, seen))
        };
        let wish = Wish { span: self.span(), at, enough: self.enough(), pick };
        let (count, kvs) = match state {
            Some(state) => moment.collect_from(state, &wish)?,
            None => moment.collect(&wish)?,
        };
        Ok(self.answer(count, kvs, moment.revision))
    }

    /// Where to get what the answer shows of a key.
    fn spot(&self, state: &State, key: &[u8], seen: Seen) -> Spot {
        match seen.newest {
            Some(newest) if self.needs_no_rows() => Spot::Known(state.known(key, newest)),
            _ => state.spot(seen.at),
        }
    }

    /// Whether what the index knows is enough for the answer.
    fn needs_no_rows(&self) -> bool {
        self.request.keys_only && self.target != SortTarget::Value
    }

    /// How many candidates are enough, when the limit may come first.
    fn enough(&self) -> usize {
        let r = self.request;
        if r.count_only {
            return 0;
        }
        let plain = self.order == SortOrder::None && r.min_create_revision == 0 && r.max_create_revision == 0;
        match usize::try_from(r.limit) {
            // One more tells whether the limit cut something off.
            Ok(limit) if plain && limit > 0 => limit.saturating_add(1),
            _ => usize::MAX,
        }
    }

    fn wants_row(&self, at: Revision) -> bool {
        let r = self.request;
        (r.min_mod_revision == 0 || at.main >= r.min_mod_revision)
            && (r.max_mod_revision == 0 || at.main <= r.max_mod_revision)
    }

    fn wants(&self, kv: &KeyValue) -> bool {
        let r = self.request;
        (r.min_create_revision == 0 || kv.create_revision >= r.min_create_revision)
            && (r.max_create_revision == 0 || kv.create_revision <= r.max_create_revision)
    }

    /// Makes the answer of the candidates, in order of their keys.
    pub fn answer(&self, count: i64, mut kvs: Vec<KeyValue>, revision: i64) -> RangeResponse {
        kvs.retain(|kv| self.wants(kv));
        if self.order != SortOrder::None {
            // Stable: equals stay in the order of their keys.
            kvs.sort_by(|a, b| match self.order {
                SortOrder::Descend => compare(self.target, b, a),
                _ => compare(self.target, a, b),
            });
        }
        let limit = usize::try_from(self.request.limit).unwrap_or(0);
        let more = limit > 0 && kvs.len() > limit;
        if more {
            kvs.truncate(limit);
        }
        if self.request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        RangeResponse { header: Some(header(revision)), kvs, more, count }
    }
}

/// A header as this crate fills it.
pub(crate) fn header(revision: i64) -> ResponseHeader {
    ResponseHeader { revision, ..Default::default() }
}

fn compare(target: SortTarget, a: &KeyValue, b: &KeyValue) -> Ordering {
    match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}

/// Collects candidates in key order, for who has rows of his own to put between those of the state.
pub(crate) struct Picking<'q, 'a> {
    query: &'q Query<'a>,
    enough: usize,
    spots: Vec<Spot>,
    count: i64,
}

impl<'q, 'a> Picking<'q, 'a> {
    pub fn new(query: &'q Query<'a>) -> Self {
        Picking { query, enough: query.enough(), spots: Vec::new(), count: 0 }
    }

    /// Counts a key, and keeps its row if it may be in the answer.
    fn add(&mut self, at: Revision, spot: impl FnOnce() -> Spot) {
        self.count += 1;
        if self.spots.len() < self.enough && self.query.wants_row(at) {
            self.spots.push(spot());
        }
    }

    /// Adds a row that is not part of the state yet.
    pub fn add_own(&mut self, at: Revision, row: &Row) {
        self.add(at, || Spot::Here(row.clone()));
    }

    /// Adds an existing key.
    pub fn add_existing(&mut self, state: &State, key: &[u8], newest: Newest) {
        let query = self.query;
        self.add(newest.at, || query.spot(state, key, Seen { at: newest.at, newest: Some(newest) }));
    }

    /// How many there were, and which are left.
    pub fn done(self) -> (i64, Vec<Spot>) {
        (self.count, self.spots)
    }
}

/// All keys of `span` as they are now, for whoever deletes or compares them.
pub(crate) fn existing(state: &State, span: Span<'_>) -> Vec<(Bytes, Newest)> {
    state.index.existing(span).map(|(key, newest)| (Bytes::copy_from_slice(key), newest)).collect()
}
