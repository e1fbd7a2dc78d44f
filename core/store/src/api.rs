//! The front of the store: each request is validated once, becomes a command or a read, and waits for its outcome.
//!
//! Writes go through the log. Linearizable reads wait until this member's state is known to be new enough, then read it on
//! the caller's own task; serializable ones read at once. The header's ids are filled here; its revision comes from where
//! the answer was made.

use crate::check;
use crate::event::Event;
use crate::lease::LeaseCall;
use crate::member::Member;
use crate::proposal::Proposal;
use futures_channel::oneshot;
use kernel::inbox::Refused;
use kernel::kv::KvResult;
use kernel::lease::*;
use kernel::txn::{OpResponse, ResponseOp, TxnRequest, TxnResponse};
use kernel::types::*;
use kernel::{BoxFuture, Kv, KvError, WatchStream};
use mvcc::{Command, Response};
use std::sync::atomic::Ordering::Relaxed;

/// The longest TTL of a lease, in seconds.
const MAX_LEASE_TTL: i64 = 9_000_000_000;

impl Member {
    /// Proposes a command and waits until it is applied here.
    async fn propose(&self, command: Command) -> KvResult<Response> {
        let shared = self.shared();
        let request = shared.next_request();
        let payload = Proposal::encode(self.config().member_id, request, &command);
        if payload.len() > self.config().max_request_bytes {
            return Err(KvError::request_too_large());
        }
        shared.counters.proposals.fetch_add(1, Relaxed);
        let (reply, outcome) = oneshot::channel();
        let outcome = match self.push(Event::Propose { request, payload, reply }) {
            Ok(()) => outcome.await.unwrap_or_else(|_| Err(KvError::stopped())),
            Err(error) => Err(error),
        };
        shared.counters.proposals_ended.fetch_add(1, Relaxed);
        if outcome.is_err() {
            shared.counters.proposals_failed.fetch_add(1, Relaxed);
        }
        outcome
    }

    /// Waits until this member's state holds everything that was acknowledged before this call, by any member.
    pub async fn read_barrier(&self) -> KvResult<()> {
        self.shared().counters.reads.fetch_add(1, Relaxed);
        let (reply, ready) = oneshot::channel();
        self.push(Event::Read(reply))?;
        ready.await.unwrap_or_else(|_| Err(KvError::stopped()))
    }

    async fn read(&self, serializable: bool) -> KvResult<()> {
        if serializable {
            self.shared().counters.serializable_reads.fetch_add(1, Relaxed);
            return Ok(());
        }
        self.read_barrier().await
    }

    /// Asks the leader about a lease; its answer in seconds.
    async fn ask_lease(&self, lease: i64, renew: bool) -> KvResult<i64> {
        let (reply, answer) = oneshot::channel();
        self.push(Event::Lease(LeaseCall::local(lease, renew, reply)))?;
        answer.await.unwrap_or_else(|_| Err(KvError::stopped()))
    }

    fn push(&self, event: Event) -> KvResult<()> {
        self.events().try_push(event).map_err(|refused| match refused {
            Refused::Full(_) => KvError::too_many_requests(),
            Refused::Closed(_) => KvError::stopped(),
        })
    }

    /// The header of a reply made at `revision`.
    pub fn header(&self, revision: i64) -> ResponseHeader {
        let (raft_term, _) = self.shared().term_and_leader();
        let config = self.config();
        ResponseHeader { cluster_id: config.cluster_id, member_id: config.member_id, revision, raft_term }
    }

    fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.map_or_else(|| self.store().revision(), |header| header.revision);
        *header = Some(self.header(revision));
    }

    fn grant_command(&self, request: LeaseGrantRequest) -> KvResult<Command> {
        if request.ttl > MAX_LEASE_TTL {
            return Err(KvError::lease_ttl_too_large());
        }
        let id = if request.id == 0 { self.draw_lease_id() } else { request.id };
        Ok(Command::lease_grant(id, request.ttl.max(self.config().min_lease_ttl())))
    }
}

