//! The sending side of a snapshot.

use super::{CHUNK_HEAD, Kind};
use crate::Error;
use crate::file::{NEVER, lease_bytes};
use crate::hash_kv::Pinned;
use crate::revision::Revision;
use crate::store::Store;
use bytes::{BufMut, Bytes, BytesMut};
use kernel::Bug;

/// A chunk is closed once it holds this much, in bytes; it exceeds it by one row at most.
const CHUNK_BYTES: usize = 256 << 10;

/// A stream of chunks; see the [module](super).
pub struct SnapshotReader {
    rows: Pinned,
    head: Vec<u8>,
    leases: Vec<(i64, i64)>,
    applied: u64,
    term: u64,
    number: u32,
    next: Revision,
    rows_sent: u64,
    done: bool,
}

impl Store {
    /// The state as it is now: consistent at [`Store::applied`]. Later changes do not show in it. It holds the rows that are in
    /// memory now, and the file's pages, for as long as it lives.
    pub fn snapshot(&self) -> Result<SnapshotReader, Error> {
        self.shared.steadily(|| Ok(()))?;
        self.shared.prepare_to_hold();
        let (state, planted) = (self.shared.read(), self.shared.options.planted);
        let leases = state.leases.all().filter(|_| !planted.is(Bug::SnapshotWithoutLeases));
        let mut head = state.meta.clone();
        if planted.is(Bug::SnapshotWithoutCompaction) {
            (head.compacted, head.removed) = (NEVER, NEVER);
        }
        Ok(SnapshotReader {
            rows: state.pin()?,
            head: head.to_bytes(),
            leases: leases.collect(),
            applied: state.meta.applied,
            term: state.meta.term,
            number: 0,
            next: Revision::default(),
            rows_sent: 0,
            done: false,
        })
    }
}

impl SnapshotReader {
    /// The log index that the snapshot stands for.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The term of the entry at that index.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The next chunk; `None` behind the last. Blocks. An error ends the snapshot: send another.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self.done {
            return Ok(None);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        chunk.put_u32_le(0);
        chunk.put_u32_le(self.number);
        if self.number == 0 {
            self.begin(&mut chunk);
        }
        self.put_rows(&mut chunk)?;
        if self.done {
            put_item(
                &mut chunk,
                Kind::End,
                &[&self.rows_sent.to_le_bytes(), &(self.leases.len() as u64).to_le_bytes()],
            );
        }
        self.number += 1;
        let crc = crc32fast::hash(&chunk[4..]);
        chunk[..4].copy_from_slice(&crc.to_le_bytes());
        Ok(Some(chunk.freeze()))
    }

    /// The head and the leases: of those there are few, and they are small.
    fn begin(&self, chunk: &mut BytesMut) {
        put_item(chunk, Kind::Head, &[&self.head]);
        for (id, ttl) in &self.leases {
            put_item(chunk, Kind::Lease, &[&id.to_le_bytes(), &lease_bytes(*ttl)]);
        }
    }

    fn put_rows(&mut self, chunk: &mut BytesMut) -> Result<(), Error> {
        let (mut sent, mut next) = (0, self.next);
        let mut all = true;
        self.rows.scan(self.next, |at, row| {
            if chunk.len() >= CHUNK_BYTES {
                all = false;
                return Ok(false);
            }
            put_item(chunk, Kind::Row, &[&at.to_key(), row.bytes()]);
            next = Revision { main: at.main, sub: at.sub + 1 };
            sent += 1;
            Ok(true)
        })?;
        (self.next, self.done) = (next, all);
        self.rows_sent += sent;
        assert!(all || chunk.len() > CHUNK_HEAD, "a chunk that is not the last makes headway");
        Ok(())
    }
}

fn put_item(chunk: &mut BytesMut, kind: Kind, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    chunk.put_u8(kind as u8);
    chunk.put_u32_le(u32::try_from(len).expect("a row is smaller than 4 GiB"));
    for part in parts {
        chunk.put_slice(part);
    }
}
