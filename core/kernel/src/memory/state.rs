//! What a [`MapKv`](super::MapKv) holds: every version of every key since the last compaction, leases, and watch streams.
//!
//! A write collects its changes; [`State::commit`] gives them one revision, appends them to the history and hands them to
//! the watchers. A write that changes nothing takes no revision, as in etcd.

use super::stream::{Streams, Watched};
use crate::KvError;
use crate::kv::KvResult;
use crate::lease::*;
use crate::txn::*;
use crate::types::*;
use crate::watch::{Event, EventType};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most operations of one transaction: etcd's default.
const TXN_OPS_MOST: usize = 128;

pub(super) struct State {
    revision: i64,
    compacted: i64,
    /// Versions of each key, oldest first; a deletion has version 0.
    rows: BTreeMap<Bytes, Vec<KeyValue>>,
    /// The changes of each revision that is still kept, with what was there before.
    history: BTreeMap<i64, Vec<Event>>,
    leases: BTreeMap<i64, Lease>,
    lease_last: i64,
    now: Duration,
    pub(super) streams: Streams,
}

struct Lease {
    ttl: i64,
    ends: Duration,
    keys: BTreeSet<Bytes>,
}

impl State {
    pub(super) fn new() -> State {
        State {
            revision: 1,
            compacted: 0,
            rows: BTreeMap::new(),
            history: BTreeMap::new(),
            leases: BTreeMap::new(),
            lease_last: 0,
            now: Duration::ZERO,
            streams: Streams::default(),
        }
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn compacted(&self) -> i64 {
        self.compacted
    }

    pub(super) fn header(&self) -> ResponseHeader {
        ResponseHeader { cluster_id: 1, member_id: 1, revision: self.revision, raft_term: 1 }
    }

    pub(super) fn wake_all(&mut self) {
        self.streams.wake_all();
    }

    /// The kept history from `from` on.
    pub(super) fn history(&self, from: i64) -> impl Iterator<Item = &Event> {
        self.history.range(from..).flat_map(|(_, events)| events)
    }

    fn current(&self, key: &Bytes) -> Option<&KeyValue> {
        self.rows.get(key).and_then(|row| row.last()).filter(|kv| kv.version > 0)
    }

    /// The keys of a range as of `revision`.
    fn select<'a>(
        &'a self,
        key: &'a Bytes,
        end: &'a Bytes,
        revision: i64,
    ) -> impl Iterator<Item = &'a KeyValue> {
        let rows =
            self.rows.range(key.clone()..).take_while(move |(name, _)| Watched::covers(key, end, name));
        rows.filter_map(move |(_, row)| {
            row.iter().rev().find(|kv| kv.mod_revision <= revision).filter(|kv| kv.version > 0)
        })
    }

    pub(super) fn range(&self, request: &RangeRequest) -> KvResult<RangeResponse> {
        if request.key.is_empty() {
            return Err(KvError::empty_key());
        }
        let revision = if request.revision > 0 { request.revision } else { self.revision };
        if revision > self.revision {
            return Err(KvError::future_revision());
        }
        if revision < self.compacted {
            return Err(KvError::compacted());
        }
        let mut kvs: Vec<KeyValue> =
            self.select(&request.key, &request.range_end, revision).cloned().collect();
        let count = kvs.len() as i64;
        kvs.retain(|kv| is_within(kv, request));
        sort(&mut kvs, request.sort_order(), request.sort_target());
        let more = request.limit > 0 && kvs.len() as i64 > request.limit;
        if more {
            kvs.truncate(request.limit as usize);
        }
        if request.count_only {
            kvs.clear();
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        Ok(RangeResponse { header: Some(self.header()), kvs, more: more && !request.count_only, count })
    }

    pub(super) fn put(&mut self, request: &PutRequest) -> KvResult<PutResponse> {
        self.check_put(request)?;
        let mut events = Vec::new();
        let mut answer = self.do_put(request, &mut events);
        self.commit(events);
        answer.header = Some(self.header());
        Ok(answer)
    }

    pub(super) fn delete(&mut self, request: &DeleteRangeRequest) -> KvResult<DeleteRangeResponse> {
        if request.key.is_empty() {
            return Err(KvError::empty_key());
        }
        let mut events = Vec::new();
        let mut answer = self.do_delete(request, &mut events);
        self.commit(events);
        answer.header = Some(self.header());
        Ok(answer)
    }

    pub(super) fn txn(&mut self, request: &TxnRequest) -> KvResult<TxnResponse> {
        check_txn(request)?;
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &request.success } else { &request.failure };
        for op in branch {
            if let Some(Op::RequestPut(put)) = &op.request {
                self.check_put(put)?;
            }
        }
        let mut events = Vec::new();
        let mut responses = Vec::new();
        for op in branch {
            let response = match op.request.as_ref().expect("checked by check_txn") {
                Op::RequestRange(range) => OpResponse::ResponseRange(self.range_within(range)?),
                Op::RequestPut(put) => OpResponse::ResponsePut(self.do_put(put, &mut events)),
                Op::RequestDeleteRange(delete) => {
                    OpResponse::ResponseDeleteRange(self.do_delete(delete, &mut events))
                }
                Op::RequestTxn(_) => unreachable!("refused by check_txn"),
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        self.commit(events);
        Ok(TxnResponse { header: Some(self.header()), succeeded, responses })
    }

    /// A range inside a transaction, which sees what the transaction has written so far.
    fn range_within(&mut self, request: &RangeRequest) -> KvResult<RangeResponse> {
        self.revision += 1;
        let answer = self.range(request);
        self.revision -= 1;
        answer
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut found = self.select(&compare.key, &compare.range_end, self.revision).peekable();
        if found.peek().is_none() {
            return compare.target() != CompareTarget::Value && relation(compare, &KeyValue::default());
        }
        found.all(|kv| relation(compare, kv))
    }

    fn check_put(&self, request: &PutRequest) -> KvResult<()> {
        if request.key.is_empty() {
            return Err(KvError::empty_key());
        }
        if request.ignore_value && !request.value.is_empty() {
            return Err(KvError::value_provided());
        }
        if request.ignore_lease && request.lease != 0 {
            return Err(KvError::lease_provided());
        }
        if (request.ignore_value || request.ignore_lease) && self.current(&request.key).is_none() {
            return Err(KvError::key_not_found());
        }
        if request.lease != 0 && !self.leases.contains_key(&request.lease) {
            return Err(KvError::lease_not_found());
        }
        Ok(())
    }

    fn do_put(&mut self, request: &PutRequest, events: &mut Vec<Event>) -> PutResponse {
        let revision = self.revision + 1;
        let before = self.current(&request.key).cloned();
        let old = before.clone().unwrap_or_default();
        let value = if request.ignore_value { old.value } else { request.value.clone() };
        let lease = if request.ignore_lease { old.lease } else { request.lease };
        let create_revision = if before.is_some() { old.create_revision } else { revision };
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision,
            mod_revision: revision,
            version: old.version + 1,
            value,
            lease,
        };
        self.attach(&request.key, old.lease, lease);
        self.rows.entry(request.key.clone()).or_default().push(kv.clone());
        let prev_kv = request.prev_kv.then(|| before.clone()).flatten();
        events.push(Event { r#type: EventType::Put as i32, kv: Some(kv), prev_kv: before });
        PutResponse { header: None, prev_kv }
    }

    fn do_delete(&mut self, request: &DeleteRangeRequest, events: &mut Vec<Event>) -> DeleteRangeResponse {
        let revision = self.revision + 1;
        let gone: Vec<KeyValue> = self.select(&request.key, &request.range_end, revision).cloned().collect();
        for before in &gone {
            let kv = KeyValue { key: before.key.clone(), mod_revision: revision, ..Default::default() };
            self.attach(&before.key, before.lease, 0);
            self.rows.entry(before.key.clone()).or_default().push(kv.clone());
            events.push(Event {
                r#type: EventType::Delete as i32,
                kv: Some(kv),
                prev_kv: Some(before.clone()),
            });
        }
        let deleted = gone.len() as i64;
        DeleteRangeResponse {
            header: None,
            deleted,
            prev_kvs: if request.prev_kv { gone } else { Vec::new() },
        }
    }

    fn attach(&mut self, key: &Bytes, from: i64, to: i64) {
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }

    fn commit(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.revision += 1;
        let revision = self.revision;
        assert!(events.iter().all(|event| event.kv.as_ref().is_some_and(|kv| kv.mod_revision == revision)));
        let header = self.header();
        self.streams.publish(header, &events);
        self.history.insert(revision, events);
    }

    pub(super) fn compact(&mut self, revision: i64) -> KvResult<CompactionResponse> {
        if revision > self.revision {
            return Err(KvError::future_revision());
        }
        if revision <= self.compacted {
            return Err(KvError::compacted());
        }
        self.compacted = revision;
        self.history = self.history.split_off(&revision);
        for row in self.rows.values_mut() {
            let kept = row.iter().rposition(|kv| kv.mod_revision <= revision).unwrap_or(0);
            row.drain(..kept);
        }
        self.rows.retain(|_, row| row.len() > 1 || row[0].version > 0 || row[0].mod_revision > revision);
        Ok(CompactionResponse { header: Some(self.header()) })
    }

    /// Time is at least `now`: ends leases whose time is over, each in a revision of its own.
    pub(super) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let over = self.leases.iter().filter(|(_, lease)| lease.ends <= self.now).map(|(id, _)| *id);
        for id in over.collect::<Vec<_>>() {
            self.lease_revoke(id).expect("the lease was there a moment ago");
        }
    }

    pub(super) fn lease_grant(&mut self, request: LeaseGrantRequest) -> KvResult<LeaseGrantResponse> {
        let id = if request.id != 0 { request.id } else { self.lease_last + 1 };
        if self.leases.contains_key(&id) {
            return Err(KvError::lease_exists());
        }
        self.lease_last = self.lease_last.max(id);
        let ttl = request.ttl.max(1);
        let lease = Lease { ttl, ends: self.now + seconds(ttl), keys: BTreeSet::new() };
        self.leases.insert(id, lease);
        Ok(LeaseGrantResponse { header: Some(self.header()), id, ttl, error: String::new() })
    }

    pub(super) fn lease_revoke(&mut self, id: i64) -> KvResult<LeaseRevokeResponse> {
        let lease = self.leases.remove(&id).ok_or_else(KvError::lease_not_found)?;
        let mut events = Vec::new();
        for key in lease.keys {
            self.do_delete(&DeleteRangeRequest { key, ..Default::default() }, &mut events);
        }
        self.commit(events);
        Ok(LeaseRevokeResponse { header: Some(self.header()) })
    }

    pub(super) fn lease_keep_alive(&mut self, id: i64) -> LeaseKeepAliveResponse {
        let (header, now) = (Some(self.header()), self.now);
        let ttl = self.leases.get_mut(&id).map_or(0, |lease| {
            lease.ends = now + seconds(lease.ttl);
            lease.ttl
        });
        LeaseKeepAliveResponse { header, id, ttl }
    }

    pub(super) fn lease_time_to_live(&self, request: LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse {
        let (header, id) = (Some(self.header()), request.id);
        let Some(lease) = self.leases.get(&id) else {
            return LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() };
        };
        let ttl = lease.ends.saturating_sub(self.now).as_secs() as i64;
        let keys = if request.keys { lease.keys.iter().cloned().collect() } else { Vec::new() };
        LeaseTimeToLiveResponse { header, id, ttl, granted_ttl: lease.ttl, keys }
    }

    pub(super) fn lease_leases(&self) -> LeaseLeasesResponse {
        let leases = self.leases.keys().map(|id| LeaseStatus { id: *id }).collect();
        LeaseLeasesResponse { header: Some(self.header()), leases }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).expect("a granted TTL is at least 1"))
}

