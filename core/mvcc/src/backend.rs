//! redb's storage on the Disk port.
//!
//! Four things are added to passing verbs on. A *fence*: once set, every verb fails, so that a database that failed and was
//! opened anew cannot write to the file a second time when its old handle goes. What failed *first* is remembered, because redb
//! may pass over it and report a second failure. The file's length is kept in memory, so that asking for it blocks
//! nobody. And whatever is read must be what was written or read before ([`Sums`]): a block that is not, or that cannot be read
//! at all, is *damage*, and never gets as far as redb. The range locks that redb asks for are granted at once: the directory's lock is
//! [`Disk::lock`](kernel::Disk::lock), which whoever opened it holds.

use crate::sums::{BLOCK, Sums};
use kernel::{Bug, File, Planted};
use redb::{BackendError, StorageBackend};
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A handle on the backend that stays outside of redb.
#[derive(Clone)]
pub(crate) struct Gauge(Arc<Shared>);

struct Shared {
    file: Arc<dyn File>,
    fenced: AtomicBool,
    len: AtomicU64,
    failed: OnceLock<io::ErrorKind>,
    damage: OnceLock<String>,
    sums: Arc<Sums>,
    /// The bug planted in this run.
    planted: Planted,
}

/// What a step of the scrub came to.
pub(crate) enum Scrubbed {
    /// Read so many blocks, all as they were; the next to look at is this one.
    Sound { blocks: usize, next: usize },
    /// There is nothing behind.
    Done,
    /// There is damage: see [`Gauge::damage`].
    Damaged,
}

impl Gauge {
    /// Makes every later verb fail.
    pub fn fence(&self) {
        self.0.fenced.store(true, Ordering::SeqCst);
    }

    /// The kind of the first failure of a verb.
    pub fn failed(&self) -> Option<io::ErrorKind> {
        self.0.failed.get().copied()
    }

    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.0.len.load(Ordering::Relaxed)
    }

    /// What was found damaged first.
    pub fn damage(&self) -> Option<String> {
        self.0.damage.get().cloned()
    }

    /// The sums, for whoever opens the same file anew.
    pub fn sums(&self) -> Arc<Sums> {
        self.0.sums.clone()
    }

    /// Reads up to `most` blocks from `from` on of which something is known, from the medium as far as that can be asked for, and
    /// compares. Blocks; waits for nobody, and nobody waits for it.
    pub fn scrub(&self, from: usize, most: usize) -> Scrubbed {
        let (first, sums) = self.0.sums.run(from, most);
        if sums.is_empty() || self.0.fenced.load(Ordering::SeqCst) {
            return Scrubbed::Done;
        }
        let offset = (first * BLOCK) as u64;
        let wanted = self.len().saturating_sub(offset).min((sums.len() * BLOCK) as u64) as usize;
        let mut bytes = vec![0; wanted];
        self.0.file.forget_cached(offset, wanted as u64);
        let outcome = match self.0.file.read_at(offset, &mut bytes) {
            // It may have been cut since its length was asked for.
            Ok(read) => self.0.sums.compare(first, &sums, &bytes[..read]).map_err(changed),
            Err(error) => Err(unreadable(offset, wanted, &error)),
        };
        match outcome {
            Ok(()) => Scrubbed::Sound { blocks: sums.len(), next: first + sums.len() },
            Err(_) if self.0.fenced.load(Ordering::SeqCst) || self.0.planted.is(Bug::ScrubIgnored) => {
                Scrubbed::Done
            }
            Err(what) => {
                let _ = self.0.damage.set(what);
                Scrubbed::Damaged
            }
        }
    }
}

fn changed(block: usize) -> String {
    let at = block * BLOCK;
    format!("bytes {at} to {} are not what was written there", at + BLOCK)
}

fn unreadable(offset: u64, len: usize, error: &io::Error) -> String {
    format!("bytes {offset} to {} cannot be read: {error}", offset + len as u64)
}

/// See the head of the file.
pub(crate) struct Backend {
    shared: Arc<Shared>,
}

