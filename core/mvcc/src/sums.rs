//! What each block of the state file held when this process last wrote or read it.
//!
//! redb looks at the checksums of its pages when it opens a file, and never again. What goes wrong with the medium afterwards
//! (a bit that rots, a write that never arrived or went elsewhere, a read that brings back something old) would reach it as a
//! page that looks like any other: rows go missing, or the process panics. So beneath it a CRC of every block is kept in memory,
//! four bytes for each 4 KiB of the file, from the first read or write on; whatever is read later must be the same.
//!
//! A block that is being written has no sum for as long as that takes, so whoever reads beside the writer (the scrub does) can
//! tell a block that changed from one that rotted.

use std::sync::{Mutex, MutexGuard};

/// Bytes of a block: redb's page.
pub(crate) const BLOCK: usize = 4096;

/// Nothing is known of a block.
const UNKNOWN: u32 = 0;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Sums(Mutex<Vec<u32>>);

/// The sum of a block's bytes; never [`UNKNOWN`].
fn sum(block: &[u8]) -> u32 {
    crc32fast::hash(block).max(1)
}

impl Sums {
    fn locked(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.lock().expect("no holder panics")
    }

    /// Compares `bytes`, which were read from block `first` on, with what is known, and remembers what was not. The first block that
    /// is not as it was, if there is one.
    pub fn check(&self, first: usize, bytes: &[u8]) -> Result<(), usize> {
        let found: Vec<u32> = bytes.chunks(BLOCK).map(sum).collect();
        let mut known = self.locked();
        if known.len() < first + found.len() {
            known.resize(first + found.len(), UNKNOWN);
        }
        for (block, found) in (first..).zip(found) {
            match known[block] {
                UNKNOWN => known[block] = found,
                known if known != found => return Err(block),
                _ => {}
            }
        }
        Ok(())
    }

    /// Blocks `first` up to and without `end` are about to change.
    pub fn forget(&self, first: usize, end: usize) {
        let mut known = self.locked();
        let end = end.min(known.len());
        if first < end {
            known[first..end].fill(UNKNOWN);
        }
    }

    /// Blocks from `first` on hold `bytes` now.
    pub fn wrote(&self, first: usize, bytes: &[u8]) {
        let written: Vec<u32> = bytes.chunks(BLOCK).map(sum).collect();
        let mut known = self.locked();
        if known.len() < first + written.len() {
            known.resize(first + written.len(), UNKNOWN);
        }
        known[first..first + written.len()].copy_from_slice(&written);
    }

    /// The next run of blocks from `from` on of which something is known, at most `most` of them: the first, and their sums. Empty
    /// behind the last.
    pub fn run(&self, from: usize, most: usize) -> (usize, Vec<u32>) {
        let known = self.locked();
        let rest = known.get(from..).unwrap_or_default();
        let skipped = rest.iter().take_while(|sum| **sum == UNKNOWN).count();
        let run = rest[skipped..].iter().take(most).take_while(|sum| **sum != UNKNOWN);
        (from + skipped, run.copied().collect())
    }

    /// Compares `bytes` with the `sums` that blocks from `first` on had before they were read. A block that was written meanwhile
    /// says nothing.
    pub fn compare(&self, first: usize, sums: &[u32], bytes: &[u8]) -> Result<(), usize> {
        let differs = |(block, (before, bytes)): (usize, (&u32, &[u8]))| {
            (sum(bytes) != *before).then_some((block, *before))
        };
        let differing: Vec<(usize, u32)> =
            (first..).zip(sums.iter().zip(bytes.chunks(BLOCK))).filter_map(differs).collect();
        if differing.is_empty() {
            return Ok(());
        }
        let known = self.locked();
        let rotten = differing.into_iter().find(|(block, before)| known.get(*block) == Some(before));
        rotten.map_or(Ok(()), |(block, _)| Err(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(marks: &[u8]) -> Vec<u8> {
        marks.iter().flat_map(|mark| [*mark; BLOCK]).collect()
    }

    #[test]
    fn what_was_read_or_written_once_must_stay() {
        let sums = Sums::default();
        assert_eq!(sums.check(2, &blocks(b"ab")), Ok(()), "the first look is taken for true");
        assert_eq!(sums.check(2, &blocks(b"ab")), Ok(()));
        assert_eq!(sums.check(2, &blocks(b"ax")), Err(3));
        sums.wrote(3, &blocks(b"x"));
        assert_eq!(sums.check(2, &blocks(b"ax")), Ok(()));
        assert_eq!(sums.check(3, &blocks(b"b")), Err(3), "what was there before the write is stale");
        sums.forget(0, 9);
        assert_eq!(sums.check(2, &blocks(b"zz")), Ok(()));
    }

    #[test]
    fn a_block_that_is_written_while_it_is_read_says_nothing() {
        let sums = Sums::default();
        sums.wrote(1, &blocks(b"abc"));
        let (first, before) = sums.run(0, 9);
        assert_eq!((first, before.len()), (1, 3));
        assert_eq!(sums.compare(first, &before, &blocks(b"abx")), Err(3));
        sums.forget(3, 4);
        assert_eq!(sums.compare(first, &before, &blocks(b"abx")), Ok(()), "it is being written");
        sums.wrote(3, &blocks(b"x"));
        assert_eq!(sums.compare(first, &before, &blocks(b"abx")), Ok(()), "it was written");
        assert_eq!(sums.compare(first, &before, &blocks(b"yby")), Err(1));
    }

    #[test]
    fn runs_leave_out_what_is_unknown() {
        let sums = Sums::default();
        sums.wrote(1, &blocks(b"ab"));
        sums.wrote(5, &blocks(b"c"));
        let lengths = |(first, sums): (usize, Vec<u32>)| (first, sums.len());
        assert_eq!(lengths(sums.run(0, 1)), (1, 1));
        assert_eq!(lengths(sums.run(2, 9)), (2, 1));
        assert_eq!(lengths(sums.run(3, 9)), (5, 1));
        assert_eq!(lengths(sums.run(6, 9)).1, 0);
    }
}
