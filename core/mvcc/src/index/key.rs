//! One key's rows: the newest with all that a write needs to know, the older ones as bare revisions.

use crate::revision::Revision;

/// A key's newest row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    /// Where the row is.
    pub at: Revision,
    /// Revision of the key's creation in this generation.
    pub created: i64,
    /// Changes since creation, from 1.
    pub version: i64,
}

/// A key as a read at some revision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The row.
    pub at: Revision,
    /// What is known of it, if it is the key's newest.
    pub newest: Option<Newest>,
}

/// A row, and whether it is a delete.
#[derive(Clone, Copy, Debug)]
struct Mark {
    main: i64,
    sub: u32,
    deleted: bool,
}

impl Mark {
    fn revision(self) -> Revision {
        Revision { main: self.main, sub: self.sub }
    }
}

/// A key's rows, oldest first; never empty while in the index.
#[derive(Debug)]
pub(crate) struct History {
    older: Vec<Mark>,
    newest: Option<Mark>,
    /// Of the newest row; 0 when it is a delete.
    created: i64,
    version: i64,
}

impl History {
    /// Of a key whose first row is `first`.
    pub fn new(first: Newest) -> Self {
        let mut history = Self::empty();
        history.put(first);
        history
    }

    /// Of a key of which only a delete is left.
    pub fn deleted(at: Revision) -> Self {
        let mut history = Self::empty();
        history.push(Mark { main: at.main, sub: at.sub, deleted: true });
        history
    }

    fn empty() -> Self {
        History { older: Vec::new(), newest: None, created: 0, version: 0 }
    }

    fn push(&mut self, mark: Mark) {
        if let Some(last) = self.newest.replace(mark) {
            assert!(
                last.revision() < mark.revision(),
                "rows of a key come in order: {last:?}, then {mark:?}"
            );
            self.older.push(last);
        }
    }

    /// Adds a put.
    pub fn put(&mut self, newest: Newest) {
        let Newest { at, created, version } = newest;
        self.push(Mark { main: at.main, sub: at.sub, deleted: false });
        (self.created, self.version) = (created, version);
    }

    /// Adds a delete.
    pub fn delete(&mut self, at: Revision) {
        self.push(Mark { main: at.main, sub: at.sub, deleted: true });
        (self.created, self.version) = (0, 0);
    }

    /// The newest row, unless it is a delete.
    pub fn newest(&self) -> Option<Newest> {
        let mark = self.newest.filter(|mark| !mark.deleted)?;
        Some(Newest { at: mark.revision(), created: self.created, version: self.version })
    }

    /// The row that a read at `main` sees.
    pub fn at(&self, main: i64) -> Option<Revision> {
        self.seen(main).map(|seen| seen.at)
    }

    /// The same, with what is known of the row.
    pub fn seen(&self, main: i64) -> Option<Seen> {
        match self.newest {
            Some(mark) if mark.main <= main => {
                let newest = self.newest()?;
                Some(Seen { at: newest.at, newest: Some(newest) })
            }
            _ => {
                let after = self.older.partition_point(|mark| mark.main <= main);
                let mark = *self.older.get(after.checked_sub(1)?)?;
                (!mark.deleted).then(|| Seen { at: mark.revision(), newest: None })
            }
        }
    }

    /// Forgets the rows that a compaction at `main` drops, adding them to `dropped`.
    pub fn prune(&mut self, main: i64, dropped: &mut Vec<Revision>) {
        let newest_is_past = self.newest.is_some_and(|mark| mark.main > main);
        let mut drop = self.older.partition_point(|mark| mark.main <= main);
        if newest_is_past {
            // The last row at or before `main` is what a read there sees: it stays, unless it is an older delete.
            let seen = drop.checked_sub(1).map(|last| self.older[last]);
            if seen.is_some_and(|mark| !mark.deleted || mark.main == main) {
                drop -= 1;
            }
        }
        dropped.extend(self.older.drain(..drop).map(Mark::revision));
        if self.older.is_empty() {
            self.older = Vec::new();
        }
        if let Some(mark) = self.newest.take_if(|mark| mark.deleted && mark.main < main) {
            dropped.push(mark.revision());
        }
    }

    /// The bug: forgets the newest row too.
    pub fn prune_newest(&mut self, main: i64, dropped: &mut Vec<Revision>) {
        let newest = self.newest.take_if(|mark| mark.main <= main);
        dropped.extend(newest.map(Mark::revision));
    }

    /// Whether no row is left.
    pub fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    /// Whether the oldest row is a delete at `main`.
    pub fn begins_deleted_at(&self, main: i64) -> bool {
        let first = self.older.first().or(self.newest.as_ref());
        first.is_some_and(|mark| mark.deleted && mark.main == main)
    }
}