fn is_within(kv: &KeyValue, request: &RangeRequest) -> bool {
    let within =
        |value: i64, least: i64, most: i64| (least == 0 || value >= least) && (most == 0 || value <= most);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

fn sort(kvs: &mut [KeyValue], order: SortOrder, target: SortTarget) {
    let by = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    match order {
        SortOrder::Descend => kvs.sort_by(|a, b| by(b, a)),
        SortOrder::None | SortOrder::Ascend => kvs.sort_by(by),
    }
}

/// etcd's rules for a transaction, nested ones aside, which this store does not take.
fn check_txn(request: &TxnRequest) -> KvResult<()> {
    let counts = [request.compare.len(), request.success.len(), request.failure.len()];
    if counts.iter().any(|count| *count > TXN_OPS_MOST) {
        return Err(KvError::too_many_ops());
    }
    for branch in [&request.success, &request.failure] {
        let (mut puts, mut deletes) = (BTreeSet::new(), Vec::new());
        for op in branch {
            match &op.request {
                Some(Op::RequestPut(put)) if !puts.insert(&put.key) => return Err(KvError::duplicate_key()),
                Some(Op::RequestPut(_) | Op::RequestRange(_)) => {}
                Some(Op::RequestDeleteRange(delete)) => deletes.push(delete),
                Some(Op::RequestTxn(_)) | None => {
                    return Err(KvError::new(
                        crate::Code::Unimplemented,
                        "MapKv takes no transaction within one",
                    ));
                }
            }
        }
        let both = |delete: &&DeleteRangeRequest| {
            puts.iter().any(|key| Watched::covers(&delete.key, &delete.range_end, key))
        };
        if deletes.iter().any(both) {
            return Err(KvError::duplicate_key());
        }
    }
    Ok(())
}

fn relation(compare: &Compare, kv: &KeyValue) -> bool {
    let number = |here: i64, there: i64| here.cmp(&there);
    let order = match (compare.target(), &compare.target_union) {
        (CompareTarget::Version, Some(TargetUnion::Version(there))) => number(kv.version, *there),
        (CompareTarget::Version, _) => number(kv.version, 0),
        (CompareTarget::Create, Some(TargetUnion::CreateRevision(there))) => {
            number(kv.create_revision, *there)
        }
        (CompareTarget::Create, _) => number(kv.create_revision, 0),
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(there))) => number(kv.mod_revision, *there),
        (CompareTarget::Mod, _) => number(kv.mod_revision, 0),
        (CompareTarget::Lease, Some(TargetUnion::Lease(there))) => number(kv.lease, *there),
        (CompareTarget::Lease, _) => number(kv.lease, 0),
        (CompareTarget::Value, Some(TargetUnion::Value(there))) => kv.value.cmp(there),
        (CompareTarget::Value, _) => kv.value.cmp(&Bytes::new()),
    };
    match compare.result() {
        CompareResult::Equal => order == Ordering::Equal,
        CompareResult::Greater => order == Ordering::Greater,
        CompareResult::Less => order == Ordering::Less,
        CompareResult::NotEqual => order != Ordering::Equal,
    }
}
