//! What a member is told at start. Every limit of the store is here or a named constant beside its use.

use crate::frame::PROTOCOL;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// One member of the cluster, as every member is told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id, never 0.
    pub id: u64,
    /// Its human-readable name.
    pub name: String,
    /// Where the other members reach it ("host:port").
    pub peer_addr: String,
    /// The URLs that it advertises to other members.
    pub peer_urls: Vec<String>,
    /// The URLs that it advertises to clients.
    pub client_urls: Vec<String>,
}

/// How a member is made.
#[derive(Clone)]
pub struct MemberConfig {
    /// This member's id; one of `members`.
    pub member_id: u64,
    /// The cluster's id; members of another cluster are refused.
    pub cluster_id: u64,
    /// Every member, this one too.
    pub members: Vec<Peer>,
    /// The address to listen on for peers; empty for a cluster of one that wants no listener.
    pub listen_peer: String,
    /// Length of a raft tick, and the time between two heartbeats.
    pub tick: Duration,
    /// Ticks without a leader until an election (drawn between this and one and a half times this).
    pub election_ticks: usize,
    /// Where the log and the state live inside the Disk port.
    pub dir: String,
    /// Size of one log segment, in bytes.
    pub wal_segment_bytes: u64,
    /// Dirty bytes after which the state makes a durable checkpoint.
    pub checkpoint_bytes: u64,
    /// Cache of the state's B-tree, in bytes.
    pub cache_bytes: usize,
    /// Bytes of values that may wait for the B-tree before proposals wait.
    pub overlay_bytes: usize,
    /// Entries kept in memory behind the applied index for followers that lag; who lags more gets a snapshot.
    pub catch_up_entries: u64,
    /// Bytes that those entries may take.
    pub catch_up_bytes: u64,
    /// Largest request, in bytes of its encoded form.
    pub max_request_bytes: usize,
    /// Most operations in one transaction.
    pub max_txn_ops: usize,
    /// Time between two progress notices to a watcher that asked for them.
    pub progress_interval: Duration,
    /// Responses that one watch stream buffers before its watchers lag and are caught up from history.
    pub watch_buffer: usize,
    /// The newest version of the peers' protocol to speak. Less than the newest there is makes this member one of an older
    /// release, for those beside it.
    pub protocol: u32,
    /// Bytes of cold data (the state's file, sealed segments of the log) that are read in a second to see whether they are still
    /// what was written; 0 for never.
    pub scrub_bytes: u64,
    /// Time from the end of one pass over the cold data to the beginning of the next.
    pub scrub_pause: Duration,
    /// Events that may wait for the loop; more requests are refused, peers wait.
    pub inbox: usize,
    /// Proposals that may wait for a leader or for room; more are refused as too many.
    pub waiting_proposals: usize,
    /// Frames that may wait for one peer; more are dropped.
    pub peer_queue: usize,
    /// Appends that the leader sends to one follower before it waits for an answer.
    pub max_inflight: usize,
    /// Time between two comparisons of all keys with those of the other members (etcd's HashKV); zero for never.
    pub corrupt_check: Duration,
    /// Whether the keys are compared once after a start.
    pub initial_corrupt_check: bool,
    /// Who is told of what happens inside; used by checkers.
    pub observer: Option<Arc<dyn Observer>>,
}

impl MemberConfig {
    /// A member with etcd's defaults.
    pub fn new(member_id: u64, cluster_id: u64, members: Vec<Peer>) -> Self {
        MemberConfig {
            member_id,
            cluster_id,
            members,
            listen_peer: String::new(),
            tick: Duration::from_millis(100),
            election_ticks: 10,
            dir: "member".to_string(),
            wal_segment_bytes: 64 << 20,
            checkpoint_bytes: 8 << 20,
            cache_bytes: 16 << 20,
            overlay_bytes: 32 << 20,
            catch_up_entries: 5_000,
            catch_up_bytes: 32 << 20,
            max_request_bytes: 1_572_864,
            max_txn_ops: 128,
            progress_interval: Duration::from_secs(600),
            watch_buffer: 128,
            protocol: PROTOCOL,
            scrub_bytes: 4 << 20,
            scrub_pause: Duration::from_secs(3_600),
            inbox: 16_384,
            waiting_proposals: 5_000,
            peer_queue: 4_096,
            max_inflight: 512,
            corrupt_check: Duration::ZERO,
            initial_corrupt_check: false,
            observer: None,
        }
    }

    /// How long a request may wait for its outcome: 5 s and two election timeouts, as etcd's.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout()
    }

    /// The shortest time without a leader until an election.
    pub fn election_timeout(&self) -> Duration {
        self.tick * self.election_ticks as u32
    }

    /// The shortest TTL of a lease, in seconds: one and a half election timeouts, rounded up.
    pub fn min_lease_ttl(&self) -> i64 {
        (self.election_timeout() * 3 / 2).as_millis().div_ceil(1_000) as i64
    }

    /// This member among `members`.
    pub fn this_member(&self) -> Option<&Peer> {
        self.members.iter().find(|peer| peer.id == self.member_id)
    }
}

/// Sees what happens inside a member, at the moment it happens. Must not block and must not call the member.
pub trait Observer: Send + Sync {
    /// The entry at `index` is about to be applied: whatever a reader sees of it, it sees later.
    fn applying(&self, _index: u64) {}

    /// Something happened.
    fn observe(&self, what: Observation);
}

/// What an [`Observer`] sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The member has read its disk and starts from here.
    Restored {
        /// The applied index that its state holds durably.
        applied: u64,
        /// The revision of that state.
        revision: i64,
        /// The term that its log remembers.
        term: u64,
    },
    /// The member leads `term`.
    BecameLeader {
        /// The term.
        term: u64,
    },
    /// An entry was applied.
    Applied {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// The encoded command; empty where the entry had none.
        command: Bytes,
        /// The state hash after it.
        state_hash: u64,
        /// The store's revision after it.
        revision: i64,
    },
    /// The state was replaced by a snapshot from the leader.
    Installed {
        /// The applied index of the new state.
        index: u64,
        /// Its hash.
        state_hash: u64,
    },
}
