//! Whether a daemon's list of operations breaks a way that is whole before and after it.
//!
//! A way is what this machine alone must hold to send a packet: the route to a subnet, its link being up, and on a vxlan device the
//! neighbour of the gateway and the forwarding entry of its MAC. What a list should do is to put the new before it takes the old
//! away. So: a way that was whole when the list began, that one of its operations broke, and that is whole at its end, was
//! broken for nothing. Lists that make a device anew, and those of which an operation failed, are not judged.

use super::Kernel;
use flannel::links::*;
use flannel::plan::BOOT;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The ways that a list of operations found.
pub(super) struct Ways {
    whole: BTreeSet<IpNet>,
    /// Of the ways by a vxlan device: those by a neighbour, and those by a MAC.
    by_address: BTreeMap<IpAddr, BTreeSet<IpNet>>,
    by_mac: BTreeMap<Mac, BTreeSet<IpNet>>,
    broken: BTreeMap<IpNet, String>,
    judged: bool,
}

impl Ways {
    /// Those that are whole before these operations.
    pub(super) fn before(kernel: &Kernel, operations: &[Operation]) -> Ways {
        let anew = |operation: &Operation| {
            matches!(operation, Operation::DeleteLink(_) | Operation::AddLink(_) | Operation::SetLink(_))
        };
        let mut ways = Ways {
            whole: BTreeSet::new(),
            by_address: BTreeMap::new(),
            by_mac: BTreeMap::new(),
            broken: BTreeMap::new(),
            judged: !operations.iter().any(anew) && operations.iter().any(takes_away),
        };
        if !ways.judged {
            return ways;
        }
        for route in kernel.routes.values().filter(|route| route.protocol == BOOT) {
            if !is_whole(kernel, route) {
                continue;
            }
            ways.whole.insert(route.destination);
            let Way::Out { link, gateway: Some(gateway), .. } = &route.way else { continue };
            if let Some(mac) = kernel.neighbour(link, *gateway) {
                ways.by_address.entry(*gateway).or_default().insert(route.destination);
                ways.by_mac.entry(mac).or_default().insert(route.destination);
            }
        }
        ways
    }

    /// One of the operations was tried.
    pub(super) fn after(&mut self, kernel: &Kernel, operation: &Operation, outcome: &LinksResult<()>) {
        self.judged &= outcome.is_ok();
        if !self.judged {
            return;
        }
        let touched: Vec<IpNet> = match operation {
            Operation::PutRoute(route) | Operation::DeleteRoute(route) => vec![route.destination],
            Operation::PutNeighbour(entry) | Operation::DeleteNeighbour(entry) => {
                self.by_address.get(&entry.address).into_iter().flatten().copied().collect()
            }
            Operation::PutForwarding(entry) | Operation::DeleteForwarding(entry) => {
                self.by_mac.get(&entry.mac).into_iter().flatten().copied().collect()
            }
            Operation::DeleteAddress(_) => self.whole.iter().copied().collect(),
            _ => Vec::new(),
        };
        for to in touched {
            if self.whole.contains(&to) && !reaches(kernel, &to) {
                self.broken.entry(to).or_insert_with(|| format!("{operation:?}"));
            }
        }
    }

    /// Those that were broken for nothing, now that the list is done.
    pub(super) fn lost(self, kernel: &Kernel) -> Vec<String> {
        let broken = self.broken.into_iter().filter(|(to, _)| self.judged && reaches(kernel, to));
        broken.map(|(to, operation)| format!("the way to {to} was broken by {operation}")).collect()
    }
}

/// Whether it can break a way.
fn takes_away(operation: &Operation) -> bool {
    !matches!(operation, Operation::AddAddress(_) | Operation::PutRules(_) | Operation::DeleteRules(_))
}

fn reaches(kernel: &Kernel, to: &IpNet) -> bool {
    let mut routes = kernel.routes.range((*to, 0)..=(*to, u32::MAX)).map(|(_, route)| route);
    routes.next().is_some_and(|route| is_whole(kernel, route))
}

/// Whether a packet that takes this route leaves by it.
fn is_whole(kernel: &Kernel, route: &Route) -> bool {
    let Way::Out { link, gateway, .. } = &route.way else { return false };
    let Some(device) = kernel.link(link).filter(|device| device.up) else { return false };
    match (&device.kind, gateway) {
        (LinkKind::Vxlan(_), Some(gateway)) => {
            let mac = kernel.neighbour(link, *gateway);
            mac.is_some_and(|mac| kernel.forwarding(link, mac).is_some())
        }
        (LinkKind::Vxlan(_), None) => false,
        // On an ordinary link nobody answers for the addresses of a peer's containers.
        (LinkKind::Other(_), None) => false,
        _ => true,
    }
}
