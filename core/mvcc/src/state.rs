//! The state in memory, and the lock around it.
//!
//! Who may do what: commands are applied by one caller at a time (the `writer` lock), who alone changes what the state *means*.
//! Flushes only change where rows *are*: they leave the overlay when the file has them. Readers take the state lock for as
//! long as it takes to say which rows they want (in slices, see `moment`) and to begin a redb read transaction (which waits for
//! nobody), and fetch what is not in memory after they let go: a row that leaves the overlay meanwhile is in the
//! transaction's view, because it was committed before it left.

use crate::Error;
use crate::file::{self, Meta, NEVER, StateFile};
use crate::hash::{Effect, fold_effect, fold_row};
use crate::index::{Index, Newest};
use crate::leases::Leases;
use crate::options::Options;
use crate::overlay::{OPEN_MOST, Overlay};
use crate::pins::Pins;
use crate::revision::Revision;
use crate::row::Row;
use bytes::Bytes;
use kernel::types::KeyValue;
use kernel::{Bug, Disk, KvError, Planted};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What every handle of a store shares.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub path: String,
    pub options: Options,
    /// Held while a command is applied or the state replaced.
    writer: Mutex<()>,
    state: RwLock<State>,
    /// Held while a flush runs. Taken before the state lock, and by nobody who holds it.
    flush: Mutex<()>,
    damage: Mutex<Option<String>>,
    /// What memory holds is wrong, too: nothing is read any more.
    forsaken: AtomicBool,
    /// What readers that look more than once still need. Taken under the state lock, or without it.
    pub pins: Pins,
}

/// See the head of the file.
pub(crate) struct State {
    pub file: Arc<StateFile>,
    pub index: Index,
    pub overlay: Overlay,
    pub leases: Leases,
    /// What memory adds up to; the file may be behind.
    pub meta: Meta,
    /// The applied index that the file holds durably.
    pub checkpointed: u64,
    /// The compaction whose dropped rows the file no longer holds, durably.
    pub removed: i64,
    /// Rows that the index has dropped and the file may still hold.
    pub doomed: VecDeque<Revision>,
    /// Bytes of rows, wherever they are.
    pub row_bytes: u64,
    /// Whether a flush is under way.
    pub flushing: bool,
    /// Changes when the whole state is replaced, so that what was begun on the old one ends quietly.
    pub epoch: u64,
    /// Whether an entry was applied since the state was opened.
    pub touched: bool,
    /// The index at which a snapshot brought this state, if one did: the log need not reach up to it.
    pub installed_at: Option<u64>,
    /// The bug planted in this run.
    pub planted: Planted,
}

/// A row that a command writes.
pub(crate) struct Write {
    pub key: Bytes,
    pub row: Row,
    pub change: Change,
}

/// What a row does to its key.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Sets it.
    Put { created: i64, version: i64, lease: i64 },
    /// Deletes it.
    Delete,
}

impl State {
    /// Reads what `file` holds.
    pub fn load(file: StateFile) -> Result<Self, Error> {
        let txn = file.read()?;
        let mut meta = file::load_meta(&txn)?;
        let (applied, installed) = (meta.applied, std::mem::take(&mut meta.installed));
        let mut leases = Leases::default();
        for (id, ttl) in file::load_leases(&txn)? {
            leases.restore(id, ttl);
        }
        let file = Arc::new(file);
        let mut state = State {
            file: file.clone(),
            index: Index::default(),
            overlay: Overlay::default(),
            leases,
            checkpointed: meta.applied,
            removed: meta.removed,
            meta,
            doomed: VecDeque::new(),
            row_bytes: 0,
            flushing: false,
            epoch: 0,
            touched: false,
            installed_at: installed.then_some(applied),
            planted: Planted::none(),
        };
        file::scan_rows(&file, &txn, Revision::default(), |at, row| {
            state.restore_row(at, &row);
            Ok(true)
        })?;
        if state.meta.compacted > NEVER {
            state.index.compact(state.meta.compacted);
        }
        Ok(state)
    }

    /// With a bug.
    pub fn with(mut self, planted: Planted) -> Self {
        (self.planted, self.index.planted) = (planted, planted);
        self
    }

    fn restore_row(&mut self, at: Revision, row: &Row) {
        let kv = row.key_value();
        self.row_bytes += row.cost() as u64;
        if row.is_tombstone() {
            self.index.delete(&kv.key, at);
            self.leases.attach(&kv.key, 0);
        } else {
            self.index.put(&kv.key, Newest { at, created: kv.create_revision, version: kv.version });
            self.leases.attach(&kv.key, kv.lease);
        }
    }

