//! The difference between what the kernel should hold and what it holds, as operations in an order that loses no packet.
//!
//! A packet to a peer meets a route, then the neighbour entry of its gateway, then the forwarding entry of that neighbour's
//! MAC, then the device. So they are made from the far end to the near one: device, address, forwarding entry, neighbour
//! (or what a WireGuard device knows of the machine), rules, and the route last; and taken away in the opposite order. Whatever changes is put in the place of the old, never
//! deleted and made again. When a peer gets another MAC, the new forwarding entry comes first, then the neighbour turns
//! to it, and the old forwarding entry goes last: there is always a whole path.
//!
//! An example. The peer 10.5.2.0/24 rebooted and has another MAC:
//!
//! ```text
//! PutForwarding    flannel.1  0e:..:bb -> 192.168.0.2
//! PutNeighbour     flannel.1  10.5.2.0 is 0e:..:bb
//! DeleteForwarding flannel.1  0e:..:aa -> 192.168.0.2
//! ```
//!
//! Nothing is touched that is not [`Ours`].

#[cfg(test)]
pub(crate) mod tests;

use crate::links::*;
use crate::rules::{Means, RuleSet};
use ipnet::IpNet;
use kernel::{Bug, Planted};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The protocol of the routes that flannel makes: `boot`.
pub const BOOT: u8 = 3;

/// Which entries of the kernel are ours to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// Our devices, by name: they, and all that is on them, are ours.
    pub links: BTreeSet<String>,
    /// The cluster's networks. A route by which flannel would reach a peer is ours wherever it leads: protocol `boot`, by a
    /// gateway, to a place in one of them but not to the whole.
    pub networks: Vec<IpNet>,
    /// Our own subnets. Routes to parts of them are of the containers here (some network plug-ins make one for each, of
    /// protocol `boot`), and never ours; a route to one of them as a whole may be left from when it was a peer's.
    pub own: Vec<IpNet>,
    /// Whether flannel's rules are ours now.
    pub rules: bool,
}

impl Ours {
    /// What to ask the kernel for.
    pub fn scope(&self) -> Scope {
        Scope { links: self.links.clone(), networks: self.networks.clone(), rules: self.rules }
    }

    /// Whether a route of the kernel is ours to take away.
    pub fn route(&self, route: &Route) -> bool {
        let to = &route.destination;
        let peers = self.networks.iter().any(|network| network.contains(to) && network != to);
        let inside_own = self.own.iter().any(|own| own.contains(to) && own != to);
        match &route.way {
            Way::Out { link, .. } if self.links.contains(link) => true,
            Way::Out { gateway, .. } => route.protocol == BOOT && gateway.is_some() && peers && !inside_own,
            Way::Blackhole => route.protocol == BOOT && self.own.contains(to),
        }
    }
}

/// What makes `present` into `desired`, as far as it is ours; empty when nothing is to be done.
///
/// A TUN device that is missing cannot be made this way (the Tun port makes it), so what hangs on it is left out.
pub fn plan(desired: &Tables, present: &Tables, ours: &Ours) -> Vec<Operation> {
    plan_with(Planted::none(), desired, present, ours)
}

/// The same with a planted bug.
pub(crate) fn plan_with(planted: Planted, desired: &Tables, present: &Tables, ours: &Ours) -> Vec<Operation> {
    let wishes = desired.links.iter().map(|link| &link.name);
    assert!(
        wishes.clone().all(|name| ours.links.contains(name)),
        "a wish for a link that is not ours: {desired:?}"
    );
    let links = Changes::of_links(&desired.links, &present.links, ours);
    // What hung on a link that is made anew is gone with the old one.
    let stays = |link: &str| !links.anew.contains(link);
    let can = |link: &str| !links.missing.contains(link);
    let mut gone = Vec::new();
    let mut operations = links.operations;

    let (puts, deletes) = addresses(desired, present, ours, &stays);
    operations.extend(puts.into_iter().filter(|address| can(&address.link)).map(Operation::AddAddress));
    gone.extend(deletes.into_iter().map(Operation::DeleteAddress));
    let (puts, deletes) = forwardings(desired, present, ours, &stays);
    operations.extend(puts.into_iter().filter(|entry| can(&entry.link)).map(Operation::PutForwarding));
    let stays_on = |entry: &Forwarding| {
        planted.is(Bug::OldForwardingStays)
            && desired.forwardings.iter().any(|wish| wish.machine == entry.machine)
    };
    gone.extend(deletes.into_iter().filter(|entry| !stays_on(entry)).map(Operation::DeleteForwarding));
    let (puts, deletes) = neighbours(desired, present, ours, &stays);
    operations.extend(puts.into_iter().filter(|entry| can(&entry.link)).map(Operation::PutNeighbour));
    gone.extend(deletes.into_iter().map(Operation::DeleteNeighbour));
    let (puts, deletes) = wireguards(desired, present, ours, &stays);
    operations.extend(puts);
    gone.extend(deletes.into_iter().map(Operation::DeleteWireguardPeer));
    if ours.rules {
        let (puts, deletes) = rules(&desired.rules, &present.rules);
        operations.extend(puts.into_iter().map(Operation::PutRules));
        gone.extend(deletes.into_iter().map(Operation::DeleteRules));
    }
    let (puts, deletes) = routes(desired, present, ours, &stays);
    let leads = |route: &Route| out(route).is_none_or(&can);
    for route in puts.into_iter().filter(leads) {
        operations.extend(put_route(route, &present.routes, ours));
    }
    gone.extend(deletes.into_iter().map(Operation::DeleteRoute));

    if planted.is(Bug::DeleteBeforeAdd) {
        operations.splice(0..0, gone.drain(..).rev());
    }
    operations.extend(gone.into_iter().rev());
    operations.extend(links.unwished.into_iter().map(Operation::DeleteLink));
    operations
}

