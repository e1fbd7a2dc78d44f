//! The Disk port on an invented medium: names apart from files, a page cache above a medium, and every way in which the two
//! may come to differ when a machine stops.

mod faults;
mod inode;
mod medium;
mod names;
mod trouble;

pub use faults::{DiskFaults, DiskSpeed, Unreadable};
pub use medium::DiskCounts;
pub(crate) use medium::Medium;

use crate::sched::Owner;
use kernel::disk::check_path;
use kernel::{Disk, File, Open};
use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// A disk that outlives the processes which use it.
pub(crate) type SharedMedium = Arc<Mutex<Medium>>;

fn locked(medium: &SharedMedium) -> MutexGuard<'_, Medium> {
    medium.lock().expect("no holder panics")
}

/// The Disk port of one process.
pub(crate) struct SimDisk {
    pub medium: SharedMedium,
    pub owner: Owner,
}

/// The canonical form of a path: parts joined by single slashes.
fn canonical(path: &str) -> io::Result<String> {
    check_path(path)?;
    Ok(path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

impl Disk for SimDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let inode = locked(&self.medium).open(self.owner, &canonical(path)?, how)?;
        Ok(Arc::new(SimFile { medium: self.medium.clone(), owner: self.owner, inode }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        locked(&self.medium).list(self.owner, &canonical(dir)?)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        locked(&self.medium).create_dir(self.owner, &canonical(dir)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        locked(&self.medium).rename(self.owner, &canonical(from)?, &canonical(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        locked(&self.medium).remove(self.owner, &canonical(path)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        locked(&self.medium).sync_dir(self.owner, &canonical(dir)?)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let number = locked(&self.medium).take_lock(self.owner, &canonical(path)?)?;
        Ok(Box::new(Guard { medium: self.medium.clone(), number }))
    }
}

/// The tree's lock.
struct Guard {
    medium: SharedMedium,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        locked(&self.medium).release_lock(self.number);
    }
}

struct SimFile {
    medium: SharedMedium,
    owner: Owner,
    inode: u64,
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        locked(&self.medium).len(self.owner, self.inode)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        locked(&self.medium).read(self.owner, self.inode, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        locked(&self.medium).write(self.owner, self.inode, offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.medium).set_len(self.owner, self.inode, len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        locked(&self.medium).preallocate(self.owner, self.inode, len)
    }

    fn sync(&self) -> io::Result<()> {
        locked(&self.medium).sync(self.owner, self.inode)
    }

    fn map(&self) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        let mut medium = locked(&self.medium);
        let mut bytes = vec![0; medium.len(self.owner, self.inode)? as usize];
        medium.read(self.owner, self.inode, 0, &mut bytes)?;
        Ok(Box::new(bytes))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        locked(&self.medium).close(self.owner, self.inode);
    }
}
