//! The state file: a redb database with three tables.
//!
//! - `rev`: every row, by revision ([`Row`] tells its form).
//! - `lease`: granted leases: id -> `crc32 | ttl`.
//! - `meta`: one entry, what the rows add up to: `crc32 | Meta`.
//!
//! One transaction moves all three from one applied index to the next. redb checks its own checksums only when it is told
//! to at a start, and when it repairs after a crash; so whatever is read from here is checked against a CRC of ours, and beneath
//! redb every block is held to what this process knows of it (see `sums`).

use crate::Error;
use crate::backend::{Backend, Gauge, Scrubbed};
use crate::error::is_full;
use crate::revision::{KEY_LEN, Revision};
use crate::row::Row;
use crate::sums::Sums;
use bytes::Bytes;
use kernel::{Bug, Disk, Open, Planted};
use prost::Message;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::io;
use std::sync::Arc;

/// Rows by revision.
pub(crate) const ROWS: TableDefinition<&[u8; KEY_LEN], &[u8]> = TableDefinition::new("rev");
const LEASES: TableDefinition<i64, &[u8]> = TableDefinition::new("lease");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const META_KEY: &str = "state";
/// Version of the format; a file of a higher one is refused.
const FORMAT: u32 = 1;
/// What `Meta::compacted` says before the first compaction.
pub(crate) const NEVER: i64 = -1;

/// What the rows add up to.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Meta {
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// The last log index that is in the rows, and its term.
    #[prost(uint64, tag = "2")]
    pub applied: u64,
    #[prost(uint64, tag = "3")]
    pub term: u64,
    /// The replication group's membership at `applied`, as the caller encodes it.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub conf_state: Option<Bytes>,
    #[prost(int64, tag = "5")]
    pub revision: i64,
    /// The revision below which nothing is readable.
    #[prost(sint64, tag = "6")]
    pub compacted: i64,
    /// The compaction whose dropped rows are all gone from the file.
    #[prost(sint64, tag = "7")]
    pub removed: i64,
    #[prost(fixed64, tag = "8")]
    pub state_hash: u64,
    /// A snapshot brought this file, and no checkpoint was made in it yet: the log need not reach up to it.
    #[prost(bool, tag = "9")]
    pub installed: bool,
}

impl Meta {
    /// Of an empty state, as etcd numbers it.
    pub fn empty() -> Self {
        Meta { format: FORMAT, revision: 1, compacted: NEVER, removed: NEVER, ..Default::default() }
    }

    /// The form in which it is stored and sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        seal(&self.encode_to_vec())
    }

    /// Reads and checks [`Meta::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = || Error::Damaged("its head (table meta) does not match its checksum".to_string());
        let meta = Meta::decode(unseal(bytes).ok_or_else(damaged)?).map_err(|_| damaged())?;
        if meta.format != FORMAT {
            let text = format!("its format is {}, this program reads {FORMAT}: use a newer one", meta.format);
            return Err(Error::Version(text));
        }
        Ok(meta)
    }
}

/// A lease's stored form.
pub(crate) fn lease_bytes(ttl: i64) -> Vec<u8> {
    seal(&ttl.to_le_bytes())
}

/// Reads and checks [`lease_bytes`].
pub(crate) fn lease_ttl(id: i64, bytes: &[u8]) -> Result<i64, Error> {
    let ttl = unseal(bytes).and_then(|ttl| ttl.try_into().ok()).map(i64::from_le_bytes);
    ttl.ok_or_else(|| Error::Damaged(format!("lease {id} does not match its checksum")))
}

fn seal(content: &[u8]) -> Vec<u8> {
    [&crc32fast::hash(content).to_le_bytes(), content].concat()
}

fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (crc, content) = bytes.split_at_checked(4)?;
    (crc == crc32fast::hash(content).to_le_bytes()).then_some(content)
}

