//! One segment file: its name, its first block, and how a new one comes to be.
//!
//! A segment is `SEQUENCE-FIRST.seg` (16 hex digits each; FIRST is one above the last entry before it). It begins with
//! a preamble that every version of the format keeps, so that an old program knows a newer log for what it is:
//!
//! ```text
//!  0 magic    8 bytes "ORLOPLOG"
//!  8 version  u32
//! 12 salt     u32   begins every checksum of the segment
//! 16 crc      u32   CRC-32 of bytes 0..16
//! 20 zeros
//! 24 the segment record: size u64, then the link (sequence u64, end u64), then the metadata
//! ```
//!
//! The *link* says which segment comes before, and at which byte it ends. That one statement, made durable by one rename,
//! is both the roll and the repair: whatever lies behind the stated end, and every segment in between, is void from then on.
//! Behind the segment record come copies of the newest hard state, snapshot mark and quarantine, so that every older
//! segment can go.
//!
//! A segment gets its name only after its first block and its length are durable, and the log continues in it only after the
//! name is: a crash at any point leaves either the old tail or a segment that stands on its own.

use crate::record::{Identity, Position, Tag, checksum, encoded_len, find};
use crate::types::{Kind, Record};
use bytes::Bytes;

/// The version of the format that is written, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// Where the segment record stands.
pub(crate) const PREAMBLE: usize = 24;

/// The preamble and the segment record fit in this.
pub(crate) const FIRST_BLOCK: usize = 4096;

/// Most metadata that fits in the first block.
pub(crate) const METADATA_LIMIT: usize = 2048;

/// Most bytes in a segment, and in one call to save.
pub(crate) const SEGMENT_LIMIT: u64 = 1 << 30;

/// The name that a segment has until it is durable.
pub(crate) const UNFINISHED: &str = "next";

/// The name of the one released segment that waits to be used again.
pub(crate) const SPARE: &str = "spare";

/// What is put behind the name of a segment that a repair made void.
pub(crate) const ASIDE: &str = ".damaged";

/// Bytes of the segment record before the metadata.
const LINK: usize = 24;

const MAGIC: [u8; 8] = *b"ORLOPLOG";

/// Which segment this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub sequence: u64,
    /// One above the last entry's index when the segment was made.
    pub first: u64,
}

impl Name {
    pub fn file(self) -> String {
        format!("{:016x}-{:016x}.seg", self.sequence, self.first)
    }

    pub fn path(self, dir: &str) -> String {
        format!("{dir}/{}", self.file())
    }

    /// The segment that `file` names, if it names one.
    pub fn parse(file: &str) -> Option<Name> {
        let (sequence, first) = file.strip_suffix(".seg")?.split_once('-')?;
        let name = Name {
            sequence: u64::from_str_radix(sequence, 16).ok()?,
            first: u64::from_str_radix(first, 16).ok()?,
        };
        (name.file() == file).then_some(name)
    }
}

/// The end of the segment before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub sequence: u64,
    pub end: usize,
    pub crc: u32,
}

/// What the first block of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub identity: Identity,
    pub size: u64,
    pub link: Link,
    pub metadata: Bytes,
}

/// What each new segment repeats, so that it stands on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub hard_state: Option<Bytes>,
    pub snapshot: Option<Record>,
    pub quarantine: Option<u64>,
}

/// The version that a segment claims, if its preamble is whole.
pub(crate) fn version(segment: &[u8]) -> Option<u32> {
    let preamble = segment.get(..PREAMBLE)?;
    let crc = checksum(0, &preamble[..16]).to_le_bytes();
    (preamble[..8] == MAGIC && preamble[16..20] == crc).then(|| word(preamble, 8))
}

/// The first block of the segment `sequence`, if it is whole.
pub(crate) fn head(segment: &[u8], sequence: u64) -> Option<Head> {
    if version(segment)? != VERSION {
        return None;
    }
    let identity = Identity { sequence, salt: word(segment, 12) };
    let record = find(segment, PREAMBLE, identity)?;
    if record.tag != Tag::Segment || record.payload.len() < LINK {
        return None;
    }
    let long = |at: usize| u64::from_le_bytes(record.payload[at..at + 8].try_into().expect("eight bytes"));
    let link = Link { sequence: long(8), end: usize::try_from(long(16)).ok()?, crc: record.prev };
    Some(Head { identity, size: long(0), link, metadata: Bytes::copy_from_slice(&record.payload[LINK..]) })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

impl Carried {
    /// Notes what a record changes, if it is of a kind that is carried.
    pub fn note(&mut self, record: &Record) {
        match record.kind {
            Kind::Entry => {}
            Kind::HardState => self.hard_state = Some(record.payload.clone()),
            Kind::Snapshot => self.snapshot = Some(record.clone()),
        }
    }

    fn encoded_len(&self) -> usize {
        let state = self.hard_state.as_ref().map_or(0, |state| encoded_len(state.len()));
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| encoded_len(snapshot.payload.len()));
        state + snapshot + self.quarantine.map_or(0, |_| encoded_len(8))
    }

    fn put(&self, at: &mut Position, out: &mut Vec<u8>) {
        if let Some(state) = &self.hard_state {
            at.put(Tag::HardState, 0, 0, state, out);
        }
        if let Some(snapshot) = &self.snapshot {
            at.put(Tag::Snapshot, snapshot.index, snapshot.term, &snapshot.payload, out);
        }
        if let Some(index) = self.quarantine {
            at.put(Tag::Quarantine, 0, 0, &index.to_le_bytes(), out);
        }
    }
}

/// Bytes that the head of a segment takes.
pub(crate) fn head_len(metadata: &Bytes, carried: &Carried) -> usize {
    PREAMBLE + encoded_len(LINK + metadata.len()) + carried.encoded_len()
}

/// The bytes that a segment of `size` begins with, and the position behind them once they are durable.
pub(crate) fn encode_head(
    sequence: u64,
    size: u64,
    link: Link,
    last: u64,
    metadata: &Bytes,
    carried: &Carried,
) -> (Vec<u8>, Position) {
    assert!(metadata.len() <= METADATA_LIMIT, "checked when the log was created");
    let salt = checksum(link.crc ^ checksum(0, metadata), &sequence.to_le_bytes());
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&salt.to_le_bytes());
    out.extend_from_slice(&checksum(0, &out).to_le_bytes());
    out.resize(PREAMBLE, 0);
    let mut payload = size.to_le_bytes().to_vec();
    payload.extend_from_slice(&link.sequence.to_le_bytes());
    payload.extend_from_slice(&(link.end as u64).to_le_bytes());
    payload.extend_from_slice(metadata);
    let identity = Identity { sequence, salt };
    let mut at = Position { identity, tail: PREAMBLE, synced: 0, state_at: 0, crc: link.crc, last };
    at.put(Tag::Segment, 0, 0, &payload, &mut out);
    carried.put(&mut at, &mut out);
    assert_eq!(out.len(), head_len(metadata, carried), "the head is as long as was reckoned");
    at.synced = at.tail;
    (out, at)
}
