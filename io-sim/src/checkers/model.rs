//! The store as a fairy tale: an ordered map from each key to its whole history, which forgets nothing.
//!
//! [`Model::apply`] takes one command of the log and returns what the API promises for it. Because histories are kept
//! for ever, the state at any earlier revision can be asked for later, and an answer can be checked at the revision
//! that it names. Compaction and leases are here as far as they change what is answered; time is not (see
//! [`leases`](super::leases)).

use super::range::{answer, covers};
use crate::history::{Call, Reply};
use bytes::Bytes;
use kernel::KvError;
use kernel::lease::*;
use kernel::txn::*;
use kernel::types::*;
use kernel::watch::{Event, EventType};
use std::collections::{BTreeMap, BTreeSet};

type Applied<T> = Result<T, KvError>;

/// The state at which a read looks: the newest, whatever is in progress included.
const NEWEST: i64 = i64::MAX;

/// One version of a key; `None` is a deletion.
type Version = (i64, Option<KeyValue>);

/// The model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    base: i64,
    compacted: i64,
    keys: BTreeMap<Bytes, Vec<Version>>,
    leases: BTreeMap<i64, BTreeSet<Bytes>>,
    changes: BTreeMap<i64, Vec<Event>>,
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..Default::default() })
}

impl Model {
    /// An empty store, at revision 1.
    pub fn new() -> Self {
        Model { base: 1, ..Default::default() }
    }

    /// The revision.
    pub fn revision(&self) -> i64 {
        self.base
    }

    /// The lowest revision that stays readable; 0 before the first compaction.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Every change so far: for each revision its events, in order, previous values always filled in.
    pub fn changes(&self) -> &BTreeMap<i64, Vec<Event>> {
        &self.changes
    }

    /// Whether `lease` exists.
    pub fn has_lease(&self, lease: i64) -> bool {
        self.leases.contains_key(&lease)
    }

    /// The keys attached to `lease`.
    pub fn keys_of(&self, lease: i64) -> impl Iterator<Item = &Bytes> {
        self.leases.get(&lease).into_iter().flatten()
    }

    /// Applies one command and says what its caller must be told. A failed command changes nothing.
    pub fn apply(&mut self, call: &Call) -> Applied<Reply> {
        let next = self.base + 1;
        let reply = match call {
            Call::Put(put) => {
                self.check_put(put)?;
                Reply::Put(self.put(put, next))
            }
            Call::Delete(delete) => Reply::Delete(self.delete(delete, next)),
            Call::Txn(txn) => {
                let plan = self.decide(txn);
                self.check_txn(&plan)?;
                Reply::Txn(self.run(&plan, next))
            }
            Call::Compact(request) => self.compact(request)?,
            Call::Grant(request) => self.grant(request)?,
            Call::Revoke(request) => self.revoke(request, next)?,
            Call::Range(_) | Call::KeepAlive(_) => unreachable!("reads are not in the log"),
        };
        if self.changes.contains_key(&next) {
            self.base = next;
        }
        Ok(with_revision(reply, self.base))
    }

    /// A range as of revision `at` (of the store, not of the request). The request's own revision must be readable.
    pub fn range_at(&self, request: &RangeRequest, at: i64) -> RangeResponse {
        let revision = if request.revision > 0 { request.revision } else { at };
        let mut response = answer(request, self.live(&request.key, &request.range_end, revision));
        response.header = header(at);
        response
    }

