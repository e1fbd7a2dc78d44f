//! What the loop shows to everybody else: its status, its counters, and whether it had to end.

use crate::error::FatalError;
use crate::meter::Meter;
use consensus::Role;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// Notes kept until they are taken; more are dropped.
const NOTES: usize = 64;
/// Notes remembered so that each is made only once. A stranger that keeps knocking must not fill the log.
const NOTES_MADE: usize = 256;

/// A member as seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The leader it knows, 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it does not vote.
    pub is_learner: bool,
    /// The last index of its log.
    pub last_index: u64,
    /// The highest index that it knows to be committed.
    pub committed: u64,
    /// The highest index that it has applied.
    pub applied: u64,
    /// The store's revision.
    pub revision: i64,
    /// The revision below which history is gone.
    pub compacted_revision: i64,
    /// Bytes of the state's file.
    pub db_size: u64,
    /// Bytes of it in use.
    pub db_size_in_use: u64,
    /// Whether writes are refused because the disk is full.
    pub no_space: bool,
    /// What is damaged here, or not as the others have it, and not mended yet; empty for nothing.
    pub corrupt: String,
    /// The other members that say of themselves that what they store is damaged.
    pub corrupt_peers: Vec<u64>,
    /// Those that say that they have no space.
    pub full_peers: Vec<u64>,
}

impl Status {
    /// The status of a member whose parts are these.
    pub fn of(raft: &consensus::Status, store: &mvcc::Store, no_space: bool, corrupt: String) -> Status {
        let sizes = store.sizes();
        Status {
            leader: raft.leader,
            term: raft.term,
            leads: raft.role == Role::Leader,
            is_learner: !raft.voter,
            last_index: raft.last_index,
            committed: raft.commit,
            applied: store.applied(),
            revision: store.revision(),
            compacted_revision: store.compacted_revision(),
            db_size: sizes.total,
            // Rows that still wait in memory have no place in the file yet.
            db_size_in_use: sizes.in_use.min(sizes.total),
            no_space,
            corrupt,
            ..Status::default()
        }
    }
}

/// Things counted since the start, for the metrics page.
#[derive(Default)]
pub struct Counters {
    /// Leader changes seen.
    pub leader_changes: AtomicU64,
    /// Proposals made by this member's clients.
    pub proposals: AtomicU64,
    /// Proposals that have an outcome.
    pub proposals_ended: AtomicU64,
    /// Proposals that ended in an error.
    pub proposals_failed: AtomicU64,
    /// Linearizable reads.
    pub reads: AtomicU64,
    /// Serializable reads.
    pub serializable_reads: AtomicU64,
    /// Messages refused because they made no sense.
    pub refused_messages: AtomicU64,
}

/// Shared between the loop and the member's handles.
#[derive(Default)]
pub struct Shared {
    status: Mutex<Status>,
    fatal: Mutex<Fatal>,
    notes: Mutex<Notes>,
    next_request: AtomicU64,
    /// Counters.
    pub counters: Counters,
    /// Measurements.
    pub meter: Arc<Meter>,
}

#[derive(Default)]
struct Notes {
    waiting: Vec<String>,
    made: BTreeSet<String>,
}

#[derive(Default)]
struct Fatal {
    error: Option<FatalError>,
    waiting: Vec<Waker>,
}

impl Shared {
    /// Nothing known yet; requests count up from `first_request`, which differs between lives.
    pub fn new(first_request: u64, meter: Arc<Meter>) -> Self {
        Shared { next_request: AtomicU64::new(first_request), meter, ..Shared::default() }
    }

    /// A request id that this life has not used.
    pub fn next_request(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed)
    }

    /// The newest status.
    pub fn status(&self) -> Status {
        locked(&self.status).clone()
    }

    /// The term and the leader of the newest status.
    pub fn term_and_leader(&self) -> (u64, u64) {
        let status = locked(&self.status);
        (status.term, status.leader)
    }

    /// Replaces the status.
    pub fn publish(&self, status: Status) {
        *locked(&self.status) = status;
    }

    /// Another leader is known, or none.
    pub fn leader_changed(&self) {
        self.counters.leader_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Something that an operator should read. The same text counts once in a life.
    pub fn note(&self, note: String) {
        let mut notes = locked(&self.notes);
        let room = notes.waiting.len() < NOTES && notes.made.len() < NOTES_MADE;
        if room && notes.made.insert(note.clone()) {
            notes.waiting.push(note);
        }
    }

    /// A message that made no sense.
    pub fn note_refused(&self, note: String) {
        self.counters.refused_messages.fetch_add(1, Ordering::Relaxed);
        self.note(note);
    }

    /// Takes the notes made since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.notes).waiting)
    }

    /// The member must end.
    pub fn fail(&self, error: FatalError) {
        let mut fatal = locked(&self.fatal);
        fatal.error.get_or_insert(error);
        fatal.waiting.drain(..).for_each(Waker::wake);
    }

    /// Ready when the member must end.
    pub async fn fatal(&self) -> FatalError {
        poll_fn(|context| {
            let mut fatal = locked(&self.fatal);
            match &fatal.error {
                Some(error) => Poll::Ready(error.clone()),
                None => {
                    fatal.waiting.retain(|waker| !waker.will_wake(context.waker()));
                    fatal.waiting.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}
