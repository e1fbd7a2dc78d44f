//! Routes in netlink's words.

use super::address::{V4, V6, address, family, octets, unspecified};
use super::message::{Attributes, Message, Received, flags};
use super::names::Names;
use flannel::links::{LAST_RESORT, Path, Route, Way};
use ipnet::IpNet;
use std::net::IpAddr;

/// `RTM_NEWROUTE`.
pub const NEW: u16 = 24;
/// `RTM_DELROUTE`.
pub const DELETE: u16 = 25;
const GET: u16 = 26;

/// Bytes of `rtmsg`: family, lengths of destination and source, tos, table, protocol, scope, kind, flags (4).
const FIXED: usize = 12;
const DESTINATION: u16 = 1;
const LINK: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const SOURCE: u16 = 7;
const MANY_WAYS: u16 = 9;
const TABLE: u16 = 15;
const VIA: u16 = 18;
const WAY_BY_NUMBER: u16 = 30;

const MAIN: u8 = 254;
const UNICAST: u8 = 1;
const BLACKHOLE: u8 = 6;
const SCOPE_LINK: u8 = 253;
const ON_LINK: u32 = 4;
/// A route that the kernel made from another for one destination.
const CLONED: u32 = 0x200;
/// The protocol of routes that come and go with addresses.
const BY_KERNEL: u8 = 2;
/// What the kernel takes for the priority of a route of IPv6 that says none.
const PRIORITY_V6: u32 = 1024;

/// Asks for the main table of a family.
pub fn list(v6: bool) -> Message {
    let family = if v6 { V6 } else { V4 };
    Message::new(GET, flags::DUMP, &[family, 0, 0, 0, MAIN, 0, 0, 0, 0, 0, 0, 0])
}

/// Asks where packets to `destination` go.
pub fn look(destination: IpAddr) -> Message {
    let bits = if destination.is_ipv4() { 32 } else { 128 };
    let fixed = [family(destination), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut message = Message::new(GET, flags::ACK, &fixed);
    message.put(DESTINATION, &octets(destination));
    message
}

/// The request that makes a route in place of one to the same destination. `link` is none for a blackhole.
pub fn put(route: &Route, link: Option<u32>) -> Message {
    about(NEW, flags::ACK | flags::CREATE | flags::REPLACE, route, link)
}

/// The request that removes a route.
pub fn delete(route: &Route, link: Option<u32>) -> Message {
    about(DELETE, flags::ACK, route, link)
}

fn about(kind: u16, flags: u16, route: &Route, link: Option<u32>) -> Message {
    let (gateway, onlink) = match &route.way {
        Way::Out { gateway, onlink, .. } => (*gateway, *onlink),
        Way::Blackhole => (None, false),
    };
    let destination = route.destination.trunc();
    let what = if link.is_some() { UNICAST } else { BLACKHOLE };
    let near = link.is_some() && gateway.is_none() && destination.addr().is_ipv4();
    let scope = if near { SCOPE_LINK } else { 0 };
    let [f0, f1, f2, f3] = if onlink { ON_LINK } else { 0 }.to_ne_bytes();
    let length = destination.prefix_len();
    let family = family(destination.addr());
    let fixed = [family, length, 0, 0, MAIN, route.protocol, scope, what, f0, f1, f2, f3];
    let mut message = Message::new(kind, flags, &fixed);
    if length > 0 {
        message.put(DESTINATION, &octets(destination.addr()));
    }
    match link {
        Some(link) => message.put_u32(LINK, link),
        // Beside the route of a bridge to the same place, not instead of it.
        None => message.put_u32(PRIORITY, LAST_RESORT),
    }
    match gateway {
        Some(gateway) if gateway.is_ipv4() == destination.addr().is_ipv4() => {
            message.put(GATEWAY, &octets(gateway));
        }
        Some(gateway) => {
            let mut via = u16::from(self::family(gateway)).to_ne_bytes().to_vec();
            via.extend(octets(gateway));
            message.put(VIA, &via);
        }
        None => {}
    }
    message
}

/// Where a route of the main table leads to: for hints. None for one of another table, or one that makes no sense.
pub fn destination(message: &Received) -> Option<IpNet> {
    let attributes = message.attributes(FIXED);
    let table = attributes.number(TABLE).unwrap_or_else(|| u32::from(message.byte(4)));
    let v6 = match message.byte(0) {
        V4 => false,
        V6 => true,
        _ => return None,
    };
    if table != u32::from(MAIN) || message.word(8) & CLONED != 0 {
        return None;
    }
    let to = attributes.find(DESTINATION).map_or(Some(unspecified(v6)), address)?;
    IpNet::new(to, message.byte(1)).ok()
}

/// A route that we could have made; none for every other.
pub fn held(message: &Received, names: &Names) -> Option<Route> {
    let destination = destination(message)?;
    let attributes = message.attributes(FIXED);
    let usual = match (message.byte(7), destination.addr().is_ipv6()) {
        (BLACKHOLE, _) => LAST_RESORT,
        (_, true) => PRIORITY_V6,
        (_, false) => 0,
    };
    let plain = attributes.number(PRIORITY).unwrap_or(0) == usual
        && attributes.find(MANY_WAYS).is_none()
        && attributes.find(WAY_BY_NUMBER).is_none()
        && message.byte(2) == 0
        && message.byte(3) == 0;
    let protocol = message.byte(5);
    if message.kind != NEW || !plain || protocol == BY_KERNEL {
        return None;
    }
    let way = match message.byte(7) {
        BLACKHOLE => Way::Blackhole,
        UNICAST => Way::Out {
            link: names.name(attributes.number(LINK)?)?.to_string(),
            gateway: gateway(attributes),
            onlink: message.word(8) & ON_LINK != 0,
        },
        _ => return None,
    };
    Some(Route { destination, way, protocol })
}

fn gateway(attributes: Attributes<'_>) -> Option<IpAddr> {
    // The other form begins with the family, because it may be another than that of the destination.
    let via = || attributes.find(VIA).and_then(|via| via.get(2..)).and_then(address);
    attributes.find(GATEWAY).and_then(address).or_else(via)
}

/// Where an answer to [`look`], or a route with one way, leads.
pub fn path(message: &Received, names: &Names) -> Option<Path> {
    let attributes = message.attributes(FIXED);
    Some(Path {
        link: names.name(attributes.number(LINK)?)?.to_string(),
        source: attributes.find(SOURCE).and_then(address),
        gateway: gateway(attributes),
    })
}

/// If this is a default route, its priority (smaller wins) and where it leads. Of several ways, the first.
pub fn default_path(message: &Received, names: &Names) -> Option<(u32, Path)> {
    let attributes = message.attributes(FIXED);
    let to = destination(message)?;
    if message.kind != NEW || to.prefix_len() != 0 || message.byte(7) != UNICAST {
        return None;
    }
    let priority = attributes.number(PRIORITY).unwrap_or(0);
    if let Some(path) = path(message, names) {
        return Some((priority, path));
    }
    // `rtnexthop`: length (2), flags, weight, link (4), attributes.
    let first = attributes.find(MANY_WAYS)?;
    let length = u16::from_ne_bytes([*first.first()?, *first.get(1)?]) as usize;
    let link = u32::from_ne_bytes(*first.get(4..)?.first_chunk()?);
    let link = names.name(link)?.to_string();
    let source = attributes.find(SOURCE).and_then(address);
    Some((priority, Path { link, source, gateway: gateway(Attributes(first.get(8..length)?)) }))
}
