//! A plan is the whole of a run as data: the cluster, what its clients do and what goes wrong, each with its time.
//!
//! A seed is drawn into a plan once ([`Plan::from_seed`]); the run then only follows it, and decides no fault by
//! itself. The small randomness that remains (the delay of the n-th message of a link, the fate of the n-th sector)
//! comes from counted streams under the plan's seed, so taking an event out of a plan disturbs nothing else. Any part
//! of a plan is a plan: an event that makes no sense where it stands (a renewal of a lease that was never granted)
//! does nothing.
//!
//! A plan has a text form, one event a line, for people to read, cut and replay ([`Plan::parse`]).

mod class;
mod draw;
mod mean;
mod rare;
#[cfg(test)]
mod tests;
mod text;
mod wide;

pub use class::{Class, Way};
pub use text::ParseError;
pub(crate) use text::{Fields, Pair, Parsed, flag};

/// Everything that makes a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seed of the small randomness.
    pub seed: u64,
    /// Members of the cluster: their ids are 1 to this.
    pub members: u8,
    /// Clients: their ids are 1 to this.
    pub clients: u8,
    /// World time in milliseconds at which every fault is healed and the calm begins.
    pub calm_ms: u64,
    /// World time in milliseconds at which the run ends.
    pub end_ms: u64,
    /// Sizes and paces.
    pub knobs: Knobs,
    /// What the clients do, by time.
    pub operations: Vec<Operation>,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
}

/// Sizes and paces of a run; small ones make rare paths common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// Size of a log segment in bytes.
    pub wal_segment_bytes: u64,
    /// Dirty bytes after which the state makes a durable checkpoint.
    pub checkpoint_bytes: u64,
    /// Entries kept for followers that lag.
    pub catch_up_entries: u64,
    /// Bytes of values that may wait for the B-tree.
    pub overlay_bytes: u64,
    /// Raft tick in milliseconds.
    pub tick_ms: u64,
    /// Ticks until an election.
    pub election_ticks: u64,
    /// One-way delay between two machines, in microseconds.
    pub delay_us: u64,
    /// Most that is added to it at random, in microseconds.
    pub jitter_us: u64,
    /// Time of a disk sync, in microseconds.
    pub sync_us: u64,
    /// How far each clock runs fast or slow, at most, in parts per million.
    pub drift_ppm: u64,
    /// Frames that may wait in a connection.
    pub window: u64,
    /// Appends that a leader sends to one follower before it waits for an answer.
    pub inflight: u64,
    /// Frames that may wait for one peer.
    pub queue: u64,
    /// Events that may wait for a member's loop.
    pub inbox: u64,
    /// Proposals that may wait for a leader or for room.
    pub waiting: u64,
    /// Responses that a watch stream buffers.
    pub watch_buffer: u64,
    /// Cache of the state's B-tree, in bytes.
    pub cache_bytes: u64,
    /// Disks keep or lose 4 KiB at a time, not 512 bytes.
    pub large_sectors: bool,
    /// Milliseconds between two comparisons of all keys with those of the other members; 0 for never.
    pub corrupt_check_ms: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs {
            wal_segment_bytes: 1 << 20,
            checkpoint_bytes: 256 << 10,
            catch_up_entries: 1_000,
            overlay_bytes: 32 << 20,
            tick_ms: 100,
            election_ticks: 10,
            delay_us: 500,
            jitter_us: 500,
            sync_us: 500,
            drift_ppm: 0,
            window: 4_096,
            inflight: 512,
            queue: 4_096,
            inbox: 16_384,
            waiting: 5_000,
            watch_buffer: 128,
            cache_bytes: 256 << 10,
            large_sectors: false,
            corrupt_check_ms: 0,
        }
    }
}

/// One deed of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number: unique in the plan, never 0. Writes carry it into the store.
    pub tag: u32,
    /// World time in milliseconds.
    pub at_ms: u64,
    /// The client, counted from 1.
    pub client: u8,
    /// What it does.
    pub deed: Deed,
}

/// What a client does. Keys are numbers; `last` is the last key of a range, included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Writes `size` bytes.
    Put {
        /// Key.
        key: u8,
        /// Bytes of the value, at least 8.
        size: u16,
        /// The operation that granted the lease to attach, 0 for none.
        lease: u32,
        /// Ask for the previous value.
        prev: bool,
    },
    /// Reads.
    Get {
        /// First key.
        key: u8,
        /// Last key.
        last: u8,
        /// How far behind the newest revision that the client knows; 0 for a plain read.
        back: u16,
        /// Most keys; 0 for all.
        limit: u8,
        /// A stale answer will do.
        stale: bool,
    },
    /// Deletes.
    Delete {
        /// First key.
        key: u8,
        /// Last key.
        last: u8,
        /// Ask for the previous values.
        prev: bool,
    },
    /// Writes a key if it has not changed since the client last saw it, else reads it.
    Cas {
        /// Key.
        key: u8,
    },
    /// Writes two keys, deletes a third and reads all three, at one revision; nested when `inner`.
    Txn {
        /// First of the three keys.
        key: u8,
        /// Put the second write into a transaction within.
        inner: bool,
    },
    /// Drops history.
    Compact {
        /// How far behind the newest revision that the client knows.
        back: u16,
        /// Wait for the space.
        physical: bool,
    },
    /// Grants a lease whose id is this operation's number.
    Grant {
        /// Seconds.
        ttl: u16,
    },
    /// Renews a lease.
    KeepAlive {
        /// The operation that granted it.
        lease: u32,
    },
    /// Ends a lease.
    Revoke {
        /// The operation that granted it.
        lease: u32,
    },
    /// Watches a range, over reconnections, for a while.
    Watch {
        /// First key.
        key: u8,
        /// Last key.
        last: u8,
        /// Where to start: 0 from now, below 0 that far in the past of what the client knows, above 0 in the future.
        from: i16,
        /// Milliseconds between two reads of a slow reader; 0 for one that keeps up.
        slow_ms: u64,
        /// For how long, in milliseconds; 0 until the end.
        for_ms: u64,
        /// Ask for previous values.
        prev: bool,
        /// Which events to ask for.
        only: Only,
        /// Further watchers of the same keys, from the same place, on the same stream: they want its buffer too.
        beside: u8,
    },
}

/// Which events a watcher asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Only {
    /// All.
    #[default]
    All,
    /// Those of puts.
    Puts,
    /// Those of deletes.
    Deletes,
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// World time in milliseconds.
    pub at_ms: u64,
    /// For how long, in milliseconds. The calm ends every fault.
    pub for_ms: u64,
    /// Whom it strikes.
    pub target: Target,
    /// What it is.
    pub class: Class,
}

/// Whom a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads at that moment; nobody if nobody does.
    Leader,
    /// Somebody else than who leads at that moment; nobody if nobody does.
    Follower,
    /// These members.
    Members(Vec<u8>),
}

impl Deed {
    /// The deed's name in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Deed::Put { .. } => "put",
            Deed::Get { .. } => "get",
            Deed::Delete { .. } => "delete",
            Deed::Cas { .. } => "cas",
            Deed::Txn { .. } => "txn",
            Deed::Compact { .. } => "compact",
            Deed::Grant { .. } => "grant",
            Deed::KeepAlive { .. } => "keep-alive",
            Deed::Revoke { .. } => "revoke",
            Deed::Watch { .. } => "watch",
        }
    }
}

/// The most members that a plan may have, and the highest number of a key.
pub const MAX_MEMBERS: u8 = 7;

/// The name of key number `key`.
pub fn key_name(key: u8) -> String {
    format!("k{key:03}")
}
