//! The udp backend: a TUN device that the whole network is routed to, and the list of peers for whoever reads from it.
//!
//! As in flannel any lease is a peer, whatever backend it names, and its port is taken to be ours. IPv4 only.

use super::backends::UDP_OVERHEAD;
use super::families::{Family, public, route};
use super::{Desired, Wish};
use crate::links::{Address, Link, LinkKind};
use crate::subnet::Lease;
use std::net::{IpAddr, SocketAddrV4};

/// Adds what one family needs.
pub(super) fn add(wish: &Wish<'_>, family: &Family, peers: &[&Lease], port: u16, desired: &mut Desired) {
    if family.v6 {
        return;
    }
    for peer in peers {
        if let (Some(subnet), Some(IpAddr::V4(machine))) = (peer.key.v4, public(peer, false)) {
            desired.tun_peers.insert(subnet.trunc(), SocketAddrV4::new(machine, port));
        }
    }
    // Without the device there is nothing to hang a route on; it is opened first.
    let Some(name) = wish.tun else { return };
    let mtu = wish.external.mtu.saturating_sub(UDP_OVERHEAD);
    let device = Link { name: name.to_owned(), kind: LinkKind::Tun, mac: None, mtu, up: true };
    desired.ours.links.insert(name.to_owned());
    desired.tables.addresses.insert(Address { link: name.to_owned(), net: family.address() });
    desired.tables.routes.insert(route(family.network, name, None, false));
    desired.tables.links.insert(device);
}
