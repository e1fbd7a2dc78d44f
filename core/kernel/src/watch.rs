//! Watches, as etcd's v3 API defines them.

use crate::types::{KeyValue, ResponseHeader};
use bytes::Bytes;

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// A key was written.
    Put = 0,
    /// A key was deleted.
    Delete = 1,
}

/// One change of one key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// What happened.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// The key after it; for a delete only `key` and `mod_revision` are set.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
    /// The key before it, if asked for and not compacted.
    #[prost(message, optional, tag = "3")]
    pub prev_kv: Option<KeyValue>,
}

/// Events that a watcher does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Filter {
    /// No puts.
    NoPut = 0,
    /// No deletes.
    NoDelete = 1,
}

/// A message from the watching side.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    /// What is asked.
    #[prost(oneof = "WatchRequestUnion", tags = "1, 2, 3")]
    pub request_union: Option<WatchRequestUnion>,
}

/// The kinds of message from the watching side.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WatchRequestUnion {
    /// A new watcher on this stream.
    #[prost(message, tag = "1")]
    CreateRequest(WatchCreateRequest),
    /// Ends a watcher.
    #[prost(message, tag = "2")]
    CancelRequest(WatchCancelRequest),
    /// Asks for the revision up to which the whole stream is complete.
    #[prost(message, tag = "3")]
    ProgressRequest(WatchProgressRequest),
}

/// Asks for a watcher.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchCreateRequest {
    /// First key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// As in [`RangeRequest::range_end`](crate::types::RangeRequest::range_end).
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// First revision wanted; 0 for from now.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Send empty responses now and then while nothing happens.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// Events not wanted.
    #[prost(enumeration = "Filter", repeated, tag = "5")]
    pub filters: Vec<i32>,
    /// Return what was there before each event.
    #[prost(bool, tag = "6")]
    pub prev_kv: bool,
    /// The id wanted, 0 to let the server choose.
    #[prost(int64, tag = "7")]
    pub watch_id: i64,
    /// Large responses may be cut into parts.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// Ends a watcher.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WatchCancelRequest {
    /// The watcher.
    #[prost(int64, tag = "1")]
    pub watch_id: i64,
}

/// Asks for progress.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WatchProgressRequest {}

/// A message to the watching side.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The watcher; -1 for the answer to a progress request.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// The watcher was made.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// The watcher has ended.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// The compacted revision, when that is why it ended.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why it ended.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More parts of this response follow.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// The events: all of each revision that is in it, unless cut into parts.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}
