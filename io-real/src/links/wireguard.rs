//! WireGuard devices in generic netlink's words: who a device is, and whom it speaks with.
//!
//! The kernel gives the family `wireguard` a number when its module is loaded, so that is asked for each time: it is one
//! message, and a device that exists has loaded it. A list of many peers comes in several messages, and a peer with many networks
//! in several parts; they are put together here by key.

use super::apply::describe;
use super::connection::{Answer, Other, request};
use super::failure::failure;
use flannel::links::{LinksError, LinksResult, Operation, PublicKey, Secret, Tables};
use flannel::links::{WireguardDevice, WireguardPeer};
use ipnet::IpNet;
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr};
use netlink_packet_wireguard::{WireguardAttribute, WireguardCmd, WireguardMessage};
use netlink_packet_wireguard::{WireguardPeer as Peer, WireguardPeerAttribute, WireguardPeerFlags};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rustix::io::Errno;
use std::collections::BTreeMap;

/// A key of zeros: the kernel says so where there is none.
const NO_KEY: [u8; 32] = [0; 32];

/// The part of the kernel that has WireGuard devices, under the number that it has now.
pub struct Wireguard {
    kernel: Other<GenlMessage<WireguardMessage>>,
    family: u16,
}

impl Wireguard {
    /// Asks for the family's number. `Unsupported` where the kernel has no WireGuard.
    async fn open() -> LinksResult<Wireguard> {
        let mut control = Other::<GenlMessage<GenlCtrl>>::open(NETLINK_GENERIC)?;
        let nlas = vec![GenlCtrlAttrs::FamilyName("wireguard".to_owned())];
        let asked = GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas });
        let answer = control.ask_one(request(asked, NLM_F_ACK)).await?;
        let missing = || LinksError::Unsupported("WireGuard (the module wireguard is not loaded)".to_owned());
        let answer = answer.map_err(|refusal| match refusal.errno {
            Errno::NOENT => missing(),
            _ => failure("the family wireguard", refusal),
        })?;
        let number = |nla: &GenlCtrlAttrs| match nla {
            GenlCtrlAttrs::FamilyId(number) => Some(*number),
            _ => None,
        };
        let family = answer.iter().find_map(|message| message.payload.nlas.iter().find_map(number));
        Ok(Wireguard { kernel: Other::open(NETLINK_GENERIC)?, family: family.ok_or_else(missing)? })
    }

    /// Adds what a device holds to `tables`.
    pub async fn read(&mut self, link: &str, tables: &mut Tables) -> LinksResult<()> {
        let asked = message(WireguardCmd::GetDevice, link, Vec::new());
        let listed = self.kernel.dump(self.sealed(asked, NLM_F_DUMP)).await?;
        let listed = listed.map_err(|refusal| failure(&format!("keys of {link}"), refusal))?;
        understand(link, listed.iter().map(|message| &message.payload), tables);
        Ok(())
    }

    /// Does these, in this order, each on its own.
    pub async fn change(&mut self, operations: &[&Operation]) -> Vec<LinksResult<()>> {
        let asked = operations.iter().map(|operation| self.sealed(asked(operation), NLM_F_ACK)).collect();
        let answers = self.kernel.ask(asked).await.into_iter().zip(operations);
        let outcome = |answer: LinksResult<Answer<_>>, operation| {
            answer?.map(drop).map_err(|refusal| failure(&describe(operation), refusal))
        };
        answers.map(|(answer, operation)| outcome(answer, operation)).collect()
    }

    /// Whether the connection broke.
    fn is_broken(&self) -> bool {
        self.kernel.is_broken()
    }

    fn sealed(&self, message: WireguardMessage, flags: u16) -> NetlinkMessage<GenlMessage<WireguardMessage>> {
        let mut message = GenlMessage::from_payload(message);
        message.set_resolved_family_id(self.family);
        request(message, flags)
    }
}

/// The connection that is held, or a new one.
pub async fn connected(held: &mut Option<Wireguard>) -> LinksResult<&mut Wireguard> {
    if held.as_ref().is_none_or(Wireguard::is_broken) {
        *held = Some(Wireguard::open().await?);
    }
    Ok(held.as_mut().expect("it was made just now"))
}

/// The request for an operation on a WireGuard device.
fn asked(operation: &Operation) -> WireguardMessage {
    let (link, attributes) = match operation {
        Operation::SetWireguard(device) => (&device.link, set(device)),
        Operation::PutWireguardPeer(peer) => (&peer.link, put(peer)),
        Operation::DeleteWireguardPeer(peer) => (&peer.link, delete(peer)),
        other => unreachable!("only what concerns WireGuard comes here: {other:?}"),
    };
    message(WireguardCmd::SetDevice, link, attributes)
}

