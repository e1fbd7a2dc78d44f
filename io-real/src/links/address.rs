//! Addresses in rtnetlink's words, of links and of machines.

use super::connection::request;
use super::names::Names;
use flannel::links::{Address, Fitness};
use ipnet::IpNet;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `AF_INET`.
pub const V4: u8 = 2;
/// `AF_INET6`.
pub const V6: u8 = 10;

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
pub fn list() -> NetlinkMessage<RouteNetlinkMessage> {
    request(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)
}

/// The request that makes an address.
pub fn add(net: IpNet, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = about(net, link);
    if net.addr().is_ipv6() {
        // Nobody else can have an address of our subnet, and a tentative one cannot be sent from.
        let flags = AddressFlags::Nodad | AddressFlags::Permanent;
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    request(RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
}

/// The request that removes an address.
pub fn delete(net: IpNet, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    request(RouteNetlinkMessage::DelAddress(about(net, link)), NLM_F_ACK)
}

fn about(net: IpNet, link: u32) -> AddressMessage {
    let length = net.prefix_len();
    let mut message = match net.addr() {
        IpAddr::V4(address) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(link).address(address, length).build()
        }
        IpAddr::V6(address) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(link).address(address, length).build()
        }
    };
    // The builder adds one, which flannel's addresses do not have.
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    message
}

/// An address as the choice of an interface sees it. None for one that is deprecated, or makes no sense.
pub fn found(message: &AddressMessage) -> Option<(u32, IpNet, Fitness)> {
    let whole = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let flags = whole.unwrap_or(AddressFlags::from_bits_retain(message.header.flags.bits().into()));
    let net = net(message)?;
    if flags.contains(AddressFlags::Deprecated) {
        return None;
    }
    // Of IPv6 that bit means a temporary address; of IPv4 a second one, which is as good as the first.
    let temporary = flags.contains(AddressFlags::Secondary) && net.addr().is_ipv6();
    let permanent = flags.contains(AddressFlags::Permanent);
    Some((
        message.header.index,
        net,
        Fitness { global: is_global(net.addr()), permanent, lasting: !temporary },
    ))
}

/// An address of a link; none for one that the kernel makes by itself.
pub fn held(message: &AddressMessage, names: &Names) -> Option<Address> {
    let net = net(message)?;
    let by_itself = matches!(net.addr(), IpAddr::V6(address) if address.is_unicast_link_local());
    (!by_itself).then_some(())?;
    Some(Address { link: names.name(message.header.index)?.to_string(), net })
}

fn net(message: &AddressMessage) -> Option<IpNet> {
    let (mut near, mut far) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => near = Some(*address),
            AddressAttribute::Address(address) => far = Some(*address),
            _ => {}
        }
    }
    // Where there are both, the other is that of the far end.
    IpNet::new(near.or(far)?, message.header.prefix_len).ok()
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
    }
}
