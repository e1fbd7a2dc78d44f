//! Once calm: a kernel holds what the leases call for and nothing else.
//!
//! Verifies: the neighbours, forwarding entries, WireGuard peers and routes of flannel's on each holder are those of the other leases in the store, one
//! for one, computed here from the leases and not by flannel; its devices are up, have the MTU that the external interface calls for,
//! and the first address of the subnet and no other; its rules are flannel's, to the word; and a machine without a lease has no route to
//! a peer. Does not verify the TUN device of backend udp, whose name the kernel chooses.

use super::super::machines::Machines;
use super::super::plan::Backend;
use crate::checkers::{Checked, ensure};
use crate::links::{EXTERNAL, Kernel, underlay_address, underlay_address_v6};
use flannel::links::*;
use flannel::registry::Loaded;
use flannel::rules::{Means, Rule, RuleSet, Verdict};
use flannel::subnet::Lease;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

const NAME: &str = "flannel-entries";
const BOOT: u8 = 3;
/// The devices of a backend; others may be left from a config that was in force for a while.
fn devices(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Vxlan => &["flannel.1", "flannel-v6.1"],
        Backend::Ipip => &["flannel.ipip"],
        Backend::Wireguard => &["flannel-wg", "flannel-wg-v6"],
        Backend::HostGw | Backend::Udp => &[],
    }
}

/// A machine that another should know.
struct Peer {
    machine: u16,
    /// Whether packets to it go by a plain route.
    direct: bool,
}

/// Checks every machine at the end.
pub fn check(machines: &Machines, store: &Loaded) -> Checked {
    let (plan, networks) = (machines.plan(), machines.plan().networks());
    for (machine, own) in super::holders(machines, store) {
        let kernel = machines.links(machine).kernel();
        let names = devices(plan.backend).iter().map(|name| (*name).to_owned()).collect();
        let present = kernel.tables(&Scope { links: names, networks: networks.clone(), rules: true });
        let mut wished = Tables::default();
        if own.is_empty() {
            wished.neighbours.clone_from(&present.neighbours);
            wished.forwardings.clone_from(&present.forwardings);
        } else {
            own.iter().for_each(|lease| add_own(plan.backend, lease, &kernel, &mut wished));
            wished.rules = own.iter().flat_map(|lease| rules(lease, &networks)).collect();
            let seen = |links: &BTreeSet<Link>| -> BTreeSet<(String, u32, bool)> {
                links.iter().map(|link| (link.name.clone(), link.mtu, link.up)).collect()
            };
            same(machine, "devices", &seen(&present.links), &seen(&wished.links))?;
            same(machine, "addresses", &present.addresses, &wished.addresses)?;
            same(machine, "rules", &present.rules, &wished.rules)?;
            for lease in &store.leases {
                // A lease that peers of this cluster can serve is of a machine of the plan.
                let peer = plan.machine_of(&lease.value).filter(|peer| *peer != machine);
                let peer = peer.map(|peer| Peer { machine: peer, direct: plan.is_direct(machine, peer) });
                peer.into_iter().for_each(|peer| add(plan.backend, &peer, lease, &mut wished));
            }
        }
        let routes: BTreeSet<Route> = present.routes.iter().filter(|route| to_peer(route)).cloned().collect();
        same(machine, "neighbours", &present.neighbours, &wished.neighbours)?;
        same(machine, "forwarding-entries", &present.forwardings, &wished.forwardings)?;
        same(machine, "routes", &routes, &wished.routes)?;
        if !own.is_empty() {
            same(machine, "wireguard-peers", &present.wireguard_peers, &wished.wireguard_peers)?;
        }
    }
    Ok(())
}

/// The devices of a machine's own lease, and their addresses.
fn add_own(backend: Backend, lease: &Lease, kernel: &Kernel, wished: &mut Tables) {
    let outer = kernel.link(EXTERNAL).map_or(0, |link| link.mtu);
    for subnet in super::nets(&lease.key) {
        let (name, overhead) = match (backend, subnet) {
            (Backend::Vxlan, IpNet::V4(_)) => ("flannel.1", 50),
            (Backend::Vxlan, IpNet::V6(_)) => ("flannel-v6.1", 70),
            (Backend::Ipip, _) => ("flannel.ipip", 20),
            (Backend::Wireguard, IpNet::V4(_)) => ("flannel-wg", 80),
            (Backend::Wireguard, IpNet::V6(_)) => ("flannel-wg-v6", 80),
            (Backend::HostGw | Backend::Udp, _) => continue,
        };
        let (link, net) = (name.to_owned(), IpNet::from(subnet.network()));
        wished.addresses.insert(Address { link: link.clone(), net });
        // What kind it is, is seen by the packets that go through it.
        let kind = LinkKind::Other(String::new());
        wished.links.insert(Link { name: link, kind, mac: None, mtu: outer - overhead, up: true });
    }
}

