//! A member that passes every call on to a real etcd: with it the edge is tested against the real thing, because whatever
//! a client sees differently through the relay than directly was changed by the edge.

use io_real::client::Client;
use io_real::served::{KeyHash, Served, Standing, Tally};
use kernel::kv::KvResult;
use kernel::{BoxFuture, Kv, WatchStream};
use std::sync::Mutex;
use wire::*;

/// Passes calls on to `0`; the standing is what a test has set.
pub struct Relay {
    client: Client,
    /// How the member says it stands.
    pub standing: Mutex<Standing>,
}

impl Relay {
    pub async fn new(client: Client) -> Relay {
        let status = client.status().await.unwrap();
        let header = status.header.unwrap();
        let standing = Standing {
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            leader: status.leader,
            term: status.raft_term,
            committed: status.raft_index,
            applied: status.raft_applied_index,
            revision: header.revision,
            db_size: status.db_size as u64,
            ..Standing::default()
        };
        Relay { client, standing: Mutex::new(standing) }
    }
}

macro_rules! relay {
    ($($method:ident, $request:ident, $response:ident;)*) => {
        impl Kv for Relay {
            $(fn $method(&self, request: $request) -> BoxFuture<'_, KvResult<$response>> {
                self.client.$method(request)
            })*

            fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
                self.client.watch()
            }
        }
    };
}

relay! {
    range, RangeRequest, RangeResponse;
    put, PutRequest, PutResponse;
    delete_range, DeleteRangeRequest, DeleteRangeResponse;
    txn, TxnRequest, TxnResponse;
    compact, CompactionRequest, CompactionResponse;
    lease_grant, LeaseGrantRequest, LeaseGrantResponse;
    lease_revoke, LeaseRevokeRequest, LeaseRevokeResponse;
    lease_keep_alive, LeaseKeepAliveRequest, LeaseKeepAliveResponse;
    lease_time_to_live, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse;
    lease_leases, LeaseLeasesRequest, LeaseLeasesResponse;
}

impl Served for Relay {
    fn standing(&self) -> Standing {
        self.standing.lock().unwrap().clone()
    }

    fn leader(&self) -> u64 {
        self.standing.lock().unwrap().leader
    }

    fn open_watch(&self, _: bool) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        self.client.watch()
    }

    fn tally(&self) -> Tally {
        Tally::default()
    }

    fn members(&self, linearizable: bool) -> BoxFuture<'_, KvResult<Vec<Member>>> {
        Box::pin(async move { Ok(self.client.member_list(linearizable).await?.members) })
    }

    fn hash_kv(&self, revision: i64) -> BoxFuture<'_, KvResult<KeyHash>> {
        Box::pin(async move {
            let found = self.client.hash_kv(revision).await?;
            let (compact_revision, hash_revision) = (found.compact_revision, found.hash_revision);
            Ok(KeyHash { hash: found.hash, compact_revision, hash_revision })
        })
    }

    fn hash(&self) -> BoxFuture<'_, KvResult<u32>> {
        Box::pin(async move { Ok(self.client.hash().await?.hash) })
    }

    fn move_leader(&self, target: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(async move { self.client.move_leader(target).await.map(drop) })
    }
}
