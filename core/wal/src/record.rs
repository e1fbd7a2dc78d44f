//! One record, to the byte.
//!
//! A record is a header of 64 bytes, the payload, and zeros up to a multiple of 8. All numbers are little-endian:
//!
//! ```text
//!  0 crc       u32  CRC-32 of bytes 4.. of the record, padding included, begun with the segment's salt
//!  4 length    u32  payload bytes
//!  8 sequence  u64  the segment that the record belongs to
//! 16 offset    u32  where in the segment it stands
//! 20 synced    u32  up to where the segment was known durable when the record was written
//! 24 prev      u32  crc of the record before it, over segments too
//! 28 state_at  u32  where in the segment the newest hard state stands, this record included; 0 for none
//! 32 index     u64  of the entry or snapshot; what the caller gave
//! 40 term      u64  likewise
//! 48 last      u64  index of the log's last entry, this record included
//! 56 tag       u8   the kind, then 7 zeros
//! ```
//!
//! Each field beyond the payload is there for a question that recovery must answer. `sequence` and `offset`: is this record in
//! its place, or did an old segment or a misdirected write leave it here? `prev`: does anything lie between? `synced`: was what
//! is damaged before it ever acknowledged? `state_at` and `last`: did the damage swallow a vote, and up to which entry?
//! The salt keeps a client from putting bytes into a value that pass for a record.

use crate::types::Kind;

/// Bytes before the payload.
pub(crate) const HEADER: usize = 64;

/// Records start at multiples of this.
pub(crate) const ALIGN: usize = 8;

/// The kinds on disk: those of [`Kind`] and the log's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// Opens a segment.
    Segment = 1,
    Entry = 2,
    HardState = 3,
    Snapshot = 4,
    /// A persist marker. Its payload is a second copy of the hard state.
    Marker = 5,
    /// Its payload is the index, u64, up to which entries were acknowledged but lost; 0 clears it.
    Quarantine = 6,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Tag> {
        use Tag::*;
        [Segment, Entry, HardState, Snapshot, Marker, Quarantine].into_iter().find(|tag| *tag as u8 == byte)
    }
}

impl From<Kind> for Tag {
    fn from(kind: Kind) -> Tag {
        match kind {
            Kind::Entry => Tag::Entry,
            Kind::HardState => Tag::HardState,
            Kind::Snapshot => Tag::Snapshot,
        }
    }
}

/// Bytes that a payload of `payload` bytes takes in a segment.
pub(crate) fn encoded_len(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Whose record it is: without both, no bytes are a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub sequence: u64,
    pub salt: u32,
}

/// A record found in a segment that is whole and in its place. Whether it continues the chain is for the reader to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub tag: Tag,
    pub index: u64,
    pub term: u64,
    pub last: u64,
    pub payload: &'a [u8],
    pub offset: usize,
    /// Where the next record starts.
    pub end: usize,
    pub synced: usize,
    pub state_at: usize,
    pub prev: u32,
    pub crc: u32,
}

impl Found<'_> {
    /// The hard state in it, if it holds a copy of one.
    pub fn hard_state(&self) -> Option<&[u8]> {
        let holds = self.tag == Tag::HardState || (self.tag == Tag::Marker && self.state_at != 0);
        holds.then_some(self.payload)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

/// The record at `offset` of `segment`, if there is one that is whole and in its place. Never looks beyond the segment,
/// whatever the bytes claim.
pub(crate) fn find(segment: &[u8], offset: usize, identity: Identity) -> Option<Found<'_>> {
    find_in(segment, 0, offset, identity)
}

