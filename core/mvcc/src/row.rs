//! One row: a key's value at one revision, or the mark that it was deleted, in the form in which it is kept everywhere.
//!
//! A row is encoded once, when it is applied: `crc32 (4, little-endian) | mark (1) | KeyValue`. The overlay holds these bytes,
//! redb stores them, a snapshot carries them. The CRC covers the row's revision, the mark and the KeyValue, so a row that
//! rots, or that turns up under another revision, is noticed by whoever reads it. Decoding copies nothing: key and value are
//! slices of the row's one allocation. A tombstone's KeyValue holds the key alone, which is what HashKV is defined over.

use crate::revision::Revision;
use bytes::{BufMut, Bytes, BytesMut};
use kernel::types::KeyValue;
use kernel::watch::{Event, EventType};
use prost::Message;

const PUT: u8 = 0;
const TOMBSTONE: u8 = 1;
const HEAD: usize = 5;

/// Bytes that a row takes in memory beyond its encoding: its revision, its handle, its allocation.
pub(crate) const OVERHEAD: usize = 64;

/// An encoded row. Made by [`Row::put`] or [`Row::tombstone`]; anything else is checked by [`Row::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row(Bytes);

impl Row {
    /// The row of a put; `kv.mod_revision` must be `at.main`.
    pub fn put(at: Revision, kv: &KeyValue) -> Self {
        assert_eq!(kv.mod_revision, at.main, "a row is stored at the revision that it names");
        Self::encode(at, PUT, kv)
    }

    /// The row that says that `key` was deleted.
    pub fn tombstone(at: Revision, key: Bytes) -> Self {
        Self::encode(at, TOMBSTONE, &KeyValue { key, ..Default::default() })
    }

    fn encode(at: Revision, mark: u8, kv: &KeyValue) -> Self {
        let mut bytes = BytesMut::with_capacity(HEAD + kv.encoded_len());
        bytes.put_u32_le(0);
        bytes.put_u8(mark);
        kv.encode(&mut bytes).expect("a BytesMut grows");
        let crc = checksum(at, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        Row(bytes.freeze())
    }

    /// Takes bytes that were read under `at`; `None` when they are not what was written there.
    pub fn check(at: Revision, bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD || bytes[4] > TOMBSTONE {
            return None;
        }
        let crc = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        (crc == checksum(at, &bytes[4..])).then_some(Row(bytes))
    }

    /// The bug: takes bytes as they are.
    pub fn unchecked(bytes: Bytes) -> Self {
        Row(bytes)
    }

    /// The bytes as they are stored.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The encoded KeyValue, as HashKV sees it.
    pub fn payload(&self) -> &[u8] {
        &self.0[HEAD..]
    }

    /// Whether the row says that its key was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.0[4] == TOMBSTONE
    }

    /// The KeyValue as stored: a tombstone has only the key.
    pub fn key_value(&self) -> KeyValue {
        KeyValue::decode(self.0.slice(HEAD..)).expect("a row's CRC covers its encoding")
    }

    /// The change that the row, of revision `main`, was.
    pub fn event(&self, main: i64) -> Event {
        let mut kv = self.key_value();
        kv.mod_revision = main;
        let kind = if self.is_tombstone() { EventType::Delete } else { EventType::Put };
        Event { r#type: kind as i32, kv: Some(kv), prev_kv: None }
    }

    /// What the row counts against the overlay's bound, in bytes.
    pub fn cost(&self) -> usize {
        self.0.len() + OVERHEAD
    }
}

fn checksum(at: Revision, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_key());
    hasher.update(rest);
    hasher.finalize()
}
