//! The directory tree, twice: as processes see it, and as the medium has it.
//!
//! A change of names is seen at once and waits in a list until `sync_dir` on a directory that it touches. What a power loss
//! may do with the waiting changes is what a journalling file system may do: keep or lose each, but never half of a rename,
//! and never a later change of a name without the earlier ones of that name.

use kernel::rng::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Dir,
    File(u64),
}

type Tree = BTreeMap<String, Entry>;

/// One waiting change: every name in it changes, or none.
#[derive(Clone, Debug)]
struct Change(Vec<(String, Option<Entry>)>);

impl Change {
    fn touches_dir(&self, dir: &str) -> bool {
        self.0.iter().any(|(path, _)| parent(path) == dir)
    }

    fn shares_a_name(&self, names: &BTreeSet<String>) -> bool {
        self.0.iter().any(|(path, _)| names.contains(path))
    }

    fn apply(&self, tree: &mut Tree) {
        for (path, entry) in &self.0 {
            match entry {
                Some(entry) => tree.insert(path.clone(), *entry),
                None => tree.remove(path),
            };
        }
    }
}

/// Both trees and the changes between them. Paths have no leading or trailing slash; the root is `""`.
#[derive(Default)]
pub(super) struct Names {
    live: Tree,
    medium: Tree,
    waiting: Vec<Change>,
}

/// The directory that holds `path`.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Names {
    pub fn get(&self, path: &str) -> Option<Entry> {
        if path.is_empty() { Some(Entry::Dir) } else { self.live.get(path).copied() }
    }

    pub fn is_dir(&self, path: &str) -> bool {
        self.get(path) == Some(Entry::Dir)
    }

    /// Names directly in `dir`, sorted.
    pub fn list(&self, dir: &str) -> Vec<String> {
        self.live.keys().filter(|path| parent(path) == dir).map(|path| base(path).to_string()).collect()
    }

    /// Changes several names at once.
    pub fn change(&mut self, names: Vec<(String, Option<Entry>)>) {
        let change = Change(names);
        change.apply(&mut self.live);
        self.waiting.push(change);
    }

    /// Commits every waiting change that touches `dir`, and the earlier ones that those stand on.
    pub fn sync_dir(&mut self, dir: &str) {
        let mut keep = vec![false; self.waiting.len()];
        let mut names = BTreeSet::new();
        for (index, change) in self.waiting.iter().enumerate().rev() {
            if change.touches_dir(dir) || change.shares_a_name(&names) {
                keep[index] = true;
                names.extend(change.0.iter().map(|(path, _)| path.clone()));
            }
        }
        let mut keep = keep.into_iter();
        for change in std::mem::take(&mut self.waiting) {
            if keep.next() == Some(true) {
                change.apply(&mut self.medium);
            } else {
                self.waiting.push(change);
            }
        }
    }

    /// The power goes: each waiting change was kept with `kept` chances of 1000; what stood on a lost one is lost too.
    /// Returns how many were lost.
    pub fn power_loss(&mut self, kept: u64, draws: &mut Stream) -> u64 {
        let mut lost = BTreeSet::new();
        let mut count = 0;
        for change in std::mem::take(&mut self.waiting) {
            if draws.below(1000) < kept && !change.shares_a_name(&lost) {
                change.apply(&mut self.medium);
            } else {
                count += 1;
                lost.extend(change.0.into_iter().map(|(path, _)| path));
            }
        }
        self.drop_orphans();
        self.live = self.medium.clone();
        count
    }

    /// What lies in a directory that does not exist is out of reach for ever.
    fn drop_orphans(&mut self) {
        // Sorted order visits a directory before what is in it.
        let mut kept = Tree::new();
        for (path, entry) in std::mem::take(&mut self.medium) {
            let dir = parent(&path);
            if dir.is_empty() || kept.get(dir) == Some(&Entry::Dir) {
                kept.insert(path, entry);
            }
        }
        self.medium = kept;
    }

    /// Every file that has a name in the live tree.
    pub fn live_files(&self) -> BTreeSet<u64> {
        files(self.live.values())
    }

    /// Every file that has a name now, or may have one again after a power loss.
    pub fn reachable_files(&self) -> BTreeSet<u64> {
        let mut all = self.live_files();
        all.extend(files(self.medium.values()));
        all.extend(self.waiting.iter().flat_map(|change| change.0.iter()).filter_map(
            |(_, entry)| match entry {
                Some(Entry::File(inode)) => Some(*inode),
                _ => None,
            },
        ));
        all
    }

    /// Paths of all files, sorted.
    pub fn file_paths(&self) -> Vec<String> {
        let is_file = |entry: &Entry| matches!(entry, Entry::File(_));
        self.live.iter().filter(|(_, entry)| is_file(entry)).map(|(path, _)| path.clone()).collect()
    }
}

fn files<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeSet<u64> {
    entries
        .filter_map(|entry| match entry {
            Entry::File(inode) => Some(*inode),
            Entry::Dir => None,
        })
        .collect()
}

fn base(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
