//! Single records: what goes in comes out, and what was touched does not.

use crate::record::{ALIGN, HEADER, Identity, Position, Tag, encoded_len, find, scan};
use crate::segment::{Carried, Head, Link, Name, encode_head, head, head_len};
use crate::testing::{snapshot, state};
use bytes::Bytes;

const IDENTITY: Identity = Identity { sequence: 9, salt: 77 };

fn start() -> Position {
    Position { identity: IDENTITY, tail: 0, synced: 0, state_at: 0, crc: 5, last: 0 }
}

/// Entries with the given payloads, from index 1, behind one another.
fn encode(payloads: &[Vec<u8>]) -> (Vec<u8>, Position) {
    let (mut at, mut out) = (start(), Vec::new());
    for (index, payload) in (1..).zip(payloads) {
        at.put(Tag::Entry, index, 3, payload, &mut out);
    }
    (out, at)
}

/// Indexes and payloads of the chain from the start of `bytes`.
fn decode(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let (mut at, mut records) = (start(), Vec::new());
    while let Some(found) = find(bytes, at.tail, IDENTITY).filter(|found| found.prev == at.crc) {
        at.pass(&found);
        records.push((found.index, found.payload.to_vec()));
    }
    records
}

quickcheck::quickcheck! {
    fn what_goes_in_comes_out(payloads: Vec<Vec<u8>>) -> bool {
        let (bytes, at) = encode(&payloads);
        let lengths: usize = payloads.iter().map(|payload| encoded_len(payload.len())).sum();
        bytes.len() == lengths && at.tail == lengths && lengths.is_multiple_of(ALIGN)
            && decode(&bytes) == (1..).zip(payloads).collect::<Vec<_>>()
    }

    fn any_prefix_gives_whole_records_only(payloads: Vec<Vec<u8>>, cut: usize) -> bool {
        let (mut bytes, _) = encode(&payloads);
        bytes.truncate(cut % (bytes.len() + 1));
        let whole = payloads.iter().scan(0, |end, payload| { *end += encoded_len(payload.len()); Some(*end) });
        decode(&bytes).len() == whole.filter(|end| *end <= bytes.len()).count()
    }

    fn a_flipped_bit_ends_the_chain_there_and_nothing_else(payloads: Vec<Vec<u8>>, at: usize, bit: u8) -> bool {
        let (mut bytes, _) = encode(&payloads);
        if bytes.is_empty() {
            return true;
        }
        let at = at % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        let ends = payloads.iter().scan(0, |end, payload| { *end += encoded_len(payload.len()); Some(*end) });
        let hit = ends.filter(|end| *end <= at).count();
        decode(&bytes).len() == hit && scan(&bytes, 0, IDENTITY).count() == payloads.len() - 1
    }

    fn garbage_is_no_record(bytes: Vec<u8>, at: usize) -> bool {
        find(&bytes, at % (bytes.len() + 1), IDENTITY).is_none() && scan(&bytes, 0, IDENTITY).next().is_none()
    }

    fn another_place_segment_or_salt_is_no_record(payload: Vec<u8>, shift: u8) -> bool {
        let (bytes, _) = encode(&[payload]);
        let shift = ALIGN * (1 + usize::from(shift));
        let moved = [vec![0; shift], bytes.clone()].concat();
        find(&moved, shift, IDENTITY).is_none()
            && find(&bytes, 0, Identity { sequence: 8, ..IDENTITY }).is_none()
            && find(&bytes, 0, Identity { salt: 78, ..IDENTITY }).is_none()
    }

    fn names_sort_by_sequence_and_come_back(sequence: u64, first: u64, other: u64) -> bool {
        let (one, two) = (Name { sequence, first }, Name { sequence: other, first: 0 });
        Name::parse(&one.file()) == Some(one) && (sequence == other || (one < two) == (one.file() < two.file()))
    }
}

#[test]
fn what_is_no_name_is_not_taken_for_one() {
    for file in ["next", "spare", "1-1.seg", "0000000000000001-000000000000000A.seg", "x", "-.seg"] {
        assert_eq!(Name::parse(file), None, "{file}");
    }
    let damaged = format!("{}.damaged", Name { sequence: 1, first: 1 }.file());
    assert_eq!(Name::parse(&damaged), None);
}

/// The format of docs/file-format.md, to the byte: a change here is a new version of the format.
#[test]
fn golden_record() {
    let mut at = Position {
        identity: Identity { sequence: 0x0102, salt: 0xdead_beef },
        tail: 0x2000,
        synced: 0x1f00,
        state_at: 0x40,
        crc: 0x1122_3344,
        last: 6,
    };
    let mut out = Vec::new();
    at.put(Tag::Entry, 7, 3, b"orlop", &mut out);
    assert_eq!(out.len(), HEADER + 8);
    let golden = "05000000 0201000000000000 00200000 001f0000 44332211 40000000 \
                  0700000000000000 0300000000000000 0700000000000000 0200000000000000 6f726c6f70000000";
    let hex: String = out[4..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden.replace(' ', ""));
    let mut hasher = crc32fast::Hasher::new_with_initial(0xdead_beef);
    hasher.update(&out[4..]);
    assert_eq!(out[..4], hasher.finalize().to_le_bytes());
}

#[test]
fn a_segment_starts_with_what_it_needs_to_stand_alone() {
    let carried = Carried {
        hard_state: Some(state(4, 2).payload),
        snapshot: Some(snapshot(17, 3)),
        quarantine: Some(20),
    };
    let metadata = Bytes::from_static(b"cluster 1 member 2");
    let link = Link { sequence: 4, end: 4000, crc: 99 };
    let (bytes, at) = encode_head(5, 8192, link, 18, &metadata, &carried);
    assert_eq!(bytes.len(), head_len(&metadata, &carried));
    assert_eq!((at.tail, at.synced), (bytes.len(), bytes.len()));
    let read = head(&bytes, 5).unwrap();
    assert_eq!(read, Head { identity: at.identity, size: 8192, link, metadata });
    assert_eq!(head(&bytes, 6), None, "under another name it is nothing");
    let tags: Vec<Tag> = scan(&bytes, 24, at.identity).map(|found| found.tag).collect();
    assert_eq!(tags, [Tag::Segment, Tag::HardState, Tag::Snapshot, Tag::Quarantine]);
}