/// What is to be done to the links themselves.
#[derive(Default)]
struct Changes {
    operations: Vec<Operation>,
    /// Links that go, or are made in place of another.
    anew: BTreeSet<String>,
    /// TUN devices that nobody holds open.
    missing: BTreeSet<String>,
    /// Links of ours that nobody wishes.
    unwished: Vec<String>,
}

impl Changes {
    fn of_links(desired: &BTreeSet<Link>, present: &BTreeSet<Link>, ours: &Ours) -> Changes {
        let here: BTreeMap<&str, &Link> = present.iter().map(|link| (link.name.as_str(), link)).collect();
        let mut changes = Changes::default();
        for wish in desired {
            match here.get(wish.name.as_str()) {
                None if wish.kind == LinkKind::Tun => {
                    changes.missing.insert(wish.name.clone());
                }
                None => changes.operations.push(Operation::AddLink(wish.clone())),
                Some(link) if link.kind != wish.kind => changes.replace(wish),
                Some(link) if !fits(link, wish) => changes.operations.push(Operation::SetLink(wish.clone())),
                Some(_) => {}
            }
        }
        let wished: BTreeSet<&str> = desired.iter().map(|link| link.name.as_str()).collect();
        for link in present.iter().filter(|link| ours.links.contains(&link.name)) {
            if !wished.contains(link.name.as_str()) {
                changes.anew.insert(link.name.clone());
                changes.unwished.push(link.name.clone());
            }
        }
        changes
    }

    /// Another kind of device has the name.
    fn replace(&mut self, wish: &Link) {
        self.anew.insert(wish.name.clone());
        self.operations.push(Operation::DeleteLink(wish.name.clone()));
        if wish.kind == LinkKind::Tun {
            self.missing.insert(wish.name.clone());
        } else {
            self.operations.push(Operation::AddLink(wish.clone()));
        }
    }
}

/// Whether a link of the right kind is as wished in what can be changed in place.
fn fits(link: &Link, wish: &Link) -> bool {
    (link.mtu, link.up) == (wish.mtu, wish.up) && (wish.mac.is_none() || link.mac == wish.mac)
}

/// What is to be put, and what is to go.
type Difference<T> = (Vec<T>, Vec<T>);

fn addresses(
    desired: &Tables,
    present: &Tables,
    ours: &Ours,
    stays: &dyn Fn(&str) -> bool,
) -> Difference<Address> {
    let here: BTreeSet<&Address> = present.addresses.iter().filter(|address| stays(&address.link)).collect();
    let puts = desired.addresses.iter().filter(|address| !here.contains(address)).cloned().collect();
    let unwished =
        |address: &&&Address| ours.links.contains(&address.link) && !desired.addresses.contains(*address);
    (puts, here.iter().filter(unwished).map(|address| (*address).clone()).collect())
}

fn forwardings(
    desired: &Tables,
    present: &Tables,
    ours: &Ours,
    stays: &dyn Fn(&str) -> bool,
) -> Difference<Forwarding> {
    let here: BTreeSet<&Forwarding> = present.forwardings.iter().filter(|entry| stays(&entry.link)).collect();
    let puts = desired.forwardings.iter().filter(|entry| !here.contains(entry)).cloned().collect();
    let wished: BTreeSet<(&str, Mac)> =
        desired.forwardings.iter().map(|entry| (entry.link.as_str(), entry.mac)).collect();
    let unwished = |entry: &&&Forwarding| {
        ours.links.contains(&entry.link) && !wished.contains(&(&entry.link, entry.mac))
    };
    (puts, here.iter().filter(unwished).map(|entry| (*entry).clone()).collect())
}

fn neighbours(
    desired: &Tables,
    present: &Tables,
    ours: &Ours,
    stays: &dyn Fn(&str) -> bool,
) -> Difference<Neighbour> {
    let here: BTreeSet<&Neighbour> = present.neighbours.iter().filter(|entry| stays(&entry.link)).collect();
    let puts = desired.neighbours.iter().filter(|entry| !here.contains(entry)).cloned().collect();
    let wished: BTreeSet<(&str, std::net::IpAddr)> =
        desired.neighbours.iter().map(|entry| (entry.link.as_str(), entry.address)).collect();
    let unwished = |entry: &&&Neighbour| {
        ours.links.contains(&entry.link) && !wished.contains(&(&entry.link, entry.address))
    };
    (puts, here.iter().filter(unwished).map(|entry| (*entry).clone()).collect())
}

