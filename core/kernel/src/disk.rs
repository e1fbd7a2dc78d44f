//! The Disk port: one directory tree, which belongs to one process.
//!
//! All verbs block, and are meant to be called from a [`Worker`](crate::Worker) job or at start-up: that is what both the
//! log writer and the B-tree beneath the state store want, and it keeps futures out of the storage path. Paths are relative
//! to the root of the tree, with `/` between parts; a path that is absolute or has a `..` part is refused with
//! `InvalidInput`.
//!
//! What survives what, which is the contract that recovery is written against:
//! - A *process crash* loses nothing that a verb has returned success for.
//! - A *power loss* loses, tears or keeps each sector that was written after the last successful [`File::sync`] on that
//!   file, each on its own. What was there at that sync survives, including the file's length.
//! - A created, renamed or removed name is durable once [`Disk::sync_dir`] has succeeded on its directory; before that a
//!   power loss may undo it (also after the file itself was synced).
//! - A failed sync means that the fate of everything unsynced is unknown for ever: the caller stops the process.

use std::any::Any;
use std::io;
use std::sync::Arc;

/// How [`Disk::open`] treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// The file must exist; opened for reading and writing.
    Existing,
    /// The file must not exist (`AlreadyExists` otherwise); created empty.
    New,
    /// Opened if it exists, created empty if not.
    Any,
}

/// A directory tree on a medium.
pub trait Disk: Send + Sync {
    /// Opens a file. Errors: `NotFound`, `AlreadyExists` by `how`; `StorageFull` where there is no room to create.
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>>;

    /// The names directly in `dir` (files and directories), sorted. `NotFound` when `dir` does not exist.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Creates `dir` and its parents; fine when it exists. Durable after `sync_dir` on each parent.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Gives a file a new name, replacing what had it, atomically for every observer and across every crash.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name. Open handles keep working.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the names in `dir` durable. `""` is the root of the tree.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Takes the tree's exclusive lock, kept at `path`, until the guard is dropped or the process ends.
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// An open file. Clones of the `Arc` share it; verbs may be called from several threads.
pub trait File: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills as much of `buf` as lies before the end of the file, and returns how much that was.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, growing the file where needed. On an error (`StorageFull` is one) any part may
    /// have been written. Other readers see it at once; the medium keeps it after [`File::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or grows (with zeros) the file to `len`.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes `0..len` real blocks that read as zeros where nothing was written, so that later writes inside need no
    /// metadata and cannot fail for lack of room. Keeps existing bytes. `StorageFull` leaves the length as it was.
    fn preallocate(&self, len: u64) -> io::Result<()>;

    /// Makes every byte written before this call, and the length, survive a power loss.
    fn sync(&self) -> io::Result<()>;

    /// Lets go of what the page cache holds of `len` bytes from `offset` on, as far as it is on the medium, so that the next read
    /// of it looks at the medium. A request that may be passed over, and never an error.
    fn forget_cached(&self, _offset: u64, _len: u64) {}

    /// The whole file as memory, for a file that is sealed: nobody may write to it or cut it while the map lives.
    fn map(&self) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>>;
}

/// Refuses a path that could leave the tree. Both implementations call it first.
pub fn check_path(path: &str) -> io::Result<()> {
    let bad = path.starts_with('/') || path.split('/').any(|part| part == ".." || part == ".");
    if bad {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("path {path:?} leaves the data directory: use a relative path without '.' or '..' parts"),
        ));
    }
    Ok(())
}
