//! The headers of TCP and UDP, as far as cutting apart and joining need them.

use super::checksum;
use super::ipv4::{Header, protocol, word};

/// Offsets in a header of TCP, and its flags.
pub mod tcp {
    /// Number of the first byte.
    pub const SEQUENCE: usize = 4;
    /// Number of the byte that is awaited from the other side.
    pub const ACKNOWLEDGED: usize = 8;
    /// Length of the header, in units of four bytes, in the upper half.
    pub const LENGTH: usize = 12;
    /// Flags.
    pub const FLAGS: usize = 13;
    /// How much the other side may send.
    pub const WINDOW: usize = 14;
    /// Checksum.
    pub const CHECKSUM: usize = 16;
    /// The shortest header.
    pub const SHORTEST: usize = 20;
    /// No more will come.
    pub const FIN: u8 = 0x01;
    /// Hand it to the reader at once.
    pub const PSH: u8 = 0x08;
    /// The acknowledged number counts.
    pub const ACK: u8 = 0x10;
    /// The sender has slowed down.
    pub const CWR: u8 = 0x80;
}

/// Offsets in a header of UDP.
pub mod udp {
    /// Length, with the header.
    pub const LENGTH: usize = 4;
    /// Checksum; zero is none.
    pub const CHECKSUM: usize = 6;
    /// Length of the header.
    pub const HEAD: usize = 8;
}

/// Length of the headers of `packet`, IP's and the transport's, in bytes. None if it is neither TCP nor UDP, or they are not whole.
pub fn head(packet: &[u8], header: &Header) -> Option<usize> {
    let segment = packet.get(header.length..header.total)?;
    let length = match header.protocol {
        protocol::TCP => {
            let length = usize::from(segment.get(tcp::LENGTH)? >> 4) * 4;
            (length >= tcp::SHORTEST).then_some(length)?
        }
        protocol::UDP => udp::HEAD,
        _ => return None,
    };
    (length <= segment.len()).then_some(header.length + length)
}

/// Where the checksum is, from the beginning of the transport's header.
pub fn checksum_at(protocol: u8) -> usize {
    if protocol == protocol::TCP { tcp::CHECKSUM } else { udp::CHECKSUM }
}

/// The sum of the pseudo header of a packet like `header` whose transport has `length` bytes.
pub fn pseudo(header: &Header, length: usize) -> u16 {
    let length = u16::try_from(length).expect("no longer than a packet");
    checksum::pseudo(header.source.octets(), header.destination.octets(), header.protocol, length)
}

/// Whether the transport's checksum is right. Only for packets that are no fragments.
pub fn is_right(packet: &[u8], header: &Header) -> bool {
    let segment = &packet[header.length..header.total];
    checksum::add(pseudo(header, segment.len()), checksum::sum(segment)) == 0xffff
}

/// The same; the payload, which begins at `head`, is copied on the way. What is copied counts only if it is right.
pub fn is_right_and_copied(packet: &[u8], header: &Header, head: usize, copy: &mut [u8]) -> bool {
    let (headers, payload) = (&packet[header.length..head], &packet[head..header.total]);
    debug_assert!(headers.len() % 2 == 0, "a sum can be taken in two parts where the first is even");
    let sum = checksum::add(checksum::sum(headers), checksum::copy(payload, copy));
    checksum::add(pseudo(header, header.total - header.length), sum) == 0xffff
}

/// The number of the first byte of a segment of TCP, whose header begins at `at`.
pub fn sequence(packet: &[u8], at: usize) -> u32 {
    let at = at + tcp::SEQUENCE;
    u32::from(word(packet, at)) << 16 | u32::from(word(packet, at + 2))
}