/// The answer of the kind that was asked for; another kind would be a bug in apply.
macro_rules! expect {
    ($response:expr, $kind:ident) => {
        match $response {
            Response::$kind(response) => response,
            other => unreachable!("apply answered a command with {other:?}"),
        }
    };
}

impl Kv for Member {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>> {
        Box::pin(async move {
            check::range(&request)?;
            self.read(request.serializable).await?;
            let mut response = self.store().range(&request)?;
            self.complete(&mut response.header);
            Ok(response)
        })
    }

    fn put(&self, request: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>> {
        Box::pin(async move {
            check::put(&request)?;
            let mut response = expect!(self.propose(Command::Put(request)).await?, Put);
            self.complete(&mut response.header);
            Ok(response)
        })
    }

    fn delete_range(&self, request: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>> {
        Box::pin(async move {
            check::delete_range(&request)?;
            let mut response = expect!(self.propose(Command::DeleteRange(request)).await?, DeleteRange);
            self.complete(&mut response.header);
            Ok(response)
        })
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>> {
        Box::pin(async move {
            check::txn(&request, self.config().max_txn_ops)?;
            let mut response = if check::is_read_only(&request) {
                self.read(check::is_serializable(&request)).await?;
                self.store().read_txn(&request)?
            } else {
                expect!(self.propose(Command::Txn(request)).await?, Txn)
            };
            self.complete(&mut response.header);
            strip_inner_ids(&mut response.responses);
            Ok(response)
        })
    }

    fn compact(&self, request: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>> {
        Box::pin(async move {
            let mut response = expect!(self.propose(Command::Compact(request)).await?, Compact);
            if request.physical {
                self.wait_compacted(request.revision).await?;
            }
            self.complete(&mut response.header);
            Ok(response)
        })
    }

    fn lease_grant(&self, request: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>> {
        Box::pin(async move {
            let command = self.grant_command(request)?;
            let mut response = expect!(self.propose(command).await?, LeaseGrant);
            self.complete(&mut response.header);
            Ok(response)
        })
    }

    fn lease_revoke(&self, request: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>> {
        Box::pin(async move {
            let mut response = expect!(self.propose(Command::lease_revoke(request.id)).await?, LeaseRevoke);
            self.complete(&mut response.header);
            Ok(response)
        })
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>> {
        Box::pin(async move {
            // The header is made before the renewal, so that its revision is never ahead of a revoke.
            let header = self.header(self.store().revision());
            let ttl = self.ask_lease(request.id, true).await?;
            Ok(LeaseKeepAliveResponse { header: Some(header), id: request.id, ttl })
        })
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>> {
        Box::pin(async move {
            let ttl = self.ask_lease(request.id, false).await?;
            self.read_barrier().await?;
            let header = Some(self.header(self.store().revision()));
            let known = self.store().lease(request.id).filter(|_| ttl >= 0);
            let Some(lease) = known else {
                return Ok(LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..Default::default() });
            };
            let keys = if request.keys { lease.keys } else { Vec::new() };
            Ok(LeaseTimeToLiveResponse { header, id: request.id, ttl, granted_ttl: lease.ttl, keys })
        })
    }

    fn lease_leases(&self, _request: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>> {
        Box::pin(async move {
            self.read_barrier().await?;
            let leases = self.store().leases().into_iter().map(|(id, _)| LeaseStatus { id }).collect();
            Ok(LeaseLeasesResponse { header: Some(self.header(self.store().revision())), leases })
        })
    }

    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        Box::pin(async move { Ok(self.open_watch(false)) })
    }
}

/// Answers inside a transaction carry a revision and no ids, as etcd's do.
fn strip_inner_ids(responses: &mut [ResponseOp]) {
    for response in responses {
        let header = match &mut response.response {
            Some(OpResponse::ResponseRange(r)) => &mut r.header,
            Some(OpResponse::ResponsePut(r)) => &mut r.header,
            Some(OpResponse::ResponseDeleteRange(r)) => &mut r.header,
            Some(OpResponse::ResponseTxn(r)) => {
                strip_inner_ids(&mut r.responses);
                &mut r.header
            }
            None => continue,
        };
        if let Some(header) = header {
            (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
        }
    }
}
