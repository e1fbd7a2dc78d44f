//! A member that answers what a test has set: for what the edge does by itself.

use io_real::served::{KeyHash, PeerTally, Served, Standing, Tally};
use kernel::kv::KvResult;
use kernel::{BoxFuture, Code, Kv, KvError, WatchStream};
use std::sync::Mutex;
use std::time::Duration;
use store::meter::Histogram;
use tokio::sync::mpsc;
use wire::*;

/// A member with a will of its test's.
#[derive(Default)]
pub struct Fake {
    /// How it says it stands.
    pub standing: Mutex<Standing>,
    /// Why reads fail, if they do.
    pub read_error: Mutex<Option<KvError>>,
    /// How long a put takes.
    pub put_time: Duration,
    /// Whether what makes it corrupt can be taken back.
    pub disarms: bool,
}

impl Fake {
    /// A member that leads and is well.
    pub fn well() -> Fake {
        let standing =
            Standing { cluster_id: 7, member_id: 5, leader: 5, term: 2, revision: 9, ..Standing::default() };
        Fake { standing: Mutex::new(standing), ..Fake::default() }
    }
}

fn nothing<T>() -> BoxFuture<'static, KvResult<T>> {
    Box::pin(async { Err(KvError::new(Code::Internal, "the fake does not do this")) })
}

impl Kv for Fake {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>> {
        let error = self.read_error.lock().unwrap().clone().filter(|_| !request.serializable);
        Box::pin(async move { error.map_or(Ok(RangeResponse::default()), Err) })
    }

    fn put(&self, _: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>> {
        Box::pin(async move {
            tokio::time::sleep(self.put_time).await;
            Ok(PutResponse::default())
        })
    }

    fn delete_range(&self, _: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>> {
        nothing()
    }

    fn txn(&self, _: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>> {
        nothing()
    }

    fn compact(&self, _: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>> {
        nothing()
    }

    fn lease_grant(&self, _: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>> {
        nothing()
    }

    fn lease_revoke(&self, _: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>> {
        nothing()
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>> {
        Box::pin(async move {
            match request.id {
                1 => Err(KvError::not_primary_lessor()),
                id => Ok(LeaseKeepAliveResponse { header: None, id, ttl: 60 }),
            }
        })
    }

    fn lease_time_to_live(
        &self,
        _: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>> {
        nothing()
    }

    fn lease_leases(&self, _: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>> {
        nothing()
    }

    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        self.open_watch(false)
    }
}

impl Served for Fake {
    fn standing(&self) -> Standing {
        self.standing.lock().unwrap().clone()
    }

    fn leader(&self) -> u64 {
        self.standing.lock().unwrap().leader
    }

    /// Answers each request with `created`; says in `cancel_reason` whether a leader is required.
    fn open_watch(&self, require_leader: bool) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        let (sender, receiver) = mpsc::channel(16);
        Box::pin(async move {
            Ok(Box::new(FakeWatch { sender, receiver, require_leader }) as Box<dyn WatchStream>)
        })
    }

    fn tally(&self) -> Tally {
        let log_syncs = Histogram::default();
        for milliseconds in [1, 2, 10_000] {
            log_syncs.observe(Duration::from_millis(milliseconds));
        }
        Tally {
            leader_changes: 3,
            proposals_failed: 2,
            watchers: 4,
            log_syncs: log_syncs.read(),
            slow_applies: 5,
            slow_read_indexes: 6,
            failed_read_indexes: 7,
            peers: vec![PeerTally { id: 0xab, sent_bytes: 8, snapshots_received: 9, ..PeerTally::default() }],
            ..Tally::default()
        }
    }

    fn disarm(&self) -> BoxFuture<'_, bool> {
        if self.disarms {
            self.standing.lock().unwrap().corrupt.clear();
        }
        Box::pin(async { self.disarms })
    }

    fn members(&self, _: bool) -> BoxFuture<'_, KvResult<Vec<Member>>> {
        Box::pin(async { Ok(vec![Member { id: 5, name: "m0".to_string(), ..Member::default() }]) })
    }

    fn hash_kv(&self, _: i64) -> BoxFuture<'_, KvResult<KeyHash>> {
        nothing()
    }

    fn hash(&self) -> BoxFuture<'_, KvResult<u32>> {
        nothing()
    }

    fn move_leader(&self, _: u64) -> BoxFuture<'_, KvResult<()>> {
        nothing()
    }
}

struct FakeWatch {
    sender: mpsc::Sender<WatchResponse>,
    receiver: mpsc::Receiver<WatchResponse>,
    require_leader: bool,
}

impl WatchStream for FakeWatch {
    fn request(&mut self, _: WatchRequest) -> BoxFuture<'_, KvResult<()>> {
        let cancel_reason = if self.require_leader { "leader required" } else { "" }.to_string();
        let response = WatchResponse { created: true, cancel_reason, ..WatchResponse::default() };
        Box::pin(async move { self.sender.send(response).await.map_err(|_| KvError::watch_canceled()) })
    }

    fn next(&mut self) -> BoxFuture<'_, KvResult<WatchResponse>> {
        Box::pin(async move { self.receiver.recv().await.ok_or_else(KvError::watch_canceled) })
    }
}
