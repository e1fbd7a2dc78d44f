//! The messages of `etcdserverpb.Cluster`: who belongs to the cluster, and changes of that.
//!
//! Member ids are never reused. A member that was added but has not started yet has an empty name and no client URLs.

use kernel::types::ResponseHeader;

/// One member.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Member {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name; empty until it has started.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Where the other members reach it.
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    /// It receives the log but does not vote.
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

/// Adds a member.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberAddRequest {
    /// Where the others will reach it.
    #[prost(string, repeated, tag = "1")]
    pub peer_urls: Vec<String>,
    /// As a learner.
    #[prost(bool, tag = "2")]
    pub is_learner: bool,
}

/// Answer to an addition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberAddResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The new member.
    #[prost(message, optional, tag = "2")]
    pub member: Option<Member>,
    /// All members afterwards, by id.
    #[prost(message, repeated, tag = "3")]
    pub members: Vec<Member>,
}

/// Removes a member, for ever.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct MemberRemoveRequest {
    /// The member.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// Answer to a removal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberRemoveResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All members afterwards, by id.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Changes where a member is reached.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberUpdateRequest {
    /// The member.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// All of its new peer URLs.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
}

/// Answer to an update.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberUpdateResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All members afterwards, by id.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Asks who the members are.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct MemberListRequest {
    /// Confirm with a quorum first; otherwise what this member knows.
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

/// Answer to a list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberListResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The members, by id.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Makes a learner a voter.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct MemberPromoteRequest {
    /// The learner.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// Answer to a promotion.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemberPromoteResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All members afterwards, by id.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}