/// The rules of a machine that masquerades, as flannel's documentation has them.
fn rules(lease: &Lease, networks: &[IpNet]) -> Vec<RuleSet> {
    let mut sets = Vec::new();
    for own in super::nets(&lease.key) {
        let v6 = matches!(own, IpNet::V6(_));
        let all = networks.iter().find(|all| matches!(all, IpNet::V6(_)) == v6).expect("one a family");
        let (own, all) = ((own, true), (*all, true));
        let multicast = if v6 { "ff00::/8" } else { "224.0.0.0/4" };
        let multicast: IpNet = multicast.parse().expect("a network");
        let not = |(net, _): (IpNet, bool)| Some((net, false));
        let rule = |source, destination, verdict| Rule { marked: false, source, destination, verdict };
        let masquerade = Verdict::Masquerade { random_fully: true };
        let postrouting = vec![
            Rule { marked: true, ..rule(None, None, Verdict::Return) },
            rule(Some(own), Some(all), Verdict::Return),
            rule(Some(all), Some(own), Verdict::Return),
            rule(not(all), Some(own), Verdict::Return),
            rule(Some(all), Some((multicast, false)), masquerade),
            rule(not(all), Some(all), masquerade),
        ];
        let forward = vec![rule(Some(all), None, Verdict::Accept), rule(None, Some(all), Verdict::Accept)];
        sets.push(RuleSet { v6, means: Means::Nftables, postrouting, forward });
    }
    sets
}

fn to_peer(route: &Route) -> bool {
    // WireGuard's lead straight into the device.
    let leads = |link: &str, gateway: bool| gateway || link.starts_with("flannel-wg");
    route.protocol == BOOT
        && matches!(&route.way, Way::Out { link, gateway, .. } if leads(link, gateway.is_some()))
}

fn add(backend: Backend, peer: &Peer, lease: &Lease, wished: &mut Tables) {
    for subnet in super::nets(&lease.key) {
        let v6 = matches!(subnet, IpNet::V6(_));
        let machine: IpAddr = match v6 {
            true => underlay_address_v6(peer.machine).into(),
            false => underlay_address(peer.machine).into(),
        };
        let by = |link: &str, gateway: IpAddr, onlink: bool| Route {
            destination: subnet,
            way: Way::Out { link: link.to_owned(), gateway: Some(gateway), onlink },
            protocol: BOOT,
        };
        match backend {
            Backend::Udp => {}
            Backend::HostGw => drop(wished.routes.insert(by(crate::links::EXTERNAL, machine, false))),
            _ if peer.direct => drop(wished.routes.insert(by(crate::links::EXTERNAL, machine, false))),
            Backend::Ipip => drop(wished.routes.insert(by("flannel.ipip", machine, true))),
            Backend::Wireguard => {
                let (link, port) = if v6 { ("flannel-wg-v6", 51821) } else { ("flannel-wg", 51820) };
                let Ok(data) = lease.value.wireguard(v6, port) else { continue };
                let key = data.public_key.parse().expect("a machine of the plan has a key");
                let endpoint = Some(SocketAddr::new(machine, port));
                wished.wireguard_peers.insert(WireguardPeer {
                    link: link.to_owned(),
                    key,
                    endpoint,
                    psk: None,
                    keepalive: 0,
                    allowed: BTreeSet::from([subnet]),
                });
                let way = Way::Out { link: link.to_owned(), gateway: None, onlink: false };
                wished.routes.insert(Route { destination: subnet, way, protocol: BOOT });
            }
            Backend::Vxlan => {
                let Ok(data) = lease.value.vxlan(v6) else { continue };
                let (link, address) = (if v6 { "flannel-v6.1" } else { "flannel.1" }, subnet.network());
                wished.routes.insert(by(link, address, true));
                let link = link.to_owned();
                wished.neighbours.insert(Neighbour { link: link.clone(), address, mac: data.mac });
                wished.forwardings.insert(Forwarding { link, mac: data.mac, machine });
            }
        }
    }
}

fn same<T: Ord + Clone + std::fmt::Debug>(
    machine: u16,
    what: &'static str,
    present: &BTreeSet<T>,
    wished: &BTreeSet<T>,
) -> Checked {
    ensure(present == wished, NAME, what, || {
        let stale: Vec<&T> = present.difference(wished).collect();
        let missing: Vec<&T> = wished.difference(present).collect();
        format!("{what} of machine {machine}: too much: {stale:?}; missing: {missing:?}")
    })
}
