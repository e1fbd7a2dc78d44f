//! What the clients saw: each call with its times, its request and its outcome.
//!
//! The history is all that a black-box checker may use, and half of what the replay checker uses (the other half is
//! the log of applied commands). Times are world time, which no member
//! can read: real-time order is judged by it.
//!
//! Every write carries a *tag*, the number of its operation in the plan, inside of something that the store must keep:
//! a put in the first eight bytes of its value, a range delete behind `~` in its `range_end`, a grant as its lease id.
//! So a write with an unknown outcome is settled by looking for its tag in the log.

use crate::plan::Only;
use bytes::Bytes;
use kernel::KvError;
use kernel::lease::*;
use kernel::txn::{Op, RequestOp, TxnRequest, TxnResponse};
use kernel::types::*;
use kernel::watch::WatchResponse;
use std::time::Duration;

/// The number of an operation in its plan; never 0.
pub type Tag = u32;

/// A request, as it left the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// A read.
    Range(RangeRequest),
    /// A write.
    Put(PutRequest),
    /// A delete.
    Delete(DeleteRangeRequest),
    /// A transaction.
    Txn(TxnRequest),
    /// A compaction.
    Compact(CompactionRequest),
    /// A grant of a lease.
    Grant(LeaseGrantRequest),
    /// The end of a lease.
    Revoke(LeaseRevokeRequest),
    /// A renewal.
    KeepAlive(LeaseKeepAliveRequest),
}

/// The answer to a [`Call`], of the same kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a read.
    Range(RangeResponse),
    /// To a write.
    Put(PutResponse),
    /// To a delete.
    Delete(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a compaction.
    Compact(CompactionResponse),
    /// To a grant.
    Grant(LeaseGrantResponse),
    /// To the end of a lease.
    Revoke(LeaseRevokeResponse),
    /// To a renewal.
    KeepAlive(LeaseKeepAliveResponse),
}

impl Reply {
    /// The revision in the header; 0 where the header is missing.
    pub fn revision(&self) -> i64 {
        let header = match self {
            Reply::Range(r) => r.header,
            Reply::Put(r) => r.header,
            Reply::Delete(r) => r.header,
            Reply::Txn(r) => r.header,
            Reply::Compact(r) => r.header,
            Reply::Grant(r) => r.header,
            Reply::Revoke(r) => r.header,
            Reply::KeepAlive(r) => r.header,
        };
        header.map_or(0, |header| header.revision)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Answered.
    Ok(Reply),
    /// Certainly without effect.
    Refused(KvError),
    /// No answer, or an error that leaves the effect open.
    Unknown,
}

/// One call of one client.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its number in the plan.
    pub tag: Tag,
    /// The client.
    pub client: u64,
    /// The member that was asked.
    pub member: u64,
    /// When it left the client, in world time.
    pub invoked: Duration,
    /// When the answer was there; for an unknown outcome, when the client gave up.
    pub returned: Duration,
    /// The request.
    pub call: Call,
    /// The outcome.
    pub outcome: Outcome,
}

impl Operation {
    /// Whether it changes nothing and needs no log entry.
    pub fn is_read(&self) -> bool {
        match &self.call {
            Call::Range(_) | Call::KeepAlive(_) => true,
            Call::Txn(txn) => is_read_only(txn),
            _ => false,
        }
    }

    /// Whether a stale answer is allowed.
    pub fn may_be_stale(&self) -> bool {
        match &self.call {
            Call::Range(request) => request.serializable,
            Call::KeepAlive(_) => true,
            Call::Txn(txn) => is_read_only(txn) && ranges(txn).all(|range| range.serializable),
            _ => false,
        }
    }
}

fn branches(txn: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    txn.success.iter().chain(&txn.failure)
}

fn ranges(txn: &TxnRequest) -> impl Iterator<Item = &RangeRequest> {
    branches(txn).filter_map(|operation| match &operation.request {
        Some(Op::RequestRange(range)) => Some(range),
        _ => None,
    })
}

fn is_read_only(txn: &TxnRequest) -> bool {
    branches(txn).all(|operation| matches!(operation.request, Some(Op::RequestRange(_))))
}

/// A stretch of one watcher's life: from one creation on one member to the end of that stream.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchSpan {
    /// The member that served it.
    pub member: u64,
    /// When it was asked for.
    pub invoked: Duration,
    /// The `start_revision` that was asked for.
    pub start_revision: i64,
    /// What arrived, with its time, in order.
    pub responses: Vec<(Duration, WatchResponse)>,
}

/// A watcher, over all of its reconnections.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchRecord {
    /// Its number in the plan.
    pub tag: Tag,
    /// First key.
    pub key: Bytes,
    /// First key beyond the range, empty for one key.
    pub range_end: Bytes,
    /// Which events were asked for.
    pub only: Only,
    /// Whether previous values were asked for.
    pub prev_kv: bool,
    /// Whether it was still reading when the run ended.
    pub open: bool,
    /// Its stretches.
    pub spans: Vec<WatchSpan>,
}

/// All that the clients of one run saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Calls, in the order in which they ended.
    pub operations: Vec<Operation>,
    /// Watchers, by tag.
    pub watches: Vec<WatchRecord>,
}

/// The value that a put with `tag` writes: eight hexadecimal digits, then padding up to `size` bytes.
pub fn tagged_value(tag: Tag, size: usize) -> Bytes {
    let mut value = format!("{tag:08x}").into_bytes();
    value.resize(size.max(8), b'.');
    value.into()
}

/// The end of a range that holds `last` and nothing behind it, carrying `tag`.
pub fn tagged_end(last: &str, tag: Tag) -> Bytes {
    format!("{last}~{tag:08x}").into()
}

fn hex(bytes: &[u8]) -> Option<Tag> {
    Tag::from_str_radix(std::str::from_utf8(bytes.get(..8)?).ok()?, 16).ok()
}

/// The tag that a put's value carries.
pub fn tag_of_value(value: &[u8]) -> Option<Tag> {
    hex(value)
}

/// The tag that a range's end carries.
pub fn tag_of_end(end: &[u8]) -> Option<Tag> {
    hex(&end[end.iter().position(|byte| *byte == b'~')? + 1..])
}

/// Whether clients of a plan use `key`. What else stands in the store (fleet's units, flannel's leases) has paths for keys, and values
/// that may look like a tag.
pub fn is_of_clients(key: &[u8]) -> bool {
    !key.starts_with(b"/")
}

/// The tag of a transaction: that of the first write in it that carries one.
pub fn tag_of_txn(txn: &TxnRequest) -> Option<Tag> {
    branches(txn).find_map(|operation| match operation.request.as_ref()? {
        Op::RequestPut(put) if is_of_clients(&put.key) => tag_of_value(&put.value),
        Op::RequestDeleteRange(delete) if is_of_clients(&delete.key) => tag_of_end(&delete.range_end),
        Op::RequestTxn(inner) => tag_of_txn(inner),
        _ => None,
    })
}
