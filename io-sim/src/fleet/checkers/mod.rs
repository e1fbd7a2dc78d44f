//! What must hold of a fleet, one file each. Each file opens with what it verifies and what it does not.
//!
//! They believe what an onlooker saw (which processes ran where and when), what the operator was told, and the registry at the
//! end; never what fleet thinks of itself. Constraints are judged from the plan's data, not by fleet's scheduler.

pub mod copies;
pub mod effects;
pub mod placement;
pub mod quiet;
#[cfg(test)]
mod tests;
pub mod wishes;

use super::mischief::Trouble;
use super::operator::Done;
use super::plan::{FleetPlan, MishapKind, UnitSpec, machine_id, unit_name};
use crate::systemd::Run;
use fleet::model::MachineId;
use fleet::registry::Snapshot;
use fleet::unit::UnitHash;
use std::collections::BTreeMap;
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
        let mut units: Vec<u16> = self.specs.values().map(|spec| spec.unit).collect();
        units.sort_unstable();
        units.dedup();
        units
    }

    /// The machines that have an order for a unit.
    pub fn ordered(&self, unit: u16) -> Vec<u16> {
        let name = unit_name(unit);
        let machines: Vec<&MachineId> = self.registry.orders_of(&name).map(|(machine, _)| machine).collect();
        self.plan.all_machines().filter(|machine| machines.contains(&&machine_id(*machine))).collect()
    }

    /// The machines on which a process of the unit exists at the end, with its text.
    pub fn running(&self, unit: u16) -> Vec<(u16, UnitHash)> {
        let name = unit_name(unit);
        let mut found = Vec::new();
        for (machine, runs) in &self.runs {
            let now = runs.iter().filter(|run| run.unit == name.as_str() && run.is_at(self.end));
            found.extend(now.map(|run| (*machine, run.hash)));
        }
        found
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
