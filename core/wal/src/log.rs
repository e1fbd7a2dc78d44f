//! Saving: one write and at most one sync a batch, rolling, persist markers, and letting go of what is no longer needed.
//!
//! State changes only after the write that makes it true has succeeded, so lack of room costs the batch and nothing else. Any
//! other failure to write or sync leaves the disk in a state that cannot be known: the log then refuses every further call.

use crate::error::{Error, failed, fatal};
use crate::make::{Current, Plan};
use crate::record::{Tag, encoded_len};
use crate::segment::{ASIDE, Carried, FIRST_BLOCK, Link, Name, SEGMENT_LIMIT, SPARE};
use crate::types::{Kind, Options, Record};
use bytes::Bytes;
use kernel::{Bug, Disk, Open};
use std::collections::VecDeque;
use std::sync::Arc;

/// A larger write buffer is given back after use.
const BUFFER_KEPT: usize = 4 << 20;

/// The log, open for writing. Every verb blocks.
///
/// Invariants: `current.at.synced <= current.at.tail <= current.size`; `sealed` is durable and links up to `current`;
/// behind the tail there is no byte that a reader could take for the next record, unless `dirty` says so.
pub struct Wal {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: String,
    pub(crate) options: Options,
    pub(crate) metadata: Bytes,
    /// Oldest first, without the current one.
    pub(crate) sealed: VecDeque<Name>,
    pub(crate) current: Current,
    pub(crate) carried: Carried,
    pub(crate) next_sequence: u64,
    /// Whether a released segment waits to be used again.
    pub(crate) spare: bool,
    /// Something is durable that no later record says so of.
    pub(crate) unmarked: bool,
    /// Up to where a write without room may have left bytes behind the tail.
    pub(crate) dirty: Option<usize>,
    pub(crate) poisoned: bool,
    /// The end of the log before its last record.
    pub(crate) before_last: Link,
    pub(crate) buffer: Vec<u8>,
}

impl Wal {
    /// Appends `records`, in order, as one write into one segment, and syncs everything so far if `sync`.
    ///
    /// On [`Error::Full`] none of `records` counts. Panics if an entry would leave a gap behind the last one.
    pub fn save(&mut self, records: &[Record], sync: bool) -> Result<(), Error> {
        let bytes = records.iter().map(|record| encoded_len(record.payload.len())).sum();
        let fields =
            records.iter().map(|record| (record.kind.into(), record.index, record.term, &record.payload[..]));
        self.guarded(|wal| {
            wal.write(bytes, fields)?;
            records
                .iter()
                .filter(|record| record.kind != Kind::Entry)
                .for_each(|record| wal.carried.note(record));
            if sync { wal.sync() } else { Ok(()) }
        })
    }

    /// Writes and syncs a persist marker, if something is durable that no later record bears witness to. Without one, damage
    /// to the very last batch could not be told from a torn write. For when the log is idle.
    pub fn mark(&mut self) -> Result<(), Error> {
        self.guarded(|wal| {
            if !wal.unmarked {
                return Ok(());
            }
            // First what may be waiting, so that the marker vouches for all of it.
            wal.sync()?;
            let state = wal.carried.hard_state.clone().unwrap_or_default();
            wal.write(encoded_len(state.len()), [(Tag::Marker, 0, 0, &state[..])].into_iter())?;
            wal.sync()?;
            wal.unmarked = false;
            wal.options.probe.sometimes("wal: marker written");
            Ok(())
        })
    }

    /// Lets go of every segment that holds no entry above `index`, but never of the last one; returns how many went. At
    /// most one is kept to be used again.
    pub fn release(&mut self, index: u64) -> Result<usize, Error> {
        self.guarded(|wal| {
            let mut released = 0;
            while let Some(oldest) = wal.sealed.front().copied() {
                let next = wal.sealed.get(1).copied().unwrap_or(wal.current.name);
                if next.first > index.saturating_add(1) {
                    break;
                }
                wal.drop_segment(oldest)?;
                wal.sealed.pop_front();
                released += 1;
            }
            Ok(released)
        })
    }

    /// Durably notes that entries up to `index` were acknowledged here and cannot be used any more, because what they build on
    /// is lost. As after a repair; [`Wal::clear_quarantine`] ends it.
    pub fn quarantine(&mut self, index: u64) -> Result<(), Error> {
        self.guarded(|wal| {
            let index = wal.carried.quarantine.unwrap_or(0).max(index);
            if wal.carried.quarantine == Some(index) || index == 0 {
                return Ok(());
            }
            wal.write(encoded_len(8), [(Tag::Quarantine, 0, 0, &index.to_le_bytes()[..])].into_iter())?;
            wal.carried.quarantine = Some(index);
            wal.sync()
        })
    }

    /// Durably ends a quarantine, and removes what a repair set aside.
    pub fn clear_quarantine(&mut self) -> Result<(), Error> {
        self.guarded(|wal| {
            if wal.carried.quarantine.is_none() {
                return Ok(());
            }
            wal.write(encoded_len(8), [(Tag::Quarantine, 0, 0, &[0; 8][..])].into_iter())?;
            wal.carried.quarantine = None;
            wal.sync()?;
            wal.remove_aside()
        })
    }

    /// Number of segments, the current one included.
    pub fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    /// Index of the last entry saved; 0 if there never was one.
    pub fn last_index(&self) -> u64 {
        self.current.at.last
    }

    fn guarded<T>(&mut self, verb: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let done = verb(self);
        match &done {
            Err(Error::Full(_)) => self.options.probe.sometimes("wal: disk full"),
            Err(error) if error.is_fatal() => {
                self.options.probe.sometimes("wal: poisoned");
                self.poisoned = true;
            }
            _ => {}
        }
        done
    }

