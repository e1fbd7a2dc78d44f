//! Reading what nobody reads: a pass over the whole state file, in small steps, so that damage is found while there are
//! copies elsewhere to mend it from.
//!
//! A pass looks at every block of the file of which this process knows what it must hold (see `sums`), and then at every row by
//! its own checksum, which was made when the row was applied and so also covers what happened to it in memory before it was
//! written. It holds no lock while it reads.

use crate::Error;
use crate::backend::Scrubbed;
use crate::file::scan_rows;
use crate::revision::Revision;
use crate::store::Store;
use crate::sums::BLOCK;

/// A pass under way.
pub struct Scrub {
    store: Store,
    /// Changes when a snapshot takes the state's place, which ends the pass: the new file was read whole a moment ago.
    epoch: u64,
    at: Place,
}

enum Place {
    Block(usize),
    Row(Revision),
    End,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes were read, and there is more.
    More(u64),
    /// The pass is over.
    Done,
    /// Something is damaged: [`Store::damage`] says what.
    Damaged,
}

impl Scrub {
    /// A pass over the state as it is now.
    pub fn new(store: &Store) -> Scrub {
        let epoch = store.shared.read().epoch;
        Scrub { store: store.clone(), epoch, at: Place::Block(0) }
    }

    /// Reads about `bytes` more. Blocks.
    pub fn step(&mut self, bytes: u64) -> Step {
        let file = {
            let state = self.store.shared.read();
            if state.epoch != self.epoch {
                return Step::Done;
            }
            state.file.clone()
        };
        match self.at {
            Place::Block(from) => match file.scrub(from, (bytes as usize / BLOCK).max(1)) {
                Scrubbed::Sound { blocks, next } => {
                    self.at = Place::Block(next);
                    Step::More((blocks * BLOCK) as u64)
                }
                Scrubbed::Done => {
                    self.at = Place::Row(Revision::default());
                    Step::More(0)
                }
                Scrubbed::Damaged => Step::Damaged,
            },
            Place::Row(from) => self.rows(from, bytes),
            Place::End => Step::Done,
        }
    }

    fn rows(&mut self, from: Revision, bytes: u64) -> Step {
        let shared = self.store.shared.clone();
        let read = shared.steadily(|| {
            let file = shared.read().file.clone();
            let view = file.read()?;
            let (mut next, mut read) = (None, 0);
            scan_rows(&file, &view, from, |at, row| {
                read += row.bytes().len() as u64;
                let more = read < bytes;
                next = (!more).then_some(Revision { main: at.main, sub: at.sub + 1 });
                Ok(more)
            })?;
            Ok((next, read))
        });
        match read {
            Ok((next, read)) => {
                self.at = next.map_or(Place::End, Place::Row);
                Step::More(read)
            }
            Err(error) => {
                let _ = shared.report(&error);
                let damaged = shared.damage().is_some();
                // Whatever else failed is found by those who need the file.
                if damaged { Step::Damaged } else { Step::Done }
            }
        }
    }
}

impl Store {
    /// Whether `error` means that what is stored here cannot be trusted, so that another replica's state must take its place.
    pub fn is_damage(&self, error: &Error) -> bool {
        matches!(error, Error::Damaged(_)) || self.damage().is_some()
    }

    /// Something of what is stored was found damaged elsewhere than in a read.
    pub fn condemn(&self, why: String) {
        self.shared.condemn(why);
    }

    /// This state is not what the log adds up to, as other replicas say: nothing of it is read any more, until another takes its
    /// place.
    pub fn forsake(&self, why: String) {
        self.shared.forsake(why);
    }
}
