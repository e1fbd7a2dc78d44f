//! The scheduler's view of the cluster, and what of it has to be looked at again.
//!
//! Every change comes in through a `set_` function, which keeps the indexes true (who is where, which pattern is where) and notes
//! in [`Dirty`] what the change may have made possible or impossible. A decision looks at nothing else, so one with nothing
//! noted costs nothing, and the cost of any other is that of the change, not that of the cluster.

use super::decision::Place;
use super::ids::{MachineIx, UnitIx};
use super::machines::{Machines, Occupant};
use super::patterns::Patterns;
use super::units::{Spot, Units};
use crate::model::{DesiredState, Job, Machine, MachineId};
use crate::unit::UnitName;
use kernel::Planted;
use std::collections::{BTreeMap, BTreeSet};

/// What has to be looked at again.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    /// Machines whose units may not fit any more.
    pub checks: BTreeSet<MachineIx>,
    /// Units whose own requirements changed: where two do not go together, these go.
    pub changed: BTreeSet<UnitIx>,
    /// Units that may be free.
    pub free: BTreeSet<UnitIx>,
    /// Free units that no machine could take when they were last looked at.
    pub stuck: BTreeSet<UnitIx>,
    /// Something went that may have been in the way of the stuck ones.
    pub retry: bool,
    /// Global units that may lack copies anywhere.
    pub globals: BTreeSet<UnitIx>,
    /// Machines that may lack copies of any global unit.
    pub fills: BTreeSet<MachineIx>,
    /// Units whose orders may have to say something else: launched or loaded.
    pub gates: BTreeSet<UnitIx>,
}

impl Dirty {
    /// Whether there is nothing to look at.
    pub fn is_clean(&self) -> bool {
        !self.retry
            && self.checks.is_empty()
            && self.free.is_empty()
            && self.globals.is_empty()
            && self.fills.is_empty()
            && self.gates.is_empty()
    }
}

/// Everything that the scheduler knows.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub planted: Planted,
    pub machines: Machines,
    pub units: Units,
    pub patterns: Patterns,
    pub dirty: Dirty,
    /// How many times a machine was looked at on its own: the measure of work that tests bound.
    pub looked: u64,
}

impl View {
    /// A machine has appeared, or is different.
    pub fn set_machine(&mut self, machine: Machine) {
        let ix = self.machines.intern(&machine.id);
        if self.machines.at(ix).machine.as_ref() == Some(&machine) {
            return;
        }
        self.machines.set(ix, Some(machine));
        self.dirty.checks.insert(ix);
        self.dirty.fills.insert(ix);
        self.dirty.retry = true;
    }

    /// A machine has gone.
    pub fn remove_machine(&mut self, id: &MachineId) {
        let Some(ix) = self.machines.find(id) else { return };
        self.machines.set(ix, None);
        self.dirty.checks.insert(ix);
        self.reclaim_machine(ix);
    }

    /// A unit is known, or is different.
    pub fn set_job(&mut self, job: Job) {
        let unit = self.intern(&job.name);
        let before = self.units.at(unit).wish.as_ref().map(|wish| &wish.job);
        let same_rules = before.is_some_and(|old| old.requirements == job.requirements);
        if same_rules && before.is_some_and(|old| old.desired == job.desired) {
            self.units.at_mut(unit).wish.as_mut().expect("it was just seen").job = job;
            return;
        }
        if same_rules {
            self.units.at_mut(unit).wish.as_mut().expect("it was just seen").job = job;
        } else {
            let is_changed = before.is_some();
            self.replace_wish(unit, Some(job));
            if is_changed {
                self.dirty.changed.insert(unit);
                self.dirty.retry = true;
            }
        }
        self.list_global(unit);
        self.note_unit(unit);
        self.wake_attached(unit);
    }

    /// A unit was destroyed.
    pub fn remove_job(&mut self, name: &UnitName) {
        let Some(unit) = self.units.find(name) else { return };
        self.replace_wish(unit, None);
        self.list_global(unit);
        self.note_unit(unit);
        self.dirty.retry = true;
        self.reclaim_unit(unit);
    }

    /// Where a non-global unit is.
    pub fn set_place(&mut self, name: &UnitName, place: &Place) {
        let spot = self.spot(place);
        if self.units.find(name).is_none() && spot == Spot::Free {
            return;
        }
        let unit = self.intern(name);
        let before = self.units.at(unit).spot;
        if before == spot {
            return;
        }
        let slot = self.units.at_mut(unit);
        slot.spot = spot;
        spot.machine().and_then(|machine| slot.copies.remove(&machine));
        if before.machine() != spot.machine() {
            slot.because = None;
        }
        self.refresh_all(unit, before.machine().into_iter().chain(spot.machine()));
        self.note_unit(unit);
        self.reclaim_unit(unit);
    }

