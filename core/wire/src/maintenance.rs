//! The messages of `etcdserverpb.Maintenance`: the state of one member, and what an operator does to it.
//!
//! Everything but alarms and downgrades concerns only the member that is asked.

use bytes::Bytes;
use kernel::types::ResponseHeader;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AlarmType {
    /// None in particular: in a request, all.
    None = 0,
    /// The space quota is exhausted.
    Nospace = 1,
    /// The replicas differ.
    Corrupt = 2,
}

/// What is done to alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AlarmAction {
    /// List those raised.
    Get = 0,
    /// Raise one.
    Activate = 1,
    /// Clear those that match.
    Deactivate = 2,
}

/// Lists, raises or clears alarms.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AlarmRequest {
    /// What to do.
    #[prost(enumeration = "AlarmAction", tag = "1")]
    pub action: i32,
    /// The member concerned; 0 for all.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// The kind concerned.
    #[prost(enumeration = "AlarmType", tag = "3")]
    pub alarm: i32,
}

/// One raised alarm.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AlarmMember {
    /// The member that it concerns.
    #[prost(uint64, tag = "1")]
    pub member_id: u64,
    /// Its kind.
    #[prost(enumeration = "AlarmType", tag = "2")]
    pub alarm: i32,
}

/// Answer to an alarm request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlarmResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The alarms listed, raised or cleared.
    #[prost(message, repeated, tag = "2")]
    pub alarms: Vec<AlarmMember>,
}

/// Asks for the state of this member.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StatusRequest {}

/// The state of one member.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The server version that it speaks for, as semver.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Bytes that its store takes on disk.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// Whom it believes to lead; 0 for nobody.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// Its committed raft index.
    #[prost(uint64, tag = "5")]
    pub raft_index: u64,
    /// Its raft term.
    #[prost(uint64, tag = "6")]
    pub raft_term: u64,
    /// Its applied raft index.
    #[prost(uint64, tag = "7")]
    pub raft_applied_index: u64,
    /// What is wrong with it: alarms, no leader.
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    /// Bytes of `db_size` that hold data.
    #[prost(int64, tag = "9")]
    pub db_size_in_use: i64,
    /// It does not vote.
    #[prost(bool, tag = "10")]
    pub is_learner: bool,
    /// The version of its storage format (3.6).
    #[prost(string, tag = "11")]
    pub storage_version: String,
    /// The space quota in bytes (3.6).
    #[prost(int64, tag = "12")]
    pub db_size_quota: i64,
    /// The downgrade under way (3.6).
    #[prost(message, optional, tag = "13")]
    pub downgrade_info: Option<DowngradeInfo>,
}

/// A downgrade under way.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DowngradeInfo {
    /// Whether there is one.
    #[prost(bool, tag = "1")]
    pub enabled: bool,
    /// Where it leads.
    #[prost(string, tag = "2")]
    pub target_version: String,
}

/// Gives free space of the store back to the file system.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DefragmentRequest {}

/// Answer to a defragmentation.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DefragmentResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for a hash over the whole store; for tests.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HashRequest {}

/// Answer to a hash.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HashResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The hash.
    #[prost(uint32, tag = "2")]
    pub hash: u32,
}

/// Asks for a hash over the keys up to a revision.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HashKvRequest {
    /// The last revision included; 0 for the newest.
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

/// Answer to a hash of keys.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HashKvResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// CRC-32C over the revisions and key-values kept.
    #[prost(uint32, tag = "2")]
    pub hash: u32,
    /// The compacted revision that it starts from.
    #[prost(int64, tag = "3")]
    pub compact_revision: i64,
    /// The revision that it ends at (3.6).
    #[prost(int64, tag = "4")]
    pub hash_revision: i64,
}

/// Asks for the whole store as a stream.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SnapshotRequest {}

/// One part of a snapshot.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Bytes that follow this part.
    #[prost(uint64, tag = "2")]
    pub remaining_bytes: u64,
    /// The part; the last is the SHA-256 over all others.
    #[prost(bytes = "bytes", tag = "3")]
    pub blob: Bytes,
    /// The server version that wrote it (3.6).
    #[prost(string, tag = "4")]
    pub version: String,
}

/// Hands leadership on; to be sent to the leader.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct MoveLeaderRequest {
    /// Who leads next.
    #[prost(uint64, tag = "1")]
    pub target_id: u64,
}

/// Answer to a move of leadership.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct MoveLeaderResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// What is done about a downgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DowngradeAction {
    /// Say whether it would be possible.
    Validate = 0,
    /// Start it.
    Enable = 1,
    /// Stop the one under way.
    Cancel = 2,
}

/// Prepares the cluster for an older version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DowngradeRequest {
    /// What to do.
    #[prost(enumeration = "DowngradeAction", tag = "1")]
    pub action: i32,
    /// The version to go to.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Answer to a downgrade request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DowngradeResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The present cluster version.
    #[prost(string, tag = "2")]
    pub version: String,
}