/// Who a WireGuard device is comes before whom it speaks with. A machine that is known by its key is set anew as a whole.
fn wireguards(
    desired: &Tables,
    present: &Tables,
    ours: &Ours,
    stays: &dyn Fn(&str) -> bool,
) -> (Vec<Operation>, Vec<WireguardPeer>) {
    let here = |device: &WireguardDevice| stays(&device.link) && present.wireguards.contains(device);
    let devices = desired.wireguards.iter().filter(|device| !here(device));
    let known: BTreeSet<&WireguardPeer> =
        present.wireguard_peers.iter().filter(|peer| stays(&peer.link)).collect();
    let peers = desired.wireguard_peers.iter().filter(|peer| !known.contains(peer));
    let puts = devices.cloned().map(Operation::SetWireguard);
    let puts = puts.chain(peers.cloned().map(Operation::PutWireguardPeer)).collect();
    let wished: BTreeSet<(&str, PublicKey)> =
        desired.wireguard_peers.iter().map(|peer| (peer.link.as_str(), peer.key)).collect();
    let unwished =
        |peer: &&&WireguardPeer| ours.links.contains(&peer.link) && !wished.contains(&(&peer.link, peer.key));
    (puts, known.iter().filter(unwished).map(|peer| (*peer).clone()).collect())
}

/// Two routes of which the kernel holds one only.
fn place(route: &Route) -> (IpNet, bool) {
    (route.destination, route.way == Way::Blackhole)
}

/// Puts a route, over another link than the one of before too.
///
/// For IPv6 the kernel looks a gateway up among the routes that there are, and refuses one that lies behind another device. The gateway
/// of a peer lies in the very network that is reached by it, so the route of before is in the way of its successor. To take it away
/// first would lose packets; instead a route to the gateway alone shows the kernel the device for a moment. Nobody sends
/// there: it is the subnet's first address, which no container has.
fn put_route(wish: Route, present: &BTreeSet<Route>, ours: &Ours) -> Vec<Operation> {
    let guide = guide(&wish, present, ours);
    let before = guide.clone().map(Operation::PutRoute);
    let after = guide.map(Operation::DeleteRoute);
    before.into_iter().chain([Operation::PutRoute(wish)]).chain(after).collect()
}

/// The route to the gateway of `wish` alone, if `present` leads to it by another link. None where somebody else has just such a
/// route: that is not ours to replace, so the kernel refuses the wish, and says why.
fn guide(wish: &Route, present: &BTreeSet<Route>, ours: &Ours) -> Option<Route> {
    let Way::Out { link, gateway: Some(gateway @ IpAddr::V6(_)), onlink: true } = &wish.way else {
        return None;
    };
    let destination = IpNet::from(*gateway);
    let covers = |other: &&Route| {
        other.destination.prefix_len() > 0 && other.destination.contains(gateway) && out(other).is_some()
    };
    let closest = present.iter().filter(covers).max_by_key(|other| other.destination.prefix_len())?;
    if out(closest) == Some(link) || (closest.destination == destination && !ours.route(closest)) {
        return None;
    }
    let way = Way::Out { link: link.clone(), gateway: None, onlink: false };
    Some(Route { destination, way, protocol: BOOT })
}

/// The link by which a route leads.
fn out(route: &Route) -> Option<&str> {
    match &route.way {
        Way::Out { link, .. } => Some(link),
        Way::Blackhole => None,
    }
}

fn routes(
    desired: &Tables,
    present: &Tables,
    ours: &Ours,
    stays: &dyn Fn(&str) -> bool,
) -> Difference<Route> {
    let here: BTreeSet<&Route> = present.routes.iter().filter(|route| out(route).is_none_or(stays)).collect();
    let puts: Vec<Route> = desired.routes.iter().filter(|route| !here.contains(route)).cloned().collect();
    let replaced: BTreeSet<(IpNet, bool)> = puts.iter().map(place).collect();
    let unwished = |route: &&&Route| {
        ours.route(route) && !desired.routes.contains(**route) && !replaced.contains(&place(route))
    };
    (puts, here.iter().filter(unwished).map(|route| (*route).clone()).collect())
}

fn rules(desired: &BTreeSet<RuleSet>, present: &BTreeSet<RuleSet>) -> Difference<RuleSet> {
    let puts = desired.iter().filter(|set| !present.contains(*set)).cloned().collect();
    let wished: BTreeSet<(bool, Means)> = desired.iter().map(|set| (set.v6, set.means)).collect();
    (puts, present.iter().filter(|set| !wished.contains(&(set.v6, set.means))).cloned().collect())
}
