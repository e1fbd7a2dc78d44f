//! From a deed of the plan to a request, given what the client knows.
//!
//! The plan says "read three revisions back" or "write if unchanged"; which revision that is depends on what the
//! client has seen. Each client keeps that in a [`Knowledge`], and [`call_of`] turns a deed into the request, pure and
//! without a choice of its own.

use crate::history::*;
use crate::plan::{Deed, Only, key_name};
use bytes::Bytes;
use kernel::lease::*;
use kernel::txn::*;
use kernel::types::*;
use kernel::watch::{Filter, WatchCreateRequest};
use std::collections::BTreeMap;

/// What one client has learned from answers.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    newest: i64,
    seen: BTreeMap<Bytes, i64>,
}

impl Knowledge {
    /// The newest revision that any answer named, at least 1.
    pub fn newest(&self) -> i64 {
        self.newest.max(1)
    }

    /// Learns from the answer to `call`.
    pub fn learn(&mut self, call: &Call, reply: &Reply) {
        self.newest = self.newest.max(reply.revision());
        match (call, reply) {
            (Call::Put(put), _) => {
                self.seen.insert(put.key.clone(), reply.revision());
            }
            (_, Reply::Range(range)) => self.see(&range.kvs),
            (_, Reply::Txn(txn)) => {
                for response in &txn.responses {
                    if let Some(OpResponse::ResponseRange(range)) = &response.response {
                        self.see(&range.kvs);
                    }
                }
            }
            _ => {}
        }
    }

    fn see(&mut self, kvs: &[KeyValue]) {
        for kv in kvs {
            self.seen.insert(kv.key.clone(), kv.mod_revision);
        }
    }

    fn back(&self, back: u16) -> i64 {
        (self.newest() - i64::from(back)).max(1)
    }
}

fn key(number: u8) -> Bytes {
    key_name(number).into()
}

/// The end of a range that holds key number `last`, and carries `tag`.
fn end(last: u8, tag: Tag) -> Bytes {
    tagged_end(&key_name(last), tag)
}

fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// The request of a deed; `None` for a watch, which is not a call.
pub fn call_of(tag: Tag, deed: &Deed, known: &Knowledge) -> Option<Call> {
    Some(match *deed {
        Deed::Put { key: number, size, lease, prev } => Call::Put(PutRequest {
            key: key(number),
            value: tagged_value(tag, size.into()),
            lease: lease.into(),
            prev_kv: prev,
            ..Default::default()
        }),
        Deed::Get { key: first, last, back, limit, stale } => Call::Range(RangeRequest {
            key: key(first),
            range_end: if first == last { Bytes::new() } else { end(last, tag) },
            limit: limit.into(),
            revision: if back == 0 { 0 } else { known.back(back) },
            serializable: stale,
            ..Default::default()
        }),
        // Half of the single deletes are plain, as real ones are; the others carry their tag.
        Deed::Delete { key: first, last, prev } => Call::Delete(DeleteRangeRequest {
            key: key(first),
            range_end: if first == last && tag.is_multiple_of(2) { Bytes::new() } else { end(last, tag) },
            prev_kv: prev,
        }),
        Deed::Cas { key: number } => Call::Txn(cas(tag, key(number), known)),
        Deed::Txn { key: first, inner } => Call::Txn(three_keys(tag, first, inner)),
        Deed::Compact { back, physical } => {
            Call::Compact(CompactionRequest { revision: known.back(back), physical })
        }
        Deed::Grant { ttl } => Call::Grant(LeaseGrantRequest { ttl: ttl.into(), id: tag.into() }),
        Deed::KeepAlive { lease } => Call::KeepAlive(LeaseKeepAliveRequest { id: lease.into() }),
        Deed::Revoke { lease } => Call::Revoke(LeaseRevokeRequest { id: lease.into() }),
        Deed::Watch { .. } => return None,
    })
}

fn cas(tag: Tag, key: Bytes, known: &Knowledge) -> TxnRequest {
    let unchanged = Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Mod as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(known.seen.get(&key).copied().unwrap_or(0))),
        ..Default::default()
    };
    let put = PutRequest { key: key.clone(), value: tagged_value(tag, 8), ..Default::default() };
    let get = RangeRequest { key, ..Default::default() };
    TxnRequest {
        compare: vec![unchanged],
        success: vec![op(Op::RequestPut(put))],
        failure: vec![op(Op::RequestRange(get))],
    }
}

fn three_keys(tag: Tag, first: u8, inner: bool) -> TxnRequest {
    let third = first.saturating_add(2);
    let put = |number: u8| {
        let value = tagged_value(tag, 8);
        op(Op::RequestPut(PutRequest { key: key(number), value, prev_kv: true, ..Default::default() }))
    };
    let delete = DeleteRangeRequest { key: key(third), range_end: end(third, tag), prev_kv: true };
    let all = RangeRequest { key: key(first), range_end: end(third, tag), ..Default::default() };
    let second = first.saturating_add(1);
    let mut steps = vec![put(first), op(Op::RequestRange(all.clone()))];
    if inner {
        // Half of them ask for the key that the transaction itself has just put: what counts is what was before.
        let judged = if tag.is_multiple_of(2) { first } else { second };
        let exists = Compare {
            result: CompareResult::Greater as i32,
            target: CompareTarget::Version as i32,
            key: key(judged),
            target_union: Some(TargetUnion::Version(0)),
            ..Default::default()
        };
        let within = TxnRequest {
            compare: vec![exists],
            success: vec![put(second)],
            failure: vec![op(Op::RequestRange(all.clone()))],
        };
        steps.push(op(Op::RequestTxn(within)));
    } else {
        steps.push(put(second));
    }
    steps.extend([op(Op::RequestDeleteRange(delete)), op(Op::RequestRange(all))]);
    TxnRequest { compare: Vec::new(), success: steps, failure: Vec::new() }
}

/// The request for a watcher of keys `first` to `last` from `start_revision`.
pub fn watch_of(first: u8, last: u8, start_revision: i64, prev_kv: bool, only: Only) -> WatchCreateRequest {
    let unwanted = match only {
        Only::All => None,
        Only::Puts => Some(Filter::NoDelete),
        Only::Deletes => Some(Filter::NoPut),
    };
    WatchCreateRequest {
        key: key(first),
        range_end: if first == last { Bytes::new() } else { end(last, 0) },
        start_revision,
        prev_kv,
        filters: unwanted.map(|kind| kind as i32).into_iter().collect(),
        progress_notify: true,
        ..Default::default()
    }
}

/// The revision at which a watcher of the plan starts, from its `from`.
pub fn start_of(from: i16, known: &Knowledge) -> i64 {
    if from == 0 { 0 } else { (known.newest() + i64::from(from)).max(1) }
}