/// An open state file.
pub(crate) struct StateFile {
    db: Database,
    gauge: Gauge,
    /// The bug planted in this run.
    pub planted: Planted,
}

impl StateFile {
    /// Opens the file at `path`, which this process wrote or has checked. Repairs what a crash left.
    pub fn open(
        disk: &dyn Disk,
        path: &str,
        how: Open,
        cache_bytes: usize,
        planted: Planted,
    ) -> Result<Self, Error> {
        Self::open_with((disk, path, how), cache_bytes, Arc::default(), planted, false)
    }

    /// Opens the file at `path` and verifies the checksum of every page first: of a file that rotted while nobody looked, redb
    /// otherwise leaves out rows, or panics. It costs one reading of the whole file.
    pub fn open_checked(
        disk: &dyn Disk,
        path: &str,
        cache_bytes: usize,
        planted: Planted,
    ) -> Result<Self, Error> {
        Self::open_with((disk, path, Open::Existing), cache_bytes, Arc::default(), planted, true)
    }

    /// Opens the file at `path` another time, after this handle has failed: what is known of its blocks holds on.
    pub fn reopen(&self, disk: &dyn Disk, path: &str, cache_bytes: usize) -> Result<Self, Error> {
        let place = (disk, path, Open::Existing);
        Self::open_with(place, cache_bytes, self.gauge.sums(), self.planted, false)
    }

    fn open_with(
        (disk, path, how): (&dyn Disk, &str, Open),
        cache_bytes: usize,
        sums: Arc<Sums>,
        planted: Planted,
        check: bool,
    ) -> Result<Self, Error> {
        let (backend, gauge) = Backend::new(disk.open(path, how)?, sums, planted)?;
        let mut builder = redb::Builder::new();
        builder.set_cache_size(cache_bytes);
        builder.set_check_integrity_on_open(check);
        match builder.create_with_backend(backend) {
            Ok(db) => Ok(StateFile { db, gauge, planted }),
            // redb may pass on a later failure than the one that tells why.
            Err(error) => Err(gauge.damage().map_or_else(|| error.into(), Error::Damaged)),
        }
    }

    /// Opens the file at `path`, making an empty one if there is none. A new file gets its name only once it is whole, so a
    /// crash never leaves half of one under that name; and the name is durable before anything is said to be in it.
    pub fn open_or_create(
        disk: &dyn Disk,
        path: &str,
        cache_bytes: usize,
        planted: Planted,
    ) -> Result<Self, Error> {
        remove_unfinished(disk, path)?;
        match disk.open(path, Open::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = Self::open(disk, &building(path), Open::New, cache_bytes, planted)?;
                put_in_place(disk, path)?;
                Ok(file)
            }
            opened => {
                opened?;
                disk.sync_dir(dir_of(path))?;
                Self::open_checked(disk, path, cache_bytes, planted)
            }
        }
    }

    /// A view of what is committed now. Waits for nothing.
    pub fn read(&self) -> Result<ReadTransaction, Error> {
        Ok(self.db.begin_read()?)
    }

    /// A transaction. Waits for the one under way; commits durably.
    pub fn write(&self) -> Result<WriteTransaction, Error> {
        Ok(self.db.begin_write()?)
    }

    /// Makes every later use fail, also the tidying up when the handle goes.
    pub fn fence(&self) {
        self.gauge.fence();
    }

    /// Whether the file has failed for lack of room, and not for a graver reason.
    pub fn is_full(&self) -> bool {
        self.gauge.failed().is_some_and(is_full)
    }

    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.gauge.len()
    }

    /// What was found damaged first.
    pub fn damage(&self) -> Option<String> {
        self.gauge.damage()
    }

    /// See [`Gauge::scrub`].
    pub fn scrub(&self, from: usize, most: usize) -> Scrubbed {
        self.gauge.scrub(from, most)
    }

    /// [`checked`], for what was read from this file.
    pub fn checked(&self, key: &[u8; KEY_LEN], bytes: &[u8]) -> Result<(Revision, Row), Error> {
        match checked(key, bytes) {
            Err(_) if self.planted.is(Bug::ServeDamaged) || self.planted.is(Bug::SnapshotUnchecked) => {
                let at = Revision::from_key(key).unwrap_or_default();
                Ok((at, Row::unchecked(Bytes::copy_from_slice(bytes))))
            }
            outcome => outcome,
        }
    }
}

