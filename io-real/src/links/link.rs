//! Links in netlink's words.

use super::address::{address, octets, unspecified};
use super::message::{Attributes, Message, Received, flags};
use super::names::Names;
use flannel::links::{Link, LinkKind, LinksError, LinksResult, Mac, Vxlan};
use std::net::IpAddr;

/// `RTM_NEWLINK`.
pub const NEW: u16 = 16;
/// `RTM_DELLINK`.
pub const DELETE: u16 = 17;
const GET: u16 = 18;

/// Bytes of `ifinfomsg`: family, kind of hardware (2, after 1 of nothing), number, flags, mask of flags.
const FIXED: usize = 16;
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const INFO: u16 = 18;
const KIND: u16 = 1;
const DATA: u16 = 2;
/// What else a list is to hold, and [`WITHOUT_COUNTS`] what not.
const EXTENT: u16 = 29;
const WITHOUT_COUNTS: u32 = 1 << 3;

const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;
const ETHERNET: u16 = 1;

/// Longest name of a link, in bytes.
const NAME_MOST: usize = 15;

/// Of a VXLAN device's attributes.
mod vxlan {
    pub const VNI: u16 = 1;
    pub const GROUP: u16 = 2;
    pub const DEVICE: u16 = 3;
    pub const LOCAL: u16 = 4;
    pub const LEARNING: u16 = 7;
    pub const PROXY: u16 = 11;
    pub const SHORT_CIRCUIT: u16 = 12;
    pub const L2_MISS: u16 = 13;
    pub const L3_MISS: u16 = 14;
    pub const PORT: u16 = 15;
    pub const GROUP_V6: u16 = 16;
    pub const LOCAL_V6: u16 = 17;
    pub const GBP: u16 = 23;
    pub const BY_METADATA: u16 = 25;
    pub const GPE: u16 = 27;
}

/// Of an IP in IP tunnel's attributes.
mod ipip {
    pub const LOCAL: u16 = 2;
    pub const REMOTE: u16 = 3;
    pub const PATH_MTU: u16 = 10;
}

/// Asks for every link.
pub fn list() -> Message {
    let mut message = Message::new(GET, flags::DUMP, &[0; FIXED]);
    message.put_u32(EXTENT, WITHOUT_COUNTS);
    message
}

/// The request that makes a link; it is up only if `up`. `Refused` for what cannot be made this way.
pub fn add(link: &Link, up: bool, names: &Names) -> LinksResult<Message> {
    if link.name.is_empty() || link.name.len() > NAME_MOST {
        return Err(LinksError::Refused(format!(
            "a name of 1 to {NAME_MOST} bytes is needed, not {:?}",
            link.name
        )));
    }
    let mut message = Message::new(NEW, flags::ACK | flags::CREATE | flags::EXCLUSIVE, &fixed(0, up));
    message.put_text(NAME, &link.name);
    put_common(&mut message, link);
    match &link.kind {
        LinkKind::Vxlan(vxlan) => put_vxlan(&mut message, vxlan, names)?,
        LinkKind::Ipip { local: IpAddr::V4(local) } => message.nest(INFO, |info| {
            info.put_text(KIND, "ipip");
            info.nest(DATA, |data| {
                data.put(ipip::LOCAL, &local.octets());
                // A packet that is too long for a hop on the way is split there, as flannel has it.
                data.put_u8(ipip::PATH_MTU, 0);
            });
        }),
        LinkKind::Wireguard => message.nest(INFO, |info| info.put_text(KIND, "wireguard")),
        LinkKind::Other(kind) if !kind.is_empty() => message.nest(INFO, |info| info.put_text(KIND, kind)),
        other => return Err(LinksError::Refused(format!("a link of kind {other:?} cannot be made"))),
    }
    Ok(message)
}

/// The request that sets what can be changed in place.
pub fn set(link: &Link, number: u32) -> Message {
    let mut message = Message::new(NEW, flags::ACK, &fixed(number, link.up));
    put_common(&mut message, link);
    message
}

/// The request that removes a link.
pub fn delete(number: u32) -> Message {
    Message::new(DELETE, flags::ACK, &fixed(number, false))
}

