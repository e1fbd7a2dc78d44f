//! The IPv4 header: checked once, then read and changed in place.

use super::checksum;
use std::net::Ipv4Addr;

/// The shortest header, in bytes.
pub const SHORTEST: usize = 20;

/// The longest packet, in bytes.
pub const LONGEST: usize = 65_535;

/// Protocol numbers.
pub mod protocol {
    /// Control messages.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
}

/// Set in the fragment field: the packet may not be cut.
const DONT_FRAGMENT: u16 = 0x4000;

/// The bits of the fragment field that are set in every piece of a packet that was cut: more follow, or it is not the first.
const FRAGMENT: u16 = 0x3fff;

/// The offset of a fragment, in units of eight bytes.
const OFFSET: u16 = 0x1fff;

/// What a good header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its own length, in bytes: 20 to 60.
    pub length: usize,
    /// The packet's length, in bytes, with the header.
    pub total: usize,
    /// The number that pieces of one packet share.
    pub id: u16,
    /// Flags and offset.
    fragment: u16,
    /// Machines that it may still pass.
    pub ttl: u8,
    /// What it carries.
    pub protocol: u8,
    /// From where.
    pub source: Ipv4Addr,
    /// To where.
    pub destination: Ipv4Addr,
}

impl Header {
    /// The header at the beginning of `bytes`; none if they are no whole IPv4 packet, or contradict themselves.
    /// Bytes after the packet's end are no fault.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let fixed = bytes.first_chunk::<SHORTEST>()?;
        let length = usize::from(fixed[0] & 0x0f) * 4;
        let total = usize::from(word(fixed, 2));
        if fixed[0] >> 4 != 4 || length < SHORTEST || total < length || total > bytes.len() {
            return None;
        }
        if checksum::sum(&bytes[..length]) != 0xffff {
            return None;
        }
        Some(Header {
            length,
            total,
            id: word(fixed, 4),
            fragment: word(fixed, 6),
            ttl: fixed[8],
            protocol: fixed[9],
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
        })
    }

    /// Whether it is one piece of a packet that was cut.
    pub fn is_fragment(&self) -> bool {
        self.fragment & FRAGMENT != 0
    }

    /// Whether it is a piece that does not begin with the header of what the packet carries.
    pub fn is_later_fragment(&self) -> bool {
        self.fragment & OFFSET != 0
    }

    /// Whether it may not be cut.
    pub fn dont_fragment(&self) -> bool {
        self.fragment & DONT_FRAGMENT != 0
    }
}

/// Takes one from the time to live of the packet in `bytes`, and keeps the checksum right.
pub fn decrement_ttl(bytes: &mut [u8]) {
    assert!(bytes[8] > 0, "a packet without time to live is dropped before");
    let old = word(bytes, 8);
    let new = old - 0x0100;
    let check = checksum::replaced(word(bytes, 10), old, new);
    bytes[8] -= 1;
    put(bytes, 10, check);
}

/// Sets the packet's length and number in `head`, and the checksum over the `length` bytes of its header anew.
pub fn set_length_and_id(head: &mut [u8], length: usize, total: usize, id: u16) {
    assert!(total <= LONGEST && total >= length, "{total} is no length of a packet");
    put(head, 2, u16::try_from(total).expect("asserted"));
    put(head, 4, id);
    put(head, 10, 0);
    let check = !checksum::sum(&head[..length]);
    put(head, 10, check);
}

/// The big-endian word at `at`.
pub fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Puts a big-endian word at `at`.
pub fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
