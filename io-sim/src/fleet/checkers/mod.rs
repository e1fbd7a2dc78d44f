//! What must hold of a fleet, one file each. Each file opens with what it verifies and what it does not.
//!
//! They believe what an onlooker saw (which processes ran where and when), what the operator was told, and the registry at the
//! end; never what fleet thinks of itself. Constraints are judged from the plan's data, not by fleet's scheduler.

pub mod copies;
pub mod effects;
pub mod placement;
pub mod quiet;
pub mod reports;
#[cfg(test)]
mod tests;
pub mod wishes;

use super::mischief::Trouble;
use super::operator::Done;
use super::plan::{FleetPlan, MishapKind, UnitSpec, machine_id, unit_name};
use crate::systemd::Run;
use fleet::model::{MachineId, SystemdState};
use fleet::registry::Snapshot;
use fleet::unit::{UnitHash, UnitName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that was seen of one run.
pub struct Seen {
    /// The plan.
    pub plan: FleetPlan,
    /// Every text of every unit.
    pub specs: BTreeMap<UnitHash, UnitSpec>,
    /// The registry at the end.
    pub registry: Snapshot,
    /// Every process, by machine.
    pub runs: BTreeMap<u16, Vec<Run>>,
    /// What each machine's systemd says of each unit of the plan at the end.
    pub states: BTreeMap<(u16, u16), SystemdState>,
    /// What was wrong with machines.
    pub troubles: Vec<Trouble>,
    /// When something was wrong with the store: from, until.
    pub store_troubles: Vec<(Duration, Duration)>,
    /// What the operator did.
    pub done: Vec<Done>,
    /// World times at which the store's log grew.
    pub writes: Vec<Duration>,
    /// When all was healed for long enough.
    pub settled: Duration,
    /// When the run ended.
    pub end: Duration,
    /// Filled by [`Seen::indexed`].
    pub index: Index,
}

/// The same, by unit and by machine.
#[derive(Default)]
pub struct Index {
    units: BTreeSet<u16>,
    ordered: BTreeMap<u16, Vec<u16>>,
    ordered_on: BTreeMap<u16, Vec<u16>>,
    running: BTreeMap<u16, Vec<(u16, UnitHash)>>,
    running_on: BTreeMap<u16, Vec<(u16, UnitHash)>>,
}

impl Seen {
    /// The text of a unit in the registry.
    pub fn spec(&self, hash: UnitHash) -> Option<&UnitSpec> {
        self.specs.get(&hash)
    }

    /// What the registry wants of a unit of the plan, if it knows it: its text and the state wanted.
    pub fn wanted(&self, unit: u16) -> Option<(&UnitSpec, fleet::model::DesiredState)> {
        let job = self.registry.jobs.get(&unit_name(unit))?;
        Some((self.spec(job.hash?)?, job.desired))
    }

    /// The units of the plan, by number.
    pub fn units(&self) -> Vec<u16> {
        self.index.units.iter().copied().collect()
    }

    /// The machines that have an order for a unit.
    pub fn ordered(&self, unit: u16) -> &[u16] {
        self.index.ordered.get(&unit).map_or(&[], Vec::as_slice)
    }

    /// The units for which a machine has an order.
    pub fn ordered_on(&self, machine: u16) -> &[u16] {
        self.index.ordered_on.get(&machine).map_or(&[], Vec::as_slice)
    }

    /// The machines on which a process of the unit exists at the end, with its text.
    pub fn running(&self, unit: u16) -> &[(u16, UnitHash)] {
        self.index.running.get(&unit).map_or(&[], Vec::as_slice)
    }

    /// The units that have a process on a machine at the end, with their texts.
    pub fn running_on(&self, machine: u16) -> &[(u16, UnitHash)] {
        self.index.running_on.get(&machine).map_or(&[], Vec::as_slice)
    }

    /// Makes what is asked often quick to find. Once, when everything else is there.
    pub fn indexed(mut self) -> Seen {
        let mut index =
            Index { units: self.specs.values().map(|spec| spec.unit).collect(), ..Index::default() };
        let machines: BTreeMap<MachineId, u16> =
            self.plan.all_machines().map(|machine| (machine_id(machine), machine)).collect();
        let units: BTreeMap<UnitName, u16> =
            index.units.iter().map(|unit| (unit_name(*unit), *unit)).collect();
        for (name, machine) in self.registry.orders.keys() {
            if let (Some(unit), Some(machine)) = (units.get(name), machines.get(machine)) {
                index.ordered.entry(*unit).or_default().push(*machine);
                index.ordered_on.entry(*machine).or_default().push(*unit);
            }
        }
        for (machine, runs) in &self.runs {
            for run in runs.iter().filter(|run| run.is_at(self.end)) {
                let unit = self.specs.get(&run.hash).map(|spec| spec.unit);
                let unit = unit.expect("a process has a text of the plan");
                index.running.entry(unit).or_default().push((*machine, run.hash));
                index.running_on.entry(*machine).or_default().push((unit, run.hash));
            }
        }
        self.index = index;
        self
    }

    /// Whether one of these kinds was wrong with a machine at any time between `from` and `until`.
    pub fn was_wrong(
        &self,
        machine: u16,
        from: Duration,
        until: Duration,
        kinds: impl Fn(MishapKind) -> bool,
    ) -> bool {
        let mut troubles = self.troubles.iter().filter(|trouble| trouble.machine == machine);
        troubles.any(|trouble| {
            trouble.from <= until && trouble.until.is_none_or(|end| end >= from) && kinds(trouble.kind)
        })
    }

    /// Whether anything was wrong with the store between `from` and `until`.
    pub fn store_was_wrong(&self, from: Duration, until: Duration) -> bool {
        self.store_troubles.iter().any(|(begin, end)| *begin <= until && *end >= from)
    }
}
