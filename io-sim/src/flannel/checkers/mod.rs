//! What must hold of a flannel cluster, one file each. Each file opens with what it verifies and what it does not.
//!
//! They believe the kernels' tables, the store's leases and the plan. What a daemon believes of itself counts in one place only: that
//! two never believe the same.

pub mod entries;
pub mod exclusive;
pub mod ledger;
pub mod promise;
pub mod reach;
pub mod steady;

use super::machines::Machines;
use flannel::registry::Loaded;
use flannel::subnet::{Lease, SubnetKey};
use ipnet::IpNet;
use std::collections::BTreeMap;

/// The leases of the plan's machines that are up at the end, by machine.
pub fn holders<'a>(machines: &Machines, store: &'a Loaded) -> BTreeMap<u16, Vec<&'a Lease>> {
    let up = machines.plan().all_machines().filter(|machine| !machines.plan().is_gone(*machine));
    up.map(|machine| {
        let own = |lease: &&Lease| machines.plan().machine_of(&lease.value) == Some(machine);
        (machine, store.leases.iter().filter(own).collect())
    })
    .collect()
}

/// The subnets of a key, one a family.
pub fn nets(key: &SubnetKey) -> impl Iterator<Item = IpNet> + use<> {
    key.v4.map(IpNet::from).into_iter().chain(key.v6.map(IpNet::from)).map(|net| net.trunc())
}
