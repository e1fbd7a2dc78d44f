//! Links in rtnetlink's words.

use super::address::unspecified;
use super::connection::request;
use super::names::Names;
use flannel::links::{Link, LinkKind, LinksError, LinksResult, Mac, Vxlan};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoIpTunnel, InfoKind, InfoVxlan, LinkAttribute};
use rtnetlink::packet_route::link::{LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use rtnetlink::{LinkIpIp, LinkMessageBuilder, LinkUnspec, LinkVxlan, LinkWireguard};
use std::net::IpAddr;

/// Longest name of a link, in bytes.
const NAME_MOST: usize = 15;

/// Asks for every link, without its counters.
pub fn list() -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    request(RouteNetlinkMessage::GetLink(message), NLM_F_DUMP)
}

/// The request that makes a link; it is up only if `up`. `Refused` for what cannot be made this way.
pub fn add(link: &Link, up: bool, names: &Names) -> LinksResult<NetlinkMessage<RouteNetlinkMessage>> {
    let name = &link.name;
    if name.is_empty() || name.len() > NAME_MOST {
        let text = format!("a name of 1 to {NAME_MOST} bytes is needed, not {name:?}");
        return Err(LinksError::Refused(text));
    }
    let message = match &link.kind {
        LinkKind::Vxlan(wish) => common(vxlan(name, wish, names)?, link, up),
        // A packet that is too long for a hop on the way is split there, as flannel has it.
        LinkKind::Ipip { local: IpAddr::V4(local) } => {
            common(LinkIpIp::new(name).local(*local).pmtudisc(false), link, up)
        }
        LinkKind::Wireguard => common(LinkWireguard::new(name), link, up),
        LinkKind::Other(kind) if !kind.is_empty() => {
            let kind = InfoKind::Other(kind.clone());
            common(LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind).name(name), link, up)
        }
        other => return Err(LinksError::Refused(format!("a link of kind {other:?} cannot be made"))),
    };
    Ok(request(RouteNetlinkMessage::NewLink(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL))
}

/// The request that sets what can be changed in place.
pub fn set(link: &Link, number: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let message = common(LinkUnspec::new_with_index(number), link, link.up);
    request(RouteNetlinkMessage::NewLink(message), NLM_F_ACK)
}

/// The request that removes a link.
pub fn delete(number: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    request(RouteNetlinkMessage::DelLink(LinkUnspec::new_with_index(number).build()), NLM_F_ACK)
}

fn common<T>(mut builder: LinkMessageBuilder<T>, link: &Link, up: bool) -> LinkMessage {
    if link.mtu > 0 {
        builder = builder.mtu(link.mtu);
    }
    if let Some(Mac(mac)) = link.mac {
        builder = builder.address(mac.to_vec());
    }
    if up { builder.up().build() } else { builder.down().build() }
}

fn vxlan(name: &str, wish: &Vxlan, names: &Names) -> LinksResult<LinkMessageBuilder<LinkVxlan>> {
    let device = names.number(&wish.device)?;
    let builder = LinkVxlan::new(name, wish.vni).dev(device).port(wish.port).learning(wish.learning);
    let builder = match wish.local {
        IpAddr::V4(local) => builder.local(local),
        IpAddr::V6(local) => builder.local6(local),
    };
    Ok(if wish.gbp { builder.gbp() } else { builder })
}

/// The number and the name of the link that a message is about.
pub fn name(message: &LinkMessage) -> Option<(u32, String)> {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    Some((message.header.index, name))
}

/// A link.
pub fn held(message: &LinkMessage, names: &Names) -> Option<Link> {
    let header = &message.header;
    let ethernet = header.link_layer_type == LinkLayerType::Ether;
    let (_, name) = name(message)?;
    let (mut mac, mut mtu, mut infos) = (None, None, &[][..]);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
            LinkAttribute::Mtu(bytes) => mtu = Some(*bytes),
            LinkAttribute::LinkInfo(found) => infos = found,
            _ => {}
        }
    }
    let kind = match header.flags.contains(LinkFlags::Loopback) {
        true => LinkKind::Loopback,
        false => kind(infos, ethernet, names),
    };
    let up = header.flags.contains(LinkFlags::Up);
    Some(Link { name, kind, mac: mac.filter(|_| ethernet), mtu: mtu?, up })
}

fn kind(infos: &[LinkInfo], ethernet: bool, names: &Names) -> LinkKind {
    let (mut kind, mut data) = (None, None);
    for info in infos {
        match info {
            LinkInfo::Kind(found) => kind = Some(found),
            LinkInfo::Data(found) => data = Some(found),
            _ => {}
        }
    }
    let known = match (kind, data) {
        (Some(InfoKind::Vxlan), Some(InfoData::Vxlan(data))) => held_vxlan(data, names).map(LinkKind::Vxlan),
        (Some(InfoKind::IpIp), Some(InfoData::IpTunnel(data))) => {
            held_ipip(data).map(|local| LinkKind::Ipip { local })
        }
        (Some(InfoKind::Wireguard), _) => Some(LinkKind::Wireguard),
        // A TAP has the same name, and is Ethernet.
        (Some(InfoKind::Tun), _) if !ethernet => Some(LinkKind::Tun),
        _ => None,
    };
    known.unwrap_or_else(|| LinkKind::Other(kind.map(ToString::to_string).unwrap_or_default()))
}

/// What a VXLAN device is. None if it is of a sort that we do not make: with a group, or steered by misses or by metadata.
fn held_vxlan(data: &[InfoVxlan], names: &Names) -> Option<Vxlan> {
    let mut found = Vxlan {
        vni: 0,
        port: 0,
        device: String::new(),
        local: unspecified(false),
        learning: false,
        gbp: false,
    };
    let (mut vni, mut port) = (None, None);
    for info in data {
        match info {
            InfoVxlan::Id(id) => vni = Some(*id),
            InfoVxlan::Port(number) => port = Some(*number),
            InfoVxlan::Link(device) => found.device = names.name(*device).unwrap_or_default().to_string(),
            InfoVxlan::Local(local) => found.local = (*local).into(),
            InfoVxlan::Local6(local) => found.local = (*local).into(),
            InfoVxlan::Learning(learning) => found.learning = *learning,
            InfoVxlan::Gbp => found.gbp = true,
            InfoVxlan::Group(group) if !group.is_unspecified() => return None,
            InfoVxlan::Group6(group) if !group.is_unspecified() => return None,
            InfoVxlan::Gpe => return None,
            InfoVxlan::Proxy(true)
            | InfoVxlan::Rsc(true)
            | InfoVxlan::L2Miss(true)
            | InfoVxlan::L3Miss(true)
            | InfoVxlan::CollectMetadata(true) => return None,
            _ => {}
        }
    }
    Some(Vxlan { vni: vni?, port: port?, ..found })
}

/// The local address of a tunnel to any machine; none for a tunnel to one.
fn held_ipip(data: &[InfoIpTunnel]) -> Option<IpAddr> {
    let mut local = None;
    for info in data {
        match info {
            InfoIpTunnel::Local(address) => local = Some(*address),
            InfoIpTunnel::Remote(address) if !address.is_unspecified() => return None,
            _ => {}
        }
    }
    local
}
