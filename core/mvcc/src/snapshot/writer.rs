//! The receiving side of a snapshot.

use super::{CHUNK_HEAD, Kind};
use crate::Error;
use crate::file::{
    Meta, ROWS, StateFile, building, lease_ttl, put_in_place, remove_unfinished, save_leases, save_meta,
};
use crate::revision::{KEY_LEN, Revision};
use crate::state::{Shared, State};
use crate::store::Store;
use kernel::{Bug, Disk, Open, Planted};
use redb::WriteTransaction;
use std::sync::Arc;

/// Page cache while a snapshot is written, in bytes: rows come in order, so little of it is needed.
const CACHE_BYTES: usize = 16 << 20;

/// Takes chunks in order. All verbs block. What is dropped unfinished is removed by the next writer, or the next start.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    path: String,
    /// One transaction for all of it: there is nothing to be seen before the end. It goes before the file.
    txn: WriteTransaction,
    file: StateFile,
    number: u32,
    head: Option<Meta>,
    last: Revision,
    rows: u64,
    leases: u64,
    ended: bool,
    planted: Planted,
}

/// A snapshot that has arrived whole and is durable, but not in use.
pub struct Staged {
    disk: Arc<dyn Disk>,
    path: String,
    head: Meta,
}

fn refused(what: impl Into<String>) -> Error {
    Error::BadSnapshot(what.into())
}

impl SnapshotWriter {
    /// A writer beside the state at `path`.
    pub fn new(disk: Arc<dyn Disk>, path: &str) -> Result<Self, Error> {
        remove_unfinished(&*disk, path)?;
        let planted = Planted::none();
        let file = StateFile::open(&*disk, &building(path), Open::New, CACHE_BYTES, planted)?;
        Ok(SnapshotWriter {
            disk,
            path: path.to_string(),
            txn: file.write()?,
            file,
            number: 0,
            head: None,
            last: Revision::default(),
            rows: 0,
            leases: 0,
            ended: false,
            planted,
        })
    }

    /// With a bug.
    pub fn with(mut self, planted: Planted) -> Self {
        (self.planted, self.file.planted) = (planted, planted);
        self
    }

    /// Takes the next chunk.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let mut items = self.open_chunk(chunk)?;
        while !items.is_empty() {
            let (kind, body, rest) = split_item(items).ok_or_else(|| refused("an item is cut short"))?;
            if self.ended || (self.head.is_none() != (kind == Kind::Head)) {
                return Err(refused(format!("{kind:?} is out of place in chunk {}", self.number)));
            }
            match kind {
                Kind::Head => {
                    self.head = Some(Meta::from_bytes(body).map_err(|error| refused(error.to_string()))?)
                }
                Kind::Lease => self.write_lease(body)?,
                Kind::Row => self.write_row(body)?,
                Kind::End => self.end(body)?,
            }
            items = rest;
        }
        self.number += 1;
        Ok(())
    }

    /// The items of a chunk that is whole and the next.
    fn open_chunk<'a>(&self, chunk: &'a [u8]) -> Result<&'a [u8], Error> {
        let damaged = || refused(format!("chunk {} does not match its checksum", self.number));
        let (head, items) = chunk.split_at_checked(CHUNK_HEAD).ok_or_else(damaged)?;
        let (crc, number) = head.split_at(4);
        let sound = crc == crc32fast::hash(&chunk[4..]).to_le_bytes();
        if !sound && !self.planted.is(Bug::SnapshotUnchecked) {
            return Err(damaged());
        }
        if number != self.number.to_le_bytes() {
            return Err(refused(format!("chunk {} was expected, {number:?} came", self.number)));
        }
        Ok(items)
    }

    fn write_lease(&mut self, body: &[u8]) -> Result<(), Error> {
        let (id, ttl) = body.split_at_checked(8).ok_or_else(|| refused("a lease is cut short"))?;
        let id = i64::from_le_bytes(id.try_into().expect("eight bytes"));
        let ttl = lease_ttl(id, ttl).map_err(|error| refused(error.to_string()))?;
        self.leases += 1;
        save_leases(&self.txn, [(id, Some(ttl))])
    }

    fn write_row(&mut self, body: &[u8]) -> Result<(), Error> {
        let (key, bytes) =
            body.split_first_chunk::<KEY_LEN>().ok_or_else(|| refused("a row is cut short"))?;
        let row = self.file.checked(key, bytes);
        let (at, _) = row.map_err(|error| refused(error.to_string()))?;
        if at <= self.last {
            return Err(refused(format!("row {}.{} is out of order", at.main, at.sub)));
        }
        self.last = at;
        self.rows += 1;
        self.txn.open_table(ROWS)?.insert(key, bytes)?;
        Ok(())
    }

    fn end(&mut self, body: &[u8]) -> Result<(), Error> {
        if body != [self.rows.to_le_bytes(), self.leases.to_le_bytes()].concat() {
            return Err(refused(format!("it does not hold what it says: {} rows arrived", self.rows)));
        }
        self.ended = true;
        Ok(())
    }

    /// Ends the snapshot, and makes it durable.
    pub fn finish(self) -> Result<Staged, Error> {
        let head = match self.head {
            Some(head) if self.ended => head,
            _ => return Err(refused(format!("it ended early, after {} chunks", self.number))),
        };
        save_meta(&self.txn, &Meta { installed: true, ..head.clone() })?;
        self.txn.commit()?;
        drop(self.file);
        Ok(Staged { disk: self.disk, path: self.path, head })
    }
}

