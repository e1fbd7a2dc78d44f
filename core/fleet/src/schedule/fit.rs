//! Whether a machine can take a unit: once for a single machine, with the reason if not, and once for all machines at a time.
//!
//! The two must agree; a property in the tests holds them to it. `MachineOf` and room are left out of the second, because
//! they are asked for a group of units at a time.

use super::bits::Bits;
use super::ids::{MachineIx, PatternIx, UnitIx};
use super::view::View;
use crate::model::{Admission, Resources};
use kernel::Bug;
use std::collections::BTreeSet;

/// The first constraint, in the order of the variants, that a machine does not meet for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It is not there.
    Away,
    /// It takes nothing new.
    Cordon,
    /// It is being emptied.
    Drain,
    /// Its fleetd was stopped, and is waited for.
    Leaving,
    /// `MachineID` means another.
    MachineId,
    /// The metadata term with this index does not hold.
    Metadata(usize),
    /// No unit that this pattern means is there to stay.
    MachineOf(PatternIx),
    /// One of the two conflicts with the other.
    Conflict(UnitIx),
    /// A unit there replaces it.
    Replaced(UnitIx),
    /// Not enough processor time is free.
    Cpu,
    /// Not enough memory is free.
    Memory,
}

impl View {
    /// What keeps a unit from going to a machine now, as if the units `without` were not there.
    pub fn obstacle(&self, unit: UnitIx, machine: MachineIx, without: &[UnitIx]) -> Option<Obstacle> {
        let there = self.machines.at(machine);
        match there.machine.as_ref().map(|machine| (machine.admission, machine.leaving)) {
            None => return Some(Obstacle::Away),
            Some((Admission::Cordon, _)) => return Some(Obstacle::Cordon),
            Some((Admission::Drain, _)) => return Some(Obstacle::Drain),
            Some((Admission::Open, true)) => return Some(Obstacle::Leaving),
            Some((Admission::Open, false)) => {}
        }
        if let Some(obstacle) = self.misfit(unit, machine) {
            return Some(obstacle);
        }
        if let Some(pattern) = self.would_lack_company(&[unit], machine) {
            return Some(Obstacle::MachineOf(pattern));
        }
        let others = || there.occupants.iter().filter(|(other, _)| !without.contains(other));
        if let Some((other, _)) = others().find(|(other, _)| self.conflict(unit, **other)) {
            return Some(Obstacle::Conflict(*other));
        }
        if let Some((other, _)) = others().find(|(other, at)| at.stays && self.replaces(**other, unit)) {
            return Some(Obstacle::Replaced(*other));
        }
        self.lacks_room(self.units.at(unit).demand(), machine, self.demand_there(machine, without))
    }

    /// Whether a unit that is to come and one that is there conflict.
    fn conflict(&self, unit: UnitIx, there: UnitIx) -> bool {
        let patterns = self.units.at(unit).wish.as_ref().map(|wish| &wish.conflicts);
        let says = patterns.is_some_and(|patterns| self.units.means(patterns, there));
        says || (!self.planted.is(Bug::ConflictOneWay) && self.units.conflict(unit, there))
    }

    /// What of the machine itself does not suit the unit: its id, or its metadata.
    pub fn misfit(&self, unit: UnitIx, machine: MachineIx) -> Option<Obstacle> {
        let there = self.machines.at(machine);
        let metadata = &there.machine.as_ref()?.metadata;
        let wish = self.units.at(unit).wish.as_ref()?;
        let requirements = wish.requirements();
        if !requirements.fits_id(&there.id) {
            return Some(Obstacle::MachineId);
        }
        if self.machines.of_class(wish.class).contains(machine.0) {
            return None;
        }
        let failing = requirements.metadata.iter().position(|term| !term.holds(metadata));
        Some(Obstacle::Metadata(failing.expect("a machine outside a class fails one of its terms")))
    }

    /// The first MachineOf pattern for which no other unit is there to stay.
    pub fn lacks_company(&self, unit: UnitIx, machine: MachineIx) -> Option<PatternIx> {
        let slot = self.units.at(unit);
        let wish = slot.wish.as_ref()?;
        let stays = slot.stays_on(machine) == Some(true);
        wish.machine_of.iter().copied().find(|pattern| {
            let own = u32::from(stays && slot.matched_by.binary_search(pattern).is_ok());
            self.patterns.at(*pattern).staying.count(machine.0) == own
        })
    }

    /// The first MachineOf pattern of these units, none of which is there yet, that would be unmet if they came together and what they
    /// replace went: a unit cannot both replace another and have it as company, be it through others that lean on it.
    pub fn would_lack_company(&self, units: &[UnitIx], machine: MachineIx) -> Option<PatternIx> {
        let leans = |unit: &UnitIx| {
            self.units.at(*unit).wish.as_ref().is_some_and(|wish| !wish.machine_of.is_empty())
        };
        if !units.iter().any(leans) {
            return None;
        }
        let staying = self.staying_beside(units, machine);
        units.iter().find_map(|unit| self.unmet(*unit, staying.iter().chain(units)))
    }

