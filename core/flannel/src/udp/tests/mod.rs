//! The data path against slow references, and two of them back to back.

mod bytes;
mod path;
mod super_packets;

use super::ipv4::{self, SHORTEST, protocol};
use super::transport::{tcp, udp};
use std::net::Ipv4Addr;

/// Addresses of the flow under test.
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 5, 1, 7);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 5, 2, 9);

/// The checksum, as the RFC describes it: word by word.
fn slow_sum(bytes: &[u8]) -> u16 {
    let mut total = 0_u32;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap()
}

/// Whether IP's and the transport's checksums of `packet` are right, by the slow way.
fn all_right(packet: &[u8]) -> bool {
    let length = usize::from(packet[0] & 15) * 4;
    let mut bytes = packet[12..20].to_vec();
    bytes.extend([0, packet[9]]);
    bytes.extend(u16::try_from(packet.len() - length).unwrap().to_be_bytes());
    bytes.extend(&packet[length..]);
    slow_sum(&packet[..length]) == 0xffff && slow_sum(&bytes) == 0xffff
}

/// A header of IP for `rest` bytes behind it.
fn ip(kind: u8, rest: usize, dont_fragment: bool) -> Vec<u8> {
    let mut head = vec![0; SHORTEST];
    head[0] = 0x45;
    head[6] = if dont_fragment { 0x40 } else { 0 };
    head[8] = 64;
    head[9] = kind;
    head[12..16].copy_from_slice(&SOURCE.octets());
    head[16..20].copy_from_slice(&DESTINATION.octets());
    ipv4::set_length_and_id(&mut head, SHORTEST, SHORTEST + rest, 0xfffe);
    head
}

/// Puts the sum of the pseudo header where the checksum belongs, as the kernel leaves it.
fn leave_unfinished(packet: &mut [u8], offset: usize) {
    let header = ipv4::Header::parse(packet).unwrap();
    let sum = super::transport::pseudo(&header, packet.len() - SHORTEST);
    ipv4::put(packet, SHORTEST + offset, sum);
}

/// A packet of TCP whose checksum is unfinished.
fn tcp_packet(sequence: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let head = tcp::SHORTEST + options.len();
    let mut packet = ip(protocol::TCP, head + payload.len(), true);
    let mut segment = vec![0; tcp::SHORTEST];
    segment[..4].copy_from_slice(&[0x30, 0x39, 0, 80]);
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[tcp::LENGTH] = u8::try_from(head / 4).unwrap() << 4;
    segment[tcp::FLAGS] = flags;
    segment[15] = 77;
    packet.extend(segment);
    packet.extend(options);
    packet.extend(payload);
    leave_unfinished(&mut packet, tcp::CHECKSUM);
    packet
}

/// A packet of UDP whose checksum is unfinished.
fn udp_packet(payload: &[u8]) -> Vec<u8> {
    let length = udp::HEAD + payload.len();
    let mut packet = ip(protocol::UDP, length, false);
    packet.extend([0x30, 0x39, 0, 53]);
    packet.extend(u16::try_from(length).unwrap().to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    leave_unfinished(&mut packet, udp::CHECKSUM);
    packet
}

/// Bytes that differ from place to place.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}
