//! A state file that a failed sync has left in doubt, and how it is trusted again.
//!
//! After a failed sync the kernel may count pages as written that never reached the medium. The process ends, and the next one
//! would read them from the page cache, build on them, and lose them with the next power cut, beneath everything that it
//! had synced since. So before the process ends it leaves a marker beside the file. Neither the marker nor the doubt
//! outlives the page cache: a power loss takes both away, and what is on the medium then is the last good checkpoint. A process
//! that finds the marker copies the file as the page cache shows it, which is what redb wrote, into a new one, and goes on
//! once that is synced and in place.

use crate::Error;
use crate::file::{building, put_in_place, remove_unfinished};
use kernel::{Disk, File, Open};
use std::io;

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Leaves the marker. If even that fails there is nothing left to do: the process ends in any case.
pub(crate) fn mark(disk: &dyn Disk, path: &str) {
    let _ = disk.open(&marker(path), Open::Any);
}

/// Replaces the file by a copy that is durable, if a marker says that it is in doubt; true if so.
pub(crate) fn clear_up(disk: &dyn Disk, path: &str) -> Result<bool, Error> {
    match disk.open(&marker(path), Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => drop(found?),
    }
    remove_unfinished(disk, path)?;
    // An operator may have moved a damaged file away: then nothing is left to be in doubt.
    let there = match disk.open(path, Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Some(file?),
    };
    if let Some(file) = &there {
        copy(disk, &**file, path)?;
        put_in_place(disk, path)?;
    }
    disk.remove(&marker(path))?;
    Ok(there.is_some())
}

fn copy(disk: &dyn Disk, from: &dyn File, path: &str) -> Result<(), Error> {
    let to = disk.open(&building(path), Open::New)?;
    let (len, mut part, mut at) = (from.len()?, vec![0; COPY_BYTES], 0);
    while at < len {
        let read = from.read_at(at, &mut part);
        let read =
            read.map_err(|error| Error::Damaged(format!("bytes from {at} on cannot be read: {error}")))?;
        if read == 0 {
            return Err(Error::Damaged(format!("it ends at {at}, though its length is {len}")));
        }
        to.write_at(at, &part[..read])?;
        at += read as u64;
    }
    Ok(to.sync()?)
}

fn marker(path: &str) -> String {
    format!("{path}.suspect")
}
