//! No two machines hold one subnet, at any moment.
//!
//! Verifies: whenever the onlooker looks (every [`OFTEN`], and never at a daemon that is held still or has just gone on), no two
//! running daemons believe to hold one subnet while their devices carry it. Also notes every subnet that each machine held. Does not
//! verify what happens between two looks, what a machine does shortly after somebody took its lease away by hand (nothing warns it), nor what devices do whose daemon has died: they stay, as flannel's do.

use crate::checkers::{Checked, Failure};
use crate::flannel::machines::Machines;
use crate::flannel::plan::MishapKind;
use flannel::subnet::SubnetKey;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How often the onlooker looks.
pub const OFTEN: Duration = Duration::from_millis(100);

/// How long a lease that is deleted by hand may still be believed in: the deed is tried for a while, and kernels may be slow.
const ROBBED: Duration = Duration::from_secs(12);

/// What the onlooker has seen; clones share it.
#[derive(Clone, Default)]
pub struct Onlooker(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    failure: Option<Failure>,
    /// All that each machine believed to hold, in the order in which it began.
    held: BTreeMap<u16, Vec<SubnetKey>>,
    /// When each machine was last seen to believe in a lease: by subnet, and the store's lease it hangs on.
    beliefs: BTreeMap<Belief, Duration>,
}

/// A machine, the subnet it believes to hold, and the store's lease by which.
pub type Belief = (u16, SubnetKey, i64);

impl Onlooker {
    /// Looks from now on.
    pub fn begin(&self, machines: &Machines) {
        let (onlooker, machines) = (self.clone(), machines.clone());
        let end = Duration::from_millis(machines.plan().store.end_ms);
        machines.world().clone().after(OFTEN, move |world| {
            onlooker.look(&machines);
            if world.now() < end {
                onlooker.begin(&machines);
            }
        });
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder panics")
    }

    fn look(&self, machines: &Machines) {
        let mut holders: BTreeMap<SubnetKey, u16> = BTreeMap::new();
        let mut seen = self.seen();
        for machine in machines.plan().all_machines() {
            let Some((subnet, lease)) = machines.believes(machine) else { continue };
            seen.beliefs.insert((machine, subnet, lease), machines.world().now());
            let held = seen.held.entry(machine).or_default();
            if held.last() != Some(&subnet) {
                held.push(subnet);
            }
            if was_robbed(machines, machine, machines.world().now()) || !carries(machines, machine, &subnet) {
                continue;
            }
            if let Some(other) = holders.insert(subnet, machine) {
                let at = machines.world().now();
                let text = format!("at {at:?} machines {other} and {machine} both hold {subnet}");
                let failure = Failure { checker: "flannel-exclusive", invariant: "one-holder", text };
                seen.failure.get_or_insert(failure);
            }
        }
    }

    /// The first thing that was wrong.
    pub fn verdict(&self) -> Checked {
        self.seen().failure.clone().map_or(Ok(()), Err)
    }

    /// When each belief was last seen.
    pub fn beliefs(&self) -> BTreeMap<Belief, Duration> {
        self.seen().beliefs.clone()
    }

    /// All that a machine believed to hold, in the order in which it began.
    pub fn held(&self, machine: u16) -> Vec<SubnetKey> {
        self.seen().held.get(&machine).cloned().unwrap_or_default()
    }
}

/// Whether somebody has, at `now`, just taken the machine's lease away by hand: others may have the subnet before it can know.
pub(super) fn was_robbed(machines: &Machines, machine: u16, now: Duration) -> bool {
    let mut mishaps = machines.plan().mishaps.iter();
    mishaps.any(|mishap| {
        let at = Duration::from_millis(mishap.at_ms);
        let by_hand = matches!(mishap.kind, MishapKind::Revoke | MishapKind::DeleteKey);
        by_hand && mishap.machines.contains(&machine) && at <= now && now <= at + ROBBED
    })
}

/// Whether a device of flannel's is up with an address of the subnet; without any device the belief alone counts.
fn carries(machines: &Machines, machine: u16, subnet: &SubnetKey) -> bool {
    let kernel = machines.links(machine).kernel();
    let devices: BTreeSet<&str> = kernel
        .links()
        .filter(|link| link.name.starts_with("flannel"))
        .map(|link| link.name.as_str())
        .collect();
    let up = |name: &&&str| kernel.link(name).is_some_and(|link| link.up);
    let inside = |net: IpNet| subnet.contains(net.addr());
    devices.is_empty()
        || devices.iter().filter(up).any(|name| kernel.addresses_of(name).any(|address| inside(address.net)))
}
