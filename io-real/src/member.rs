//! The replicated store behind the edge.

use crate::served::{KeyHash, PeerTally, Served, Standing, Tally};
use kernel::kv::KvResult;
use kernel::{BoxFuture, Code, KvError, WatchStream};
use std::sync::atomic::Ordering::Relaxed;
use store::Member;
use store::meter::Traffic;

impl Served for Member {
    fn standing(&self) -> Standing {
        let (config, status) = (self.config(), self.status());
        Standing {
            cluster_id: config.cluster_id,
            member_id: config.member_id,
            leader: status.leader,
            term: status.term,
            is_learner: status.is_learner,
            committed: status.committed,
            applied: status.applied,
            // The status is a moment old; what was just answered must not be newer than what is said here.
            revision: self.store().revision(),
            compacted_revision: status.compacted_revision,
            db_size: status.db_size,
            db_size_in_use: status.db_size_in_use,
            db_quota: 0,
            no_space: status.no_space,
            corrupt: status.corrupt,
            corrupt_peers: status.corrupt_peers,
            full_peers: status.full_peers,
        }
    }

    fn leader(&self) -> u64 {
        self.shared().term_and_leader().1
    }

    fn open_watch(&self, require_leader: bool) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        Box::pin(async move { Ok(Member::open_watch(self, require_leader)) })
    }

    fn tally(&self) -> Tally {
        let (counters, meter) = (&self.shared().counters, &self.shared().meter);
        let (watches, sizes) = (self.watch_metrics(), self.store().sizes());
        Tally {
            leader_changes: counters.leader_changes.load(Relaxed),
            proposals_failed: counters.proposals_failed.load(Relaxed),
            reads: counters.reads.load(Relaxed),
            serializable_reads: counters.serializable_reads.load(Relaxed),
            refused_messages: counters.refused_messages.load(Relaxed),
            watch_streams: watches.streams as u64,
            watchers: watches.watchers as u64,
            slow_watchers: watches.lagging as u64,
            keys: sizes.keys,
            leases: sizes.leases,
            log_syncs: meter.log_syncs.read(),
            log_bytes: meter.log_bytes.load(Relaxed),
            checkpoints: meter.checkpoints.read(),
            slow_applies: meter.slow_applies.load(Relaxed),
            slow_read_indexes: meter.slow_read_indexes.load(Relaxed),
            failed_read_indexes: meter.failed_read_indexes.load(Relaxed),
            state_damages: meter.state_damages.load(Relaxed),
            state_repairs: meter.state_repairs.load(Relaxed),
            log_damages: meter.log_damages.load(Relaxed),
            scrubbed_bytes: meter.scrubbed_bytes.load(Relaxed),
            scrub_passes: meter.scrub_passes.load(Relaxed),
            peers: meter.traffic().map(peer_tally).collect(),
        }
    }

    fn members(&self, linearizable: bool) -> BoxFuture<'_, KvResult<Vec<wire::Member>>> {
        Box::pin(async move {
            if linearizable {
                self.read_barrier().await?;
            }
            let mut members: Vec<_> = Member::members(self).iter().map(member).collect();
            members.sort_by_key(|member| member.id);
            Ok(members)
        })
    }

    fn hash_kv(&self, revision: i64) -> BoxFuture<'_, KvResult<KeyHash>> {
        let store = self.store().clone();
        Box::pin(async move {
            let found = blocking(move || store.hash_kv(revision)).await?;
            let (compact_revision, hash_revision) = (found.compact_revision, found.hash_revision);
            Ok(KeyHash { hash: found.hash, compact_revision, hash_revision })
        })
    }

    fn hash(&self) -> BoxFuture<'_, KvResult<u32>> {
        let store = self.store().clone();
        Box::pin(blocking(move || store.hash()))
    }

    fn disarm(&self) -> BoxFuture<'_, bool> {
        Box::pin(Member::disarm(self))
    }

    fn move_leader(&self, target: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(Member::move_leader(self, target))
    }
}

fn peer_tally((id, traffic): (u64, &Traffic)) -> PeerTally {
    PeerTally {
        id,
        sent: traffic.sent.load(Relaxed),
        sent_bytes: traffic.sent_bytes.load(Relaxed),
        received: traffic.received.load(Relaxed),
        received_bytes: traffic.received_bytes.load(Relaxed),
        send_failures: traffic.send_failures.load(Relaxed),
        snapshots_sent: traffic.snapshots_sent.load(Relaxed),
        snapshots_failed: traffic.snapshots_failed.load(Relaxed),
        snapshots_received: traffic.snapshots_received.load(Relaxed),
        snapshots_refused: traffic.snapshots_refused.load(Relaxed),
    }
}

fn member(peer: &store::Peer) -> wire::Member {
    wire::Member {
        id: peer.id,
        name: peer.name.clone(),
        peer_urls: peer.peer_urls.clone(),
        client_urls: peer.client_urls.clone(),
        is_learner: false,
    }
}

/// Runs what reads the whole store off the tasks' threads.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> KvResult<T> + Send + 'static) -> KvResult<T> {
    let failed = |error| KvError::new(Code::Internal, format!("hashing the store failed: {error}"));
    tokio::task::spawn_blocking(job).await.map_err(failed)?
}
