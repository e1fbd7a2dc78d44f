//! The host-gw backend: a plain route to each peer, by the peer itself. All machines must be on one link.

use super::families::{Family, public, route};
use super::{Desired, Wish};
use crate::subnet::Lease;

/// Adds what one family needs.
pub(super) fn add(wish: &Wish<'_>, family: &Family, peers: &[&Lease], desired: &mut Desired) {
    for peer in peers {
        let Some(subnet) = family.subnet(&peer.key) else { continue };
        let machine = public(peer, family.v6).expect("a usable peer has an address");
        desired.tables.routes.insert(route(subnet, &wish.external.link, Some(machine), false));
    }
}
