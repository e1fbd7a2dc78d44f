//! What the edge needs of a member beyond the Kv port: who it is, how it stands, and what operators ask of it.
//!
//! A trait, so that the edge can be tested with a member that is told what to answer.

use kernel::kv::KvResult;
use kernel::{BoxFuture, Kv, WatchStream};
pub use store::meter::{BUCKETS, Reading};

/// The version of etcd whose API is served: what Status and `/version` say, and what clients switch features on by.
pub const API_VERSION: &str = "3.7.0";

/// How a member stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its cluster.
    pub cluster_id: u64,
    /// Its id.
    pub member_id: u64,
    /// The leader it knows, 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// Whether it does not vote.
    pub is_learner: bool,
    /// The highest index that it knows to be committed.
    pub committed: u64,
    /// The highest index that it has applied.
    pub applied: u64,
    /// The store's revision.
    pub revision: i64,
    /// The revision below which history is gone.
    pub compacted_revision: i64,
    /// Bytes of the state on disk.
    pub db_size: u64,
    /// Bytes of it in use.
    pub db_size_in_use: u64,
    /// Most bytes that it may take; 0 for no limit.
    pub db_quota: u64,
    /// Whether writes are refused for want of space.
    pub no_space: bool,
    /// What is damaged here, or not as the other members have it, and not mended yet; empty for nothing.
    pub corrupt: String,
    /// The other members that say so of themselves.
    pub corrupt_peers: Vec<u64>,
    /// The other members that say that they have no space.
    pub full_peers: Vec<u64>,
}

/// What a member has counted since its start, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Leader changes seen.
    pub leader_changes: u64,
    /// Proposals that ended in an error.
    pub proposals_failed: u64,
    /// Linearizable reads.
    pub reads: u64,
    /// Reads from this member's own state.
    pub serializable_reads: u64,
    /// Messages of other members that were refused because they made no sense.
    pub refused_messages: u64,
    /// Watch streams open now.
    pub watch_streams: u64,
    /// Watchers on them.
    pub watchers: u64,
    /// Watchers that lag.
    pub slow_watchers: u64,
    /// Keys there are now.
    pub keys: u64,
    /// Leases there are now.
    pub leases: u64,
    /// Syncs of the log's files.
    pub log_syncs: Reading,
    /// Bytes written to the log's files.
    pub log_bytes: u64,
    /// Checkpoints of the state.
    pub checkpoints: Reading,
    /// Entries whose apply took more than 100 ms.
    pub slow_applies: u64,
    /// Read indexes that had to be asked for again.
    pub slow_read_indexes: u64,
    /// Linearizable reads that were given up.
    pub failed_read_indexes: u64,
    /// Times that the state was found damaged, or wrong.
    pub state_damages: u64,
    /// Times that another member's state took its place.
    pub state_repairs: u64,
    /// Sealed segments of the log that were found damaged.
    pub log_damages: u64,
    /// Bytes of cold data that were read to see whether they are still what was written.
    pub scrubbed_bytes: u64,
    /// Passes over all of it.
    pub scrub_passes: u64,
    /// What passed between this member and each other.
    pub peers: Vec<PeerTally>,
}

/// What passed between a member and another since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerTally {
    /// The other.
    pub id: u64,
    /// Messages sent to it.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages that came from it.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Connections to it that could not be made, or that broke.
    pub send_failures: u64,
    /// Snapshots that it took.
    pub snapshots_sent: u64,
    /// Snapshots that it did not take whole.
    pub snapshots_failed: u64,
    /// Snapshots that came from it whole.
    pub snapshots_received: u64,
    /// Snapshots that did not come whole, or were refused.
    pub snapshots_refused: u64,
}

/// The outcome of hashing the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyHash {
    /// The hash.
    pub hash: u32,
    /// The compacted revision that it starts from.
    pub compact_revision: i64,
    /// The revision that it ends at.
    pub hash_revision: i64,
}

/// A member behind the edge.
pub trait Served: Kv {
    /// How it stands now.
    fn standing(&self) -> Standing;

    /// The leader it knows, 0 for none. Asked with many calls, so cheaper than the whole standing.
    fn leader(&self) -> u64;

    /// A new stream of watchers. With `require_leader` it ends when there has been no leader for too long.
    fn open_watch(&self, require_leader: bool) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>>;

    /// What it has counted.
    fn tally(&self) -> Tally;

    /// The members; confirmed by a quorum if `linearizable`.
    fn members(&self, linearizable: bool) -> BoxFuture<'_, KvResult<Vec<wire::Member>>>;

    /// Hash over the keys up to `revision`, 0 for the newest.
    fn hash_kv(&self, revision: i64) -> BoxFuture<'_, KvResult<KeyHash>>;

    /// Hash over the whole store.
    fn hash(&self) -> BoxFuture<'_, KvResult<u32>>;

    /// Takes back the alarm CORRUPT of this member where it cannot end by itself; whether there was one.
    fn disarm(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }

    /// Hands leadership to `target`; ready when it has gone there.
    fn move_leader(&self, target: u64) -> BoxFuture<'_, KvResult<()>>;
}
