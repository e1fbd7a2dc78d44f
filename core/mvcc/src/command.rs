//! What the log asks of the state, and what the state answers.
//!
//! Commands carry the public API's own request types, so that a request is decoded once at the edge and encoded once into the
//! log. Whatever the server chooses (a lease id, an effective TTL) is filled in before a command is made: applying
//! it must not depend on which member does so.

use bytes::Bytes;
use kernel::KvError;
use kernel::lease::*;
use kernel::txn::{Op, RequestOp, TxnRequest, TxnResponse};
use kernel::types::*;
use kernel::watch::Event;
use prost::DecodeError;

/// Bytes that a put costs beyond its key and value, for the quota.
const PUT_COST: usize = 256;
/// Bytes that a lease costs, for the quota.
const LEASE_COST: usize = 64;

/// One change of the state, as it stands in the log. Field numbers are part of the log's format.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Command {
    /// Writes a key.
    #[prost(message, tag = "1")]
    Put(PutRequest),
    /// Deletes keys.
    #[prost(message, tag = "2")]
    DeleteRange(DeleteRangeRequest),
    /// Several operations at one revision.
    #[prost(message, tag = "3")]
    Txn(TxnRequest),
    /// Drops history.
    #[prost(message, tag = "4")]
    Compact(CompactionRequest),
    /// Makes a lease; the id must have been chosen.
    #[prost(message, tag = "5")]
    LeaseGrant(LeaseGrantRequest),
    /// Ends a lease and deletes its keys.
    #[prost(message, tag = "6")]
    LeaseRevoke(LeaseRevokeRequest),
}

/// The frame that gives a oneof its encoding.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(oneof = "Command", tags = "1, 2, 3, 4, 5, 6")]
    command: Option<Command>,
}

impl Command {
    /// A grant of lease `id` (not 0) for `ttl` seconds.
    pub fn lease_grant(id: i64, ttl: i64) -> Self {
        Command::LeaseGrant(LeaseGrantRequest { id, ttl })
    }

    /// The end of lease `id`.
    pub fn lease_revoke(id: i64) -> Self {
        Command::LeaseRevoke(LeaseRevokeRequest { id })
    }

    /// The command's encoding in the log.
    pub fn encode_to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.encode(&mut bytes);
        bytes
    }

    /// Reads what [`Command::encode_to_vec`] wrote; keys and values are slices of `bytes`. An unknown kind of command is an
    /// error, because skipping it would make this replica differ from those that know it.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let envelope = <Envelope as prost::Message>::decode(bytes)?;
        envelope.command.ok_or_else(|| {
            #[expect(deprecated, reason = "the only way to make one, for a message of ours")]
            DecodeError::new("a command of a kind that this version does not know")
        })
    }

    /// What the command may add to the state, in bytes: what a quota is held against.
    pub fn cost(&self) -> usize {
        match self {
            Command::Put(put) => put_cost(put),
            Command::Txn(txn) => txn_cost(txn),
            Command::LeaseGrant(_) => LEASE_COST,
            Command::DeleteRange(_) | Command::Compact(_) | Command::LeaseRevoke(_) => 0,
        }
    }
}

fn put_cost(put: &PutRequest) -> usize {
    PUT_COST + put.key.len() + put.value.len()
}

fn txn_cost(txn: &TxnRequest) -> usize {
    let branch = |ops: &[RequestOp]| ops.iter().map(op_cost).sum::<usize>();
    branch(&txn.success).max(branch(&txn.failure))
}

fn op_cost(op: &RequestOp) -> usize {
    match &op.request {
        Some(Op::RequestPut(put)) => put_cost(put),
        Some(Op::RequestTxn(txn)) => txn_cost(txn),
        _ => 0,
    }
}

/// The answer to a command. Headers carry the revision only; cluster, member and term are filled in above.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Response {
    /// To an entry that asks nothing, or that this state had applied before.
    #[default]
    None,
    /// To a put.
    Put(PutResponse),
    /// To a delete.
    DeleteRange(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a compaction.
    Compact(CompactionResponse),
    /// To a grant.
    LeaseGrant(LeaseGrantResponse),
    /// To a revoke.
    LeaseRevoke(LeaseRevokeResponse),
}

/// What applying one command came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The client's answer. An error here is part of the state machine: every replica gives the same one, and nothing but the
    /// applied index has changed.
    pub result: Result<Response, KvError>,
    /// The store's revision afterwards.
    pub revision: i64,
    /// The changes, in the order of their sub-revisions; all of them are of `revision`. `prev_kv` is not filled: ask
    /// [`Store::prev_kv`](crate::Store::prev_kv) where somebody wants it.
    pub events: Vec<Event>,
}
