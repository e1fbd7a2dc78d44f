//! Once calm: a kernel holds what the leases call for and nothing else.
//!
//! Verifies: the neighbours, forwarding entries and routes of flannel's on each holder are those of the other leases in the store, one
//! for one, computed here from the leases and not by flannel; and a machine without a lease has no route to a peer. Does not verify
//! rules.

use super::super::machines::Machines;
use super::super::plan::Backend;
use crate::checkers::{Checked, ensure};
use crate::links::{underlay_address, underlay_address_v6};
use flannel::links::*;
use flannel::registry::Loaded;
use flannel::subnet::Lease;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

const NAME: &str = "flannel-entries";
const BOOT: u8 = 3;
/// The devices of a backend; others may be left from a config that was in force for a while.
fn devices(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Vxlan => &["flannel.1", "flannel-v6.1"],
        Backend::Ipip => &["flannel.ipip"],
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
    }
    Ok(())
}

fn to_peer(route: &Route) -> bool {
    route.protocol == BOOT && matches!(&route.way, Way::Out { gateway: Some(_), .. })
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