    fn path(&self) -> String {
        self.current.name.path(&self.dir)
    }

    /// One write of the records, `bytes` long in all.
    fn write<'r>(
        &mut self,
        bytes: usize,
        records: impl Iterator<Item = (Tag, u64, u64, &'r [u8])>,
    ) -> Result<(), Error> {
        self.restore_tail()?;
        if bytes == 0 {
            return Ok(());
        }
        self.make_room(bytes)?;
        let mut at = self.current.at;
        let mut before_last = self.before_last;
        self.buffer.clear();
        for (tag, index, term, payload) in records {
            before_last = Link { sequence: at.identity.sequence, end: at.tail, crc: at.crc };
            at.put(tag, index, term, payload, &mut self.buffer);
        }
        assert_eq!(self.buffer.len(), bytes, "the batch is as long as was reckoned");
        assert!(at.tail as u64 <= self.current.size, "room was made for the batch");
        let written = self.current.file.write_at(self.current.at.tail as u64, &self.buffer);
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        if let Err(error) = written.map_err(failed("writing segment", &self.path())) {
            self.dirty = Some(at.tail);
            return Err(if error.is_fatal() { error } else { self.restore_tail().err().unwrap_or(error) });
        }
        (self.current.at, self.before_last) = (at, before_last);
        Ok(())
    }

    /// After a write for which there was no room: makes what it may have left behind the tail zeros again, durably, so that it
    /// can never be taken for records. [`Error::Full`] while even that is impossible.
    fn restore_tail(&mut self) -> Result<(), Error> {
        let Some(end) = self.dirty else { return Ok(()) };
        let path = self.path();
        let (file, tail) = (&self.current.file, self.current.at.tail);
        file.write_at(tail as u64, &vec![0; end - tail])
            .map_err(failed("clearing the tail of segment", &path))?;
        file.sync().map_err(fatal("syncing segment", &path))?;
        self.current.at.synced = tail;
        self.dirty = None;
        self.options.probe.sometimes("wal: tail restored");
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.current.at.synced == self.current.at.tail {
            return Ok(());
        }
        self.current.file.sync().map_err(fatal("syncing segment", &self.path()))?;
        self.current.at.synced = self.current.at.tail;
        self.unmarked = true;
        Ok(())
    }

    /// Rolls to a new segment if the current one has no room for `bytes`. The old one is synced before the new one exists:
    /// recovery relies on it.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes as u64 > SEGMENT_LIMIT {
            return Err(Error::TooLarge { bytes: bytes as u64, limit: SEGMENT_LIMIT });
        }
        let at = self.current.at;
        if (at.tail + bytes) as u64 <= self.current.size {
            return Ok(());
        }
        self.sync()?;
        let mut link = Link { sequence: at.identity.sequence, end: at.tail, crc: at.crc };
        if self.options.planted.is(Bug::DropRecordOnRoll) && self.before_last.sequence == link.sequence {
            link = self.before_last;
        }
        let plan = Plan {
            disk: &*self.disk,
            dir: &self.dir,
            // Never the same twice, also after an attempt that failed: no record may fit into two segments.
            sequence: self.next_sequence,
            link,
            last: at.last,
            metadata: &self.metadata,
            carried: &self.carried,
            size: segment_size(&self.options),
            room: bytes,
            spare: self.spare,
            planted: self.options.planted,
        };
        self.next_sequence += 1;
        let made = plan.make();
        let recycled =
            self.spare && made.as_ref().map_or(true, |made| made.size == segment_size(&self.options));
        if recycled {
            self.spare = false;
            self.options.probe.sometimes("wal: segment recycled");
        }
        self.sealed.push_back(std::mem::replace(&mut self.current, made?).name);
        self.unmarked = false;
        self.options.probe.sometimes("wal: rolled");
        Ok(())
    }

    /// Takes the oldest segment's name away, durably: were two removals pending at once, a power loss could undo the older
    /// one alone, and the log would seem to miss a segment in its middle.
    fn drop_segment(&mut self, name: Name) -> Result<(), Error> {
        let path = name.path(&self.dir);
        let reusable = !self.spare && {
            let file = self.disk.open(&path, Open::Existing).map_err(fatal("opening segment", &path))?;
            file.len().map_err(fatal("measuring segment", &path))? == segment_size(&self.options)
        };
        if reusable {
            let spare = format!("{}/{SPARE}", self.dir);
            self.disk.rename(&path, &spare).map_err(failed("setting aside released segment", &path))?;
        } else {
            self.disk.remove(&path).map_err(failed("removing released segment", &path))?;
        }
        self.disk.sync_dir(&self.dir).map_err(fatal("syncing directory", &self.dir))?;
        self.spare |= reusable;
        Ok(())
    }

    fn remove_aside(&mut self) -> Result<(), Error> {
        let names = self.disk.list(&self.dir).map_err(fatal("listing", &self.dir))?;
        for name in names.iter().filter(|name| name.ends_with(ASIDE)) {
            let path = format!("{}/{name}", self.dir);
            self.disk.remove(&path).map_err(failed("removing", &path))?;
        }
        self.disk.sync_dir(&self.dir).map_err(fatal("syncing directory", &self.dir))
    }
}

/// Bytes of a segment that need not be larger.
pub(crate) fn segment_size(options: &Options) -> u64 {
    options.segment_bytes.clamp(1, SEGMENT_LIMIT).next_multiple_of(FIRST_BLOCK as u64)
}
