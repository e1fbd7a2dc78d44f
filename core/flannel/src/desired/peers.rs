//! Which peers can be served at all, whatever the backend.

use super::families::{Family, public};
use super::{Wish, wireguard};
use crate::subnet::{Lease, SubnetKey};
use std::collections::BTreeMap;

/// Peers that may be served, in the order of their subnets, and the others with the reason.
pub(super) fn usable<'a>(
    wish: &Wish<'a>,
    families: &[Family],
) -> (Vec<&'a Lease>, BTreeMap<SubnetKey, String>) {
    let mut skipped = BTreeMap::new();
    let mut usable = Vec::new();
    for (key, lease) in wish.peers.iter().filter(|(key, _)| **key != wish.own.key) {
        match obstacle(wish, families, lease) {
            None => usable.push(lease.as_ref()),
            Some(why) => drop(skipped.insert(*key, why)),
        }
    }
    (usable, skipped)
}

/// Why a peer cannot be served.
fn obstacle(wish: &Wish<'_>, families: &[Family], lease: &Lease) -> Option<String> {
    let ours = wish.config.backend.lease_type();
    let theirs = lease.value.backend_type.as_deref();
    // Without a type of its own a backend takes any lease: a public address is all that it needs.
    if ours.is_some() && theirs != ours {
        let theirs = theirs.unwrap_or("udp or alloc");
        return Some(format!("its backend is {theirs}, ours is {}", wish.config.backend.name()));
    }
    if lease.key.overlaps(&wish.own.key) {
        return Some(format!("its subnet has addresses of ours, {}", wish.own.key));
    }
    let mut common = 0;
    for family in families {
        let Some(subnet) = family.subnet(&lease.key) else { continue };
        if !family.network.contains(&subnet) || subnet == family.network {
            return Some(format!("its subnet is not inside the network {}", family.network));
        }
        // One tunnel of WireGuard carries both families over one of them; it looks for the address itself.
        let address = match wireguard::is_joint(&wish.config.backend) {
            true => public(lease, false).or(public(lease, true)),
            false => public(lease, family.v6),
        };
        let Some(address) = address else {
            return Some(format!("it says no public address for {subnet}"));
        };
        if wish.external.is_own(address) {
            return Some(format!("it has our own public address {address}; two machines must not share one"));
        }
        common += 1;
    }
    (common == 0).then(|| "its subnets are of another family of addresses than ours".to_owned())
}
