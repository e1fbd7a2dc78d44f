//! A command worked out in full before anything changes.
//!
//! A plan collects the rows that a command will write, and answers its reads as if they were written. Only when every part of
//! the command has come out is the plan committed, in memory, where nothing can fail. So a transaction whose last
//! operation is refused leaves no trace, and a row that cannot be read stops the replica before it differs from the others.

use crate::Error;
use crate::compare::{branch, choose};
use crate::fetch::Spot;
use crate::index::Span;
use crate::moment::Moment;
use crate::range::{Picking, Query, existing, header};
use crate::revision::Revision;
use crate::row::Row;
use crate::state::{Change, Shared, State, Write};
use bytes::Bytes;
use kernel::txn::{Op, OpResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse};
use kernel::types::*;
use kernel::{Bug, KvError};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Why a plan came to nothing.
pub(crate) enum Stop {
    /// The command is refused: by every replica.
    Refused(KvError),
    /// This replica cannot tell what the command does.
    Failed(Error),
}

impl From<KvError> for Stop {
    fn from(error: KvError) -> Self {
        Stop::Refused(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// See the head of the file. The writer's lock must be held while one exists that writes.
pub(crate) struct Plan<'a> {
    shared: &'a Shared,
    /// The state before the command.
    before: Moment<'a>,
    writes: Vec<Write>,
    /// Where each written key is in `writes`.
    written: BTreeMap<Bytes, usize>,
}

impl<'a> Plan<'a> {
    /// A plan on the present state, for the holder of the writer's lock: nobody else changes what the state means.
    pub fn new(shared: &'a Shared) -> Self {
        Self::at(shared, Moment::begin(shared).0)
    }

    /// A plan on the state at a moment that stays readable.
    pub fn at(shared: &'a Shared, before: Moment<'a>) -> Self {
        Plan { shared, before, writes: Vec::new(), written: BTreeMap::new() }
    }

    /// The rows to be written.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// The revision that a reader inside the command is at.
    pub fn revision(&self) -> i64 {
        self.before.revision + i64::from(!self.writes.is_empty())
    }

    /// Plans a put.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Stop> {
        let wants_row = request.prev_kv || request.ignore_value;
        let pick = |state: &State| {
            if request.lease != 0 && !state.leases.exists(request.lease) {
                return Err(KvError::lease_not_found());
            }
            let newest = state.index.newest(&request.key);
            let spots = newest.filter(|_| wants_row).map(|newest| state.spot(newest.at));
            Ok(((newest, state.leases.of(&request.key)), spots.into_iter().collect()))
        };
        let ((newest, present_lease), row) = self.shared.fetch(pick)??;
        let row = row.into_iter().next();
        if newest.is_none() && (request.ignore_value || request.ignore_lease) {
            return Err(KvError::key_not_found().into());
        }
        let main = self.before.revision + 1;
        let kv = KeyValue {
            key: Bytes::copy_from_slice(&request.key),
            create_revision: newest.map_or(main, |newest| newest.created),
            mod_revision: main,
            version: newest.map_or(1, |newest| newest.version + 1),
            value: match &row {
                Some(row) if request.ignore_value => row.value.clone(),
                _ => request.value.clone(),
            },
            lease: if request.ignore_lease { present_lease } else { request.lease },
        };
        let change = Change::Put { created: kv.create_revision, version: kv.version, lease: kv.lease };
        let at = self.next();
        self.write(kv.key.clone(), Row::put(at, &kv), change)?;
        Ok(PutResponse { header: Some(header(main)), prev_kv: row.filter(|_| request.prev_kv) })
    }

    /// Plans the deletion of a range.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, Stop> {
        let span = Span::new(&request.key, &request.range_end);
        // A key that the command itself has put may not be deleted by it; one that it has deleted is gone.
        if self.written_in(span).any(|(_, write)| matches!(write.change, Change::Put { .. })) {
            return Err(KvError::duplicate_key().into());
        }
        let pick = |state: &State| {
            let mut keys = existing(state, span);
            keys.retain(|(key, _)| !self.written.contains_key(key));
            let spots =
                keys.iter().filter(|_| request.prev_kv).map(|(_, newest)| state.spot(newest.at)).collect();
            Ok((keys, spots))
        };
        let (keys, prev_kvs) = self.shared.fetch(pick)??;
        let deleted = keys.len() as i64;
        for (key, _) in keys {
            self.delete(key)?;
        }
        Ok(DeleteRangeResponse { header: Some(header(self.revision())), deleted, prev_kvs })
    }

