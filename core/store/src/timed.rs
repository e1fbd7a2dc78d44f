//! A disk that measures what it does to the log: every sync of a file in the log's folder, and what is written there.
//!
//! It stands between the log and the Disk port, so the log knows nothing of meters, and whatever it syncs is measured: its
//! records as well as the making of a new segment. Everything else passes through untouched.

use crate::meter::Meter;
use kernel::{Clock, Disk, File, Io, Open};
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// See the head of the file.
struct TimedDisk {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
    folder: String,
}

struct TimedFile {
    file: Arc<dyn File>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
}

/// The ports of `io`, with a disk that measures what happens to the files below `folder`.
pub fn timed(io: &Io, folder: &str, meter: &Arc<Meter>) -> Io {
    let disk = TimedDisk {
        disk: io.disk.clone(),
        clock: io.clock.clone(),
        meter: meter.clone(),
        folder: format!("{folder}/"),
    };
    Io { disk: Arc::new(disk), ..io.clone() }
}

impl Disk for TimedDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, how)?;
        if !path.starts_with(&self.folder) {
            return Ok(file);
        }
        Ok(Arc::new(TimedFile { file, clock: self.clock.clone(), meter: self.meter.clone() }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(path)
    }
}

impl File for TimedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)?;
        self.meter.log_bytes.fetch_add(bytes.len() as u64, Relaxed);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.file.preallocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        let begun = self.clock.now();
        self.file.sync()?;
        self.meter.log_syncs.observe(self.clock.now().saturating_sub(begun));
        Ok(())
    }

    fn map(&self) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        self.file.map()
    }
}