    /// Where a global unit is.
    pub fn set_copies(&mut self, name: &UnitName, copies: &BTreeMap<MachineId, DesiredState>) {
        if self.units.find(name).is_none() && copies.is_empty() {
            return;
        }
        let unit = self.intern(name);
        let mut copies: BTreeMap<MachineIx, DesiredState> =
            copies.iter().map(|(id, state)| (self.machines.intern(id), *state)).collect();
        // A machine has one order for a unit: where it is placed, it has no copy.
        self.units.at(unit).spot.machine().and_then(|machine| copies.remove(&machine));
        if self.units.at(unit).copies == copies {
            return;
        }
        let before = std::mem::replace(&mut self.units.at_mut(unit).copies, copies.clone());
        let differ = before.iter().filter(|(machine, state)| copies.get(machine) != Some(state));
        let added = copies.keys().filter(|machine| !before.contains_key(machine));
        let touched: Vec<MachineIx> = differ.map(|(machine, _)| machine).chain(added).copied().collect();
        self.dirty.fills.extend(&touched);
        self.refresh_all(unit, touched.into_iter());
        self.note_gates(unit);
        self.note_unit_free(unit);
        self.reclaim_unit(unit);
    }

    /// A machine has stopped its copy, for which it has no order any more.
    pub fn drop_copy(&mut self, name: &UnitName, machine: &MachineId) {
        let Some((_, slot)) = self.units.named(name.as_str()) else { return };
        let all = slot.copies.iter().map(|(at, state)| (self.machines.at(*at).id.clone(), *state));
        let rest = all.filter(|(id, state)| id != machine || *state != DesiredState::Inactive).collect();
        self.set_copies(name, &rest);
    }

    /// Whether a unit is active somewhere.
    pub fn set_active(&mut self, name: &UnitName, active: bool) {
        if self.units.find(name).is_none() && !active {
            return;
        }
        let unit = self.intern(name);
        if self.units.at(unit).active != active {
            self.units.at_mut(unit).active = active;
            self.note_gates(unit);
        }
        self.reclaim_unit(unit);
    }

    /// Whether a unit is a oneshot that has run.
    pub fn set_done(&mut self, name: &UnitName, done: bool) {
        if self.units.find(name).is_none() && !done {
            return;
        }
        let unit = self.intern(name);
        if self.units.at(unit).done != done {
            let machines = self.units.at(unit).machines();
            machines.iter().for_each(|machine| self.vacate(unit, *machine));
            self.units.at_mut(unit).done = done;
            machines.iter().for_each(|machine| self.refresh(unit, *machine));
            self.dirty.fills.extend(machines);
            self.dirty.retry |= done;
            self.note_unit_free(unit);
            self.note_gates(unit);
        }
        self.reclaim_unit(unit);
    }

    fn spot(&mut self, place: &Place) -> Spot {
        match place {
            Place::Free => Spot::Free,
            Place::On { machine, state } => Spot::On(self.machines.intern(machine), *state),
            Place::Leaving(machine) => Spot::Leaving(self.machines.intern(machine)),
            Place::Held { machine, policy } => Spot::Held(self.machines.intern(machine), *policy),
        }
    }

    fn intern(&mut self, name: &UnitName) -> UnitIx {
        if let Some(unit) = self.units.find(name) {
            return unit;
        }
        let matched_by = self.patterns.matching(name.as_str());
        let unit = self.units.insert(name.clone(), matched_by.clone());
        for pattern in matched_by {
            self.patterns.at_mut(pattern).units.insert(unit);
        }
        unit
    }

    /// Forgets a unit of which nothing is left to know.
    fn reclaim_unit(&mut self, unit: UnitIx) {
        let slot = self.units.at(unit);
        if slot.wish.is_some() || slot.spot != Spot::Free || !slot.copies.is_empty() {
            return;
        }
        if slot.active || slot.done {
            return;
        }
        for pattern in self.units.remove(unit) {
            self.patterns.at_mut(pattern).units.remove(&unit);
        }
        let Dirty { changed, free, stuck, globals, gates, .. } = &mut self.dirty;
        for set in [changed, free, stuck, globals, gates] {
            set.remove(&unit);
        }
    }

    fn reclaim_machine(&mut self, machine: MachineIx) {
        let slot = self.machines.at(machine);
        if slot.machine.is_none() && slot.occupants.is_empty() {
            self.machines.reclaim(machine);
            self.dirty.checks.remove(&machine);
            self.dirty.fills.remove(&machine);
        }
    }

    fn refresh_all(&mut self, unit: UnitIx, machines: impl Iterator<Item = MachineIx>) {
        for machine in machines.collect::<BTreeSet<_>>() {
            self.refresh(unit, machine);
            self.dirty.checks.insert(machine);
            self.reclaim_machine(machine);
        }
    }

