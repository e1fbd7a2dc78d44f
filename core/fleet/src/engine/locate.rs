//! Where a unit is, read off the registry, and what has to be put in order about it whatever the scheduler decides.
//!
//! The rules are those of docs/decisions/0006-fleet.md: a report blocks; a target without a report and without an order is
//! free if its machine is there (it never claimed the unit), and subject to the unit's partition policy if it is away.

use crate::model::{DesiredState, MachineId};
use crate::registry::{JobRecord, Seen, Snapshot, Step};
use crate::schedule::Place;
use crate::unit::{PartitionPolicy, UnitName};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the engine waits, with the policy `stop`, beyond the unit's grace: for SIGKILL to be sent and to work, and for
/// clocks that differ. The decision page has the sum.
pub const STOP_SLACK: Duration = Duration::from_secs(1);

/// What is known of a unit beyond the registry.
pub(super) struct Rules {
    /// Whether it has a copy on each machine. None: it is destroyed, and nothing is known of it.
    pub global: Option<bool>,
    /// What holds when its machine is cut off.
    pub policy: PartitionPolicy,
    /// Its grace, for the policy `stop`.
    pub grace: Duration,
    /// A planted bug: reports do not block.
    pub hasty: bool,
}

/// Where a unit is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spot {
    One(Place),
    Copies(BTreeMap<MachineId, DesiredState>),
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub spot: Spot,
    /// Steps that are right whatever else is decided.
    pub chores: Vec<Step>,
    /// When to look again: a machine that is cut off may be given up then.
    pub look: Option<Duration>,
}

/// Which machines are away, and since when (by this engine's clock, as far as it knows).
pub(super) type Lost = BTreeMap<MachineId, Duration>;

pub(super) fn locate(view: &Snapshot, unit: &UnitName, rules: &Rules, lost: &Lost, now: Duration) -> Located {
    let nothing = JobRecord::default();
    let job = view.jobs.get(unit).unwrap_or(&nothing);
    let seen = Sight { view, unit, job, rules, lost, now };
    match rules.global {
        Some(true) => seen.copies(),
        _ => seen.one(),
    }
}

struct Sight<'a> {
    view: &'a Snapshot,
    unit: &'a UnitName,
    job: &'a JobRecord,
    rules: &'a Rules,
    lost: &'a Lost,
    now: Duration,
}

impl Sight<'_> {
    fn is_away(&self, machine: &MachineId) -> bool {
        self.view.machines.get(machine).is_none_or(|record| record.presence.is_none())
    }

    /// Whether its fleetd was stopped in good order and is waited for.
    fn is_leaving(&self, machine: &MachineId) -> bool {
        let presence = self.view.machines.get(machine).and_then(|record| record.presence.as_ref());
        presence.is_some_and(|presence| presence.leaving)
    }

    fn is_gone(&self, machine: &MachineId) -> bool {
        self.view.machines.get(machine).is_some_and(|record| record.gone)
    }

    fn unassign(&self, machine: &MachineId, order_revision: i64) -> Step {
        Step::Unassign { unit: self.unit.clone(), machine: machine.clone(), order_revision }
    }

    fn copies(&self) -> Located {
        let mut copies = BTreeMap::new();
        let mut chores = Vec::new();
        if let Some(target) = &self.job.target {
            chores.push(Step::DropTarget { unit: self.unit.clone(), target_revision: target.revision });
        }
        for (machine, _) in self.view.reports_of(self.unit).filter(|(machine, _)| !self.is_away(machine)) {
            copies.insert(machine.clone(), DesiredState::Inactive);
        }
        for (machine, order) in self.view.orders_of(self.unit) {
            if !self.is_away(machine) {
                copies.insert(machine.clone(), order.value.state);
            } else if self.is_gone(machine) || self.job.desired == DesiredState::Inactive {
                // Otherwise the order stays: a machine that comes back goes on running its copy.
                chores.push(self.unassign(machine, order.revision));
            }
        }
        Located { spot: Spot::Copies(copies), chores, look: None }
    }

    fn one(&self) -> Located {
        let target = self.job.target.as_ref().map(|target| &target.value);
        let is_destroyed = self.job.hash.is_none();
        let is_stray =
            |machine: &MachineId| Some(machine) != target || (is_destroyed && !self.is_away(machine));
        let strays = self.view.orders_of(self.unit).filter(|(machine, _)| is_stray(machine));
        let chores: Vec<Step> =
            strays.map(|(machine, order)| self.unassign(machine, order.revision)).collect();
        let mut located = match &self.job.target {
            None => self.unplaced(),
            Some(target) if self.is_away(&target.value) => self.cut_off(target),
            Some(target) => self.placed(target, is_destroyed),
        };
        located.chores.extend(chores);
        located
    }

    fn unplaced(&self) -> Located {
        let reports = self.view.reports_of(self.unit).map(|(machine, _)| machine);
        let reports = reports.filter(|_| !self.rules.hasty);
        let orders = self.view.orders_of(self.unit).map(|(machine, _)| machine);
        let place =
            reports.chain(orders).next().map_or(Place::Free, |machine| Place::Leaving(machine.clone()));
        Located { spot: Spot::One(place), chores: Vec::new(), look: None }
    }

    fn placed(&self, target: &Seen<MachineId>, is_destroyed: bool) -> Located {
        let machine = target.value.clone();
        let order = self.view.orders.get(&(self.unit.clone(), machine.clone()));
        let unreported = self.rules.hasty || self.view.reports_of(self.unit).next().is_none();
        let mut chores = Vec::new();
        let place = match order {
            // Ordered when it was about to leave, and not claimed: nobody is there who would.
            Some(order) if !is_destroyed && unreported && self.is_leaving(&machine) => {
                let (unit, order_revision) = (self.unit.clone(), order.revision);
                chores.push(Step::TakeBack { unit, machine: machine.clone(), order_revision });
                Place::Leaving(machine)
            }
            Some(order) if !is_destroyed => Place::On { machine, state: order.value.state },
            None if unreported => {
                chores.push(self.free(target, false));
                Place::Leaving(machine)
            }
            _ => Place::Leaving(machine),
        };
        Located { spot: Spot::One(place), chores, look: None }
    }

    /// The target is away. As long as there are reports their leases run: nothing is lost yet.
    fn cut_off(&self, target: &Seen<MachineId>) -> Located {
        let machine = target.value.clone();
        let since = self.lost.get(&machine).copied().unwrap_or(self.now);
        let due = match self.rules.policy {
            _ if self.is_gone(&machine) => Some(self.now),
            PartitionPolicy::Keep => Some(self.now),
            PartitionPolicy::Stop => Some(since + self.rules.grace + STOP_SLACK),
            PartitionPolicy::Hold => None,
        };
        let place = Place::Held { machine, policy: self.rules.policy };
        let mut located = Located { spot: Spot::One(place), chores: Vec::new(), look: None };
        if self.view.reports_of(self.unit).next().is_some() {
            return located;
        }
        match due {
            Some(due) if due <= self.now => located.chores.push(self.free(target, true)),
            due => located.look = due,
        }
        located
    }

    fn free(&self, target: &Seen<MachineId>, lost: bool) -> Step {
        let (unit, machine) = (self.unit.clone(), target.value.clone());
        Step::Free { unit, machine, target_revision: target.revision, lost }
    }
}
