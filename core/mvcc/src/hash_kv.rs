//! HashKV: etcd's digest of history up to a revision, bit for bit.
//!
//! CRC-32C over the word `key`, then, in order of revision, each row's key and encoded KeyValue as etcd stores them: the key is
//! `main (8, big-endian) | '_' | sub (8, big-endian)`, with a `t` behind it for a delete. Two members that compacted at
//! different times must still agree, so of what lies at or before the compacted revision only those rows count that are
//! visible at the hashed revision. Where that leaves none, etcd counts what compaction left on its disk, which is
//! what was visible at the compacted revision; so do we.

use crate::Error;
use crate::file::{StateFile, scan_rows};
use crate::index::Span;
use crate::moment::{Moment, SLICE_KEYS, Walk};
use crate::overlay::{Part, rows_from};
use crate::revision::Revision;
use crate::row::Row;
use crate::state::{Shared, State};
use kernel::KvError;
use redb::ReadTransaction;
use std::sync::Arc;

/// The digest, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC-32C.
    pub hash: u32,
    /// The compacted revision; -1 when nothing was ever compacted.
    pub compact_revision: i64,
    /// The revision up to which history was hashed.
    pub hash_revision: i64,
}

/// All rows as they are at one moment, readable without a lock. The view goes before the file.
pub(crate) struct Pinned {
    view: ReadTransaction,
    parts: Vec<Arc<Part>>,
    first_in_memory: Option<Revision>,
    file: Arc<StateFile>,
}

impl State {
    /// Pins every row. [`Shared::prepare_to_hold`] comes before.
    pub fn pin(&self) -> Result<Pinned, Error> {
        let (view, parts) = (self.file.read()?, self.overlay.hold(Revision::default()));
        Ok(Pinned { view, parts, first_in_memory: self.overlay.first(), file: self.file.clone() })
    }
}

impl Pinned {
    /// Calls `each` for the rows from `from` on, in order, until it says stop (false).
    pub fn scan(
        &self,
        from: Revision,
        mut each: impl FnMut(Revision, &Row) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut more = true;
        scan_rows(&self.file, &self.view, from, |at, row| {
            if self.first_in_memory.is_some_and(|first| at >= first) {
                return Ok(false);
            }
            more = each(at, &row)?;
            Ok(more)
        })?;
        for part in &self.parts {
            for (at, row) in rows_from(part, from) {
                if !more {
                    return Ok(());
                }
                more = each(*at, row)?;
            }
        }
        Ok(())
    }
}

/// See [`Store::hash_kv`](crate::Store::hash_kv).
pub(crate) fn hash_kv(shared: &Shared, revision: i64) -> Result<HashKv, KvError> {
    let hashed = shared.steadily(|| {
        shared.prepare_to_hold();
        let (moment, state) = Moment::begin(shared);
        let (hash_revision, compact_revision) = match moment.readable(revision) {
            Ok(at) => (at, moment.compacted),
            Err(refused) => return Ok(Err(refused)),
        };
        let pinned = state.pin()?;
        moment.pause(state);
        let kept = kept(&moment, hash_revision)?;
        // The rows are pinned by themselves: compaction need not wait for the hash.
        drop(moment);
        let mut hash = crc32c::crc32c(b"key");
        pinned.scan(Revision::default(), |at, row| {
            if at.main > hash_revision {
                return Ok(false);
            }
            if at.main > compact_revision || kept.binary_search(&at).is_ok() {
                hash = fold(hash, at, row);
            }
            Ok(true)
        })?;
        Ok(Ok(HashKv { hash, compact_revision, hash_revision }))
    });
    hashed.unwrap_or_else(|error| Err(shared.report(&error)))
}

/// The rows at or before the compacted revision that count, sorted.
fn kept(moment: &Moment<'_>, at: i64) -> Result<Vec<Revision>, Error> {
    let (mut kept, any) = visible(moment, at)?;
    if !any {
        kept = visible(moment, moment.compacted)?.0;
    }
    kept.sort_unstable();
    Ok(kept)
}

/// The rows visible at `at` that lie at or before the compacted revision, and whether any is visible at all.
fn visible(moment: &Moment<'_>, at: i64) -> Result<(Vec<Revision>, bool), Error> {
    let (mut rows, mut any) = (Vec::new(), false);
    let mut walk = Walk::new(Span::everything(), at);
    loop {
        rows.reserve(SLICE_KEYS);
        let state = moment.resume()?;
        let ended = walk.step(&state, SLICE_KEYS, |_, seen| {
            any = true;
            rows.extend((seen.at.main <= moment.compacted).then_some(seen.at));
        });
        moment.pause(state);
        if ended {
            return Ok((rows, any));
        }
    }
}

fn fold(hash: u32, at: Revision, row: &Row) -> u32 {
    let mut key = [b't'; 18];
    key[..8].copy_from_slice(&at.main.to_be_bytes());
    key[8] = b'_';
    key[9..17].copy_from_slice(&u64::from(at.sub).to_be_bytes());
    let len = if row.is_tombstone() { 18 } else { 17 };
    crc32c::crc32c_append(crc32c::crc32c_append(hash, &key[..len]), row.payload())
}
