//! Transactions, as etcd's v3 API defines them.

use crate::types::*;
use bytes::Bytes;

/// How a compare relates the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// Equal.
    Equal = 0,
    /// The key's side is greater.
    Greater = 1,
    /// The key's side is less.
    Less = 2,
    /// Not equal.
    NotEqual = 3,
}

/// Which property of a key a compare looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareTarget {
    /// The version.
    Version = 0,
    /// The create revision.
    Create = 1,
    /// The mod revision.
    Mod = 2,
    /// The value.
    Value = 3,
    /// The lease.
    Lease = 4,
}

/// The other side of a compare.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TargetUnion {
    /// A version.
    #[prost(int64, tag = "4")]
    Version(i64),
    /// A create revision.
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    /// A mod revision.
    #[prost(int64, tag = "6")]
    ModRevision(i64),
    /// A value.
    #[prost(bytes = "bytes", tag = "7")]
    Value(Bytes),
    /// A lease.
    #[prost(int64, tag = "8")]
    Lease(i64),
}

/// One condition of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compare {
    /// The relation.
    #[prost(enumeration = "CompareResult", tag = "1")]
    pub result: i32,
    /// The property.
    #[prost(enumeration = "CompareTarget", tag = "2")]
    pub target: i32,
    /// The key, or the first of a range.
    #[prost(bytes = "bytes", tag = "3")]
    pub key: Bytes,
    /// The other side.
    #[prost(oneof = "TargetUnion", tags = "4, 5, 6, 7, 8")]
    pub target_union: Option<TargetUnion>,
    /// As in [`RangeRequest::range_end`]: every key of the range must satisfy the relation.
    #[prost(bytes = "bytes", tag = "64")]
    pub range_end: Bytes,
}

/// One operation of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestOp {
    /// The operation.
    #[prost(oneof = "Op", tags = "1, 2, 3, 4")]
    pub request: Option<Op>,
}

/// The kinds of operation.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Op {
    /// A range.
    #[prost(message, tag = "1")]
    RequestRange(RangeRequest),
    /// A put.
    #[prost(message, tag = "2")]
    RequestPut(PutRequest),
    /// A delete.
    #[prost(message, tag = "3")]
    RequestDeleteRange(DeleteRangeRequest),
    /// A transaction within.
    #[prost(message, tag = "4")]
    RequestTxn(TxnRequest),
}

/// If all of `compare` hold, do `success`, else do `failure`: at one revision.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnRequest {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// Done when they hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    /// Done when they do not.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

/// The answer to one operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResponseOp {
    /// The answer.
    #[prost(oneof = "OpResponse", tags = "1, 2, 3, 4")]
    pub response: Option<OpResponse>,
}

/// The kinds of answer.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OpResponse {
    /// Of a range.
    #[prost(message, tag = "1")]
    ResponseRange(RangeResponse),
    /// Of a put.
    #[prost(message, tag = "2")]
    ResponsePut(PutResponse),
    /// Of a delete.
    #[prost(message, tag = "3")]
    ResponseDeleteRange(DeleteRangeResponse),
    /// Of a transaction within.
    #[prost(message, tag = "4")]
    ResponseTxn(TxnResponse),
}

/// Answer to a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether the conditions held.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// One answer for each operation done, in order.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}