fn fixed(number: u32, up: bool) -> Vec<u8> {
    let mut fixed = vec![0; 4];
    fixed.extend_from_slice(&number.to_ne_bytes());
    fixed.extend_from_slice(&if up { UP } else { 0 }.to_ne_bytes());
    fixed.extend_from_slice(&UP.to_ne_bytes());
    assert_eq!(fixed.len(), FIXED);
    fixed
}

fn put_common(message: &mut Message, link: &Link) {
    if link.mtu > 0 {
        message.put_u32(MTU, link.mtu);
    }
    if let Some(Mac(mac)) = link.mac {
        message.put(ADDRESS, &mac);
    }
}

fn put_vxlan(message: &mut Message, wish: &Vxlan, names: &Names) -> LinksResult<()> {
    let device = names.number(&wish.device)?;
    message.nest(INFO, |info| {
        info.put_text(KIND, "vxlan");
        info.nest(DATA, |data| {
            data.put_u32(vxlan::VNI, wish.vni);
            data.put_u32(vxlan::DEVICE, device);
            let local = if wish.local.is_ipv4() { vxlan::LOCAL } else { vxlan::LOCAL_V6 };
            data.put(local, &octets(wish.local));
            data.put(vxlan::PORT, &wish.port.to_be_bytes());
            data.put_u8(vxlan::LEARNING, wish.learning.into());
            if wish.gbp {
                data.put(vxlan::GBP, &[]);
            }
        });
    });
    Ok(())
}

/// The number and the name of the link that a message is about.
pub fn name(message: &Received) -> Option<(u32, String)> {
    Some((message.word(4), message.attributes(FIXED).text(NAME)?))
}

/// A link.
pub fn held(message: &Received, names: &Names) -> Option<Link> {
    let attributes = message.attributes(FIXED);
    if message.kind != NEW {
        return None;
    }
    let ethernet = u16::from_ne_bytes([message.byte(2), message.byte(3)]) == ETHERNET;
    let mac = attributes.find(ADDRESS).and_then(|mac| mac.try_into().ok()).map(Mac);
    let flags = message.word(8);
    let kind = match flags & LOOPBACK != 0 {
        true => LinkKind::Loopback,
        false => kind(attributes.inside(INFO), ethernet, names),
    };
    Some(Link {
        name: attributes.text(NAME)?,
        kind,
        mac: mac.filter(|_| ethernet),
        mtu: attributes.number(MTU)?,
        up: flags & UP != 0,
    })
}

fn kind(info: Attributes<'_>, ethernet: bool, names: &Names) -> LinkKind {
    let kind = info.text(KIND).unwrap_or_default();
    let data = info.inside(DATA);
    let known = match kind.as_str() {
        "vxlan" => vxlan(data, names).map(LinkKind::Vxlan),
        "ipip" if !data.flag(ipip::REMOTE) => {
            data.find(ipip::LOCAL).and_then(address).map(|local| LinkKind::Ipip { local })
        }
        "wireguard" => Some(LinkKind::Wireguard),
        // A TAP has the same name, and is Ethernet.
        "tun" if !ethernet => Some(LinkKind::Tun),
        _ => None,
    };
    known.unwrap_or(LinkKind::Other(kind))
}

/// What a VXLAN device is. None if it is of a sort that we do not make: with a group, or steered by misses or by metadata.
fn vxlan(data: Attributes<'_>, names: &Names) -> Option<Vxlan> {
    let strange = [
        vxlan::GROUP,
        vxlan::GROUP_V6,
        vxlan::PROXY,
        vxlan::SHORT_CIRCUIT,
        vxlan::L2_MISS,
        vxlan::L3_MISS,
        vxlan::BY_METADATA,
        vxlan::GPE,
    ];
    if strange.into_iter().any(|kind| data.flag(kind)) {
        return None;
    }
    let device = data.number(vxlan::DEVICE).and_then(|device| names.name(device));
    let local = data.find(vxlan::LOCAL).or_else(|| data.find(vxlan::LOCAL_V6)).and_then(address);
    Some(Vxlan {
        vni: data.number(vxlan::VNI)?,
        port: u16::from_be_bytes(*data.find(vxlan::PORT)?.first_chunk()?),
        device: device.unwrap_or_default().to_string(),
        local: local.unwrap_or_else(|| unspecified(false)),
        learning: data.flag(vxlan::LEARNING),
        gbp: data.find(vxlan::GBP).is_some(),
    })
}
