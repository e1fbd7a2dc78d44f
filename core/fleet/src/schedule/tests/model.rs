//! The slow, obvious model: what is true in the registry, and each rule as one loop over it.

use super::world::name;
use crate::model::{Admission, DesiredState, Job, Machine, MachineId, Resources};
use crate::schedule::{Decision, Place, Scheduler};
use crate::unit::{UnitName, glob};
use std::collections::{BTreeMap, BTreeSet};

/// What the registry says, and what machines report.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub machines: BTreeMap<MachineId, Machine>,
    pub jobs: BTreeMap<UnitName, Job>,
    pub places: BTreeMap<UnitName, Place>,
    pub copies: BTreeMap<UnitName, BTreeMap<MachineId, DesiredState>>,
    pub active: BTreeSet<UnitName>,
    pub done: BTreeSet<UnitName>,
}

impl Truth {
    /// A new scheduler that is told everything, in an order that the seed chooses.
    pub fn tell(&self, seed: usize) -> Scheduler {
        let mut scheduler = Scheduler::new();
        for step in 0..4 {
            match (step + seed) % 4 {
                0 => self.machines.values().for_each(|machine| scheduler.set_machine(machine.clone())),
                1 => self.jobs.values().for_each(|job| scheduler.set_job(job.clone())),
                2 => {
                    self.places.iter().for_each(|(unit, place)| scheduler.set_place(unit, place.clone()));
                    self.copies.iter().for_each(|(unit, copies)| scheduler.set_copies(unit, copies.clone()));
                }
                _ => {
                    self.active.iter().for_each(|unit| scheduler.set_active(unit, true));
                    self.done.iter().for_each(|unit| scheduler.set_done(unit, true));
                }
            }
        }
        scheduler
    }

    /// Carries a decision out; panics if it makes no sense.
    pub fn apply(&mut self, decision: &Decision) {
        let (unit, machine) = (decision.unit().clone(), decision.machine().clone());
        let has_copy = self.copies.get(&unit).is_some_and(|copies| copies.contains_key(&machine));
        match decision {
            Decision::Assign { state, .. } => {
                assert!(self.machines.contains_key(&machine), "{decision}: no such machine");
                assert!(!self.is_on(&unit, &machine), "{decision}: it is there");
                if self.jobs[&unit].requirements.global {
                    self.copies.entry(unit).or_default().insert(machine, *state);
                } else {
                    let before = self.places.insert(unit, Place::On { machine, state: *state });
                    assert!(before.is_none(), "{decision}: it was not free: {before:?}");
                }
            }
            Decision::Unassign { .. } => {
                assert!(self.is_on(&unit, &machine), "{decision}: it is not there");
                if self.places.get(&unit).and_then(Place::machine) == Some(&machine) {
                    self.places.insert(unit.clone(), Place::Leaving(machine.clone()));
                }
                if has_copy {
                    self.copies.entry(unit).or_default().insert(machine, DesiredState::Inactive);
                }
            }
            Decision::SetState { state, .. } if !matches!(self.places.get(&unit), Some(Place::On { .. })) => {
                assert!(has_copy, "{decision}: it has no order");
                self.copies.entry(unit).or_default().insert(machine, *state);
            }
            Decision::SetState { state, .. } => {
                self.places.insert(unit, Place::On { machine, state: *state });
            }
        }
    }

    /// Everything that leaves has left.
    pub fn leave(&mut self, unit: &UnitName) {
        if matches!(self.places.get(unit), Some(Place::Leaving(_))) {
            self.places.remove(unit);
        }
        if let Some(copies) = self.copies.get_mut(unit) {
            copies.retain(|_, state| *state != DesiredState::Inactive);
        }
    }

    /// Units with orders on a machine; with `all`, those that leave it or are held there too.
    pub fn on(&self, machine: &MachineId, all: bool) -> BTreeSet<UnitName> {
        let placed = self.places.iter().filter(|(_, place)| match place {
            Place::On { machine: at, .. } => at == machine,
            _ => all && place.machine() == Some(machine),
        });
        let copies = self.copies.iter().filter(|(_, copies)| {
            copies.get(machine).is_some_and(|state| all || *state != DesiredState::Inactive)
        });
        placed.map(|(unit, _)| unit.clone()).chain(copies.map(|(unit, _)| unit.clone())).collect()
    }

