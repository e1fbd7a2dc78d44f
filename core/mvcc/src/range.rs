//! Ranges: which keys, in which order, how many.
//!
//! What can be decided from the index is: the count, the bounds on the mod revision, a limit on an unsorted range, and
//! everything of a range at the newest revision that wants no values. Only rows that are left then are fetched. The limit
//! comes last when there is a sort order or another filter, so that it cuts what the client sees, not what was looked at.

use crate::fetch::Spot;
use crate::index::{Newest, Span};
use crate::revision::Revision;
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

/// Candidates of a range.
#[derive(Default)]
pub(crate) struct Picked {
    count: i64,
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

    /// Candidates in `state`, as seen at `request.revision`.
    pub fn pick(&self, state: &State) -> Result<(Picked, Vec<Spot>), KvError> {
        let at = state.readable(self.request.revision)?;
        let mut picking = Picking::new(self);
        if self.needs_no_rows(at == state.meta.revision) {
            for (key, newest) in state.index.existing(self.span()) {
                picking.add(newest.at, || Spot::Known(state.known(key, newest)));
            }
        } else {
            for (_, row) in state.index.visible(self.span(), at) {
                picking.add(row, || state.spot(row));
            }
        }
        Ok(picking.done())
    }

    /// Whether rows need not be fetched for the answer.
    pub fn needs_no_rows(&self, at_newest: bool) -> bool {
        at_newest && self.request.keys_only && self.target != SortTarget::Value
    }

    /// How many candidates are enough, when the limit may come first.
    fn enough(&self) -> Option<usize> {
        let r = self.request;
        let plain = self.order == SortOrder::None && r.min_create_revision == 0 && r.max_create_revision == 0;
        let limit = usize::try_from(r.limit).ok().filter(|limit| *limit > 0)?;
        // One more tells whether the limit cut something off.
        plain.then_some(limit.saturating_add(1))
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
    pub fn answer(&self, picked: Picked, mut kvs: Vec<KeyValue>, revision: i64) -> RangeResponse {
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
        RangeResponse { header: Some(header(revision)), kvs, more, count: picked.count }
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

/// Collects candidates in key order.
pub(crate) struct Picking<'q, 'a> {
    query: &'q Query<'a>,
    enough: usize,
    spots: Vec<Spot>,
    count: i64,
}

impl<'q, 'a> Picking<'q, 'a> {
    pub fn new(query: &'q Query<'a>) -> Self {
        let enough = if query.request.count_only { 0 } else { query.enough().unwrap_or(usize::MAX) };
        Picking { query, enough, spots: Vec::new(), count: 0 }
    }

    /// Counts a key, and keeps its row if it may be in the answer.
    pub fn add(&mut self, at: Revision, spot: impl FnOnce() -> Spot) {
        self.count += 1;
        if self.spots.len() < self.enough && self.query.wants_row(at) {
            self.spots.push(spot());
        }
    }

    pub fn done(self) -> (Picked, Vec<Spot>) {
        (Picked { count: self.count }, self.spots)
    }
}

/// All keys of `span` as they are now, for whoever deletes or compares them.
pub(crate) fn existing(state: &State, span: Span<'_>) -> Vec<(Bytes, Newest)> {
    state.index.existing(span).map(|(key, newest)| (Bytes::copy_from_slice(key), newest)).collect()
}