fn split_item(items: &[u8]) -> Option<(Kind, &[u8], &[u8])> {
    let (kind, rest) = items.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((Kind::of(*kind)?, body, rest))
}

impl Staged {
    /// The log index that the snapshot stands for.
    pub fn applied(&self) -> u64 {
        self.head.applied
    }

    /// Reads the snapshot back, whole and as `store` will, without touching what `store` has. Blocks for a scan over all rows.
    pub fn load(self, store: &Store) -> Result<Loaded, Error> {
        let options = &store.shared.options;
        let path = building(&self.path);
        let file = StateFile::open_checked(&*self.disk, &path, options.cache_bytes, options.planted);
        let state = file.and_then(State::load);
        let state = state.map_err(|error| refused(format!("it does not read back: {error}")))?;
        if state.meta != self.head {
            return Err(refused("it does not read back as it was written"));
        }
        let state = state.with(options.planted);
        let shared = Shared::new(self.disk.clone(), path, options.clone(), state);
        Ok(Loaded { disk: self.disk, path: self.path, store: Store { shared: Arc::new(shared) } })
    }

    /// Puts the snapshot in the place of `store`'s state: [`Staged::load`] and [`Loaded::take_over`].
    pub fn install(self, store: &Store) -> Result<(), Error> {
        self.load(store)?.take_over(store)
    }
}

/// A snapshot that was read back and stands ready to take the place of a state, beside it.
pub struct Loaded {
    disk: Arc<dyn Disk>,
    path: String,
    store: Store,
}

impl Loaded {
    /// The new state. Entries of the log may be applied to it before it takes over; it is not flushed before.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes the place of `store`'s state, durably: every handle of the store serves it from then on, and the old file is gone.
    /// Readers are held up for a rename only. After [`Error::BadSnapshot`] the old state is still in place; after any other
    /// error the replica must stop.
    pub fn take_over(self, store: &Store) -> Result<(), Error> {
        let shared = &store.shared;
        let _writer = shared.writer();
        let (applied, new) = (shared.read().meta.applied, self.store.applied());
        if new < applied && !shared.options.planted.is(Bug::RepairGoesBack) {
            return Err(refused(format!("it is of index {new}, the state is at {applied}")));
        }
        let Some(new) = Arc::into_inner(self.store.shared) else {
            return Err(refused("it is in use"));
        };
        let mut new = new.into_state();
        let _only = shared.flushing();
        shared.read().file.fence();
        put_in_place(&*self.disk, &self.path)?;
        let mut state = shared.write();
        new.epoch = state.epoch + 1;
        new.touched = true;
        let old = std::mem::replace(&mut *state, new);
        shared.absolve();
        drop(state);
        drop(old);
        Ok(())
    }
}