    fn is_on(&self, unit: &UnitName, machine: &MachineId) -> bool {
        self.on(machine, true).contains(unit)
    }

    pub fn orders(&self, unit: &UnitName) -> Vec<(MachineId, DesiredState)> {
        let placed = match self.places.get(unit) {
            Some(Place::On { machine, state }) => Some((machine.clone(), *state)),
            _ => None,
        };
        let copies =
            self.copies.get(unit).into_iter().flatten().map(|(machine, state)| (machine.clone(), *state));
        let at = placed.as_ref().map(|(machine, _)| machine.clone());
        let others = copies
            .filter(|(machine, state)| *state != DesiredState::Inactive && Some(machine) != at.as_ref());
        placed.into_iter().chain(others).collect()
    }

    fn wants(&self, unit: &UnitName) -> Option<&Job> {
        self.jobs.get(unit).filter(|job| job.desired != DesiredState::Inactive)
    }

    pub fn demand(&self, unit: &UnitName) -> Resources {
        let known = self.jobs.get(unit).filter(|_| !self.done.contains(unit));
        known.map(|job| job.requirements.resources).unwrap_or_default()
    }

    pub fn conflict(&self, one: &UnitName, other: &UnitName) -> bool {
        let says = |a: &UnitName, b: &UnitName| {
            self.jobs.get(a).is_some_and(|job| any_matches(&job.requirements.conflicts, b))
        };
        one != other && (says(one, other) || says(other, one))
    }

    fn names(&self, one: &UnitName, other: &UnitName) -> bool {
        self.jobs.get(one).is_some_and(|job| any_matches(&job.requirements.replaces, other))
    }

    pub fn replaces(&self, one: &UnitName, other: &UnitName) -> bool {
        let mut reached = BTreeSet::from([other.clone()]);
        loop {
            let all = self.jobs.keys().chain(self.places.keys());
            let next: BTreeSet<UnitName> =
                all.filter(|to| reached.iter().any(|from| self.names(from, to))).cloned().collect();
            if next.is_subset(&reached) {
                break;
            }
            reached.extend(next);
        }
        let global = |unit| self.jobs.get(unit).is_some_and(|job| job.requirements.global);
        one != other && self.names(one, other) && !reached.contains(one) && !global(one) && !global(other)
    }

    /// Whether the machine itself suits the unit.
    pub fn suits(&self, unit: &UnitName, machine: &Machine) -> bool {
        let requirements = &self.jobs[unit].requirements;
        requirements.fits_id(machine.id.as_str())
            && requirements.metadata.iter().all(|term| term.holds(&machine.metadata))
    }

    pub fn has_company(&self, unit: &UnitName, machine: &MachineId) -> bool {
        let there = self.on(machine, false);
        let patterns = &self.jobs[unit].requirements.machine_of;
        patterns.iter().all(|text| {
            there.iter().any(|other| other != unit && any_matches(std::slice::from_ref(text), other))
        })
    }

    /// Whether company is left when what the unit replaces has gone.
    fn keeps_company(&self, unit: &UnitName, machine: &MachineId) -> bool {
        let there = self.on(machine, false);
        let left: Vec<&UnitName> =
            there.iter().filter(|other| *other != unit && !self.replaces(unit, other)).collect();
        let patterns = &self.jobs[unit].requirements.machine_of;
        patterns.iter().all(|text| left.iter().any(|other| any_matches(std::slice::from_ref(text), other)))
    }

    /// Whether what is on a machine, and this besides, has room there, as far as the resources that it asks for go.
    pub fn has_room(&self, unit: &UnitName, machine: &Machine, there: &BTreeSet<UnitName>) -> bool {
        let demand = self.demand(unit);
        let sum = |of: fn(Resources) -> u64| {
            of(demand)
                + there.iter().filter(|other| *other != unit).map(|other| of(self.demand(other))).sum::<u64>()
        };
        (demand.cpu_millis == 0 || sum(|r| r.cpu_millis) <= machine.capacity.cpu_millis)
            && (demand.memory_bytes == 0 || sum(|r| r.memory_bytes) <= machine.capacity.memory_bytes)
    }

