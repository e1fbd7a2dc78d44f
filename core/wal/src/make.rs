//! How a new segment comes to be: filled under a passing name, synced, renamed, directory synced.
//!
//! Until the rename nothing depends on the new file, so lack of room up to there leaves the log as it was. From the rename
//! on any failure is fatal, because the name may or may not be there.

use crate::error::{Error, failed, fatal};
use crate::record::Position;
use crate::segment::{Carried, FIRST_BLOCK, Link, Name, SPARE, UNFINISHED, encode_head, head_len};
use bytes::Bytes;
use kernel::{Bug, Disk, File, Open, Planted};
use std::sync::Arc;

/// The segment that is written to.
pub(crate) struct Current {
    pub name: Name,
    pub file: Arc<dyn File>,
    /// Length of the file.
    pub size: u64,
    pub at: Position,
}

/// What a new segment is made from.
pub(crate) struct Plan<'a> {
    pub disk: &'a dyn Disk,
    pub dir: &'a str,
    pub sequence: u64,
    pub link: Link,
    /// Index of the last entry before it.
    pub last: u64,
    pub metadata: &'a Bytes,
    pub carried: &'a Carried,
    /// Size unless `room` needs more; a multiple of 4 KiB.
    pub size: u64,
    /// Bytes that must fit behind the head.
    pub room: usize,
    /// Whether there is a spare file of `size` bytes.
    pub spare: bool,
    pub planted: Planted,
}

impl Plan<'_> {
    /// Makes the segment. On [`Error::Full`] nothing has changed, except that a spare is used up.
    pub fn make(&self) -> Result<Current, Error> {
        let needed = (head_len(self.metadata, self.carried) + self.room) as u64;
        let size = needed.next_multiple_of(FIRST_BLOCK as u64).max(self.size);
        let spare = self.spare && size == self.size;
        let unnamed = format!("{}/{}", self.dir, if spare { SPARE } else { UNFINISHED });
        let (head, at) = encode_head(self.sequence, size, self.link, self.last, self.metadata, self.carried);
        let made = self.fill(&unnamed, spare, size, &head);
        if matches!(made, Err(Error::Full(_))) {
            // Gives back the room. What cannot be removed now is removed at the next start.
            let _ = self.disk.remove(&unnamed);
        }
        let file = made?;
        let name = Name { sequence: self.sequence, first: self.last + 1 };
        let path = name.path(self.dir);
        self.disk.rename(&unnamed, &path).map_err(fatal("naming segment", &path))?;
        if !self.planted.is(Bug::SegmentNameNotSynced) {
            self.disk.sync_dir(self.dir).map_err(fatal("syncing directory", self.dir))?;
        }
        Ok(Current { name, file, size, at })
    }

    fn fill(&self, path: &str, spare: bool, size: u64, head: &[u8]) -> Result<Arc<dyn File>, Error> {
        let how = if spare { Open::Existing } else { Open::Any };
        let file = self.disk.open(path, how).map_err(failed("making segment", path))?;
        if !spare {
            file.set_len(0).map_err(failed("emptying segment", path))?;
            file.preallocate(size).map_err(failed("making room for segment", path))?;
        }
        file.write_at(0, head).map_err(failed("writing the head of segment", path))?;
        file.sync().map_err(failed("syncing new segment", path))?;
        Ok(file)
    }
}
