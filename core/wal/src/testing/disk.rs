//! A disk in memory with two images of everything: what readers see (the page cache) and what a power loss leaves.
//!
//! Every verb that changes something is a numbered *step*. A plan can cut the power in the middle of a step, or make one step fail.
//! At a power loss each unsynced sector of 512 bytes is kept, dropped or torn (a prefix or suffix of the new bytes
//! over the old ones), each unsynced length and each unsynced change of a name is kept or undone, all by seed. A failed sync
//! marks the sectors clean without keeping them, as Linux does.

use kernel::disk::check_path;
use kernel::rng::Stream;
use kernel::{Disk, File, Open};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes in the middle of the step: it may have had its effect, nothing of it is durable yet.
    PowerLoss,
    /// As before, but the process is killed: the page cache survives.
    Kill,
    /// The step fails with an I/O error. A sync that fails loses what it should have kept.
    Io,
    /// The step fails for lack of room; a write leaves its first half.
    Full,
}

#[derive(Clone, Default)]
struct Inode {
    cache: Vec<u8>,
    medium: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Add(String, u64),
    Rename(String, String),
    Remove(String),
}

#[derive(Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending: Vec<Change>,
    dirs: BTreeSet<String>,
    steps: u64,
    syncs: u64,
    writes: u64,
    fault: Option<(u64, Fault)>,
    quota: Option<usize>,
    /// Bytes of files that cannot be read.
    unreadable: Vec<(u64, std::ops::Range<usize>)>,
    off: bool,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub struct TestDisk(Arc<Mutex<State>>);

struct TestFile {
    disk: TestDisk,
    inode: u64,
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    /// Counts a step; the fault that hits it, if any.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if self.off {
            return Err(off());
        }
        let now = self.steps;
        self.steps += 1;
        let fault = self.fault.filter(|(at, _)| *at == now).map(|(_, fault)| fault);
        self.off |= matches!(fault, Some(Fault::PowerLoss | Fault::Kill));
        Ok(fault)
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[inode].cache.len()).sum()
    }

    fn room_for(&self, more: usize) -> io::Result<()> {
        match self.quota {
            Some(quota) if self.used() + more > quota => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("inodes stay")
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        apply(&mut self.names, &change)?;
        self.pending.push(change);
        Ok(())
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Change) -> io::Result<()> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    match change {
        Change::Add(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename(from, to) => {
            let inode = names.remove(from).ok_or_else(missing)?;
            names.insert(to.clone(), inode);
        }
        Change::Remove(name) => {
            names.remove(name).ok_or_else(missing)?;
        }
    }
    Ok(())
}

/// The outcome of a step that is not a write: an injected failure, or leave to go on.
fn outcome(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::PowerLoss | Fault::Kill) => Err(off()),
        Some(Fault::Io) => Err(io::Error::other("injected I/O error")),
        Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
    }
}

impl Inode {
    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    fn resize(&mut self, len: usize) {
        let (low, high) = (len.min(self.cache.len()), len.max(self.cache.len()));
        self.cache.resize(len, 0);
        self.touch(low, high);
    }

    fn sync(&mut self) {
        self.medium.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let (from, to) = (sector * SECTOR, (sector * SECTOR + SECTOR).min(self.cache.len()));
            if from < to {
                self.medium[from..to].copy_from_slice(&self.cache[from..to]);
            }
        }
    }

    fn lose_power(&mut self, random: &mut Stream) {
        if self.medium.len() != self.cache.len() && random.chance(1, 2) {
            self.medium.resize(self.cache.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let (from, end) = (sector * SECTOR, (sector * SECTOR + SECTOR).min(self.cache.len()));
            let end = end.min(self.medium.len());
            if from >= end {
                continue;
            }
            let cut = from + random.below((end - from) as u64) as usize;
            let (low, high) = match random.below(4) {
                0 => (from, from),
                1 => (from, cut),
                2 => (cut, end),
                _ => (from, end),
            };
            self.medium[low..high].copy_from_slice(&self.cache[low..high]);
        }
        self.cache = self.medium.clone();
    }
}

