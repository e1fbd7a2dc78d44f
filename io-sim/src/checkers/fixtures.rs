//! Short ways to write requests, histories and logs in the checkers' tests.

use super::logs::Applied;
use super::model::Model;
use super::replay::{Command, Replay};
use crate::history::*;
use bytes::Bytes;
use kernel::lease::*;
use kernel::txn::{Op, RequestOp};
use kernel::types::*;
use std::time::Duration;

pub fn put(key: &'static str, value: &str, lease: i64) -> Call {
    Call::Put(PutRequest {
        key: key.into(),
        value: Bytes::from(value.to_string()),
        lease,
        ..Default::default()
    })
}

pub fn tagged_put(key: &'static str, tag: Tag) -> Call {
    Call::Put(PutRequest { key: key.into(), value: tagged_value(tag, 8), ..Default::default() })
}

pub fn get(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..Default::default() }
}

pub fn delete(key: &'static str) -> Call {
    Call::Delete(DeleteRangeRequest { key: key.into(), ..Default::default() })
}

pub fn grant(id: i64, ttl: i64) -> Call {
    Call::Grant(LeaseGrantRequest { id, ttl })
}

pub fn revoke(id: i64) -> Call {
    Call::Revoke(LeaseRevokeRequest { id })
}

pub fn op(call: &Call) -> RequestOp {
    let request = match call.clone() {
        Call::Put(put) => Op::RequestPut(put),
        Call::Delete(delete) => Op::RequestDeleteRange(delete),
        Call::Range(range) => Op::RequestRange(range),
        Call::Txn(txn) => Op::RequestTxn(txn),
        other => panic!("{other:?} does not go into a transaction"),
    };
    RequestOp { request: Some(request) }
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A log that applies `calls` one after the other, at the times given with them in milliseconds.
pub fn replay_of(calls: &[(u64, Call)]) -> Replay {
    let mut model = Model::new();
    let log: Vec<_> = calls
        .iter()
        .zip(1..)
        .map(|((at, call), index)| {
            let _ = model.apply(call);
            let applied =
                Applied { index, term: 1, command: Bytes::new(), state_hash: 0, revision: model.revision() };
            (ms(*at), applied)
        })
        .collect();
    let mut commands = calls.iter().map(|(_, call)| call.clone());
    Replay::new(&log, |_| Ok(commands.next().map(Command::Call).expect("one a log entry")))
        .expect("it is consistent")
}

/// An operation from `invoked` to `returned`, in milliseconds.
pub fn operation(tag: Tag, invoked: u64, returned: u64, call: Call, outcome: Outcome) -> Operation {
    Operation { tag, client: 1, member: 1, invoked: ms(invoked), returned: ms(returned), call, outcome }
}