/// As [`find`], where `window` is the part of the segment from byte `base` on.
pub(crate) fn find_in(window: &[u8], base: usize, offset: usize, identity: Identity) -> Option<Found<'_>> {
    let rest = window.get(offset.checked_sub(base)?..)?;
    // These two reject nearly every offset that holds no record, before any checksum is computed.
    if rest.len() < HEADER || u64_at(rest, 8) != identity.sequence || u32_at(rest, 16) as usize != offset {
        return None;
    }
    let length = u32_at(rest, 4) as usize;
    if length > rest.len() - HEADER {
        return None;
    }
    let bytes = rest.get(..encoded_len(length))?;
    let crc = checksum(identity.salt, &bytes[4..]);
    if crc != u32_at(bytes, 0) {
        return None;
    }
    Some(Found {
        tag: Tag::from_byte(bytes[56])?,
        index: u64_at(bytes, 32),
        term: u64_at(bytes, 40),
        last: u64_at(bytes, 48),
        payload: &bytes[HEADER..HEADER + length],
        offset,
        end: offset + bytes.len(),
        synced: u32_at(bytes, 20) as usize,
        state_at: u32_at(bytes, 28) as usize,
        prev: u32_at(bytes, 24),
        crc,
    })
}

/// How long the payload would be of the record that begins at `offset` of the segment `sequence`, if the head of one is there; its
/// checksum is not looked at.
pub(crate) fn claimed(segment: &[u8], offset: usize, sequence: u64) -> Option<usize> {
    let head = segment.get(offset..)?.get(..HEADER)?;
    let begun = u64_at(head, 8) == sequence && u32_at(head, 16) as usize == offset;
    begun.then(|| u32_at(head, 4) as usize)
}

/// Every whole record at or behind `from`, whether it continues the chain or not: the evidence after damage.
pub(crate) fn scan(segment: &[u8], from: usize, identity: Identity) -> impl Iterator<Item = Found<'_>> {
    let mut at = from.next_multiple_of(ALIGN);
    std::iter::from_fn(move || {
        while at + HEADER <= segment.len() {
            let found = find(segment, at, identity);
            at = found.map_or(at + ALIGN, |found| found.end);
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// CRC-32 of `bytes`, begun with `salt`.
pub(crate) fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// Where the log is written next, with all that the next record must state. A copy is advanced while a batch is encoded,
/// and takes the original's place when the batch is written, so a failed write changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub identity: Identity,
    /// Where the next record starts.
    pub tail: usize,
    /// Up to where the segment is durable.
    pub synced: usize,
    pub state_at: usize,
    pub crc: u32,
    /// Index of the last entry, 0 before the first.
    pub last: u64,
}

impl Position {
    /// Appends the record to `out`, which will be written at the tail that the first `put` of a batch started from.
    pub fn put(&mut self, tag: Tag, index: u64, term: u64, payload: &[u8], out: &mut Vec<u8>) {
        self.note(tag, index);
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&small(payload.len()).to_le_bytes());
        out.extend_from_slice(&self.identity.sequence.to_le_bytes());
        out.extend_from_slice(&small(self.tail).to_le_bytes());
        out.extend_from_slice(&small(self.synced).to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&small(self.state_at).to_le_bytes());
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&term.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&u64::from(tag as u8).to_le_bytes());
        debug_assert_eq!(out.len() - start, HEADER);
        out.extend_from_slice(payload);
        out.resize(start + encoded_len(payload.len()), 0);
        self.crc = checksum(self.identity.salt, &out[start + 4..]);
        out[start..start + 4].copy_from_slice(&self.crc.to_le_bytes());
        self.tail += out.len() - start;
    }

    fn note(&mut self, tag: Tag, index: u64) {
        match tag {
            Tag::Entry => {
                let gap = self.last > 0 && index > self.last + 1;
                assert!(!gap, "entry {index} would leave a gap behind entry {}", self.last);
                self.last = index;
            }
            Tag::Snapshot => self.last = self.last.max(index),
            Tag::HardState => self.state_at = self.tail,
            Tag::Segment | Tag::Marker | Tag::Quarantine => {}
        }
    }

    /// Goes past a record that was read and continues the chain.
    pub fn pass(&mut self, found: &Found<'_>) {
        assert_eq!(found.offset, self.tail, "records are read in the order of the chain");
        self.tail = found.end;
        self.synced = self.synced.max(found.synced);
        self.state_at = found.state_at;
        self.crc = found.crc;
        self.last = found.last;
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a segment is smaller than 4 GiB")
}