    /// A transaction of ranges alone, as of revision `at`.
    pub fn read_txn_at(&self, txn: &TxnRequest, at: i64) -> TxnResponse {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare, at));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let responses = branch.iter().filter_map(|operation| match &operation.request {
            Some(Op::RequestRange(range)) => {
                Some(ResponseOp { response: Some(OpResponse::ResponseRange(self.range_at(range, at))) })
            }
            _ => None,
        });
        TxnResponse { header: header(at), succeeded, responses: responses.collect() }
    }

    fn key_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let versions = self.keys.get(key)?;
        let upto = versions.partition_point(|(at, _)| *at <= revision);
        versions[..upto].last()?.1.as_ref()
    }

    fn live(&self, key: &Bytes, end: &Bytes, revision: i64) -> Vec<KeyValue> {
        let keys = self.keys.range(key.clone()..).take_while(|(candidate, _)| covers(key, end, candidate));
        keys.filter_map(|(key, _)| self.key_at(key, revision).cloned()).collect()
    }

    fn check_put(&self, put: &PutRequest) -> Applied<()> {
        if (put.ignore_value || put.ignore_lease) && self.key_at(&put.key, NEWEST).is_none() {
            return Err(KvError::key_not_found());
        }
        if !put.ignore_lease && put.lease != 0 && !self.has_lease(put.lease) {
            return Err(KvError::lease_not_found());
        }
        Ok(())
    }

    fn put(&mut self, put: &PutRequest, revision: i64) -> PutResponse {
        let before = self.key_at(&put.key, NEWEST).cloned();
        let kept = |ignore: bool| before.as_ref().filter(|_| ignore);
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: before.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.as_ref().map_or(1, |kv| kv.version + 1),
            value: kept(put.ignore_value).map_or(put.value.clone(), |kv| kv.value.clone()),
            lease: kept(put.ignore_lease).map_or(put.lease, |kv| kv.lease),
        };
        self.detach(before.as_ref());
        if let Some(keys) = self.leases.get_mut(&kv.lease) {
            keys.insert(kv.key.clone());
        }
        self.change(EventType::Put, kv, before.clone(), revision);
        PutResponse { header: None, prev_kv: before.filter(|_| put.prev_kv) }
    }

    fn detach(&mut self, before: Option<&KeyValue>) {
        if let Some(keys) = before.and_then(|kv| self.leases.get_mut(&kv.lease)) {
            keys.remove(&before.expect("it is there").key);
        }
    }

    fn change(&mut self, kind: EventType, kv: KeyValue, before: Option<KeyValue>, revision: i64) {
        let version = (kind == EventType::Put).then(|| kv.clone());
        self.keys.entry(kv.key.clone()).or_default().push((revision, version));
        let event = Event { r#type: kind as i32, kv: Some(kv), prev_kv: before };
        self.changes.entry(revision).or_default().push(event);
    }

    fn delete(&mut self, delete: &DeleteRangeRequest, revision: i64) -> DeleteRangeResponse {
        let gone = self.live(&delete.key, &delete.range_end, NEWEST);
        for kv in &gone {
            self.detach(Some(kv));
            let stone = KeyValue { key: kv.key.clone(), mod_revision: revision, ..Default::default() };
            self.change(EventType::Delete, stone, Some(kv.clone()), revision);
        }
        let deleted = gone.len() as i64;
        DeleteRangeResponse {
            header: None,
            deleted,
            prev_kvs: if delete.prev_kv { gone } else { Vec::new() },
        }
    }

    fn compact(&mut self, request: &CompactionRequest) -> Applied<Reply> {
        if request.revision <= self.compacted {
            return Err(KvError::compacted());
        }
        if request.revision > self.base {
            return Err(KvError::future_revision());
        }
        self.compacted = request.revision;
        Ok(Reply::Compact(CompactionResponse { header: None }))
    }

    fn grant(&mut self, request: &LeaseGrantRequest) -> Applied<Reply> {
        if self.has_lease(request.id) {
            return Err(KvError::lease_exists());
        }
        self.leases.insert(request.id, BTreeSet::new());
        Ok(Reply::Grant(LeaseGrantResponse { id: request.id, ttl: request.ttl, ..Default::default() }))
    }

    fn revoke(&mut self, request: &LeaseRevokeRequest, revision: i64) -> Applied<Reply> {
        let keys = self.leases.remove(&request.id).ok_or_else(KvError::lease_not_found)?;
        for key in keys {
            self.delete(&DeleteRangeRequest { key, ..Default::default() }, revision);
        }
        Ok(Reply::Revoke(LeaseRevokeResponse { header: None }))
    }

    fn holds(&self, compare: &Compare, at: i64) -> bool {
        let mut found = self.live(&compare.key, &compare.range_end, at);
        if found.is_empty() {
            if matches!(compare.target_union, Some(TargetUnion::Value(_))) {
                return false;
            }
            found.push(KeyValue::default());
        }
        found.iter().all(|kv| compare_one(compare, kv))
    }

    /// Which branch each level takes: compares, nested ones too, look at the state before the transaction.
    fn decide<'a>(&self, txn: &'a TxnRequest) -> Decided<'a> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare, NEWEST));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let inner = branch.iter().map(|operation| match &operation.request {
            Some(Op::RequestTxn(inner)) => Step::Txn(self.decide(inner)),
            Some(other) => Step::Plain(other),
            None => unreachable!("validated before the log"),
        });
        Decided { succeeded, steps: inner.collect() }
    }

    fn check_txn(&self, plan: &Decided<'_>) -> Applied<()> {
        for step in &plan.steps {
            match step {
                Step::Txn(inner) => self.check_txn(inner)?,
                Step::Plain(Op::RequestPut(put)) => self.check_put(put)?,
                Step::Plain(Op::RequestRange(range)) if range.revision > 0 => {
                    if range.revision > self.base {
                        return Err(KvError::future_revision());
                    }
                    if range.revision < self.compacted {
                        return Err(KvError::compacted());
                    }
                }
                Step::Plain(_) => {}
            }
        }
        Ok(())
    }

    fn run(&mut self, plan: &Decided<'_>, revision: i64) -> TxnResponse {
        let mut responses = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let response = match step {
                Step::Txn(inner) => OpResponse::ResponseTxn(self.run(inner, revision)),
                Step::Plain(Op::RequestPut(put)) => OpResponse::ResponsePut(self.put(put, revision)),
                Step::Plain(Op::RequestDeleteRange(delete)) => {
                    OpResponse::ResponseDeleteRange(self.delete(delete, revision))
                }
                Step::Plain(Op::RequestRange(range)) => {
                    OpResponse::ResponseRange(self.range_at(range, NEWEST))
                }
                Step::Plain(Op::RequestTxn(_)) => unreachable!("decided above"),
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        TxnResponse { header: None, succeeded: plan.succeeded, responses }
    }
}

