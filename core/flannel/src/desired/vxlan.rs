//! The vxlan backend: one device a family, and for each peer a route, a neighbour and a forwarding entry.
//!
//! The route leads by the first address of the peer's subnet, which counts as reachable on the device; the neighbour entry
//! says which MAC has that address; the forwarding entry says which machine has that MAC. With DirectRouting a peer to
//! which the kernel needs no gateway gets a plain route instead.

use super::backends::vxlan_device;
use super::families::{Family, public, route};
use super::{Desired, Wish};
use crate::links::{Address, Forwarding, Mac, Neighbour};
use crate::subnet::{Lease, SubnetKey};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Adds what one family needs.
pub(super) fn add(
    wish: &Wish<'_>,
    family: &Family,
    peers: &[&Lease],
    direct_routing: bool,
    desired: &mut Desired,
) {
    let mac = wish.macs.of(family.v6);
    let device = vxlan_device(wish.config, wish.external, family.v6, mac).expect("the backend is vxlan");
    let name = device.name.clone();
    desired.ours.links.insert(name.clone());
    desired.tables.addresses.insert(Address { link: name.clone(), net: family.address() });
    desired.tables.links.insert(device);
    let direct = |address: &IpAddr| direct_routing && wish.direct.contains(address);
    let owners = owners(family, peers, &direct);
    for peer in peers {
        let Some(subnet) = family.subnet(&peer.key) else { continue };
        let machine = public(peer, family.v6).expect("a usable peer has an address");
        if direct(&machine) {
            desired.tables.routes.insert(route(subnet, &wish.external.link, Some(machine), false));
            continue;
        }
        match reachable(peer, family, mac, &owners) {
            Ok(mac) => {
                let (link, address) = (name.clone(), subnet.network());
                desired.tables.forwardings.insert(Forwarding { link: link.clone(), mac, machine });
                desired.tables.neighbours.insert(Neighbour { link, address, mac });
                desired.tables.routes.insert(route(subnet, &name, Some(address), true));
            }
            Err(why) => drop(desired.skipped.insert(peer.key, why)),
        }
    }
}

/// Which lease a MAC belongs to: the newest that names it. One device cannot send to two machines by one MAC.
fn owners<'a>(
    family: &Family,
    peers: &[&'a Lease],
    direct: &dyn Fn(&IpAddr) -> bool,
) -> BTreeMap<Mac, (i64, SubnetKey, Option<IpAddr>)> {
    let mut owners: BTreeMap<Mac, (i64, SubnetKey, Option<IpAddr>)> = BTreeMap::new();
    for peer in peers.iter().filter(|peer| family.subnet(&peer.key).is_some()) {
        let address = public(peer, family.v6);
        let Ok(data) = peer.value.vxlan(family.v6) else { continue };
        let newest = owners.get(&data.mac).is_none_or(|(revision, ..)| *revision < peer.mod_revision);
        if newest && !address.as_ref().is_some_and(direct) {
            owners.insert(data.mac, (peer.mod_revision, peer.key, address));
        }
    }
    owners
}

/// The MAC by which a peer is reached, or why it is not.
fn reachable(
    peer: &Lease,
    family: &Family,
    own: Option<Mac>,
    owners: &BTreeMap<Mac, (i64, SubnetKey, Option<IpAddr>)>,
) -> Result<Mac, String> {
    let data = peer.value.vxlan(family.v6).map_err(|error| error.to_string())?;
    if own == Some(data.mac) {
        return Err(format!("VtepMAC {} is that of our own device; one of the two must change", data.mac));
    }
    let (_, owner, machine) = owners.get(&data.mac).expect("each MAC that is told has an owner");
    // Two subnets of one machine may well share a MAC.
    if *owner != peer.key && *machine != public(peer, family.v6) {
        return Err(format!("VtepMAC {} is also that of {owner}, whose lease is newer", data.mac));
    }
    Ok(data.mac)
}
