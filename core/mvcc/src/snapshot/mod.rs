//! Snapshots: the whole state, as a stream of chunks.
//!
//! A chunk is `crc32 (4) | number (4) | items`, an item is `kind (1) | length (4) | body`, numbers little-endian; chunks count from
//! 0, and the CRC covers all behind it. The first item of all is the head (`Meta`), then come the leases, then the rows
//! by revision, and the end, which says how many there were. So a chunk that is lost, doubled, swapped or damaged is noticed where
//! it arrives, and each row carries its own CRC from where it was first applied to where it is read last.
//!
//! Reading takes a view of the file and holds the overlay's rows: it stops nobody and needs no flush first. Writing builds a
//! new state file beside the present one; only one that was read back whole takes its place, by a rename.

mod reader;
mod writer;

pub use reader::SnapshotReader;
pub use writer::{Loaded, SnapshotWriter, Staged};

/// What an item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Head = 1,
    Lease = 2,
    Row = 3,
    End = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Kind::Head, Kind::Lease, Kind::Row, Kind::End].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Length of a chunk's head: checksum and number.
const CHUNK_HEAD: usize = 8;
