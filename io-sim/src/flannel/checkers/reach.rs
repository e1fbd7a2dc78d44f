//! Once calm: every machine that can have a lease has one and says so, and every container reaches every other.
//!
//! Verifies: each machine that is up has exactly one lease in the store, or (where subnets are scarce) every subnet is taken; its
//! daemon is ready; subnet.env and the bridge are of that lease; and a packet from a container of each holder reaches a container of
//! each other. Does not verify how: see `entries`.

use super::super::machines::Machines;
use crate::checkers::{Checked, ensure};
use crate::links::{Underlay, nth_address};
use flannel::env::SubnetEnv;
use flannel::registry::Loaded;
use flannel::subnet::{Lease, SubnetKey};
use ipnet::IpNet;
use std::collections::BTreeMap;

const NAME: &str = "flannel-reach";

/// Checks the cluster at its end.
pub fn check(machines: &Machines, store: &Loaded) -> Checked {
    let mut holders = BTreeMap::new();
    let (all, subnets) = (super::holders(machines, store), usize::from(machines.plan().subnets));
    for (machine, leases) in &all {
        ensure(leases.len() <= 1, NAME, "one-lease", || format!("machine {machine} has {leases:?}"))?;
        holders.extend(leases.first().map(|lease| (*machine, *lease)));
    }
    let due = all.len().min(subnets);
    // There may be more: a config may have named more subnets for a while.
    ensure(holders.len() >= due, NAME, "all-have-leases", || {
        let without: Vec<String> = all
            .keys()
            .filter(|machine| !holders.contains_key(machine))
            .map(|machine| format!("{machine}: {:?}", machines.status(*machine).map(|status| status.state)))
            .collect();
        format!("{} machines of {due} have a lease; without: {without:?}", holders.len())
    })?;
    holders.iter().try_for_each(|(machine, lease)| settled(machines, *machine, lease))?;
    everybody(machines, &holders.into_iter().map(|(machine, lease)| (machine, lease.key)).collect())
}

fn settled(machines: &Machines, machine: u16, lease: &Lease) -> Checked {
    let status = machines.status(machine);
    ensure(status.as_ref().is_some_and(|status| status.ready), NAME, "holder-is-ready", || {
        format!("machine {machine}, which has {}, is not ready: {status:?}", lease.key)
    })?;
    let believes = machines.believes(machine).map(|(subnet, _)| subnet);
    ensure(believes == Some(lease.key), NAME, "belief-is-true", || {
        format!("machine {machine} has {} and believes to have {believes:?}", lease.key)
    })?;
    let env = machines.env(machine).and_then(|text| SubnetEnv::parse(&text).previous());
    ensure(env == Some(lease.key), NAME, "env-names-the-lease", || {
        format!("subnet.env of machine {machine} says {env:?}, its lease is {}", lease.key)
    })?;
    let bridge = machines.links(machine).kernel().bridge_subnets();
    ensure(super::nets(&lease.key).all(|net| bridge.contains(&net)), NAME, "bridge-is-of-the-lease", || {
        format!("the bridge of machine {machine} has {bridge:?}, its lease is {}", lease.key)
    })
}

/// Whether every container of the holders of these subnets reaches every other, now.
pub fn everybody(machines: &Machines, holders: &BTreeMap<u16, SubnetKey>) -> Checked {
    let underlay = Underlay::new(machines.all_links());
    for from in holders.keys() {
        for (to, key) in holders.iter().filter(|(to, _)| *to != from) {
            super::nets(key).try_for_each(|subnet| one_way(&underlay, *from, *to, subnet))?;
        }
    }
    Ok(())
}

fn one_way(underlay: &Underlay<'_>, from: u16, to: u16, subnet: IpNet) -> Checked {
    let container = nth_address(subnet, 7).addr();
    let walk = underlay.walk(usize::from(from) - 1, container);
    let arrived = walk.end.is_ok() && walk.machines == [usize::from(from) - 1, usize::from(to) - 1];
    ensure(arrived, NAME, "every-container-reaches-every-other", || {
        let why = walk.end.as_ref().err().map(ToString::to_string);
        format!("{container} of machine {to} from machine {from}: passed {:?}; {why:?}", walk.machines)
    })
}