/// Writes `meta`.
pub(crate) fn save_meta(txn: &WriteTransaction, meta: &Meta) -> Result<(), Error> {
    txn.open_table(META)?.insert(META_KEY, &*meta.to_bytes())?;
    Ok(())
}

/// Writes a lease, or removes it.
pub(crate) fn save_leases(
    txn: &WriteTransaction,
    leases: impl IntoIterator<Item = (i64, Option<i64>)>,
) -> Result<(), Error> {
    let mut table = txn.open_table(LEASES)?;
    for (id, ttl) in leases {
        match ttl {
            Some(ttl) => table.insert(id, &*lease_bytes(ttl))?,
            None => table.remove(id)?,
        };
    }
    Ok(())
}

/// Reads `meta`; that of an empty state when the file is new.
pub(crate) fn load_meta(txn: &ReadTransaction) -> Result<Meta, Error> {
    let table = match txn.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Meta::empty()),
        table => table?,
    };
    match table.get(META_KEY)? {
        Some(bytes) => Meta::from_bytes(bytes.value()),
        None => Err(Error::Damaged("it has no head (table meta)".to_string())),
    }
}

/// Reads every lease: id and TTL.
pub(crate) fn load_leases(txn: &ReadTransaction) -> Result<Vec<(i64, i64)>, Error> {
    let table = match txn.open_table(LEASES) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut leases = Vec::new();
    for entry in table.iter()? {
        let (id, bytes) = entry?;
        leases.push((id.value(), lease_ttl(id.value(), bytes.value())?));
    }
    Ok(leases)
}

/// Calls `each` for the rows from `from` on, in order, until it says stop (false).
pub(crate) fn scan_rows(
    file: &StateFile,
    txn: &ReadTransaction,
    from: Revision,
    mut each: impl FnMut(Revision, Row) -> Result<bool, Error>,
) -> Result<(), Error> {
    let table = match txn.open_table(ROWS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
        table => table?,
    };
    for entry in table.range::<&[u8; KEY_LEN]>(&from.to_key()..)? {
        let (key, bytes) = entry?;
        let (at, row) = file.checked(key.value(), bytes.value())?;
        if !each(at, row)? {
            break;
        }
    }
    Ok(())
}

/// Turns what is stored under `key` into a row, if it is what was written there.
pub(crate) fn checked(key: &[u8; KEY_LEN], bytes: &[u8]) -> Result<(Revision, Row), Error> {
    let at = Revision::from_key(key).ok_or_else(|| Error::Damaged(format!("{key:02x?} is no revision")))?;
    let row = Row::check(at, Bytes::copy_from_slice(bytes));
    let damaged =
        || Error::Damaged(format!("the row at revision {}.{} does not match its checksum", at.main, at.sub));
    Ok((at, row.ok_or_else(damaged)?))
}

/// Where a new file for the state at `path` is built.
pub(crate) fn building(path: &str) -> String {
    format!("{path}.incoming")
}

/// Gives what was built the name of the state, durably. Handles on it keep working.
pub(crate) fn put_in_place(disk: &dyn Disk, path: &str) -> io::Result<()> {
    disk.rename(&building(path), path)?;
    disk.sync_dir(dir_of(path))
}

/// Where a damaged state is kept to be looked at.
pub(crate) fn aside(path: &str) -> String {
    format!("{path}.damaged")
}

pub(crate) fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Removes what was built and never got the name.
pub(crate) fn remove_unfinished(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.remove(&building(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