/// A transaction whose compares have been evaluated.
struct Decided<'a> {
    succeeded: bool,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Plain(&'a Op),
    Txn(Decided<'a>),
}

fn compare_one(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target_union {
        Some(TargetUnion::Version(v)) => kv.version.cmp(v),
        Some(TargetUnion::CreateRevision(v)) => kv.create_revision.cmp(v),
        Some(TargetUnion::ModRevision(v)) => kv.mod_revision.cmp(v),
        Some(TargetUnion::Value(v)) => kv.value.cmp(v),
        Some(TargetUnion::Lease(v)) => kv.lease.cmp(v),
        None => kv.version.cmp(&0),
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Err(_) => false,
    }
}

fn with_revision(mut reply: Reply, revision: i64) -> Reply {
    match &mut reply {
        Reply::Range(r) => r.header = header(revision),
        Reply::Put(r) => r.header = header(revision),
        Reply::Delete(r) => r.header = header(revision),
        Reply::Txn(r) => r.header = header(revision),
        Reply::Compact(r) => r.header = header(revision),
        Reply::Grant(r) => r.header = header(revision),
        Reply::Revoke(r) => r.header = header(revision),
        Reply::KeepAlive(r) => r.header = header(revision),
    }
    reply
}

/// `reply` without what a model cannot know or does not promise: who answered, in which term, and the headers inside
/// of a transaction. The outer revision stays.
pub fn plain(reply: &Reply) -> Reply {
    let revision = reply.revision();
    let mut reply = reply.clone();
    if let Reply::Txn(txn) = &mut reply {
        strip(txn);
    }
    with_revision(reply, revision)
}

fn strip(txn: &mut TxnResponse) {
    txn.header = None;
    for response in txn.responses.iter_mut().filter_map(|response| response.response.as_mut()) {
        match response {
            OpResponse::ResponseRange(r) => r.header = None,
            OpResponse::ResponsePut(r) => r.header = None,
            OpResponse::ResponseDeleteRange(r) => r.header = None,
            OpResponse::ResponseTxn(r) => strip(r),
        }
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
