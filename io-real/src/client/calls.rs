//! The Kv port over a client: what only reads is repeated, what writes is sent once.

use super::Client;
use super::streams::{ClientWatch, KeepAliveStream};
use crate::grpc::stubs::{KvClient, lease_client::LeaseClient};
use kernel::kv::KvResult;
use kernel::{BoxFuture, Kv, KvError, WatchStream};
use wire::*;

/// A stub over a live connection, without a limit on what it receives.
macro_rules! stub {
    ($client:ident, $wire:ident) => {{
        let origin = $wire.origin.clone();
        $client::with_origin($wire, origin).max_decoding_message_size(usize::MAX)
    }};
}
pub(super) use stub;

/// Sends `$request` once.
macro_rules! once {
    ($self:ident, $client:ident, $method:ident, $request:expr) => {{
        let request = $request;
        $self.once(move |wire| async move { stub!($client, wire).$method(request).await })
    }};
}
pub(super) use once;

/// Sends `$request`, again if need be.
macro_rules! repeat {
    ($self:ident, $client:ident, $method:ident, $request:expr) => {{
        let request = $request;
        $self.repeat(move |wire| {
            let request = request.clone();
            async move { stub!($client, wire).$method(request).await }
        })
    }};
}
pub(super) use repeat;

impl Kv for Client {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>> {
        Box::pin(repeat!(self, KvClient, range, request))
    }

    fn put(&self, request: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>> {
        Box::pin(once!(self, KvClient, put, request))
    }

    fn delete_range(&self, request: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>> {
        Box::pin(once!(self, KvClient, delete_range, request))
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>> {
        Box::pin(once!(self, KvClient, txn, request))
    }

    fn compact(&self, request: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>> {
        Box::pin(once!(self, KvClient, compact, request))
    }

    fn lease_grant(&self, request: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>> {
        Box::pin(once!(self, LeaseClient, lease_grant, request))
    }

    fn lease_revoke(&self, request: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>> {
        Box::pin(once!(self, LeaseClient, lease_revoke, request))
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>> {
        let slot = self.slot();
        let calling = async move {
            let mut stream = KeepAliveStream::open(slot.wire().await?, request.id).await?;
            stream.next().await
        };
        Box::pin(self.limited(slot, calling))
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>> {
        Box::pin(repeat!(self, LeaseClient, lease_time_to_live, request))
    }

    fn lease_leases(&self, request: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>> {
        Box::pin(repeat!(self, LeaseClient, lease_leases, request))
    }

    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        let slot = self.slot();
        Box::pin(async move {
            let connecting = async { slot.wire().await };
            let wire = self.limited(slot, connecting).await?;
            Ok(Box::new(ClientWatch::open(wire).await) as Box<dyn WatchStream>)
        })
    }
}

impl Client {
    /// A stream of renewals of lease `id`, the first of which is under way.
    pub async fn keep_alive_stream(&self, id: i64) -> Result<KeepAliveStream, KvError> {
        let slot = self.slot();
        self.limited(slot, async { KeepAliveStream::open(slot.wire().await?, id).await }).await
    }
}
