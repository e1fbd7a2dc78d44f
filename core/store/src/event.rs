//! Everything that can happen to a member: the closed enum that its loop waits for, and what the events carry.

use crate::audit::Hashed;
use crate::frame::Body;
use crate::lease::LeaseCall;
use bytes::Bytes;
use consensus::Message;
use futures_channel::oneshot;
use kernel::KvError;
use mvcc::{Loaded, Response, Staged};
use std::time::Duration;
use wal::Record;

/// Where the outcome of a proposal goes.
pub type Reply = oneshot::Sender<Result<Response, KvError>>;

/// Everything that can happen to a member.
pub enum Event {
    /// A peer sent something.
    Peer { from: u64, body: Body },
    /// A peer connected, with which this version of the protocol is spoken.
    PeerUp { id: u64, incarnation: u64, last_index: u64, version: u32 },
    /// The way to a peer is gone, and what was queued for it with it.
    PeerLost(u64),
    /// The connection from a peer has ended, and no newer one has come.
    PeerGone(u64),
    /// Somebody who does not belong here knocked.
    PeerRefused(String),
    /// A request to change the state.
    Propose { request: u64, payload: Bytes, reply: Reply },
    /// A linearizable read wants to know when the state is new enough.
    Read(oneshot::Sender<Result<(), KvError>>),
    /// Something that only the leader knows about a lease.
    Lease(LeaseCall),
    /// A job on the log has ended.
    Saved(Saved),
    /// A job on the state has ended.
    Flushed(Result<(), mvcc::Error>),
    /// The mark of an unproven directory is made (true) or removed (false).
    Marked(Result<bool, String>),
    /// A snapshot was sent, or was not.
    SnapshotSent { to: u64, ok: bool },
    /// A snapshot has arrived whole.
    SnapshotArrived(Arrived),
    /// A state was sent to a member that had asked for it, or was not.
    StateLent(u64),
    /// A state that this member had asked for has arrived whole.
    StateArrived(Fetched),
    /// The scrub has found a sealed segment of the log damaged.
    LogDamaged(wal::Damage),
    /// A digest of the keys is made.
    Hashed(Hashed),
    /// An operator takes an alarm back that cannot end by itself; whether there was one.
    Disarm(oneshot::Sender<bool>),
    /// Leadership shall go to another member.
    MoveLeader { to: u64, reply: oneshot::Sender<Result<(), KvError>> },
    /// The member shall end.
    Stop(oneshot::Sender<()>),
}

/// A linearizable read, or a lease call that waits for the same confirmation.
pub enum Waiter {
    /// A read.
    Read { until: Duration, reply: oneshot::Sender<Result<(), KvError>> },
    /// A lease call at the leader.
    Lease { until: Duration, call: LeaseCall },
}

impl Waiter {
    /// Ends the wait.
    pub fn fail(self, error: KvError) {
        match self {
            Waiter::Read { reply, .. } => drop(reply.send(Err(error))),
            Waiter::Lease { call, .. } => call.fail(error),
        }
    }
}

/// Somebody who waits for the outcome of a proposal.
pub struct Pending {
    /// When to give up.
    pub(crate) until: Duration,
    /// The term in which it was handed to consensus; 0 while it waits here.
    pub(crate) term: u64,
    /// Where the outcome goes.
    pub(crate) reply: Reply,
}

/// The outcome of a job on the log.
pub enum Saved {
    /// The group is durable.
    Group,
    /// The disk has no room; nothing of the group is in the log. Given back for another attempt.
    Full(Vec<Record>, bool),
    /// A chore is done.
    Chore,
    /// There was no room for a chore: it is for later.
    Later,
    /// The log failed for good.
    Failed(String),
}

/// A snapshot that was received whole and stands beside the state.
pub struct Arrived {
    /// The message that announces it to consensus.
    pub message: Message,
    /// The new state.
    pub staged: Staged,
    /// Dropped when the loop has decided about it, which lets the next snapshot come.
    pub(crate) _decided: oneshot::Sender<()>,
}

/// A state that was asked for; it was received and read back whole, and stands beside the damaged one.
pub struct Fetched {
    /// The state.
    pub loaded: Loaded,
    /// Dropped when the loop has decided about it.
    pub(crate) _decided: oneshot::Sender<()>,
}

impl Arrived {
    /// The applied index of the new state.
    pub fn index(&self) -> u64 {
        self.message.snapshot_index()
    }
}
