//! Reading the sealed segments while nothing needs them, so that damage is found before a start does.
//!
//! A sealed segment never changes, and the one behind it says where it ends and with which checksum: so a walk along its chain tells
//! whether every byte that counts is as it was written. The walk is in small steps and holds nothing but names, so the log
//! can be written, rolled and released meanwhile. A released file may be used again under another name; whoever hears of damage
//! asks [`Wal::holds`] before believing it.

use crate::error::Damage;
use crate::log::Wal;
use crate::record::{HEADER, Position, find_in};
use crate::segment::{FIRST_BLOCK, Link, Name, PREAMBLE, head};
use kernel::{Disk, File, Open};
use std::collections::VecDeque;
use std::sync::Arc;

/// A pass over the segments that are sealed when it begins.
pub struct Scrub {
    disk: Arc<dyn Disk>,
    dir: String,
    /// Those still to be looked at, each with the one behind it.
    waiting: VecDeque<(Name, Name)>,
    walk: Option<Walk>,
    /// The last index in the segment that is being read.
    last: u64,
}

/// A segment that is being read.
struct Walk {
    name: Name,
    file: Arc<dyn File>,
    at: Position,
    /// Where it ends, as the next one says.
    until: Link,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes were read, and there may be more.
    More(u64),
    /// The pass is over.
    Done,
    /// A sealed segment is not as it was written, if it is still one ([`Wal::holds`]). The pass can go on.
    Damaged(Damage),
}

/// Why a segment could not be read on.
struct Bad {
    place: Name,
    offset: usize,
    why: &'static str,
}

impl Wal {
    /// A pass over the segments that are sealed now.
    pub fn scrub(&self) -> Scrub {
        let behind = self.sealed.iter().skip(1).chain([&self.current.name]);
        let waiting = self.sealed.iter().copied().zip(behind.copied()).collect();
        Scrub { disk: self.disk.clone(), dir: self.dir.clone(), waiting, walk: None, last: 0 }
    }

    /// Whether the segment at `path` is one of this log.
    pub fn holds(&self, path: &str) -> bool {
        self.sealed.iter().chain([&self.current.name]).any(|name| name.path(&self.dir) == path)
    }
}

impl Scrub {
    /// Reads about `bytes` more. Blocks.
    pub fn step(&mut self, bytes: u64) -> Step {
        let outcome = match self.walk.take() {
            Some(walk) => walk.on(bytes),
            None => match self.waiting.pop_front() {
                None => return Step::Done,
                Some((name, next)) => {
                    self.last = next.first.saturating_sub(1);
                    self.begin(name, next)
                }
            },
        };
        match outcome {
            Ok((walk, read)) => {
                self.walk = walk;
                Step::More(read)
            }
            Err(Bad { place, offset, why }) => Step::Damaged(Damage {
                segment: place.path(&self.dir),
                offset: offset as u64,
                lost_from: place.first,
                lost_to: self.last,
                why,
            }),
        }
    }

    /// Opens a segment, with what the one behind it says of its end. One that is gone was released meanwhile.
    fn begin(&self, name: Name, next: Name) -> Result<(Option<Walk>, u64), Bad> {
        let Ok(behind) = self.disk.open(&next.path(&self.dir), Open::Existing) else { return Ok((None, 0)) };
        let Ok(file) = self.disk.open(&name.path(&self.dir), Open::Existing) else { return Ok((None, 0)) };
        let head = first_block(&*file, name)?;
        // A bad first block of the one behind is found when that has its turn; where this one ends is not known then.
        let Ok(link) = first_block(&*behind, next).map(|head| head.link) else { return Ok((None, 0)) };
        if link.sequence != name.sequence {
            return Err(Bad {
                place: name,
                offset: PREAMBLE,
                why: "the segment behind it does not continue it",
            });
        }
        let at = Position {
            identity: head.identity,
            tail: PREAMBLE,
            synced: 0,
            state_at: 0,
            crc: head.link.crc,
            last: 0,
        };
        Ok((Some(Walk { name, file, at, until: link }), 2 * FIRST_BLOCK as u64))
    }
}

fn first_block(file: &dyn File, name: Name) -> Result<crate::segment::Head, Bad> {
    let mut block = vec![0; FIRST_BLOCK];
    file.forget_cached(0, FIRST_BLOCK as u64);
    let read = file.read_at(0, &mut block);
    let read = read.map_err(|_| Bad { place: name, offset: 0, why: "its first block cannot be read" })?;
    let bad = Bad { place: name, offset: 0, why: "its first block is not what was written" };
    head(&block[..read], name.sequence).ok_or(bad)
}

impl Walk {
    /// Reads on; none when the end is reached.
    fn on(mut self, bytes: u64) -> Result<(Option<Walk>, u64), Bad> {
        let from = self.at.tail;
        let window = self.read(from, (bytes as usize).max(FIRST_BLOCK))?;
        let mut read = window.len() as u64;
        self.pass(&window, from)?;
        if self.at.tail == from && from < self.until.end {
            // A record that is larger than the window, if its length is what was written.
            let length =
                u32::from_le_bytes(window.get(4..8).map_or([0; 4], |four| four.try_into().expect("four")));
            let window = self.read(from, (length as usize).saturating_add(2 * HEADER))?;
            read += window.len() as u64;
            self.pass(&window, from)?;
            if self.at.tail == from {
                return Err(self.bad("the record here is not what was written"));
            }
        }
        if self.at.tail < self.until.end {
            return Ok((Some(self), read));
        }
        if self.at.crc != self.until.crc || self.at.tail != self.until.end {
            return Err(self.bad("it does not end as the segment behind it says"));
        }
        Ok((None, read))
    }

    fn bad(&self, why: &'static str) -> Bad {
        Bad { place: self.name, offset: self.at.tail, why }
    }

    fn read(&self, from: usize, bytes: usize) -> Result<Vec<u8>, Bad> {
        let len = bytes.min(self.until.end.saturating_sub(from));
        let mut window = vec![0; len];
        self.file.forget_cached(from as u64, len as u64);
        match self.file.read_at(from as u64, &mut window) {
            Ok(read) if read == len => Ok(window),
            Ok(_) => Err(self.bad("the file is shorter than it was")),
            Err(_) => Err(self.bad("it cannot be read here")),
        }
    }

    /// Goes past the records that lie whole in `window`, which begins at `base`.
    fn pass(&mut self, window: &[u8], base: usize) -> Result<(), Bad> {
        while self.at.tail < self.until.end
            && let Some(found) = find_in(window, base, self.at.tail, self.at.identity)
        {
            if found.prev != self.at.crc {
                return Err(self.bad("the record here does not follow the one before it"));
            }
            self.at.pass(&found);
        }
        // What is left is a record that is not whole in the window, which is read again with the next step, or damage, which
        // that step will find at its very beginning.
        Ok(())
    }
}
