//! redb's storage on the Disk port.
//!
//! Three things are added to passing verbs on. A *fence*: once set, every verb fails, so that a database that failed and was
//! opened anew cannot write to the file a second time when its old handle goes. What failed *first* is remembered, because redb
//! may pass over it and report a second failure. And the file's length is kept in memory, so that asking for it blocks
//! nobody. The range locks that redb asks for are granted at once: the directory's lock is
//! [`Disk::lock`](kernel::Disk::lock), which whoever opened it holds.

use kernel::File;
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
    fenced: AtomicBool,
    len: AtomicU64,
    failed: OnceLock<io::ErrorKind>,
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
}

/// See the head of the file.
pub(crate) struct Backend {
    file: Arc<dyn File>,
    shared: Arc<Shared>,
}

impl Backend {
    /// A backend on `file`, and its gauge.
    pub fn new(file: Arc<dyn File>) -> io::Result<(Self, Gauge)> {
        let len = AtomicU64::new(file.len()?);
        let shared = Arc::new(Shared { fenced: AtomicBool::new(false), len, failed: OnceLock::new() });
        Ok((Backend { file, shared: shared.clone() }, Gauge(shared)))
    }

    /// Does `verb`, unless the fence is up.
    fn run<T>(&self, verb: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        if self.shared.fenced.load(Ordering::SeqCst) {
            return Err(io::Error::other("the state file was opened anew"));
        }
        verb(&*self.file).inspect_err(|error| {
            let _ = self.shared.failed.set(error.kind());
        })
    }
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
        let read = self.run(|file| file.read_at(offset, out))?;
        if read < out.len() {
            let text = format!(
                "the state file ends at {}, {} bytes at {offset} were asked for",
                offset + read as u64,
                out.len()
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(|file| file.set_len(len))?;
        self.shared.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Whatever the reason: what a failed sync left on the medium is unknown, so it is never an ordinary lack of room.
        self.run(|file| file.sync().map_err(|error| io::Error::other(format!("sync: {error}"))))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.run(|file| file.write_at(offset, data))?;
        self.shared.len.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
        Ok(())
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
