//! Cuts a super packet into the packets that it stands for.
//!
//! Each segment is a header, made from the first one, and a range of the payload, which is copied behind it while its checksum is taken: so
//! all segments lie one behind the other, and the kernel copies one long piece instead of many short ones. Numbers count on (the
//! packet's number by one, TCP's by the bytes before), flags that concern the end stay on the last segment, and every checksum is finished.

use super::checksum;
use super::ipv4::{self, Header, protocol, put};
use super::transport::{self, tcp, udp};
use super::vnet::Kind;
use std::ops::Range;

/// How a super packet is cut.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    header: Header,
    /// Length of all headers.
    head: usize,
    /// Payload of a segment, the last one's perhaps shorter.
    size: usize,
}

impl Split {
    /// The way to cut `packet`, which begins with `header`; none if it is not what `kind` says.
    pub fn new(packet: &[u8], header: &Header, kind: Kind) -> Option<Split> {
        let (expected, size) = match kind {
            Kind::Plain => return None,
            Kind::Tcp(size) => (protocol::TCP, size),
            Kind::Udp(size) => (protocol::UDP, size),
        };
        if header.protocol != expected || header.is_fragment() || size == 0 {
            return None;
        }
        let head = transport::head(packet, header)?;
        let split = Split { header: *header, head, size: usize::from(size) };
        (head < header.total).then_some(split)
    }

    /// Number of segments, one at least.
    pub fn count(&self) -> usize {
        (self.header.total - self.head).div_ceil(self.size)
    }

    /// Length of the longest segment, in bytes, with its headers.
    pub fn longest(&self) -> usize {
        self.header.total.min(self.head + self.size)
    }

    /// Where the payload of segment `index` is in the super packet.
    pub fn payload(&self, index: usize) -> Range<usize> {
        assert!(index < self.count(), "segment {index} of {}", self.count());
        let start = self.head + index * self.size;
        start..self.header.total.min(start + self.size)
    }

    /// Length of segment `index` with its headers.
    pub fn length(&self, index: usize) -> usize {
        self.head + self.payload(index).len()
    }

    /// Writes segment `index` of `packet`, headers and payload, into `segment`, which is as long.
    pub fn write(&self, packet: &[u8], index: usize, segment: &mut [u8]) {
        let payload = self.payload(index);
        assert_eq!(segment.len(), self.length(index), "room for segment {index}");
        let (head, copy) = segment.split_at_mut(self.head);
        head.copy_from_slice(&packet[..self.head]);
        let payload_sum = checksum::copy(&packet[payload.clone()], copy);
        let id = self.header.id.wrapping_add(u16::try_from(index).expect("fewer segments than bytes"));
        ipv4::set_length_and_id(head, self.header.length, self.head + payload.len(), id);
        let (at, length) = (self.header.length, self.head - self.header.length + payload.len());
        if self.header.protocol == protocol::TCP {
            self.number(head, index);
        } else {
            put(head, at + udp::LENGTH, u16::try_from(length).expect("no longer than a packet"));
        }
        let check = at + transport::checksum_at(self.header.protocol);
        put(head, check, 0);
        let headers = checksum::add(transport::pseudo(&self.header, length), checksum::sum(&head[at..]));
        let sum = !checksum::add(headers, payload_sum);
        // In UDP a zero says that there is none.
        let sum = if sum == 0 && self.header.protocol == protocol::UDP { 0xffff } else { sum };
        put(head, check, sum);
    }

    /// Sequence number and flags of a segment of TCP.
    fn number(&self, head: &mut [u8], index: usize) {
        let at = self.header.length;
        let before = u32::try_from(index * self.size).expect("inside of a packet");
        let sequence = transport::sequence(head, at).wrapping_add(before);
        head[at + tcp::SEQUENCE..][..4].copy_from_slice(&sequence.to_be_bytes());
        if index > 0 {
            head[at + tcp::FLAGS] &= !tcp::CWR;
        }
        if index + 1 < self.count() {
            head[at + tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
        }
    }
}