impl Backend {
    /// A backend on `file`, of which `sums` are known, and its gauge.
    pub fn new(file: Arc<dyn File>, sums: Arc<Sums>, planted: Planted) -> io::Result<(Self, Gauge)> {
        let len = AtomicU64::new(file.len()?);
        let shared = Arc::new(Shared {
            file,
            fenced: AtomicBool::new(false),
            len,
            failed: OnceLock::new(),
            damage: OnceLock::new(),
            sums,
            planted,
        });
        Ok((Backend { shared: shared.clone() }, Gauge(shared)))
    }

    /// Does `verb`, unless the fence is up.
    fn run<T>(&self, verb: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        if self.shared.fenced.load(Ordering::SeqCst) {
            return Err(io::Error::other("the state file was opened anew"));
        }
        verb(&*self.shared.file).inspect_err(|error| {
            let _ = self.shared.failed.set(error.kind());
        })
    }

    fn damaged(&self, what: String) -> io::Error {
        let _ = self.shared.damage.set(what.clone());
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// Reads whole blocks and holds them to what is known.
    fn read_blocks(&self, file: &dyn File, first: usize, out: &mut [u8]) -> io::Result<()> {
        let (offset, wanted) = ((first * BLOCK) as u64, out.len());
        let read = file.read_at(offset, out);
        let read = read.map_err(|error| self.damaged(unreadable(offset, wanted, &error)))?;
        if read < wanted {
            let end = offset + read as u64;
            return Err(self.damaged(format!("it ends at {end}, {wanted} bytes at {offset} were asked for")));
        }
        match self.shared.sums.check(first, out) {
            Err(block) if !self.shared.planted.is(Bug::ServeDamaged) => Err(self.damaged(changed(block))),
            _ => Ok(()),
        }
    }

    /// The blocks that `offset..offset + len` touches: the first, and all of them as far as the file reaches.
    fn around(&self, offset: u64, len: usize) -> (usize, usize) {
        let first = offset as usize / BLOCK;
        let end = (offset as usize + len).next_multiple_of(BLOCK);
        let most = self.shared.len.load(Ordering::Relaxed).max(offset + len as u64) as usize;
        (first, end.min(most) - first * BLOCK)
    }
}

impl Backend {
    /// Writes `data` at `offset`, after which the blocks from `first` on hold `blocks`.
    fn write_blocks(
        &self,
        file: &dyn File,
        first: usize,
        offset: u64,
        data: &[u8],
        blocks: &[u8],
    ) -> io::Result<()> {
        self.shared.sums.forget(first, first + blocks.len().div_ceil(BLOCK));
        file.write_at(offset, data)?;
        self.shared.sums.wrote(first, blocks);
        self.shared.len.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

fn is_whole(offset: u64, len: usize) -> bool {
    (offset as usize).is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK)
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("len", &self.shared.len).finish_non_exhaustive()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.run(|_| Ok(self.shared.len.load(Ordering::Relaxed)))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.run(|file| {
            if is_whole(offset, out.len()) {
                return self.read_blocks(file, offset as usize / BLOCK, out);
            }
            let (first, len) = self.around(offset, out.len());
            let mut blocks = vec![0; len];
            self.read_blocks(file, first, &mut blocks)?;
            let at = offset as usize - first * BLOCK;
            out.copy_from_slice(&blocks[at..at + out.len()]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(|file| {
            let kept = self.shared.len.load(Ordering::Relaxed).min(len) as usize;
            // The last block of a length that is no multiple changes with it, and what is cut off reads as zeros later.
            self.shared.sums.forget(kept / BLOCK, usize::MAX);
            file.set_len(len)
        })?;
        self.shared.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Whatever the reason: what a failed sync left on the medium is unknown, so it is never an ordinary lack of room.
        self.run(|file| file.sync().map_err(|error| io::Error::other(format!("sync: {error}"))))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.run(|file| {
            if is_whole(offset, data.len()) {
                return self.write_blocks(file, offset as usize / BLOCK, offset, data, data);
            }
            // The header of the file, mostly: what surrounds it stays.
            let (first, len) = self.around(offset, data.len());
            let mut blocks = vec![0; len];
            let there = self.shared.len.load(Ordering::Relaxed) as usize;
            let old = there.saturating_sub(first * BLOCK).min(len);
            self.read_blocks(file, first, &mut blocks[..old])?;
            let at = offset as usize - first * BLOCK;
            blocks[at..at + data.len()].copy_from_slice(data);
            self.write_blocks(file, first, offset, data, &blocks)
        })
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}
