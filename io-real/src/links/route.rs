//! Routes in rtnetlink's words.

use super::address::{address, unspecified};
use super::connection::request;
use super::names::Names;
use flannel::links::{LAST_RESORT, Path, Route, Way};
use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NetlinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage};
use rtnetlink::packet_route::route::{RouteProtocol, RouteScope, RouteType, RouteVia};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the kernel takes for the priority of a route of IPv6 that says none.
const PRIORITY_V6: u32 = 1024;

/// Asks for the main table of a family.
pub fn list(v6: bool) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = RouteMessage::default();
    message.header.address_family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    request(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)
}

/// Asks where packets to `destination` go.
pub fn look(destination: IpAddr) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    request(RouteNetlinkMessage::GetRoute(message), NLM_F_ACK)
}

/// The request that makes a route in place of one to the same destination. `link` is none for a blackhole.
pub fn put(route: &Route, link: Option<u32>) -> NetlinkMessage<RouteNetlinkMessage> {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    request(RouteNetlinkMessage::NewRoute(about(route, link)), flags)
}

/// The request that removes a route.
pub fn delete(route: &Route, link: Option<u32>) -> NetlinkMessage<RouteNetlinkMessage> {
    request(RouteNetlinkMessage::DelRoute(about(route, link)), NLM_F_ACK)
}

fn about(route: &Route, link: Option<u32>) -> RouteMessage {
    let (gateway, onlink) = match &route.way {
        Way::Out { gateway, onlink, .. } => (*gateway, *onlink),
        Way::Blackhole => (None, false),
    };
    let destination = route.destination.trunc();
    let near = link.is_some() && gateway.is_none() && destination.addr().is_ipv4();
    let mut message = to(destination);
    message.header.protocol = route.protocol.into();
    message.header.scope = if near { RouteScope::Link } else { RouteScope::Universe };
    message.header.kind = if link.is_some() { RouteType::Unicast } else { RouteType::BlackHole };
    message.header.flags.set(RouteFlags::Onlink, onlink);
    message.attributes.push(match link {
        Some(link) => RouteAttribute::Oif(link),
        // Beside the route of a bridge to the same place, not instead of it.
        None => RouteAttribute::Priority(LAST_RESORT),
    });
    match gateway {
        Some(gateway) if gateway.is_ipv4() == destination.addr().is_ipv4() => {
            message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        }
        Some(IpAddr::V4(gateway)) => message.attributes.push(RouteAttribute::Via(RouteVia::Inet(gateway))),
        Some(IpAddr::V6(gateway)) => message.attributes.push(RouteAttribute::Via(RouteVia::Inet6(gateway))),
        None => {}
    }
    message
}

/// A route of the main table to this network. A default route has no destination.
fn to(destination: IpNet) -> RouteMessage {
    let length = destination.prefix_len();
    match destination.addr() {
        IpAddr::V4(_) if length == 0 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        IpAddr::V6(_) if length == 0 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        IpAddr::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(net, length).build(),
        IpAddr::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(net, length).build(),
    }
}

/// What is of use in a route's attributes.
#[derive(Default)]
struct Parts {
    destination: Option<IpAddr>,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    link: Option<u32>,
    priority: u32,
    table: Option<u32>,
    /// It has several ways, or one that stands elsewhere.
    strange: bool,
}

fn parts(attributes: &[RouteAttribute]) -> Parts {
    let mut parts = Parts::default();
    for attribute in attributes {
        match attribute {
            RouteAttribute::Destination(found) => parts.destination = plain(found),
            RouteAttribute::Gateway(found) => parts.gateway = plain(found),
            // This form may be of another family than the destination.
            RouteAttribute::Via(RouteVia::Inet(found)) => parts.gateway = Some((*found).into()),
            RouteAttribute::Via(RouteVia::Inet6(found)) => parts.gateway = Some((*found).into()),
            RouteAttribute::PrefSource(found) => parts.source = plain(found),
            RouteAttribute::Oif(link) => parts.link = Some(*link),
            RouteAttribute::Priority(priority) => parts.priority = *priority,
            RouteAttribute::Table(table) => parts.table = Some(*table),
            RouteAttribute::MultiPath(_) | RouteAttribute::NhId(_) => parts.strange = true,
            _ => {}
        }
    }
    parts
}

fn plain(found: &RouteAddress) -> Option<IpAddr> {
    match found {
        RouteAddress::Inet(found) => Some((*found).into()),
        RouteAddress::Inet6(found) => Some((*found).into()),
        RouteAddress::Other(bytes) => address(bytes),
        _ => None,
    }
}

/// Where a route of the main table leads to: for hints. None for one of another table, or one that makes no sense.
pub fn destination(message: &RouteMessage) -> Option<IpNet> {
    let parts = parts(&message.attributes);
    let table = parts.table.unwrap_or_else(|| u32::from(message.header.table));
    let v6 = match message.header.address_family {
        AddressFamily::Inet => false,
        AddressFamily::Inet6 => true,
        _ => return None,
    };
    // A route that the kernel made from another for one destination is none of the table's.
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) || message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let to = parts.destination.unwrap_or_else(|| unspecified(v6));
    IpNet::new(to, message.header.destination_prefix_length).ok()
}

/// A route that we could have made; none for every other.
pub fn held(message: &RouteMessage, names: &Names) -> Option<Route> {
    let destination = destination(message)?;
    let (header, parts) = (&message.header, parts(&message.attributes));
    let usual = match (header.kind, destination.addr().is_ipv6()) {
        (RouteType::BlackHole, _) => LAST_RESORT,
        (_, true) => PRIORITY_V6,
        (_, false) => 0,
    };
    let plain =
        parts.priority == usual && !parts.strange && header.source_prefix_length == 0 && header.tos == 0;
    if !plain || header.protocol == RouteProtocol::Kernel {
        return None;
    }
    let way = match header.kind {
        RouteType::BlackHole => Way::Blackhole,
        RouteType::Unicast => Way::Out {
            link: names.name(parts.link?)?.to_string(),
            gateway: parts.gateway,
            onlink: header.flags.contains(RouteFlags::Onlink),
        },
        _ => return None,
    };
    Some(Route { destination, way, protocol: header.protocol.into() })
}

/// Where an answer to [`look`], or a route with one way, leads.
pub fn path(message: &RouteMessage, names: &Names) -> Option<Path> {
    let parts = parts(&message.attributes);
    let link = names.name(parts.link?)?.to_string();
    Some(Path { link, source: parts.source, gateway: parts.gateway })
}

/// If this is a default route, its priority (smaller wins) and where it leads. Of several ways, the first.
pub fn default_path(message: &RouteMessage, names: &Names) -> Option<(u32, Path)> {
    let to = destination(message)?;
    if to.prefix_len() != 0 || message.header.kind != RouteType::Unicast {
        return None;
    }
    let whole = parts(&message.attributes);
    if let Some(path) = path(message, names) {
        return Some((whole.priority, path));
    }
    let first = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(ways) => ways.first(),
        _ => None,
    })?;
    let link = names.name(first.interface_index)?.to_string();
    let gateway = parts(&first.attributes).gateway;
    Some((whole.priority, Path { link, source: whole.source, gateway }))
}