    /// Makes the machine's occupants agree with where the unit says that it is.
    pub fn refresh(&mut self, unit: UnitIx, machine: MachineIx) {
        let stays = self.units.at(unit).stays_on(machine);
        let there = self.machines.at(machine).occupants.get(&unit).map(|occupant| occupant.stays);
        if stays == there {
            return;
        }
        if there.is_some() {
            self.vacate(unit, machine);
        }
        if let Some(stays) = stays {
            self.occupy(unit, machine, stays);
        }
        if there.is_some() && stays.is_none() {
            self.dirty.retry = true;
            self.dirty.fills.insert(machine);
        }
        if stays == Some(true) {
            self.wake_attached(unit);
        } else if there == Some(true) {
            if self.has_followers(unit) {
                // Those that are there are alone now; those that are free may be placed with another.
                self.dirty.checks.insert(machine);
                self.dirty.retry = true;
            }
            self.dirty.retry |=
                self.units.at(unit).wish.as_ref().is_some_and(|wish| !wish.replaces.is_empty());
        }
    }

    fn occupy(&mut self, unit: UnitIx, machine: MachineIx, stays: bool) {
        let slot = self.units.at(unit);
        let before =
            self.machines.set_occupant(machine, unit, Some(Occupant { stays, demand: slot.demand() }));
        assert!(before.is_none(), "{} is on a machine once", slot.name);
        for pattern in &slot.matched_by {
            let pattern = self.patterns.at_mut(*pattern);
            pattern.here.add(machine.0);
            if stays {
                pattern.staying.add(machine.0);
            }
        }
        let Some(wish) = &slot.wish else { return };
        for pattern in &wish.conflicts {
            self.patterns.at_mut(*pattern).conflicting.add(machine.0);
        }
        for pattern in wish.replaces.iter().filter(|_| stays) {
            self.patterns.at_mut(*pattern).replacing.add(machine.0);
        }
    }

    pub fn vacate(&mut self, unit: UnitIx, machine: MachineIx) {
        let Some(before) = self.machines.set_occupant(machine, unit, None) else { return };
        let slot = self.units.at(unit);
        for pattern in &slot.matched_by {
            let pattern = self.patterns.at_mut(*pattern);
            pattern.here.remove(machine.0);
            if before.stays {
                pattern.staying.remove(machine.0);
            }
        }
        let Some(wish) = &slot.wish else { return };
        for pattern in &wish.conflicts {
            self.patterns.at_mut(*pattern).conflicting.remove(machine.0);
        }
        for pattern in wish.replaces.iter().filter(|_| before.stays) {
            self.patterns.at_mut(*pattern).replacing.remove(machine.0);
        }
    }

    /// Notes that everything about a unit has to be looked at again.
    fn note_unit(&mut self, unit: UnitIx) {
        self.dirty.checks.extend(self.units.at(unit).machines());
        self.note_unit_free(unit);
        self.note_gates(unit);
    }

    fn note_unit_free(&mut self, unit: UnitIx) {
        if self.units.at(unit).is_free() {
            self.dirty.free.insert(unit);
            self.wake_attached(unit);
        } else {
            self.dirty.stuck.remove(&unit);
        }
        if self.units.at(unit).is_wanted_global() {
            self.dirty.globals.insert(unit);
        }
    }

    /// Notes that the orders of a unit, and of all that wait for it, have to be looked at again.
    pub fn note_gates(&mut self, unit: UnitIx) {
        let mut rest = vec![unit];
        while let Some(unit) = rest.pop() {
            if self.dirty.gates.insert(unit) {
                let dependents = self.units.dependents.get(self.units.at(unit).name.as_str());
                rest.extend(dependents.into_iter().flatten());
            }
        }
    }

    /// Has the free units that must be beside this one, or may take its place, looked at again.
    fn wake_attached(&mut self, unit: UnitIx) {
        for pattern in &self.units.at(unit).matched_by {
            let pattern = self.patterns.at(*pattern);
            for attached in pattern.followers.union(&pattern.replacers) {
                if self.dirty.stuck.remove(attached) {
                    self.dirty.free.insert(*attached);
                }
            }
        }
    }

    fn has_followers(&self, unit: UnitIx) -> bool {
        let mut patterns = self.units.at(unit).matched_by.iter();
        patterns.any(|pattern| !self.patterns.at(*pattern).followers.is_empty())
    }

    fn list_global(&mut self, unit: UnitIx) {
        if self.units.at(unit).is_wanted_global() {
            self.units.globals.insert(unit);
        } else {
            self.units.globals.remove(&unit);
        }
    }
}