    /// Whether a free unit could go to a machine, all others staying where they are.
    pub fn could_go(&self, unit: &UnitName, machine: &Machine) -> bool {
        let all = self.on(&machine.id, true);
        let staying = self.on(&machine.id, false);
        machine.admission == Admission::Open
            && !all.contains(unit)
            && self.suits(unit, machine)
            && self.has_company(unit, &machine.id)
            && self.keeps_company(unit, &machine.id)
            && !all.iter().any(|other| self.conflict(unit, other))
            && !staying.iter().any(|other| self.replaces(other, unit))
            && self.has_room(unit, machine, &all)
    }

    /// What is wrong with the units that stay on present machines.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, machine) in &self.machines {
            let there = self.on(id, false);
            for unit in &there {
                let Some(job) = self.wants(unit) else {
                    wrong.push(format!("{unit} on {id} is not wanted"));
                    continue;
                };
                let draining = machine.admission == Admission::Drain && !job.requirements.global;
                if draining || !self.suits(unit, machine) || !self.has_company(unit, id) {
                    wrong.push(format!("{unit} does not belong on {id}"));
                }
                for other in
                    there.iter().filter(|other| self.conflict(unit, other) || self.replaces(other, unit))
                {
                    wrong.push(format!("{unit} and {other} are both on {id}"));
                }
            }
        }
        wrong
    }

    /// Units that are free and could go somewhere.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for unit in self.jobs.keys().filter(|unit| self.wants(unit).is_some()) {
            let has_copies = self.copies.get(unit).is_some_and(|copies| !copies.is_empty());
            let free = !self.places.contains_key(unit) && !has_copies && !self.done.contains(unit);
            let global = self.jobs[unit].requirements.global;
            for machine in self.machines.values().filter(|_| free || global) {
                if self.could_go(unit, machine) {
                    missed.push(format!("{unit} could go to {}", machine.id));
                }
            }
        }
        missed
    }

    /// The units that shall be launched and may be, given those that are.
    pub fn may_be_launched(&self) -> BTreeSet<UnitName> {
        let launched =
            |unit: &UnitName| self.jobs.get(unit).is_some_and(|job| job.desired == DesiredState::Launched);
        let runs =
            |unit: &UnitName| self.orders(unit).iter().any(|(_, state)| *state == DesiredState::Launched);
        let is_up = |unit: &UnitName| {
            self.done.contains(unit)
                || runs(unit)
                || matches!(self.places.get(unit), Some(Place::Held { .. }))
        };
        let mut supported: BTreeSet<UnitName> =
            self.jobs.keys().filter(|unit| launched(unit)).cloned().collect();
        self.prune(&mut supported, |_| false);
        let awaits = |unit: &UnitName| {
            let after = self.jobs[unit].requirements.after.iter().map(|text| name(text));
            after
                .into_iter()
                .any(|on| launched(&on) && !self.active.contains(&on) && !self.done.contains(&on))
        };
        let mut may = supported.clone();
        may.retain(|unit| is_up(unit) || !self.orders(unit).is_empty() && !awaits(unit));
        self.prune(&mut may, is_up);
        // Others may count on a unit that is done; its own orders wait their turn all the same.
        let all = may.clone();
        let may_too =
            |unit: &UnitName| self.jobs[unit].requirements.requires.iter().all(|on| all.contains(&name(on)));
        may.retain(|unit| supported.contains(unit) && !awaits(unit) && may_too(unit));
        may
    }

    /// Takes out those that require something outside, again and again, but for the exempt ones.
    fn prune(&self, set: &mut BTreeSet<UnitName>, exempt: impl Fn(&UnitName) -> bool) {
        loop {
            let before = set.len();
            let all = set.clone();
            set.retain(|unit| {
                exempt(unit) || self.jobs[unit].requirements.requires.iter().all(|on| all.contains(&name(on)))
            });
            if set.len() == before {
                return;
            }
        }
    }
}

fn any_matches(patterns: &[String], unit: &UnitName) -> bool {
    patterns.iter().any(|pattern| pattern == unit.as_str() || glob::matches(pattern, unit.as_str()))
}
