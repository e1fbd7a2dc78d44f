//! The wireguard backend: one device a family, or one for both; for each peer its key, and a route.
//!
//! A device tells peers apart by their keys. What is behind a peer is its subnet, so the device drops a packet that comes from
//! a peer with an address of another. The route names the device and no gateway: the device finds the peer by the destination.
//! Mode `separate` carries each family over itself. The other modes have one device for both families, over the one that the
//! mode names; `auto` takes the one that is likelier to arrive: a public address before a private one, IPv4 before IPv6.

use super::backends::WIREGUARD_OVERHEAD;
use super::families::{Family, public, route};
use super::{Desired, Wish};
use crate::config::{Backend, NetworkConfig, WireguardMode};
use crate::interface::External;
use crate::links::{Address, Link, LinkKind, PublicKey, Secret, WireguardDevice, WireguardPeer};
use crate::subnet::{Lease, WireguardData};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The device of IPv4, and the one of both families.
const NAME: &str = "flannel-wg";
/// The device of IPv6.
const NAME_V6: &str = "flannel-wg-v6";

/// The options of the backend.
struct Options {
    port: u16,
    port_v6: u16,
    mtu: u32,
    psk: Option<Secret>,
    keepalive: u16,
    mode: WireguardMode,
}

fn options(backend: &Backend) -> Result<Options, String> {
    let Backend::Wireguard { port, port_v6, mtu, psk, keepalive, mode } = backend else {
        unreachable!("the backend is wireguard")
    };
    let psk = psk.as_ref().map(|psk| psk.parse()).transpose();
    let psk = psk.map_err(|why| format!("backend wireguard: PSK: {why}"))?;
    Ok(Options { port: *port, port_v6: *port_v6, mtu: *mtu, psk, keepalive: *keepalive, mode: *mode })
}

impl Options {
    /// The device of a family, and its port.
    fn device(&self, v6: bool) -> (&'static str, u16) {
        match self.mode {
            WireguardMode::Separate if v6 => (NAME_V6, self.port_v6),
            _ => (NAME, self.port),
        }
    }
}

/// Whether one device carries both families.
pub(super) fn is_joint(backend: &Backend) -> bool {
    matches!(backend, Backend::Wireguard { mode, .. } if *mode != WireguardMode::Separate)
}

/// Whether the backend can work here; if not, the reason and the remedy.
pub(super) fn check(config: &NetworkConfig, external: &External) -> Result<(), String> {
    let options = options(&config.backend)?;
    let (family, missing) = match options.mode {
        WireguardMode::V4 => ("ipv4", external.v4.is_none()),
        WireguardMode::V6 => ("ipv6", external.v6.is_none()),
        WireguardMode::Auto | WireguardMode::Separate => return Ok(()),
    };
    if missing {
        return Err(format!("backend wireguard: Mode {family}: {} has no such address", external.link));
    }
    Ok(())
}

/// The devices, and whether each is of IPv6 alone.
pub(super) fn devices(config: &NetworkConfig, external: &External) -> Vec<(bool, Link)> {
    // What cannot be read was refused by `check`.
    let Ok(options) = options(&config.backend) else { return Vec::new() };
    let base = if options.mtu == 0 { external.mtu } else { options.mtu };
    let link = |name: &str| Link {
        name: name.to_owned(),
        kind: LinkKind::Wireguard,
        mac: None,
        mtu: base.saturating_sub(WIREGUARD_OVERHEAD),
        up: true,
    };
    if options.mode != WireguardMode::Separate {
        return vec![(false, link(NAME))];
    }
    let v4 = config.v4.map(|_| (false, link(NAME)));
    v4.into_iter().chain(config.v6.map(|_| (true, link(NAME_V6)))).collect()
}

/// What our lease says about a family.
pub(super) fn data(config: &NetworkConfig, v6: bool, secret: &Secret) -> WireguardData {
    let port = options(&config.backend).map(|options| options.device(v6).1).unwrap_or_default();
    WireguardData { public_key: secret.public().to_string(), port }
}