    /// Takes in the rows of one command; they make the next revision.
    pub fn commit(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        let main = self.meta.revision + 1;
        let puts = writes.iter().any(|write| matches!(write.change, Change::Put { .. }));
        for (sub, write) in writes.into_iter().enumerate() {
            let at = Revision { main, sub: u32::try_from(sub).expect("a request is smaller than 4 GiB") };
            match write.change {
                Change::Put { created, version, lease } => {
                    self.index.put(&write.key, Newest { at, created, version });
                    if lease != 0 || !self.planted.is(Bug::PutKeepsLease) {
                        self.leases.attach(&write.key, lease);
                    }
                }
                Change::Delete => {
                    self.index.delete(&write.key, at);
                    self.leases.attach(&write.key, 0);
                }
            }
            self.meta.state_hash = fold_row(self.meta.state_hash, at, write.row.bytes());
            self.row_bytes += write.row.cost() as u64;
            self.overlay.push(at, write.row);
        }
        if puts || !self.planted.is(Bug::DeleteNotCounted) {
            self.meta.revision = main;
        }
    }

    /// Grants a lease.
    pub fn grant(&mut self, id: i64, ttl: i64) {
        self.leases.grant(id, ttl);
        self.meta.state_hash = fold_effect(self.meta.state_hash, Effect::Grant, id, ttl);
    }

    /// Ends a lease whose keys are gone.
    pub fn revoke(&mut self, id: i64) {
        self.leases.revoke(id);
        self.meta.state_hash = fold_effect(self.meta.state_hash, Effect::Revoke, id, 0);
    }

    /// Makes everything below `revision` unreadable; flushes remove it later.
    pub fn compact(&mut self, revision: i64) {
        self.meta.compacted = revision;
        let too_far = self.planted.is(Bug::CompactOneTooFar);
        self.index.compact(revision + i64::from(too_far));
        self.meta.state_hash = fold_effect(self.meta.state_hash, Effect::Compact, revision, 0);
    }

    /// What is known of an existing key without reading its row: all but the value.
    pub fn known(&self, key: &[u8], newest: Newest) -> KeyValue {
        KeyValue {
            key: Bytes::copy_from_slice(key),
            create_revision: newest.created,
            mod_revision: newest.at.main,
            version: newest.version,
            value: Bytes::new(),
            lease: self.leases.of(key),
        }
    }
}

impl Shared {
    pub fn new(disk: Arc<dyn Disk>, path: String, options: Options, state: State) -> Self {
        Shared {
            disk,
            path,
            options,
            writer: Mutex::new(()),
            state: RwLock::new(state),
            flush: Mutex::new(()),
            damage: Mutex::new(None),
            forsaken: AtomicBool::new(false),
            pins: Pins::default(),
        }
    }

    /// The state, of which nobody else has a handle.
    pub fn into_state(self) -> State {
        self.state.into_inner().expect("no holder panics")
    }

    /// The right to change what the state means. Taken before the state lock.
    pub fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().expect("no holder panics")
    }

    /// The right to write to the file.
    pub fn flushing(&self) -> MutexGuard<'_, ()> {
        self.flush.lock().expect("no holder panics")
    }

    /// Does `work`, which reads the file; again if another took its place meanwhile, which takes its views away.
    pub fn steadily<T>(&self, work: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            if self.forsaken.load(Ordering::SeqCst) {
                return Err(Error::Damaged(self.damage().unwrap_or_default()));
            }
            let file = self.read().file.clone();
            match work() {
                Err(Error::Io(_) | Error::Damaged(_)) if self.was_reopened(&file) => {
                    self.options.probe.sometimes("mvcc: a read began again on the file opened anew");
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether another file has taken the place of `file`. Waits for the flush under way, which may be why `file` failed.
    fn was_reopened(&self, file: &Arc<StateFile>) -> bool {
        let _ended = self.flushing();
        !Arc::ptr_eq(&self.read().file, file)
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no holder panics")
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no holder panics")
    }

    /// Makes sure that holding all rows in memory takes little time: call it before the lock under which they are held.
    pub fn prepare_to_hold(&self) {
        if self.read().overlay.open_rows() > OPEN_MOST {
            self.write().overlay.seal();
        }
    }

    /// What was found damaged first.
    pub fn damage(&self) -> Option<String> {
        let told = self.damage.lock().expect("no holder panics").clone();
        told.or_else(|| self.read().file.damage())
    }

    /// This state is not what it should be.
    pub fn condemn(&self, why: String) {
        self.damage.lock().expect("no holder panics").get_or_insert(why);
    }

    /// This state is not what the log adds up to: nothing of it may be read.
    pub fn forsake(&self, why: String) {
        self.condemn(why);
        self.forsaken.store(true, Ordering::SeqCst);
    }

    /// Another state has taken the place of the one that was damaged. Under the state lock, so that nobody who met the old
    /// damage reports it as that of the new state.
    pub fn absolve(&self) {
        *self.damage.lock().expect("no holder panics") = None;
        self.forsaken.store(false, Ordering::SeqCst);
    }

    /// Remembers damage; gives what a client is told of `error`. Not under the state lock.
    pub fn report(&self, error: &Error) -> KvError {
        let damage = match error {
            Error::Damaged(what) => Some(what.clone()),
            // redb refuses everything after its first failure, and no longer says why.
            _ => self.damage(),
        };
        match damage {
            Some(what) => {
                self.options.probe.sometimes("mvcc: a read met damage");
                self.condemn(what);
                KvError::state_damaged()
            }
            None => KvError::new(kernel::Code::Unavailable, format!("etcdserver: {error}")),
        }
    }
}
