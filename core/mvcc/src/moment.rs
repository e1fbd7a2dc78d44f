//! A moment of the state, at which a reader stays while entries go on being applied.
//!
//! A range may touch any number of keys, and apply must not wait for all of them. So a reader walks the index in slices, and
//! lets go of the state's lock between two: whoever waits to change the state goes first. That the walk is still of one moment
//! is what revisions are for: a key's row at a revision stays the same whatever is written later. Two things could take it away.
//! A compaction: so a reader that pauses pins what it found readable (see `pins`). And a snapshot that replaces the whole
//! state: then the read fails as one of a file that was taken away does, and begins again at a newer moment.
//!
//! A reader that is through in one slice, as most are, costs no pin and takes the lock once.
//!
//! Worked example: a count of 2,400 keys begins at revision 70. It sees 1,000 keys, pauses, `put b` makes revision 71, it sees
//! 1,000 more, a compaction at 71 is applied, it sees the rest and answers 2,400 at revision 70. Then the compaction is pruned.

use crate::Error;
use crate::fetch::Spot;
use crate::index::{Seen, Span};
use crate::state::{Shared, State};
use kernel::KvError;
use kernel::types::KeyValue;
use std::cell::Cell;
use std::io;
use std::sync::{Arc, RwLockReadGuard};

/// Keys that a reader looks at before it lets go of the lock: about 100 microseconds' worth. To find the way back costs it some
/// two microseconds.
pub(crate) const SLICE_KEYS: usize = 1_000;

/// A state that is locked for reading.
pub(crate) type Locked<'a> = RwLockReadGuard<'a, State>;

/// See the head of the file.
pub(crate) struct Moment<'a> {
    shared: &'a Shared,
    /// The newest revision at this moment.
    pub revision: i64,
    /// The compacted revision at this moment.
    pub compacted: i64,
    epoch: u64,
    pinned: Cell<bool>,
}

impl<'a> Moment<'a> {
    /// The present moment, and the lock under which it is. Once the lock is gone, the moment stays readable if it was paused
    /// first, or if the writer's right is held.
    pub fn begin(shared: &'a Shared) -> (Self, Locked<'a>) {
        let state = shared.read();
        let (revision, compacted, epoch) = (state.meta.revision, state.meta.compacted, state.epoch);
        (Moment { shared, revision, compacted, epoch, pinned: Cell::new(false) }, state)
    }

    /// The present moment, kept readable.
    pub fn pinned(shared: &'a Shared) -> Self {
        let (moment, state) = Self::begin(shared);
        moment.pin(&state);
        moment
    }

    fn pin(&self, state: &State) {
        if !self.pinned.replace(true) {
            assert!(state.epoch == self.epoch && state.meta.compacted == self.compacted, "pinned in time");
            self.shared.pins.pin(self.compacted);
        }
    }

    /// Lets others have the lock.
    pub fn pause(&self, state: Locked<'a>) {
        self.pin(&state);
        drop(state);
        self.shared.options.probe.sometimes("mvcc: a reader paused between two slices");
    }

    /// Takes the lock again. Fails when the state was replaced: see [`Shared::steadily`].
    pub fn resume(&self) -> Result<Locked<'a>, Error> {
        let state = self.shared.read();
        if state.epoch != self.epoch {
            return Err(Error::Io(io::Error::other("a snapshot has replaced the state")));
        }
        Ok(state)
    }

    /// The revision to read at for a request that names `revision` (0 or less: the newest).
    pub fn readable(&self, revision: i64) -> Result<i64, KvError> {
        match revision {
            ..=0 => Ok(self.revision),
            _ if revision > self.revision => Err(KvError::future_revision()),
            _ if revision < self.compacted => Err(KvError::compacted()),
            _ => Ok(revision),
        }
    }
}

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        if self.pinned.get() {
            self.shared.pins.unpin(self.compacted);
        }
    }
}

/// A way through the keys of a span as they were at a revision.
pub(crate) struct Walk<'k> {
    span: Span<'k>,
    at: i64,
    /// The last key looked at.
    reached: Option<Arc<[u8]>>,
}

impl<'k> Walk<'k> {
    /// At the first key of `span`.
    pub fn new(span: Span<'k>, at: i64) -> Self {
        Walk { span, at, reached: None }
    }

    /// Goes on by up to `most` keys, calling `each` for those that exist; true when the end is reached.
    pub fn step(&mut self, state: &State, most: usize, each: impl FnMut(&Arc<[u8]>, Seen)) -> bool {
        self.reached = state.index.slice(self.span, self.reached.as_ref(), self.at, most, each);
        self.reached.is_none()
    }
}

/// What a reader wants to know about the keys of a span.
pub(crate) struct Wish<'k, P> {
    /// The keys.
    pub span: Span<'k>,
    /// The revision at which to see them.
    pub at: i64,
    /// How many rows are enough.
    pub enough: usize,
    /// Says for a key whether its row is wanted, and where that is.
    pub pick: P,
}

impl<'a> Moment<'a> {
    /// How many keys there are, and the rows that are wanted, in order of their keys.
    pub fn collect<P>(&self, wish: &Wish<'_, P>) -> Result<(i64, Vec<KeyValue>), Error>
    where
        P: Fn(&State, &[u8], Seen) -> Option<Spot>,
    {
        self.shared.steadily(|| self.collect_from(self.resume()?, wish))
    }

    /// As [`Moment::collect`], with the lock in hand.
    pub fn collect_from<P>(
        &self,
        state: Locked<'a>,
        wish: &Wish<'_, P>,
    ) -> Result<(i64, Vec<KeyValue>), Error>
    where
        P: Fn(&State, &[u8], Seen) -> Option<Spot>,
    {
        let (mut state, mut spots, mut count) = (state, Vec::new(), 0);
        let mut walk = Walk::new(wish.span, wish.at);
        loop {
            let ended = walk.step(&state, SLICE_KEYS, |key, seen| {
                count += 1;
                if spots.len() < wish.enough {
                    spots.extend((wish.pick)(&state, key, seen));
                }
            });
            if ended {
                break;
            }
            self.pause(state);
            // Nothing large is moved while the lock is held.
            spots.reserve(SLICE_KEYS.min(wish.enough - spots.len()));
            state = self.resume()?;
        }
        let wanted = state.want(spots)?;
        drop(state);
        Ok((count, wanted.fetch()?))
    }
}

#[cfg(test)]
mod tests;
