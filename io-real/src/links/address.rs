//! Addresses in netlink's words, of links and of machines.

use super::message::{Attributes, Message, Received, flags};
use super::names::Names;
use flannel::links::{Address, Fitness};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `RTM_NEWADDR`.
pub const NEW: u16 = 20;
/// `RTM_DELADDR`.
pub const DELETE: u16 = 21;
const GET: u16 = 22;

/// Bytes of `ifaddrmsg`: family, length of the prefix, flags, scope, link.
const FIXED: usize = 8;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const FLAGS: u16 = 8;

const TEMPORARY: u32 = 0x01;
const NO_DAD: u32 = 0x02;
const DEPRECATED: u32 = 0x20;
const PERMANENT: u32 = 0x80;

/// `AF_INET`.
pub const V4: u8 = 2;
/// `AF_INET6`.
pub const V6: u8 = 10;

/// The kernel's number of an address's family.
pub fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { V4 } else { V6 }
}

/// The address as its bytes.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An address from its bytes: 4 or 16.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(Ipv4Addr::from(*bytes.first_chunk::<4>()?))),
        16 => Some(IpAddr::from(Ipv6Addr::from(*bytes.first_chunk::<16>()?))),
        _ => None,
    }
}

/// The address of any machine at all.
pub fn unspecified(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// Asks for all addresses of all links.
pub fn list() -> Message {
    Message::new(GET, flags::DUMP, &[0; FIXED])
}

/// The request that makes an address.
pub fn add(net: IpNet, link: u32) -> Message {
    let mut message = about(NEW, flags::ACK | flags::CREATE | flags::REPLACE, net, link);
    if net.addr().is_ipv6() {
        // Nobody else can have an address of our subnet, and a tentative one cannot be sent from.
        message.put_u32(FLAGS, NO_DAD | PERMANENT);
    }
    message
}

/// The request that removes an address.
pub fn delete(net: IpNet, link: u32) -> Message {
    about(DELETE, flags::ACK, net, link)
}

fn about(kind: u16, flags: u16, net: IpNet, link: u32) -> Message {
    let [l0, l1, l2, l3] = link.to_ne_bytes();
    let fixed = [family(net.addr()), net.prefix_len(), 0, 0, l0, l1, l2, l3];
    let mut message = Message::new(kind, flags, &fixed);
    message.put(LOCAL, &octets(net.addr()));
    message.put(ADDRESS, &octets(net.addr()));
    message
}

/// The number of the link that a message about an address is about.
pub fn link(message: &Received) -> u32 {
    message.word(4)
}

/// An address as the choice of an interface sees it. None for one that is deprecated, or makes no sense.
pub fn found(message: &Received) -> Option<(u32, IpNet, Fitness)> {
    let attributes = message.attributes(FIXED);
    let flags = attributes.number(FLAGS).unwrap_or_else(|| u32::from(message.byte(2)));
    let net = net(message, attributes)?;
    if message.kind != NEW || flags & DEPRECATED != 0 {
        return None;
    }
    // Of IPv4 the same bit means a second address, which is as good as the first.
    let temporary = flags & TEMPORARY != 0 && net.addr().is_ipv6();
    let fitness =
        Fitness { global: is_global(net.addr()), permanent: flags & PERMANENT != 0, lasting: !temporary };
    Some((link(message), net, fitness))
}

/// An address of a link; none for one that the kernel makes by itself.
pub fn held(message: &Received, names: &Names) -> Option<Address> {
    let net = net(message, message.attributes(FIXED))?;
    let by_itself = matches!(net.addr(), IpAddr::V6(address) if address.is_unicast_link_local());
    if message.kind != NEW || by_itself {
        return None;
    }
    Some(Address { link: names.name(link(message))?.to_string(), net })
}

fn net(message: &Received, attributes: Attributes<'_>) -> Option<IpNet> {
    // Where there are both, the other is that of the far end.
    let bytes = attributes.find(LOCAL).or_else(|| attributes.find(ADDRESS))?;
    IpNet::new(address(bytes)?, message.byte(1)).ok()
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
    }
}
