//! The replicated state: what the log's commands add up to.
//!
//! A [`Command`] is applied at one log index and changes the state by at most one *main revision*; the changes inside it are
//! told apart by a *sub-revision*. Nothing is overwritten: a change of a key is a new row `(main, sub) -> key and value`, and
//! an in-memory index says which rows belong to a key. So a read at an old revision, a watcher that starts in the past and
//! a compaction are all questions to the index.
//!
//! Rows live in a redb file, ordered by revision, because appending is what a B-tree on disk does fast. Apply never waits for
//! it: a new row goes into an *overlay* in memory, and a [`Flush`], run by a worker, moves the overlay into redb together with
//! the applied index, in one durable transaction (a checkpoint). After a crash the state is the last checkpoint, and the
//! log is applied on top of it.
//!
//! Worked example: the log holds `put a=1` (index 5) and `delete a` (index 6), on an empty store at revision 1.
//! - apply(5): row (2,0) `a=1` in the overlay; index `a: 2.0`; revision 2.
//! - a flush writes row (2,0) and `applied = 5`.
//! - apply(6): row (3,0) tombstone of `a` in the overlay; index `a: 2.0, 3.0 deleted`; revision 3.
//! - a read of `a` at revision 2 finds 2.0 in the index, which is no longer in the overlay, and gets it from redb.
//! - the power fails: the file says applied 5, revision 2; the log's entry 6 is applied again.
//!
//! This crate does not know about consensus, the log, time, or who asks.
#![forbid(unsafe_code)]

// From what the rest stands on to what is used.
mod backend;
mod file;
mod hash;
mod index;
mod leases;
mod options;
mod overlay;
mod pins;
mod revision;
mod row;
mod sums;

mod fetch;
mod moment;
mod state;

mod apply;
mod compare;
mod plan;
mod range;

mod flush;
mod hash_kv;
mod history;
mod scrub;
pub mod snapshot;
mod store;
mod suspect;

pub mod command;
pub mod error;
pub mod watch;

pub use command::{Applied, Command, Response};
pub use error::Error;
pub use flush::Flush;
pub use hash_kv::HashKv;
pub use history::HistoryError;
pub use options::Options;
pub use scrub::{Scrub, Step};
pub use snapshot::{Loaded, SnapshotReader, SnapshotWriter, Staged};
pub use store::{Lease, Sizes, Store};
