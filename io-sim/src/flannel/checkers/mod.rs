//! What must hold of a flannel cluster, one file each. Each file opens with what it verifies and what it does not.
//!
//! They believe the kernels' tables, the store's leases and the plan. What a daemon believes of itself counts in one place only: that
//! two never believe the same.

pub mod entries;
pub mod exclusive;
pub mod promise;
pub mod reach;

use super::machines::Machines;
use crate::links::underlay_address;
use flannel::registry::Loaded;
use flannel::subnet::Lease;
use std::collections::BTreeMap;

/// The leases of the plan's machines that are up at the end, by machine.
pub fn holders<'a>(machines: &Machines, store: &'a Loaded) -> BTreeMap<u16, Vec<&'a Lease>> {
    let up = machines.plan().all_machines().filter(|machine| !machines.plan().is_gone(*machine));
    up.map(|machine| {
        let own = |lease: &&Lease| lease.value.public_ip == underlay_address(machine);
        (machine, store.leases.iter().filter(own).collect())
    })
    .collect()
}
