//! Flushes: what memory has and the file has not, moved there in one durable transaction.
//!
//! A flush takes, under the lock, all rows of the overlay (shared, not copied), the leases that changed, some of the rows that
//! compaction has doomed, and what they add up to. It then writes without any lock that readers or apply need, and takes the
//! lock once more to drop from the overlay what the file now has durably. Whatever happens on the way, memory still has
//! it: a full disk costs nothing but time. redb refuses all further work after a failed verb; so after `Full` the file
//! is opened anew, at its last checkpoint, and the next flush brings all of it again.

use crate::Error;
use crate::file::{Meta, ROWS, StateFile, save_leases, save_meta};
use crate::overlay::{self, Part};
use crate::revision::Revision;
use crate::state::{Shared, State};
use crate::suspect;
use kernel::Bug;
use redb::{Durability, WriteTransaction};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Doomed rows that one flush removes.
const REMOVE_MOST: usize = 10_000;
/// Notes of the index that are pruned when a flush is taken: bounds the time under the lock to about a millisecond.
const PRUNE_MOST: usize = 2_000;
/// What an unsaved lease counts, in bytes.
const LEASE_COST: usize = 64;

/// Work for a worker. At most one is under way; one that is dropped without being run has done nothing.
pub struct Flush {
    shared: Arc<Shared>,
    file: Arc<StateFile>,
    parts: Vec<Arc<Part>>,
    leases: BTreeMap<i64, Option<i64>>,
    doomed: Vec<Revision>,
    meta: Meta,
    epoch: u64,
    saved: bool,
}

/// Takes a flush if `always`, or if there is enough to do for one; none while another is under way.
pub(crate) fn take(shared: &Arc<Shared>, always: bool) -> Option<Flush> {
    if !worthwhile(shared, always, &shared.read()) {
        return None;
    }
    let mut state = shared.write();
    if !worthwhile(shared, always, &state) {
        return None;
    }
    let state = &mut *state;
    let mut dropped = Vec::new();
    let held_back = shared.pins.hold_back(state.meta.compacted);
    let pruned = !held_back && state.index.prune(PRUNE_MOST, &mut dropped);
    state.doomed.extend(dropped);
    let doomed: Vec<_> = state.doomed.drain(..state.doomed.len().min(REMOVE_MOST)).collect();
    if pruned && state.doomed.is_empty() {
        state.meta.removed = state.meta.compacted;
    }
    state.flushing = true;
    // Whatever is applied behind the snapshot is in the log, and so is the word that the snapshot was installed.
    let installed = state.installed_at == Some(state.meta.applied);
    Some(Flush {
        shared: shared.clone(),
        file: state.file.clone(),
        parts: state.overlay.seal(),
        leases: state.leases.unsaved().clone(),
        doomed,
        meta: Meta { installed, ..state.meta.clone() },
        epoch: state.epoch,
        saved: false,
    })
}

fn worthwhile(shared: &Shared, always: bool, state: &State) -> bool {
    let behind = state.overlay.bytes() + LEASE_COST * state.leases.unsaved().len();
    let budget = usize::try_from(shared.options.checkpoint_bytes).unwrap_or(usize::MAX);
    // While a reader needs what compaction drops there is nothing to be done for it.
    let compacting = state.meta.removed < state.meta.compacted
        && !(state.doomed.is_empty() && shared.pins.hold_back(state.meta.compacted));
    let wanted = behind >= budget.min(shared.options.overlay_bytes / 2).max(1) || compacting;
    let changed = state.checkpointed < state.meta.applied || compacting;
    !state.flushing && (wanted || always && changed)
}

impl Flush {
    /// Writes to the file, and returns when it is durable. Blocks; waits for no lock that apply or readers hold for long.
    /// After [`Error::Full`] the next flush tries again; after any other error the replica must stop.
    pub fn run(mut self) -> Result<(), Error> {
        let shared = self.shared.clone();
        let _only = shared.flushing();
        if self.shared.read().epoch != self.epoch {
            // A snapshot has taken the place of what this was taken from, and cannot do so while this holds the lock.
            return Ok(());
        }
        if self.file.is_full() {
            // There was not even room to open it anew.
            self.reopen()?;
        }
        let freed = match self.save() {
            Ok(freed) => freed,
            Err(_) if self.file.is_full() => {
                self.reopen()?;
                return Err(Error::Full(io::ErrorKind::StorageFull.into()));
            }
            // What cannot be read is replaced, and not copied.
            Err(error) => match self.file.damage() {
                Some(what) => return Err(Error::Damaged(what)),
                None => {
                    suspect::mark(&*shared.disk, &shared.path);
                    return Err(error);
                }
            },
        };
        self.saved = true;
        let bytes = self.parts.iter().map(|part| overlay::cost(part)).sum();
        let mut state = shared.write();
        state.overlay.release(self.parts.len(), bytes);
        if shared.options.planted.is(Bug::FlushDropsNewerRows) {
            let (newer, bytes) = (state.overlay.seal().len(), state.overlay.bytes());
            state.overlay.release(newer, bytes);
        }
        state.leases.saved(&self.leases);
        state.checkpointed = self.meta.applied;
        state.removed = self.meta.removed;
        state.row_bytes -= freed;
        Ok(())
    }

    /// Bytes of rows that were removed.
    fn save(&self) -> Result<u64, Error> {
        let planted = self.shared.options.planted;
        let mut txn = self.file.write()?;
        if planted.is(Bug::CheckpointWithoutSync) {
            txn.set_durability(Durability::None).expect("no savepoint was made");
        }
        let freed = self.save_rows(&txn)?;
        let leases =
            self.leases.iter().filter(|(_, ttl)| ttl.is_some() || !planted.is(Bug::CheckpointKeepsRevoked));
        save_leases(&txn, leases.map(|(id, ttl)| (*id, *ttl)))?;
        let mut meta = self.meta.clone();
        if planted.is(Bug::AppliedNotWithRows) {
            meta.applied = self.shared.read().checkpointed;
        }
        save_meta(&txn, &meta)?;
        txn.commit()?;
        Ok(freed)
    }

    fn save_rows(&self, txn: &WriteTransaction) -> Result<u64, Error> {
        let mut table = txn.open_table(ROWS)?;
        for (at, row) in self.parts.iter().flat_map(|part| part.iter()) {
            table.insert(&at.to_key(), &row.bytes()[..])?;
        }
        let mut freed = 0;
        for at in &self.doomed {
            if let Some(row) = table.remove(&at.to_key())? {
                freed += (row.value().len() + crate::row::OVERHEAD) as u64;
            }
        }
        Ok(freed)
    }

    /// Puts the file as its last checkpoint left it in the place of the one that failed.
    fn reopen(&mut self) -> Result<(), Error> {
        self.shared.options.probe.sometimes("mvcc: the state file was full");
        self.file.fence();
        let (path, cache) = (&self.shared.path, self.shared.options.cache_bytes);
        self.file = Arc::new(self.file.reopen(&*self.shared.disk, path, cache)?);
        let mut state = self.shared.write();
        assert_eq!(state.epoch, self.epoch, "a state is not replaced while a flush runs");
        state.file = self.file.clone();
        Ok(())
    }
}

impl Drop for Flush {
    /// Gives back what was not removed, and lets the next flush be taken.
    fn drop(&mut self) {
        let mut state = self.shared.write();
        if state.epoch != self.epoch {
            return;
        }
        state.flushing = false;
        if !self.saved {
            state.meta.removed = state.removed;
            state.doomed.extend(self.doomed.drain(..));
        }
    }
}
