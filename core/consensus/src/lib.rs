//! Raft as a value: time and messages in, effects out.
//!
//! [`Consensus`] holds one member's share of a replicated log. It waits for nothing and touches nothing: the owner calls
//! [`Consensus::tick`] when time has passed, [`Consensus::step`] when a message has come, [`Consensus::propose`] when a
//! client wants something, and then takes what is to be done with [`Consensus::take_output`] until there is nothing left:
//!
//! ```text
//!   tick, step, propose ...            take_output -> Output number n
//!            |                              | send_now             -> the network, at once
//!            v                              | snapshot             -> install it first
//!       +-----------+                       | entries, hard_state  -> the log on disk
//!       | Consensus | --------------------> | committed, reads     -> the state machine, at once
//!       +-----------+                       | send_after_persist   -> the network, but only when the disk has n
//!            ^                              |
//!            +------- persisted(n) <--------+
//! ```
//!
//! Any number of outputs may be on their way to the disk; they become durable in order, and `persisted(n)` speaks for all
//! up to `n`. A message that promises something (a vote, an accepted entry) is in `send_after_persist` of the output that
//! holds what it promises, so it cannot overtake the sync.
//!
//! The algorithm is that of the `raft` crate 0.7. What this crate adds to it:
//!
//! - `messages`: our own prost types, the only ones that reach a network or a disk; `convert` maps them field by field.
//! - `log`: the log in memory, which the crate reads.
//! - `timeout`: election timeouts out of a seeded stream, so that a run repeats with its seed.
//! - `filter`: what a peer sends is checked before the crate sees it, because the crate panics on some nonsense.
//! - `node`: the value itself, with the few rules that the crate leaves to its user (when a member may campaign, what a
//!   leader does that was removed, which message may leave when).
//!
//! This crate imports nothing local, knows no clock, disk or socket, and does not know what the entries mean.

#![forbid(unsafe_code)]

mod convert;
mod error;
mod filter;
mod log;
mod membership;
mod messages;
mod node;
mod output;
mod restore;
mod status;
mod take;
mod timeout;

pub use error::Error;
pub use messages::{
    Change, ChangeKind, ConfChange, ConfState, Entry, EntryKind, HardState, Message, MessageKind,
    SnapshotMark, Transition,
};
pub use node::{Config, Consensus};
pub use output::{Output, ReadState};
pub use restore::Restored;
pub use status::{PeerState, PeerStatus, Role, Status};