    /// The units that would stay on a machine if these came: not what they replace, not what must be beside that, and so on.
    /// Without the last, a unit drives away what it leans on, and the two chase each other until a pass gives both up.
    fn staying_beside(&self, units: &[UnitIx], machine: MachineIx) -> Vec<UnitIx> {
        let replaced: Vec<UnitIx> =
            units.iter().flat_map(|unit| self.replaced_there(*unit, machine)).collect();
        let there = self.machines.at(machine).occupants.iter();
        let mut staying: Vec<UnitIx> = there
            .filter(|(other, at)| at.stays && !replaced.contains(other))
            .map(|(other, _)| *other)
            .collect();
        let mut before = usize::MAX;
        while !replaced.is_empty() && staying.len() < before {
            before = staying.len();
            let company = staying.clone();
            staying.retain(|unit| self.unmet(*unit, company.iter().chain(units)).is_none());
        }
        staying
    }

    /// The first MachineOf pattern of a unit that means none of these others.
    fn unmet<'a>(
        &self,
        unit: UnitIx,
        company: impl Iterator<Item = &'a UnitIx> + Clone,
    ) -> Option<PatternIx> {
        let wish = self.units.at(unit).wish.as_ref()?;
        wish.machine_of.iter().copied().find(|pattern| {
            let mut others = company.clone().filter(|other| **other != unit);
            !others.any(|other| self.units.means(&[*pattern], *other))
        })
    }

    /// Which resource the machine has too little of, counting `spare` as free.
    pub fn lacks_room(&self, demand: Resources, machine: MachineIx, spare: Resources) -> Option<Obstacle> {
        let there = self.machines.at(machine);
        if there.has_room(demand, spare) {
            return None;
        }
        let cpu = Resources { cpu_millis: demand.cpu_millis, memory_bytes: 0 };
        Some(if there.has_room(cpu, spare) { Obstacle::Memory } else { Obstacle::Cpu })
    }

    /// What these units take of the machine together.
    pub fn demand_there(&self, machine: MachineIx, units: &[UnitIx]) -> Resources {
        let occupants = &self.machines.at(machine).occupants;
        units.iter().filter_map(|unit| occupants.get(unit)).fold(Resources::default(), |sum, occupant| {
            Resources {
                cpu_millis: sum.cpu_millis + occupant.demand.cpu_millis,
                memory_bytes: sum.memory_bytes + occupant.demand.memory_bytes,
            }
        })
    }

    /// Whether one unit takes the other's machine. Directed: a unit never gives way to one that, through however many
    /// others, has to give way to it, so that no circle of units can chase each other. Global units are left alone.
    pub fn replaces(&self, one: UnitIx, other: UnitIx) -> bool {
        one != other
            && self.names_as_replaced(one, other)
            && !self.is_global(one)
            && !self.is_global(other)
            && !self.leads_to(other, one)
    }

    fn names_as_replaced(&self, one: UnitIx, other: UnitIx) -> bool {
        self.units.at(one).wish.as_ref().is_some_and(|wish| self.units.means(&wish.replaces, other))
    }

    fn is_global(&self, unit: UnitIx) -> bool {
        self.units.at(unit).wish.as_ref().is_some_and(|wish| wish.requirements().global)
    }

    /// Whether following Replaces leads from one unit to the other.
    fn leads_to(&self, from: UnitIx, to: UnitIx) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut rest = vec![from];
        while let Some(unit) = rest.pop() {
            if self.names_as_replaced(unit, to) {
                return true;
            }
            let patterns = self.units.at(unit).wish.iter().flat_map(|wish| &wish.replaces);
            let next = patterns.flat_map(|pattern| &self.patterns.at(*pattern).units);
            rest.extend(next.filter(|unit| seen.insert(**unit)));
        }
        false
    }

    /// The units on a machine that have to go when this one comes.
    pub fn replaced_there(&self, unit: UnitIx, machine: MachineIx) -> Vec<UnitIx> {
        if self.units.at(unit).wish.as_ref().is_none_or(|wish| wish.replaces.is_empty()) {
            return Vec::new();
        }
        let there = self.machines.at(machine).occupants.iter();
        there
            .filter(|(other, at)| at.stays && self.replaces(unit, **other))
            .map(|(other, _)| *other)
            .collect()
    }

    /// The machines that can take a unit, as far as neither MachineOf nor room is concerned.
    pub fn candidates(&self, unit: UnitIx) -> Bits {
        let slot = self.units.at(unit);
        let Some(wish) = &slot.wish else { return Bits::default() };
        let requirements = wish.requirements();
        let mut set = match &requirements.machine_id {
            Some(id) => self.machines.with_id(|machine| requirements.fits_id(machine), id),
            None => self.machines.open().clone(),
        };
        set.keep(self.machines.of_class(wish.class));
        for pattern in &wish.conflicts {
            set.drop_all(self.patterns.at(*pattern).here.machines());
        }
        for pattern in slot.matched_by.iter().map(|pattern| self.patterns.at(*pattern)) {
            if !self.planted.is(Bug::ConflictOneWay) {
                set.drop_all(pattern.conflicting.machines());
            }
            if !pattern.replacing.is_empty() {
                let mut contested = set.clone();
                contested.keep(pattern.replacing.machines());
                contested
                    .iter()
                    .filter(|at| self.is_replaced(unit, MachineIx(*at)))
                    .for_each(|at| set.remove(at));
            }
        }
        set
    }

    /// Whether a unit is on the machine to stay that replaces this one.
    pub fn is_replaced(&self, unit: UnitIx, machine: MachineIx) -> bool {
        let mut there = self.machines.at(machine).occupants.iter();
        there.any(|(other, at)| at.stays && self.replaces(*other, unit))
    }
}
