//! Watches: how every change of a key reaches those who asked for it, in order, once, and whole.
//!
//! A [`Hub`] stands between apply and the watchers. Apply calls [`Hub::publish`] with the events of each revision; the hub
//! looks up who watches the keys (`index`), and puts one shared batch into the buffer of each [`Stream`] concerned (`queue`).
//! A stream carries many watchers; its reader turns what is buffered into responses.
//!
//! A watcher is in one of two states, and `next` is the first revision that it has not been given:
//!
//! ```text
//!              its stream's buffer is full, or a snapshot was installed
//!            ┌──────────────────────────────────────────────────────────┐
//!        synced                                                      lagging
//!   in the index; next > published                    not in the index; next <= published
//!            └──────────────────────────────────────────────────────────┘
//!                caught up from history by the reader of its own stream
//! ```
//!
//! A lagging watcher costs apply nothing and holds no memory: whatever it missed is in the store's [`History`]. Its reader
//! catches it up in bounded batches when its buffer has drained (`catch_up`), never with the hub's lock held while history is
//! read. A batch is cut at what was published when it began, and the watcher becomes synced only if, under the lock, nothing
//! more was published meanwhile; so no event is lost between the two states, and none is given twice. One whose `next` has
//! been compacted is cancelled with the compacted revision.
//!
//! Lock order: the hub, then one stream's buffer. Nothing else is called with either held; wakers are called after both.

mod catch_up;
mod hub;
mod index;
mod intervals;
mod queue;
mod render;
mod stream;
#[cfg(test)]
mod tests;

pub use hub::Hub;
pub use stream::{Stream, StreamConfig};

use kernel::kv::KvResult;
use kernel::types::{KeyValue, ResponseHeader};
use kernel::watch::Event;
use kernel::{KvError, Planted, Probe};
use std::sync::Arc;
use std::time::Duration;

/// What a watcher needs of the store: the events that are kept. Called without any lock of the hub's.
pub trait History: Send + Sync {
    /// The lowest revision that is kept: what lies before it was compacted.
    fn compacted_revision(&self) -> i64;

    /// The events of revisions from `from` on, ascending, each revision whole. As many revisions as fit in `budget_bytes`,
    /// but at least one when there is one; empty when there is none. Holds at least what was published before the call.
    fn events(&self, from: i64, budget_bytes: usize) -> Result<Vec<(i64, Vec<Event>)>, HistoryError>;

    /// What `key` held just before its change at `mod_revision`; `None` when it held nothing or that was compacted. An
    /// error ends the stream.
    fn prev_kv(&self, key: &[u8], mod_revision: i64) -> KvResult<Option<KeyValue>>;
}

/// Why events could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryError {
    /// They were asked for from below this revision, the lowest that is kept. The watchers concerned are told so.
    Compacted(i64),
    /// The store could not read. Ends the stream: a gap must never look like silence.
    Failed(KvError),
}

/// Makes the header of a response at a revision: the stream knows the revision, its owner the cluster, member and term.
pub type HeaderOf = Arc<dyn Fn(i64) -> ResponseHeader + Send + Sync>;

/// Bounds and knobs of a hub.
#[derive(Clone)]
pub struct Options {
    /// Responses that one stream buffers. One more makes the watcher concerned lag.
    pub buffer_responses: usize,
    /// Bytes of events that one stream buffers (exceeded by at most one batch).
    pub buffer_bytes: usize,
    /// Bytes of history that are read at a time for watchers that lag.
    pub batch_bytes: usize,
    /// Responses to a watcher made with `fragment` are cut into parts of at most this many encoded bytes.
    pub fragment_bytes: usize,
    /// Time between empty responses to an idle watcher made with `progress_notify`; up to a tenth is added at random.
    pub progress_interval: Duration,
    /// Seed of that randomness, and of the shape of the index.
    pub seed: u64,
    /// The bug planted in this run.
    pub planted: Planted,
    /// Told of rare branches.
    pub probe: Probe,
}

impl Default for Options {
    /// etcd's numbers where it has them: 128 responses, parts of 1.5 MiB + 512 KiB, 10 minutes.
    fn default() -> Self {
        Options {
            buffer_responses: 128,
            buffer_bytes: 16 << 20,
            batch_bytes: 1 << 20,
            fragment_bytes: (3 << 19) + (512 << 10),
            progress_interval: Duration::from_secs(600),
            seed: 0,
            planted: Planted::none(),
            probe: Probe::default(),
        }
    }
}

/// How much a hub carries now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Streams.
    pub streams: usize,
    /// Watchers over all streams.
    pub watchers: usize,
    /// Those of them that lag.
    pub lagging: usize,
}
