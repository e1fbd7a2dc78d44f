//! A machine's disk: files, names, faults and the lock, with the verbs of the port as plain functions.
//!
//! The fence comes first in each verb. A disk serves one process, the node's current one; when that ends, its handles still
//! exist while its tasks are dropped, and nothing they try (a database that closes itself in its destructor, say) may reach
//! the medium. The same fence falls in the middle of a job when an armed power loss goes off.

use super::faults::{DiskFaults, DiskSpeed};
use super::inode::{Inode, PAGE};
use super::names::{Entry, Names, parent};
use crate::sched::{Ask, Effect, Kind, Owner, Sched};
use kernel::Open;
use kernel::rng::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};

/// A disk.
pub(crate) struct Medium {
    pub(super) sched: Sched,
    pub(super) owner: Option<Owner>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) next_inode: u64,
    pub(super) names: Names,
    pub(super) opened: BTreeMap<u64, u32>,
    pub(super) lock: Option<u64>,
    pub(super) locks_given: u64,
    pub(super) used_pages: u64,
    pub(super) draws: Stream,
    pub(super) delays: Stream,
    /// Draws of rarer things, so that these leave the others as they were.
    pub(super) rare: Stream,
    /// Writes so far.
    pub(super) writes: u64,
    /// Writes so far when the oldest unsynced one was made, about: at the last power loss or sync.
    pub(super) settled: u64,
    /// Sectors are 4 KiB: a page is kept, lost or torn as a whole.
    pub whole_pages: bool,
    pub faults: DiskFaults,
    pub speed: DiskSpeed,
    pub(super) counts: DiskCounts,
}

/// What a disk has been asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Operations that change something, syncs included.
    pub changes: u64,
    /// Successful syncs of files and directories.
    pub syncs: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// A verb that changes something, for the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create = 1,
    CreateDir,
    Rename,
    Remove,
    SyncDir,
    Write,
    SetLen,
    Preallocate,
    Sync,
}

fn failed(kind: ErrorKind, text: impl Into<String>) -> Error {
    Error::new(kind, text.into())
}

impl Medium {
    pub fn new(sched: Sched, seed: u64, node: u32) -> Medium {
        Medium {
            sched,
            owner: None,
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: Names::default(),
            opened: BTreeMap::new(),
            lock: None,
            locks_given: 0,
            used_pages: 0,
            draws: Stream::new(seed, "disk loss", u64::from(node)),
            delays: Stream::new(seed, "disk delay", u64::from(node)),
            rare: Stream::new(seed, "disk: rare", u64::from(node)),
            writes: 0,
            settled: 0,
            whole_pages: false,
            faults: DiskFaults::default(),
            speed: DiskSpeed::default(),
            counts: DiskCounts::default(),
        }
    }

    /// From now on the disk serves `owner`.
    pub fn attach(&mut self, owner: Owner) {
        assert!(self.owner.is_none(), "the process before has not been detached");
        self.owner = Some(owner);
    }

    /// The process ends; what it wrote stays in the page cache, what it held is free.
    pub fn detach(&mut self) {
        self.owner = None;
        self.lock = None;
        self.opened.clear();
        self.collect();
    }

    /// Forgets files that nothing leads to, and counts room anew.
    pub(super) fn collect(&mut self) {
        let reachable = self.names.reachable_files();
        self.inodes.retain(|id, _| reachable.contains(id) || self.opened.contains_key(id));
        let in_use: BTreeSet<u64> = self.names.live_files();
        let live = |id: &u64| in_use.contains(id) || self.opened.contains_key(id);
        self.used_pages =
            self.inodes.iter().filter(|(id, _)| live(id)).map(|(_, inode)| inode.allocated()).sum();
    }

    fn admit(&self, owner: Owner) -> Result<()> {
        if self.owner == Some(owner) && self.sched.is_current(owner) {
            return Ok(());
        }
        Err(failed(ErrorKind::Other, "the process has ended: this handle reaches no disk any more"))
    }

