//! The Kv port: the replicated store as its users see it.
//!
//! Implemented by the member in the same process, by a gRPC client of any etcd v3 server, and by the simulated client. fleet
//! and flannel know the store by this trait only.
//!
//! A call that ends in an error whose [`KvError::is_definite`] is false may or may not have been applied.

use crate::lease::*;
use crate::txn::{TxnRequest, TxnResponse};
use crate::types::*;
use crate::watch::{WatchRequest, WatchResponse};
use crate::{BoxFuture, KvError};

/// The outcome of a call.
pub type KvResult<T> = Result<T, KvError>;

/// A strictly serializable, watchable key-value store with leases (the guarantees are etcd's).
pub trait Kv: Send + Sync {
    /// Reads keys; linearizable unless `serializable` is set.
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>>;

    /// Writes a key.
    fn put(&self, request: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>>;

    /// Deletes keys.
    fn delete_range(&self, request: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>>;

    /// Runs a transaction.
    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>>;

    /// Drops history.
    fn compact(&self, request: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>>;

    /// Grants a lease.
    fn lease_grant(&self, request: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>>;

    /// Revokes a lease.
    fn lease_revoke(&self, request: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>>;

    /// Renews a lease once.
    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>>;

    /// How long a lease has to live.
    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>>;

    /// All leases.
    fn lease_leases(&self, request: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>>;

    /// A new stream of watchers, empty at first.
    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>>;
}

/// Several watchers on one ordered stream. Dropping it ends them all.
pub trait WatchStream: Send {
    /// Makes or ends a watcher, or asks for progress; the answer comes by [`WatchStream::next`]. Never waits long: the
    /// requests that may be outstanding are bounded by what the caller has asked for.
    fn request(&mut self, request: WatchRequest) -> BoxFuture<'_, KvResult<()>>;

    /// The next response. An error ends the stream. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, KvResult<WatchResponse>>;
}
