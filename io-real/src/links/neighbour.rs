//! Neighbours and forwarding entries in rtnetlink's words: for the kernel, both are neighbours, and the family tells which.

use super::address::address;
use super::connection::request;
use super::names::Names;
use flannel::links::{Forwarding, Mac, Neighbour};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NetlinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags};
use rtnetlink::packet_route::neighbour::{NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::IpAddr;

/// Asks for the neighbours of a link, of one family.
pub fn list(family: AddressFamily, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = head(family, 0, NeighbourState::None, NeighbourFlags::empty());
    message.attributes.push(NeighbourAttribute::IfIndex(link));
    request(RouteNetlinkMessage::GetNeighbour(message), NLM_F_DUMP)
}

/// Asks for the forwarding entries of a link.
pub fn list_forwardings(link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let message = head(AddressFamily::Bridge, link, NeighbourState::None, NeighbourFlags::empty());
    request(RouteNetlinkMessage::GetNeighbour(message), NLM_F_DUMP)
}

/// The request that makes a neighbour, in place of what is there.
pub fn put(neighbour: &Neighbour, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let head = head(family(neighbour.address), link, NeighbourState::Permanent, NeighbourFlags::empty());
    let message = entry(head, neighbour.address, Some(neighbour.mac));
    request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
}

/// The request that removes a neighbour.
pub fn delete(neighbour: &Neighbour, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let head = head(family(neighbour.address), link, NeighbourState::None, NeighbourFlags::empty());
    request(RouteNetlinkMessage::DelNeighbour(entry(head, neighbour.address, None)), NLM_F_ACK)
}

/// The request that makes a forwarding entry, in place of what is there for that MAC.
pub fn put_forwarding(forwarding: &Forwarding, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let message = entry(of_device(link, NeighbourState::Permanent), forwarding.machine, Some(forwarding.mac));
    request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
}

/// The request that removes a forwarding entry.
pub fn delete_forwarding(forwarding: &Forwarding, link: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let message = entry(of_device(link, NeighbourState::None), forwarding.machine, Some(forwarding.mac));
    request(RouteNetlinkMessage::DelNeighbour(message), NLM_F_ACK)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// An entry of the device itself. Without that flag, the kernel looks for a bridge that the device is a port of.
fn of_device(link: u32, state: NeighbourState) -> NeighbourMessage {
    head(AddressFamily::Bridge, link, state, NeighbourFlags::Own)
}

fn head(family: AddressFamily, link: u32, state: NeighbourState, flags: NeighbourFlags) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = link;
    message.header.state = state;
    message.header.flags = flags;
    message
}

fn entry(mut message: NeighbourMessage, destination: IpAddr, mac: Option<Mac>) -> NeighbourMessage {
    message.attributes.push(NeighbourAttribute::Destination(destination.into()));
    let mac = mac.map(|Mac(mac)| NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message.attributes.extend(mac);
    message
}

/// Whether a neighbour that was told is worth a hint: what the kernel learns by itself every few seconds is not.
pub fn counts(message: &NeighbourMessage) -> bool {
    is_permanent(message) || message.header.family == AddressFamily::Bridge
}

fn is_permanent(message: &NeighbourMessage) -> bool {
    message.header.state == NeighbourState::Permanent
}

/// A permanent neighbour.
pub fn held(message: &NeighbourMessage, names: &Names) -> Option<Neighbour> {
    if message.header.family == AddressFamily::Bridge || !is_permanent(message) {
        return None;
    }
    let (address, mac) = ends(message)?;
    Some(Neighbour { link: names.name(message.header.ifindex)?.to_string(), address, mac })
}

/// A permanent forwarding entry. None for one with a port or a network of its own: we make none such.
pub fn held_forwarding(message: &NeighbourMessage, names: &Names) -> Option<Forwarding> {
    use NeighbourAttribute::{IfIndex, Port, Vni};
    let other = message.attributes.iter().any(|each| matches!(each, Port(_) | Vni(_) | IfIndex(_)));
    if message.header.family != AddressFamily::Bridge || !is_permanent(message) || other {
        return None;
    }
    let (machine, mac) = ends(message)?;
    Some(Forwarding { link: names.name(message.header.ifindex)?.to_string(), mac, machine })
}

fn ends(message: &NeighbourMessage) -> Option<(IpAddr, Mac)> {
    let (mut destination, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                destination = Some((*found).into())
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => {
                destination = Some((*found).into())
            }
            // In an entry that forwards, it comes as bytes.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => destination = address(bytes),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some((destination?, mac?))
}