    /// Admits a verb that changes something. `Ok(false)`: the power fails in the middle of this one.
    fn admit_change(&mut self, owner: Owner, verb: Verb, detail: u64) -> Result<bool> {
        self.admit(owner)?;
        self.counts.changes += 1;
        self.sched.note(Kind::Disk, owner.node, (detail << 4) | verb as u64);
        self.sched.trace(owner.node, || format!("disk {verb:?} {detail}"));
        for countdown in [&mut self.faults.power_loss_in, &mut self.faults.power_loss_in_any] {
            if let Some(left) = *countdown {
                *countdown = Some(left.saturating_sub(1));
                return Ok(left > 1);
            }
        }
        Ok(true)
    }

    /// Admits a verb that changes nothing; an armed power loss may come in it too.
    fn admit_look(&mut self, owner: Owner) -> Result<()> {
        self.admit(owner)?;
        match &mut self.faults.power_loss_in_any {
            Some(left) if *left <= 1 => Err(self.cut(owner)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The power has failed: nothing gets through to the medium, and the world hears of it after this turn.
    fn cut(&mut self, owner: Owner) -> Error {
        self.owner = None;
        self.sched.effect(Effect::PowerLossAfter);
        self.sched.ask(Ask::CutPower(owner));
        failed(ErrorKind::Other, "the power has failed")
    }

    fn room_for(&self, pages: u64) -> Result<()> {
        match self.faults.quota_bytes {
            Some(quota) if (self.used_pages + pages) * PAGE > quota => {
                self.sched.effect(Effect::FullDisk);
                let text = format!("{} of {quota} bytes are in use", self.used_pages * PAGE);
                Err(failed(ErrorKind::StorageFull, text))
            }
            _ => Ok(()),
        }
    }

    pub fn open(&mut self, owner: Owner, path: &str, how: Open) -> Result<u64> {
        self.admit(owner)?;
        let inode = match (self.names.get(path), how) {
            (Some(_), Open::New) => {
                return Err(failed(ErrorKind::AlreadyExists, format!("{path:?} exists")));
            }
            (Some(Entry::Dir), _) => {
                return Err(failed(ErrorKind::IsADirectory, format!("{path:?} is a directory")));
            }
            (None, Open::Existing) => return Err(failed(ErrorKind::NotFound, format!("no file {path:?}"))),
            (Some(Entry::File(inode)), _) => inode,
            (None, _) => self.create(owner, path)?,
        };
        *self.opened.entry(inode).or_default() += 1;
        Ok(inode)
    }

    fn create(&mut self, owner: Owner, path: &str) -> Result<u64> {
        self.dir_exists(parent(path))?;
        self.room_for(1)?;
        let inode = self.next_inode;
        let on = self.admit_change(owner, Verb::Create, inode)?;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        self.names.change(vec![(path.to_string(), Some(Entry::File(inode)))]);
        if on { Ok(inode) } else { Err(self.cut(owner)) }
    }

    fn dir_exists(&self, dir: &str) -> Result<()> {
        match self.names.get(dir) {
            Some(Entry::Dir) => Ok(()),
            Some(Entry::File(_)) => Err(failed(ErrorKind::NotADirectory, format!("{dir:?} is a file"))),
            None => Err(failed(ErrorKind::NotFound, format!("no directory {dir:?}"))),
        }
    }

    pub fn close(&mut self, owner: Owner, inode: u64) {
        if self.admit(owner).is_err() {
            return;
        }
        if let Some(count) = self.opened.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.opened.remove(&inode);
                if !self.names.live_files().contains(&inode) {
                    self.collect();
                }
            }
        }
    }

    pub fn list(&mut self, owner: Owner, dir: &str) -> Result<Vec<String>> {
        self.admit_look(owner)?;
        self.dir_exists(dir)?;
        Ok(self.names.list(dir))
    }

    pub fn create_dir(&mut self, owner: Owner, dir: &str) -> Result<()> {
        self.admit(owner)?;
        let ends = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]);
        for path in ends.map(|end| &dir[..end]) {
            match self.names.get(path) {
                Some(Entry::Dir) => continue,
                Some(Entry::File(_)) => {
                    return Err(failed(ErrorKind::AlreadyExists, format!("{path:?} is a file")));
                }
                None => {}
            }
            let on = self.admit_change(owner, Verb::CreateDir, path.len() as u64)?;
            self.names.change(vec![(path.to_string(), Some(Entry::Dir))]);
            if !on {
                return Err(self.cut(owner));
            }
        }
        Ok(())
    }

    fn file_at(&self, path: &str) -> Result<u64> {
        match self.names.get(path) {
            Some(Entry::File(inode)) => Ok(inode),
            Some(Entry::Dir) => Err(failed(ErrorKind::IsADirectory, format!("{path:?} is a directory"))),
            None => Err(failed(ErrorKind::NotFound, format!("no file {path:?}"))),
        }
    }

    pub fn rename(&mut self, owner: Owner, from: &str, to: &str) -> Result<()> {
        self.admit(owner)?;
        let inode = self.file_at(from)?;
        self.dir_exists(parent(to))?;
        if self.names.is_dir(to) {
            return Err(failed(ErrorKind::IsADirectory, format!("{to:?} is a directory")));
        }
        let on = self.admit_change(owner, Verb::Rename, inode)?;
        if from != to {
            self.names.change(vec![(from.to_string(), None), (to.to_string(), Some(Entry::File(inode)))]);
            self.collect();
        }
        if on { Ok(()) } else { Err(self.cut(owner)) }
    }

    pub fn remove(&mut self, owner: Owner, path: &str) -> Result<()> {
        self.admit(owner)?;
        let inode = self.file_at(path)?;
        let on = self.admit_change(owner, Verb::Remove, inode)?;
        self.names.change(vec![(path.to_string(), None)]);
        self.collect();
        if on { Ok(()) } else { Err(self.cut(owner)) }
    }

    pub fn sync_dir(&mut self, owner: Owner, dir: &str) -> Result<()> {
        self.admit(owner)?;
        self.dir_exists(dir)?;
        if !self.admit_change(owner, Verb::SyncDir, dir.len() as u64)? {
            return Err(self.cut(owner));
        }
        if self.sync_fails() {
            return Err(failed(ErrorKind::Other, format!("the medium failed to sync directory {dir:?}")));
        }
        self.names.sync_dir(dir);
        self.counts.syncs += 1;
        self.collect();
        Ok(())
    }

    pub fn take_lock(&mut self, owner: Owner, path: &str) -> Result<u64> {
        if self.lock.is_some() {
            self.admit(owner)?;
            return Err(failed(ErrorKind::WouldBlock, format!("another process holds the lock {path:?}")));
        }
        let inode = self.open(owner, path, Open::Any)?;
        self.close(owner, inode);
        self.locks_given += 1;
        self.lock = Some(self.locks_given);
        Ok(self.locks_given)
    }

    pub fn release_lock(&mut self, number: u64) {
        if self.lock == Some(number) {
            self.lock = None;
        }
    }

    pub(super) fn inode(&self, inode: u64) -> &Inode {
        self.inodes.get(&inode).expect("an open file is not collected")
    }

    pub(super) fn inode_mut(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("an open file is not collected")
    }

    pub fn len(&self, owner: Owner, inode: u64) -> Result<u64> {
        self.admit(owner)?;
        Ok(self.inode(inode).len())
    }

    pub fn read(&mut self, owner: Owner, inode: u64, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.admit_look(owner)?;
        let end = offset.saturating_add(buf.len() as u64);
        for bad in &self.faults.unreadable {
            if self.names.get(&bad.path) == Some(Entry::File(inode)) && offset < bad.to && bad.from < end {
                self.sched.effect(Effect::BadSectors);
                return Err(failed(ErrorKind::Other, format!("sectors of {:?} cannot be read", bad.path)));
            }
        }
        if DiskFaults::is_due(&mut self.faults.fail_read_in) {
            self.sched.effect(Effect::ReadError);
            return Err(failed(ErrorKind::Other, "the medium failed to read"));
        }
        if self.inode(inode).is_unreadable(offset, buf.len() as u64) {
            self.sched.effect(Effect::BadSectors);
            return Err(failed(ErrorKind::Other, "a sector cannot be read"));
        }
        let read = self.inode(inode).read(offset, buf);
        let before = &mut buf[..read];
        if self.faults.stale_read_in.is_some() && self.inode(inode).read_old(offset, before) {
            if DiskFaults::is_due(&mut self.faults.stale_read_in) {
                self.sched.effect(Effect::StaleRead);
            } else {
                self.inode(inode).read(offset, before);
            }
        }
        if read > 0 && DiskFaults::is_due(&mut self.faults.misread_in) {
            self.misread(before);
        }
        Ok(read)
    }

    pub fn write(&mut self, owner: Owner, inode: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        self.admit(owner)?;
        let wanted = self.inode(inode).wants(offset, bytes.len() as u64);
        let on = self.admit_change(owner, Verb::Write, offset ^ ((bytes.len() as u64) << 32))?;
        self.room_for(wanted)?;
        if on && DiskFaults::is_due(&mut self.faults.fail_write_in) {
            self.sched.effect(Effect::WriteError);
            return Err(failed(ErrorKind::Other, "the medium failed to write"));
        }
        let short = on && bytes.len() > 1 && DiskFaults::is_due(&mut self.faults.short_write_in);
        let part = if short { self.rare.between(1, bytes.len() as u64 - 1) as usize } else { bytes.len() };
        self.used_pages += wanted;
        self.writes += 1;
        self.counts.written_bytes += part as u64;
        let (whole_pages, number) = (self.whole_pages, self.writes);
        self.inode_mut(inode).write(offset, &bytes[..part], whole_pages, number);
        if short {
            self.sched.effect(Effect::ShortWrite);
            let text = format!("the medium wrote {part} of {} bytes", bytes.len());
            return Err(failed(ErrorKind::WriteZero, text));
        }
        if on { Ok(()) } else { Err(self.cut(owner)) }
    }

    pub fn set_len(&mut self, owner: Owner, inode: u64, len: u64) -> Result<()> {
        let on = self.admit_change(owner, Verb::SetLen, len)?;
        let whole_pages = self.whole_pages;
        let file = self.inode_mut(inode);
        let shrinks = len < file.len();
        file.set_len(len, whole_pages);
        if shrinks {
            self.collect();
        }
        if on { Ok(()) } else { Err(self.cut(owner)) }
    }

    pub fn preallocate(&mut self, owner: Owner, inode: u64, len: u64) -> Result<()> {
        let on = self.admit_change(owner, Verb::Preallocate, len)?;
        let wanted = self.inode(inode).reserve_wants(len);
        self.room_for(wanted)?;
        self.used_pages += wanted;
        self.inode_mut(inode).reserve(len);
        if on { Ok(()) } else { Err(self.cut(owner)) }
    }

    pub fn sync(&mut self, owner: Owner, inode: u64) -> Result<()> {
        if !self.admit_change(owner, Verb::Sync, inode)? {
            return Err(self.cut(owner));
        }
        if self.sync_fails() {
            let file = self.inodes.get_mut(&inode).expect("an open file is not collected");
            file.sync_failed(&mut self.draws);
            return Err(failed(ErrorKind::Other, "the medium failed to sync a file"));
        }
        if self.faults.lying_syncs {
            self.sched.effect(Effect::LyingSync);
            self.inode_mut(inode).sync_lied();
        } else {
            self.sync_pages(inode);
        }
        self.counts.syncs += 1;
        Ok(())
    }

    /// How long the next job waits, in ns.
    pub fn delay(&mut self, now: u64) -> u64 {
        if self.speed.stalled_until.as_nanos() as u64 > now {
            self.sched.effect(Effect::StallDisk);
        }
        self.speed.draw(now, &mut self.delays)
    }

    /// Every file and its length on the medium, sorted.
    pub fn files(&self) -> Vec<(String, u64)> {
        let len = |path: &String| match self.names.get(path) {
            Some(Entry::File(inode)) => self.inode(inode).medium_len(),
            _ => 0,
        };
        self.names.file_paths().into_iter().map(|path| (path.clone(), len(&path))).collect()
    }

    pub fn counts(&self) -> DiskCounts {
        self.counts
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_pages * PAGE
    }
}
