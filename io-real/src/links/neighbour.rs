//! Neighbours and forwarding entries in netlink's words: for the kernel, both are neighbours, and the family tells which.

use super::address::{address, family, octets};
use super::message::{Message, Received, flags};
use super::names::Names;
use flannel::links::{Forwarding, Mac, Neighbour};
use std::net::IpAddr;

/// `RTM_NEWNEIGH`.
pub const NEW: u16 = 28;
/// `RTM_DELNEIGH`.
pub const DELETE: u16 = 29;
const GET: u16 = 30;

/// Bytes of `ndmsg`: family, 3 of nothing, link, state (2), flags, kind.
const FIXED: usize = 12;
const DESTINATION: u16 = 1;
const LINK_ADDRESS: u16 = 2;
const PORT: u16 = 6;
const VNI: u16 = 7;
const OF_LINK: u16 = 8;

/// `NUD_PERMANENT`.
const PERMANENT: u16 = 0x80;
/// `NTF_SELF`: an entry of the device itself. Without it, the kernel looks for a bridge that the device is a port of.
const SELF: u8 = 0x02;
/// `AF_BRIDGE`: entries that forward.
const BRIDGE: u8 = 7;

/// Asks for the neighbours of a link, of one family.
pub fn list(family: u8, link: u32) -> Message {
    let mut message = Message::new(GET, flags::DUMP, &fixed(family, 0, 0, 0));
    message.put_u32(OF_LINK, link);
    message
}

/// Asks for the forwarding entries of a link.
pub fn list_forwardings(link: u32) -> Message {
    Message::new(GET, flags::DUMP, &fixed(BRIDGE, link, 0, 0))
}

/// The request that makes a neighbour, in place of what is there.
pub fn put(neighbour: &Neighbour, link: u32) -> Message {
    let replace = flags::ACK | flags::CREATE | flags::REPLACE;
    let head = fixed(family(neighbour.address), link, PERMANENT, 0);
    entry(NEW, replace, &head, neighbour.address, Some(neighbour.mac))
}

/// The request that removes a neighbour.
pub fn delete(neighbour: &Neighbour, link: u32) -> Message {
    let head = fixed(family(neighbour.address), link, 0, 0);
    entry(DELETE, flags::ACK, &head, neighbour.address, None)
}

/// The request that makes a forwarding entry, in place of what is there for that MAC.
pub fn put_forwarding(forwarding: &Forwarding, link: u32) -> Message {
    let replace = flags::ACK | flags::CREATE | flags::REPLACE;
    let head = fixed(BRIDGE, link, PERMANENT, SELF);
    entry(NEW, replace, &head, forwarding.machine, Some(forwarding.mac))
}

/// The request that removes a forwarding entry.
pub fn delete_forwarding(forwarding: &Forwarding, link: u32) -> Message {
    let head = fixed(BRIDGE, link, 0, SELF);
    entry(DELETE, flags::ACK, &head, forwarding.machine, Some(forwarding.mac))
}

fn fixed(family: u8, link: u32, state: u16, flags: u8) -> [u8; FIXED] {
    let [l0, l1, l2, l3] = link.to_ne_bytes();
    let [s0, s1] = state.to_ne_bytes();
    [family, 0, 0, 0, l0, l1, l2, l3, s0, s1, flags, 0]
}

fn entry(kind: u16, flags: u16, head: &[u8], destination: IpAddr, mac: Option<Mac>) -> Message {
    let mut message = Message::new(kind, flags, head);
    message.put(DESTINATION, &octets(destination));
    if let Some(Mac(mac)) = mac {
        message.put(LINK_ADDRESS, &mac);
    }
    message
}

/// The number of the link that a message about a neighbour is about.
pub fn link(message: &Received) -> u32 {
    message.word(4)
}

/// Whether a change is worth a hint: what the kernel learns and forgets by itself every few seconds is not.
pub fn counts(message: &Received) -> bool {
    message.kind == DELETE || is_permanent(message) || message.byte(0) == BRIDGE
}

fn is_permanent(message: &Received) -> bool {
    u16::from_ne_bytes([message.byte(8), message.byte(9)]) & PERMANENT != 0
}

/// A permanent neighbour.
pub fn held(message: &Received, names: &Names) -> Option<Neighbour> {
    let attributes = message.attributes(FIXED);
    if message.kind != NEW || message.byte(0) == BRIDGE || !is_permanent(message) {
        return None;
    }
    Some(Neighbour {
        link: names.name(link(message))?.to_string(),
        address: address(attributes.find(DESTINATION)?)?,
        mac: mac(attributes.find(LINK_ADDRESS)?)?,
    })
}

/// A permanent forwarding entry. None for one with a port or a network of its own: we make none such.
pub fn held_forwarding(message: &Received, names: &Names) -> Option<Forwarding> {
    let attributes = message.attributes(FIXED);
    let other = [PORT, VNI, OF_LINK].into_iter().any(|kind| attributes.find(kind).is_some());
    if message.kind != NEW || message.byte(0) != BRIDGE || !is_permanent(message) || other {
        return None;
    }
    Some(Forwarding {
        link: names.name(link(message))?.to_string(),
        mac: mac(attributes.find(LINK_ADDRESS)?)?,
        machine: address(attributes.find(DESTINATION)?)?,
    })
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}
