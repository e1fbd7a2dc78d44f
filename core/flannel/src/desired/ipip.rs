//! The ipip backend: one IP in IP tunnel to any remote address; the route's gateway says to which. IPv4 only.

use super::backends::ipip_device;
use super::families::{Family, public, route};
use super::{Desired, Wish};
use crate::links::Address;
use crate::subnet::Lease;

/// Adds what one family needs.
pub(super) fn add(
    wish: &Wish<'_>,
    family: &Family,
    peers: &[&Lease],
    direct_routing: bool,
    desired: &mut Desired,
) {
    if family.v6 {
        let why = "backend ipip carries IPv4 only; it is reached over IPv4";
        for peer in peers.iter().filter(|peer| peer.key.v4.is_none()) {
            desired.skipped.insert(peer.key, why.to_owned());
        }
        return;
    }
    let device = ipip_device(wish.external, family.local);
    let name = device.name.clone();
    desired.ours.links.insert(name.clone());
    desired.tables.addresses.insert(Address { link: name.clone(), net: family.address() });
    desired.tables.links.insert(device);
    for peer in peers {
        let Some(subnet) = family.subnet(&peer.key) else { continue };
        let machine = public(peer, false).expect("a usable peer has an address");
        let direct = direct_routing && wish.direct.contains(&machine);
        let link = if direct { &wish.external.link } else { &name };
        desired.tables.routes.insert(route(subnet, link, Some(machine), !direct));
    }
}