fn message(cmd: WireguardCmd, link: &str, mut attributes: Vec<WireguardAttribute>) -> WireguardMessage {
    attributes.insert(0, WireguardAttribute::IfName(link.to_owned()));
    WireguardMessage { cmd, attributes }
}

fn set(device: &WireguardDevice) -> Vec<WireguardAttribute> {
    vec![WireguardAttribute::PrivateKey(device.secret.0), WireguardAttribute::ListenPort(device.port)]
}

/// What a machine's networks were before does not count.
fn put(peer: &WireguardPeer) -> Vec<WireguardAttribute> {
    let mut attributes = vec![
        WireguardPeerAttribute::PublicKey(peer.key.0),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        WireguardPeerAttribute::PresharedKey(peer.psk.map_or(NO_KEY, |psk| psk.0)),
        WireguardPeerAttribute::PersistentKeepalive(peer.keepalive),
    ];
    attributes.extend(peer.endpoint.map(WireguardPeerAttribute::Endpoint));
    let allowed = peer.allowed.iter().map(|net| {
        let family = match net {
            IpNet::V4(_) => WireguardAddressFamily::Ipv4,
            IpNet::V6(_) => WireguardAddressFamily::Ipv6,
        };
        WireguardAllowedIp(vec![
            WireguardAllowedIpAttr::Family(family),
            WireguardAllowedIpAttr::IpAddr(net.network()),
            WireguardAllowedIpAttr::Cidr(net.prefix_len()),
        ])
    });
    attributes.push(WireguardPeerAttribute::AllowedIps(allowed.collect()));
    vec![WireguardAttribute::Peers(vec![Peer(attributes)])]
}

fn delete(peer: &WireguardPeer) -> Vec<WireguardAttribute> {
    let attributes = vec![
        WireguardPeerAttribute::PublicKey(peer.key.0),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
    ];
    vec![WireguardAttribute::Peers(vec![Peer(attributes)])]
}

/// Puts what the kernel tells of a device together.
fn understand<'a>(link: &str, told: impl Iterator<Item = &'a WireguardMessage>, tables: &mut Tables) {
    let (mut secret, mut port) = (None, None);
    let mut peers: BTreeMap<PublicKey, WireguardPeer> = BTreeMap::new();
    for attribute in told.flat_map(|message| &message.attributes) {
        match attribute {
            WireguardAttribute::PrivateKey(key) if *key != NO_KEY => secret = Some(Secret(*key)),
            WireguardAttribute::ListenPort(number) => port = Some(*number),
            WireguardAttribute::Peers(found) => found.iter().for_each(|part| add(link, part, &mut peers)),
            _ => {}
        }
    }
    let device =
        secret.zip(port).map(|(secret, port)| WireguardDevice { link: link.to_owned(), secret, port });
    tables.wireguards.extend(device);
    tables.wireguard_peers.extend(peers.into_values());
}

/// Adds a peer, or what follows of one that was told in part.
fn add(link: &str, part: &Peer, peers: &mut BTreeMap<PublicKey, WireguardPeer>) {
    let key = part.iter().find_map(|attribute| match attribute {
        WireguardPeerAttribute::PublicKey(key) => Some(PublicKey(*key)),
        _ => None,
    });
    let Some(key) = key else { return };
    let peer = peers.entry(key).or_insert_with(|| WireguardPeer {
        link: link.to_owned(),
        key,
        endpoint: None,
        psk: None,
        keepalive: 0,
        allowed: Default::default(),
    });
    for attribute in part.iter() {
        match attribute {
            WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = Some(*endpoint),
            WireguardPeerAttribute::PresharedKey(psk) if *psk != NO_KEY => peer.psk = Some(Secret(*psk)),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => peer.keepalive = *seconds,
            WireguardPeerAttribute::AllowedIps(nets) => peer.allowed.extend(nets.iter().filter_map(net)),
            _ => {}
        }
    }
}

fn net(allowed: &WireguardAllowedIp) -> Option<IpNet> {
    let (mut address, mut bits) = (None, None);
    for attribute in allowed.iter() {
        match attribute {
            WireguardAllowedIpAttr::IpAddr(found) => address = Some(*found),
            WireguardAllowedIpAttr::Cidr(found) => bits = Some(*found),
            _ => {}
        }
    }
    IpNet::new(address?, bits?).ok()
}

#[cfg(test)]
#[path = "wireguard_tests.rs"]
mod tests;
