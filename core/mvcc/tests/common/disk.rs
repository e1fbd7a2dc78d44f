//! A disk in memory. It knows which writes were synced, so a crash can take any of the others; it can be full, and it can rot.

use kernel::rng::Stream;
use kernel::{Disk, File, Open};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

#[derive(Default)]
pub struct MemDisk {
    names: Mutex<Names>,
    room: Arc<Room>,
}

#[derive(Default)]
struct Names {
    now: BTreeMap<String, Arc<MemFile>>,
    durable: BTreeMap<String, Arc<MemFile>>,
}

/// How many more bytes may be allocated, by whole sectors; `u64::MAX` is no bound.
struct Room {
    left: AtomicU64,
    /// Changes until the power goes.
    changes: AtomicU64,
}

impl Default for Room {
    fn default() -> Self {
        Room { left: AtomicU64::new(u64::MAX), changes: AtomicU64::new(u64::MAX) }
    }
}

impl Room {
    /// Fails once the power has gone.
    fn change(&self) -> io::Result<()> {
        match self.changes.load(Ordering::SeqCst) {
            u64::MAX => Ok(()),
            0 => Err(io::Error::other("the power has gone")),
            left => {
                self.changes.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = self.left.load(Ordering::SeqCst);
        if left == u64::MAX {
            return Ok(());
        }
        match left.checked_sub(bytes) {
            Some(left) => {
                self.left.store(left, Ordering::SeqCst);
                Ok(())
            }
            None => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }
}

pub struct MemFile {
    content: Mutex<Content>,
    room: Arc<Room>,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    unreadable: Option<std::ops::Range<usize>>,
    /// Sectors that were ever written: writing them again takes no room.
    allocated: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Change::SetLen(len) => bytes.resize(*len, 0),
            Change::Write(offset, data) => {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                for (n, sector) in data.chunks(SECTOR).enumerate() {
                    if keep() {
                        let at = offset + n * SECTOR;
                        bytes[at..at + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
    }
}

impl MemDisk {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The disk as the next start finds it after a power loss: of what was not synced, each sector is kept or lost.
    pub fn crashed(&self, seed: u64) -> Arc<Self> {
        let mut draws = Stream::new(seed, "crash", 0);
        let names = self.names.lock().unwrap();
        let kept = names.durable.iter().map(|(name, file)| {
            let content = file.content.lock().unwrap();
            let mut bytes = content.durable.clone();
            for change in &content.unsynced {
                change.apply(&mut bytes, || draws.chance(1, 2));
            }
            (name.clone(), bytes)
        });
        let disk = MemDisk::default();
        let files: BTreeMap<_, _> = kept.map(|(name, bytes)| (name, disk.file(bytes))).collect();
        *disk.names.lock().unwrap() = Names { now: files.clone(), durable: files };
        Arc::new(disk)
    }

    fn file(&self, bytes: Vec<u8>) -> Arc<MemFile> {
        let content = Content { durable: bytes.clone(), now: bytes, ..Content::default() };
        Arc::new(MemFile { content: Mutex::new(content), room: self.room.clone() })
    }

    /// Bounds what may still be written.
    pub fn set_room(&self, bytes: u64) {
        self.room.left.store(bytes, Ordering::SeqCst);
    }

    /// Lets the power go after so many more changes.
    pub fn cut_after(&self, changes: u64) {
        self.room.changes.store(changes, Ordering::SeqCst);
    }

    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().now.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let file = self.names.lock().unwrap().now[path].clone();
        let content = file.content.lock().unwrap();
        content.now.clone()
    }

    /// Changes the bytes of a file at rest.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.names.lock().unwrap().now[path].clone();
        let mut content = file.content.lock().unwrap();
        change(&mut content.now);
        content.durable = content.now.clone();
        content.unsynced.clear();
    }

    /// From now on no read that touches `bytes` of a file succeeds.
    pub fn make_unreadable(&self, path: &str, bytes: Option<std::ops::Range<usize>>) {
        let file = self.names.lock().unwrap().now[path].clone();
        file.content.lock().unwrap().unreadable = bytes;
    }

    /// Turns bits of every place where `pattern` lies in a file's bytes; returns how many there were.
    pub fn rot(&self, path: &str, pattern: &[u8]) -> usize {
        let file = self.names.lock().unwrap().now[path].clone();
        let mut content = file.content.lock().unwrap();
        let found: Vec<_> =
            content.now.windows(pattern.len()).enumerate().filter(|(_, w)| *w == pattern).collect();
        let places: Vec<_> = found.into_iter().map(|(at, _)| at).collect();
        for at in &places {
            content.now[*at] ^= 0x10;
            content.durable[*at] ^= 0x10;
        }
        places.len()
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let mut names = self.names.lock().unwrap();
        match (names.now.get(path), how) {
            (Some(_), Open::New) => Err(io::ErrorKind::AlreadyExists.into()),
            (None, Open::Existing) => Err(io::ErrorKind::NotFound.into()),
            (Some(file), _) => Ok(file.clone()),
            (None, _) => {
                let file = self.file(Vec::new());
                names.now.insert(path.to_string(), file.clone());
                Ok(file)
            }
        }
    }

    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.room.change()?;
        let mut names = self.names.lock().unwrap();
        let file = names.now.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.now.insert(to.to_string(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let gone = self.names.lock().unwrap().now.remove(path);
        gone.map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        self.room.change()?;
        let mut names = self.names.lock().unwrap();
        names.durable = names.now.clone();
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl File for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let (first, end) = (offset as usize, offset as usize + buf.len());
        if content.unreadable.as_ref().is_some_and(|bad| first < bad.end && bad.start < end) {
            return Err(io::Error::other("a sector cannot be read"));
        }
        let from = content.now.get(offset as usize..).unwrap_or(&[]);
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.room.change()?;
        let sectors = offset as usize / SECTOR..(offset as usize + bytes.len()).div_ceil(SECTOR);
        {
            let mut content = self.content.lock().unwrap();
            let new = sectors.clone().filter(|sector| !content.allocated.contains(sector)).count();
            self.room.take((new * SECTOR) as u64)?;
            content.allocated.extend(sectors);
        }
        self.change(Change::Write(offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room.change()?;
        self.change(Change::SetLen(len as usize));
        Ok(())
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.set_len(len.max(self.len()?))
    }

    fn sync(&self) -> io::Result<()> {
        self.room.change()?;
        let content = &mut *self.content.lock().unwrap();
        for change in content.unsynced.drain(..) {
            change.apply(&mut content.durable, || true);
        }
        Ok(())
    }

    fn map(&self) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        Ok(Box::new(self.content.lock().unwrap().now.clone()))
    }
}

impl MemFile {
    fn change(&self, change: Change) {
        let mut content = self.content.lock().unwrap();
        change.apply(&mut content.now, || true);
        content.unsynced.push(change);
    }
}
