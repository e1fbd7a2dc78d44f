//! Leases, as etcd's v3 API defines them. All TTLs are in seconds.

use crate::types::ResponseHeader;
use bytes::Bytes;

/// Asks for a lease.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseGrantRequest {
    /// Seconds without renewal until it expires.
    #[prost(int64, tag = "1")]
    pub ttl: i64,
    /// The id wanted, 0 to let the server choose.
    #[prost(int64, tag = "2")]
    pub id: i64,
}

/// Answer to a grant.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseGrantResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// The TTL that the server chose, in seconds.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// Unused; kept for the wire.
    #[prost(string, tag = "4")]
    pub error: String,
}

/// Ends a lease and deletes its keys.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseRevokeRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Answer to a revoke.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseRevokeResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Renews a lease.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseKeepAliveRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Answer to a renewal.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseKeepAliveResponse {
    /// Header, filled before the renewal.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// The new TTL; 0 when the lease does not exist.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// Asks how long a lease has to live.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseTimeToLiveRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Return its keys too.
    #[prost(bool, tag = "2")]
    pub keys: bool,
}

/// Answer to a time to live.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseTimeToLiveResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds left; -1 when the lease does not exist.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// The TTL granted.
    #[prost(int64, tag = "4")]
    pub granted_ttl: i64,
    /// Its keys, sorted, if asked for.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub keys: Vec<Bytes>,
}

/// Asks for all leases.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseLeasesRequest {}

/// One lease in a list.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseStatus {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Answer to a list of leases.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseLeasesResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The leases, by id.
    #[prost(message, repeated, tag = "2")]
    pub leases: Vec<LeaseStatus>,
}
