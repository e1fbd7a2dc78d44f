//! What the tests of the log stand on: a disk that forgets ([`disk`]), and a world that knows what must be remembered ([`world`]).

pub mod disk;
pub mod world;

use crate::types::{Kind, OnDamage, Options, Record, Recovered};
use crate::{Error, Wal};
use bytes::Bytes;
use disk::TestDisk;
use kernel::{Planted, Probe};
use std::sync::Arc;

/// Where the tests keep the log.
pub const DIR: &str = "wal";

/// Segments of 4 KiB, so that everything happens soon.
pub fn options() -> Options {
    Options { segment_bytes: 4096, planted: Planted::none(), probe: Probe::default() }
}

pub fn entry(index: u64, term: u64, size: usize) -> Record {
    let payload =
        (0..size).map(|at| (index as u8).wrapping_mul(31) ^ (term as u8) ^ (at as u8)).collect::<Vec<u8>>();
    Record { kind: Kind::Entry, index, term, payload: payload.into() }
}

pub fn state(term: u64, vote: u64) -> Record {
    Record {
        kind: Kind::HardState,
        index: 0,
        term,
        payload: format!("term {term} vote {vote}").into_bytes().into(),
    }
}

pub fn snapshot(index: u64, term: u64) -> Record {
    Record { kind: Kind::Snapshot, index, term, payload: Bytes::from_static(b"configuration") }
}

pub fn create(disk: &TestDisk) -> Wal {
    Wal::create(Arc::new(disk.clone()), DIR, Bytes::from_static(b"member 7"), options()).unwrap()
}

pub fn open(disk: &TestDisk, on_damage: OnDamage) -> Result<(Wal, Recovered), Error> {
    Wal::open(Arc::new(disk.clone()), DIR, on_damage, options())
}

/// Paths of the segments, oldest first.
pub fn segments(disk: &TestDisk) -> Vec<String> {
    disk.image().into_keys().filter(|name| name.ends_with(".seg")).collect()
}

/// Path of the newest segment.
pub fn newest(disk: &TestDisk) -> String {
    segments(disk).pop().expect("a log has a segment")
}

pub fn indexes(recovered: &Recovered) -> Vec<u64> {
    recovered.entries.iter().map(|entry| entry.index).collect()
}

/// Offset in the segment at which the payload of `record` stands.
pub fn payload_at(disk: &TestDisk, path: &str, record: &Record) -> usize {
    assert!(record.payload.len() >= 8, "long enough to be found");
    let bytes = disk.bytes(path);
    let mut windows = bytes.windows(record.payload.len());
    windows.position(|window| window == &record.payload[..]).expect("the record is in the segment")
}

/// Flips one bit in the payload of `record`.
pub fn rot_payload(disk: &TestDisk, path: &str, record: &Record) {
    let at = payload_at(disk, path, record);
    disk.rot(path, |bytes| bytes[at + 3] ^= 0x10);
}