impl TestDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// Lets `fault` hit the step number `at`, counted from now.
    pub fn plan(&self, at: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.steps + at, fault));
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Writes and syncs of files so far.
    pub fn writes_and_syncs(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.syncs)
    }

    /// Bounds the bytes of all files together.
    pub fn set_quota(&self, quota: Option<usize>) {
        self.state().quota = quota;
    }

    /// Loses what is not durable, by seed, and comes back.
    pub fn lose_power(&self, seed: u64) {
        let mut random = Stream::new(seed, "power", 0);
        let state = &mut *self.state();
        state.inodes.values_mut().for_each(|inode| inode.lose_power(&mut random));
        for change in std::mem::take(&mut state.pending) {
            if random.chance(1, 2) {
                // A change that rests on one that was undone is undone with it.
                let _ = apply(&mut state.durable_names, &change);
            }
        }
        state.names = state.durable_names.clone();
        (state.off, state.fault) = (false, None);
    }

    /// Starts the process anew: the page cache survives.
    pub fn restart(&self) {
        let mut state = self.state();
        (state.off, state.fault) = (false, None);
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[&state.names[path]].cache.clone()
    }

    /// Changes the bytes of a file at rest.
    pub fn rot(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state();
        let inode = state.names[path];
        let inode = state.inode(inode);
        change(&mut inode.cache);
        inode.medium = inode.cache.clone();
        inode.dirty.clear();
    }

    /// From now on no read that touches `bytes` of a file succeeds.
    pub fn make_unreadable(&self, path: &str, bytes: std::ops::Range<usize>) {
        let state = &mut *self.state();
        let inode = state.names[path];
        state.unreadable.push((inode, bytes));
    }

    /// Everything can be read again.
    pub fn make_readable(&self) {
        self.state().unreadable.clear();
    }

    /// Removes a name at rest.
    pub fn lose_file(&self, path: &str) {
        let state = &mut *self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// Everything that a restart would see, for comparing.
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(name, inode)| (name.clone(), state.inodes[inode].cache.clone())).collect()
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        check_path(path)?;
        let state = &mut *self.state();
        if state.off {
            return Err(off());
        }
        let inode = match (state.names.get(path), how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => *inode,
            (None, Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => {
                let fault = state.step()?;
                if !matches!(fault, None | Some(Fault::PowerLoss | Fault::Kill)) {
                    outcome(fault)?;
                }
                let inode = state.inodes.len() as u64;
                state.inodes.insert(inode, Inode::default());
                state.change(Change::Add(path.to_string(), inode))?;
                outcome(fault)?;
                inode
            }
        };
        Ok(Arc::new(TestFile { disk: self.clone(), inode }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        if state.off {
            return Err(off());
        }
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let prefix = format!("{dir}/");
        Ok(state.names.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_string).collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        // Directories are durable at once here: the log makes one only when it is created.
        self.state().dirs.insert(dir.to_string());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step()?;
        if !matches!(fault, Some(Fault::Io | Fault::Full)) {
            state.change(Change::Rename(from.to_string(), to.to_string()))?;
        }
        outcome(fault)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step()?;
        if !matches!(fault, Some(Fault::Io | Fault::Full)) {
            state.change(Change::Remove(path.to_string()))?;
        }
        outcome(fault)
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        let state = &mut *self.state();
        outcome(state.step()?)?;
        state.pending.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, _path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl File for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inode(self.inode).cache.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let (from, to) = (offset as usize, offset as usize + buf.len());
        if state
            .unreadable
            .iter()
            .any(|(inode, bad)| *inode == self.inode && from < bad.end && bad.start < to)
        {
            return Err(io::Error::other("a sector cannot be read"));
        }
        let bytes = state.inode(self.inode).cache.get(offset as usize..).unwrap_or(&[]);
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step()?;
        state.writes += 1;
        let bytes =
            if matches!(fault, Some(Fault::Io | Fault::Full)) { &bytes[..bytes.len() / 2] } else { bytes };
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        let len = state.inode(self.inode).cache.len();
        state.room_for(to.saturating_sub(len))?;
        let inode = state.inode(self.inode);
        if to > len {
            inode.resize(to);
        }
        inode.cache[from..to].copy_from_slice(bytes);
        inode.touch(from, to);
        outcome(fault)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step()?;
        if !matches!(fault, Some(Fault::Io | Fault::Full)) {
            state.inode(self.inode).resize(len as usize);
        }
        outcome(fault)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step()?;
        if matches!(fault, Some(Fault::Io | Fault::Full)) {
            return outcome(fault);
        }
        let now = state.inode(self.inode).cache.len();
        state.room_for((len as usize).saturating_sub(now))?;
        state.inode(self.inode).resize((len as usize).max(now));
        outcome(fault)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step()?;
        state.syncs += 1;
        let inode = state.inode(self.inode);
        match fault {
            None => inode.sync(),
            Some(Fault::Io | Fault::Full) => inode.dirty.clear(),
            Some(Fault::PowerLoss | Fault::Kill) => {}
        }
        outcome(fault)
    }

    fn map(&self) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        Ok(Box::new(self.disk.state().inode(self.inode).cache.clone()))
    }
}