    /// Plans the deletion of an existing key.
    pub fn delete(&mut self, key: Bytes) -> Result<(), Stop> {
        let row = Row::tombstone(self.next(), key.clone());
        self.write(key, row, Change::Delete)
    }

    /// Reads, seeing what the plan has written so far.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Stop> {
        let query = Query::new(request)?;
        if request.revision <= 0 && !self.writes.is_empty() {
            let (count, kvs) = self.shared.fetch(|state| Ok(self.pick(state, &query)))??;
            return Ok(query.answer(count, kvs, self.revision()));
        }
        let at = self.before.readable(request.revision)?;
        let mut response = query.run(&self.before, None, at)?;
        response.header = Some(header(self.revision()));
        Ok(response)
    }

    /// The candidates of a range at the newest revision, with the plan's writes in their places.
    fn pick(&self, state: &State, query: &Query<'_>) -> (i64, Vec<Spot>) {
        let main = self.before.revision + 1;
        let mut picking = Picking::new(query);
        let mut written = self.written_in(query.span()).peekable();
        let add_written = |picking: &mut Picking<'_, '_>, write: &Write| {
            if !write.row.is_tombstone() {
                picking.add_own(Revision::first(main), &write.row);
            }
        };
        for (key, newest) in state.index.existing(query.span()) {
            while let Some((_, write)) = written.next_if(|(own, _)| own[..] < key[..]) {
                add_written(&mut picking, write);
            }
            match written.next_if(|(own, _)| own[..] == key[..]) {
                Some((_, write)) => add_written(&mut picking, write),
                None => picking.add_existing(state, key, newest),
            }
        }
        written.for_each(|(_, write)| add_written(&mut picking, write));
        picking.done()
    }

    /// Plans a transaction.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Stop> {
        let path = choose(&self.before, request)?;
        let mut response = self.run_branch(request, &mut path.into_iter())?;
        response.header = Some(header(self.revision()));
        Ok(response)
    }

    fn run_branch(
        &mut self,
        request: &TxnRequest,
        path: &mut std::vec::IntoIter<bool>,
    ) -> Result<TxnResponse, Stop> {
        let mut succeeded = path.next().expect("a branch was chosen for every transaction on the way");
        if self.shared.options.planted.is(Bug::CompareSeesOwnWrites) {
            succeeded |= request.compare.iter().any(|condition| self.written.contains_key(&condition.key));
        }
        let mut responses = Vec::new();
        for op in branch(request, succeeded) {
            responses.push(ResponseOp { response: self.run_op(op, path)? });
        }
        Ok(TxnResponse { header: Some(ResponseHeader::default()), succeeded, responses })
    }

    fn run_op(
        &mut self,
        op: &RequestOp,
        path: &mut std::vec::IntoIter<bool>,
    ) -> Result<Option<OpResponse>, Stop> {
        Ok(Some(match &op.request {
            None => return Ok(None),
            Some(Op::RequestRange(request)) => OpResponse::ResponseRange(self.range(request)?),
            Some(Op::RequestPut(request)) => OpResponse::ResponsePut(self.put(request)?),
            Some(Op::RequestDeleteRange(request)) => {
                OpResponse::ResponseDeleteRange(self.delete_range(request)?)
            }
            Some(Op::RequestTxn(request)) => OpResponse::ResponseTxn(self.run_branch(request, path)?),
        }))
    }

    fn next(&self) -> Revision {
        let sub = u32::try_from(self.writes.len()).expect("a request is smaller than 4 GiB");
        Revision { main: self.before.revision + 1, sub }
    }

    fn write(&mut self, key: Bytes, row: Row, change: Change) -> Result<(), Stop> {
        match self.written.entry(key.clone()) {
            Entry::Occupied(_) => return Err(KvError::duplicate_key().into()),
            Entry::Vacant(entry) => entry.insert(self.writes.len()),
        };
        self.writes.push(Write { key, row, change });
        Ok(())
    }

    fn written_in<'s>(&'s self, span: Span<'s>) -> impl Iterator<Item = (&'s Bytes, &'s Write)> + 's {
        let bounds = span.bounds().into_iter();
        let keys = bounds.flat_map(|bounds| self.written.range::<[u8], _>(bounds));
        keys.map(|(key, place)| (key, &self.writes[*place]))
    }
}
