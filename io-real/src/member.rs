//! The replicated store behind the edge.

use crate::served::{KeyHash, Served, Standing, Tally};
use kernel::kv::KvResult;
use kernel::{BoxFuture, Code, KvError, WatchStream};
use std::sync::atomic::Ordering::Relaxed;
use store::Member;

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
        }
    }

    fn leader(&self) -> u64 {
        self.shared().term_and_leader().1
    }

    fn open_watch(&self, require_leader: bool) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        Box::pin(async move { Ok(Member::open_watch(self, require_leader)) })
    }

    fn tally(&self) -> Tally {
        let (counters, watches, sizes) =
            (&self.shared().counters, self.watch_metrics(), self.store().sizes());
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

    fn move_leader(&self, target: u64) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(Member::move_leader(self, target))
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
