//! What the tests of the whole state share: a disk in memory, short ways to write commands, and a model.
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod disk;
pub mod model;

use bytes::Bytes;
use disk::MemDisk;
use kernel::txn::*;
use kernel::types::*;
use mvcc::{Applied, Command, Options, Store};
use std::sync::Arc;

/// Where the state lies on a test's disk.
pub const PATH: &str = "state/db";

pub fn open(disk: &Arc<MemDisk>) -> Store {
    open_with(disk, Options { cache_bytes: 1 << 20, ..Options::default() })
}

pub fn open_with(disk: &Arc<MemDisk>, options: Options) -> Store {
    Store::open(disk.clone(), PATH, options).unwrap()
}

/// Applies the next entry.
pub fn next(store: &Store, command: &Command) -> Applied {
    store.apply(store.applied() + 1, 1, command).unwrap()
}

pub fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn put_request(k: &str, v: &str) -> PutRequest {
    PutRequest { key: key(k), value: key(v), ..Default::default() }
}

pub fn put(k: &str, v: &str) -> Command {
    Command::Put(put_request(k, v))
}

pub fn put_leased(k: &str, v: &str, lease: i64) -> Command {
    Command::Put(PutRequest { lease, ..put_request(k, v) })
}

pub fn delete_request(k: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key(k), range_end: key(end), prev_kv: false }
}

pub fn delete(k: &str, end: &str) -> Command {
    Command::DeleteRange(delete_request(k, end))
}

pub fn compact(revision: i64) -> Command {
    Command::Compact(CompactionRequest { revision, physical: false })
}

pub fn get_request(k: &str, end: &str) -> RangeRequest {
    RangeRequest { key: key(k), range_end: key(end), ..Default::default() }
}

/// Every key.
pub fn all() -> RangeRequest {
    get_request("\0", "\0")
}

pub fn op_put(k: &str, v: &str) -> RequestOp {
    RequestOp { request: Some(Op::RequestPut(put_request(k, v))) }
}

pub fn op_get(k: &str, end: &str) -> RequestOp {
    RequestOp { request: Some(Op::RequestRange(get_request(k, end))) }
}

pub fn op_delete(k: &str, end: &str) -> RequestOp {
    RequestOp { request: Some(Op::RequestDeleteRange(delete_request(k, end))) }
}

pub fn op_txn(txn: TxnRequest) -> RequestOp {
    RequestOp { request: Some(Op::RequestTxn(txn)) }
}

pub fn condition(k: &str, target: CompareTarget, result: CompareResult, side: TargetUnion) -> Compare {
    Compare {
        result: result as i32,
        target: target as i32,
        key: key(k),
        target_union: Some(side),
        range_end: Bytes::new(),
    }
}

pub fn value_is(k: &str, v: &str) -> Compare {
    condition(k, CompareTarget::Value, CompareResult::Equal, TargetUnion::Value(key(v)))
}

pub fn version_is(k: &str, version: i64) -> Compare {
    condition(k, CompareTarget::Version, CompareResult::Equal, TargetUnion::Version(version))
}

/// Flushes until nothing is left to be done.
pub fn settle(store: &Store) {
    while let Some(flush) = store.flush_now() {
        flush.run().unwrap();
    }
}