/// Adds what all families need.
pub(super) fn add(wish: &Wish<'_>, families: &[Family], peers: &[&Lease], desired: &mut Desired) {
    let options = options(&wish.config.backend).expect("it was checked before the lease was asked for");
    let secret = wish.secret.expect("the key was read before the lease was asked for");
    for (_, link) in devices(wish.config, wish.external) {
        let of = |family: &&Family| options.device(family.v6).0 == link.name;
        // A device whose family we hold no subnet in carries nothing.
        if !families.iter().any(|family| of(&family)) {
            continue;
        }
        let name = link.name.clone();
        let own: Vec<&Family> = families.iter().filter(of).collect();
        let (_, port) = options.device(own[0].v6);
        desired.ours.links.insert(name.clone());
        desired.tables.links.insert(link);
        desired.tables.wireguards.insert(WireguardDevice { link: name.clone(), secret, port });
        for family in &own {
            desired.tables.addresses.insert(Address { link: name.clone(), net: family.address() });
        }
        add_peers(wish, &options, &own, &name, peers, desired);
    }
}

/// Adds the peers of one device, which carries these families.
fn add_peers(
    wish: &Wish<'_>,
    options: &Options,
    own: &[&Family],
    name: &str,
    peers: &[&Lease],
    desired: &mut Desired,
) {
    let own_key = wish.secret.map(|secret| secret.public());
    // One machine has one key: of two leases that name the same, the newer is right.
    let mut order: Vec<&&Lease> = peers.iter().collect();
    order.sort_by_key(|peer| std::cmp::Reverse(peer.mod_revision));
    let mut known: BTreeSet<PublicKey> = BTreeSet::new();
    for peer in order {
        let subnets: BTreeSet<_> = own.iter().filter_map(|family| family.subnet(&peer.key)).collect();
        if subnets.is_empty() {
            continue;
        }
        let found = find(wish, options, own, peer).and_then(|(key, endpoint)| match key {
            key if Some(key) == own_key => {
                Err(format!("its public key {key} is ours; one of the two machines needs another key file"))
            }
            key if !known.insert(key) => Err(format!("its public key {key} is also that of a newer lease")),
            key => Ok((key, endpoint)),
        });
        match found {
            Ok((key, endpoint)) => {
                let (link, endpoint) = (name.to_owned(), Some(endpoint));
                desired.tables.routes.extend(subnets.iter().map(|subnet| route(*subnet, name, None, false)));
                let (psk, keepalive) = (options.psk, options.keepalive);
                desired.tables.wireguard_peers.insert(WireguardPeer {
                    link,
                    key,
                    endpoint,
                    psk,
                    keepalive,
                    allowed: subnets,
                });
            }
            Err(why) => drop(desired.skipped.insert(peer.key, why)),
        }
    }
}

/// A peer's key and where it is, or why it cannot be reached.
fn find(
    wish: &Wish<'_>,
    options: &Options,
    own: &[&Family],
    peer: &Lease,
) -> Result<(PublicKey, SocketAddr), String> {
    // Where it has both families it says the same key twice.
    let family = own.iter().rev().find(|family| family.subnet(&peer.key).is_some());
    let v6 = family.expect("it has a subnet in one of them").v6;
    let data = peer.value.wireguard(v6, options.device(v6).1).map_err(|error| error.to_string())?;
    let key = data.public_key.parse::<PublicKey>().map_err(|why| format!("PublicKey: {why}"))?;
    let (v4, v6_address) = (public(peer, false), public(peer, true));
    let address = match options.mode {
        WireguardMode::Separate => public(peer, v6),
        WireguardMode::V4 => v4,
        WireguardMode::V6 => v6_address,
        WireguardMode::Auto => likelier(wish.external, v4, v6_address),
    };
    let address = address.ok_or("it says no public address of the family that the tunnel uses")?;
    Ok((key, SocketAddr::new(address, data.port)))
}

/// Of two addresses of a peer the one that packets likelier arrive at.
fn likelier(external: &External, v4: Option<IpAddr>, v6: Option<IpAddr>) -> Option<IpAddr> {
    let v4 = v4.filter(|_| external.v4.is_some());
    let v6 = v6.filter(|_| external.v6.is_some());
    let (Some(IpAddr::V4(near)), Some(IpAddr::V6(far))) = (v4, v6) else { return v4.or(v6) };
    let private = |address: Ipv6Addr| address.is_unique_local() || address.is_unicast_link_local();
    let only_v6 = near.is_private() && !private(far) && external.v6.is_some_and(|own| !private(own));
    Some(if only_v6 { far.into() } else { near.into() })
}
