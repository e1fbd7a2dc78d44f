//! Once calm: a kernel holds what the leases call for and nothing else.
//!
//! Verifies: the neighbours, forwarding entries and routes of flannel's on each holder are those of the other leases in the store, one
//! for one, computed here from the leases and not by flannel; and a machine without a lease has no route to a peer. Does not verify
//! rules.

use super::super::machines::Machines;
use super::super::plan::Backend;
use crate::checkers::{Checked, ensure};
use crate::links::underlay_address;
use flannel::links::*;
use flannel::registry::Loaded;
use flannel::subnet::Lease;
use ipnet::{IpNet, Ipv4Net};
use std::collections::BTreeSet;
use std::net::IpAddr;

const NAME: &str = "flannel-entries";
const BOOT: u8 = 3;

/// Checks every machine at the end.
pub fn check(machines: &Machines, store: &Loaded) -> Checked {
    let network: IpNet = "10.5.0.0/16".parse().expect("a network");
    for (machine, own) in super::holders(machines, store) {
        let kernel = machines.links(machine).kernel();
        let names: BTreeSet<String> =
            kernel.links().map(|link| link.name.clone()).filter(|name| name.starts_with("flannel")).collect();
        let present = kernel.tables(&Scope { links: names, networks: vec![network], rules: true });
        let mut wished = Tables::default();
        if own.is_empty() {
            wished.neighbours.clone_from(&present.neighbours);
            wished.forwardings.clone_from(&present.forwardings);
        } else {
            let fits = |lease: &&Lease| {
                usable(machines, lease) && lease.value.public_ip != underlay_address(machine)
            };
            store
                .leases
                .iter()
                .filter(fits)
                .for_each(|lease| add(machines.plan().backend, lease, &mut wished));
        }
        let routes: BTreeSet<Route> = present.routes.iter().filter(|route| to_peer(route)).cloned().collect();
        same(machine, "neighbours", &present.neighbours, &wished.neighbours)?;
        same(machine, "forwarding-entries", &present.forwardings, &wished.forwardings)?;
        same(machine, "routes", &routes, &wished.routes)?;
    }
    Ok(())
}

/// A lease that peers of this cluster can serve: of a machine of the plan.
fn usable(machines: &Machines, lease: &Lease) -> bool {
    machines.plan().all_machines().any(|machine| underlay_address(machine) == lease.value.public_ip)
}

fn to_peer(route: &Route) -> bool {
    route.protocol == BOOT && matches!(&route.way, Way::Out { gateway: Some(_), .. })
}

fn add(backend: Backend, lease: &Lease, wished: &mut Tables) {
    let subnet: Ipv4Net = lease.key.v4.expect("the network is of IPv4");
    let (machine, link) = (IpAddr::from(lease.value.public_ip), "flannel.1".to_owned());
    let by = |link: &str, gateway: IpAddr, onlink: bool| Route {
        destination: subnet.into(),
        way: Way::Out { link: link.to_owned(), gateway: Some(gateway), onlink },
        protocol: BOOT,
    };
    match backend {
        Backend::Vxlan => {
            let Ok(data) = lease.value.vxlan(false) else { return };
            let address = IpAddr::from(subnet.network());
            wished.routes.insert(by(&link, address, true));
            wished.neighbours.insert(Neighbour { link: link.clone(), address, mac: data.mac });
            wished.forwardings.insert(Forwarding { link, mac: data.mac, machine });
        }
        Backend::HostGw => drop(wished.routes.insert(by(crate::links::EXTERNAL, machine, false))),
        Backend::Ipip => drop(wished.routes.insert(by("flannel.ipip", machine, true))),
        Backend::Udp => {}
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
