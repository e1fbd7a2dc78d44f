//! What a caller of the store is told when a call fails: etcd's codes and texts, to the letter, because clients match them.

use std::fmt;

/// gRPC status codes, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Code {
    /// The caller went away.
    Canceled = 1,
    /// Anything unmapped.
    Unknown = 2,
    /// The request is wrong by itself.
    InvalidArgument = 3,
    /// Too late.
    DeadlineExceeded = 4,
    /// Something named does not exist.
    NotFound = 5,
    /// Not allowed.
    PermissionDenied = 7,
    /// Overload or no space.
    ResourceExhausted = 8,
    /// The state does not permit it.
    FailedPrecondition = 9,
    /// A revision outside of what is kept.
    OutOfRange = 11,
    /// Not offered.
    Unimplemented = 12,
    /// A broken invariant.
    Internal = 13,
    /// Try again, here or elsewhere.
    Unavailable = 14,
    /// Corruption.
    DataLoss = 15,
    /// Who are you?
    Unauthenticated = 16,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvError {
    /// The status code.
    pub code: Code,
    /// The text after it.
    pub message: String,
}

macro_rules! errors {
    ($($name:ident = $code:ident, $text:literal, $doc:literal;)*) => {
        impl KvError { $(
            #[doc = $doc]
            pub fn $name() -> KvError { KvError { code: Code::$code, message: $text.to_string() } }
        )* }
    };
}

errors! {
    empty_key = InvalidArgument, "etcdserver: key is not provided", "The key is empty.";
    key_not_found = InvalidArgument, "etcdserver: key not found", "`ignore_value` or `ignore_lease` on a key that does not exist.";
    value_provided = InvalidArgument, "etcdserver: value is provided", "`ignore_value` together with a value.";
    lease_provided = InvalidArgument, "etcdserver: lease is provided", "`ignore_lease` together with a lease.";
    too_many_ops = InvalidArgument, "etcdserver: too many operations in txn request", "A transaction beyond the limit.";
    duplicate_key = InvalidArgument, "etcdserver: duplicate key given in txn request", "A transaction that writes one key twice.";
    invalid_client_api_version = InvalidArgument, "etcdserver: invalid client api version", "Metadata that is not UTF-8.";
    invalid_sort_option = InvalidArgument, "etcdserver: invalid sort option", "A sort order or target that does not exist.";
    request_too_large = InvalidArgument, "etcdserver: request is too large", "A request beyond the size limit.";
    compacted = OutOfRange, "etcdserver: mvcc: required revision has been compacted", "A revision that is no longer kept.";
    future_revision = OutOfRange, "etcdserver: mvcc: required revision is a future revision", "A revision that is not there yet.";
    lease_ttl_too_large = OutOfRange, "etcdserver: too large lease TTL", "A TTL beyond 9,000,000,000 s.";
    no_space = ResourceExhausted, "etcdserver: mvcc: database space exceeded", "No room for writes: the quota or the disk is full.";
    too_many_requests = ResourceExhausted, "etcdserver: too many requests", "More is under way than the member can apply.";
    lease_not_found = NotFound, "etcdserver: requested lease not found", "No such lease.";
    member_not_found = NotFound, "etcdserver: member not found", "No such member.";
    lease_exists = FailedPrecondition, "etcdserver: lease already exists", "A grant with an id that is in use.";
    not_leader = FailedPrecondition, "etcdserver: not leader", "Only the leader does this.";
    cluster_id_mismatch = FailedPrecondition, "etcdserver: cluster ID mismatch", "Somebody of another cluster.";
    bad_leader_transferee = FailedPrecondition, "etcdserver: bad leader transferee", "Leadership cannot go there.";
    no_leader = Unavailable, "etcdserver: no leader", "The member knows no leader.";
    leader_changed = Unavailable, "etcdserver: leader changed", "The leader changed while a read waited.";
    stopped = Unavailable, "etcdserver: server stopped", "The member is stopping.";
    timeout = Unavailable, "etcdserver: request timed out", "No outcome in time.";
    timeout_leader_failure = Unavailable, "etcdserver: request timed out, possibly due to previous leader failure", "No outcome in time, after the leader was lost.";
    timeout_connection_lost = Unavailable, "etcdserver: request timed out, possibly due to connection lost", "No outcome in time, while cut off from the quorum.";
    unhealthy = Unavailable, "etcdserver: unhealthy cluster", "Too few members are connected.";
    corrupt = DataLoss, "etcdserver: corrupt cluster", "The replicas differ.";
    state_damaged = Unavailable, "etcdserver: the state of this member is damaged and is being fetched: ask another member", "This member cannot read what it stores; others can.";
    watch_canceled = Canceled, "etcdserver: watch canceled", "The watching side has gone.";
    not_primary_lessor = Unknown, "not a primary lessor", "A renewal reached a member that no longer leads.";
}

impl KvError {
    /// An error with a text of its own.
    pub fn new(code: Code, message: impl Into<String>) -> KvError {
        KvError { code, message: message.into() }
    }

    /// Whether the call has certainly had no effect. A time-out, a lost leader or a closed connection leaves it open.
    pub fn is_definite(&self) -> bool {
        !matches!(
            self.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::Canceled | Code::Unknown | Code::Internal
        )
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for KvError {}
