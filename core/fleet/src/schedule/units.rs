//! The units: what is wanted of them, where they are, and who waits for them.

use super::ids::{Arena, ClassIx, MachineIx, PatternIx, UnitIx};
use crate::model::{DesiredState, Job, Resources};
use crate::unit::{PartitionPolicy, Requirements, UnitName};
use std::collections::{BTreeMap, BTreeSet};

/// Where a non-global unit is: [`super::Place`] with a number for the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Spot {
    #[default]
    Free,
    On(MachineIx, DesiredState),
    Leaving(MachineIx),
    Held(MachineIx, PartitionPolicy),
}

impl Spot {
    pub fn machine(self) -> Option<MachineIx> {
        match self {
            Spot::Free => None,
            Spot::On(machine, _) | Spot::Leaving(machine) | Spot::Held(machine, _) => Some(machine),
        }
    }
}

/// A unit that the cluster knows, its patterns and terms replaced by their numbers.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub job: Job,
    pub class: ClassIx,
    pub machine_of: Vec<PatternIx>,
    pub conflicts: Vec<PatternIx>,
    pub replaces: Vec<PatternIx>,
    pub prefer_metadata: Vec<(ClassIx, i64)>,
    pub prefer_of: Vec<(PatternIx, i64)>,
    pub avoid_of: Vec<(PatternIx, i64)>,
}

impl Wish {
    /// Its `[X-Fleet]` section.
    pub fn requirements(&self) -> &Requirements {
        &self.job.requirements
    }

    /// Whether it shall be on some machine.
    pub fn is_wanted(&self) -> bool {
        self.job.desired != DesiredState::Inactive
    }

    /// Whether it has soft terms.
    pub fn is_choosy(&self) -> bool {
        !(self.prefer_metadata.is_empty() && self.prefer_of.is_empty() && self.avoid_of.is_empty())
    }
}

/// One unit.
#[derive(Clone, Debug)]
pub(super) struct UnitSlot {
    pub name: UnitName,
    /// None when it was destroyed, and is still somewhere.
    pub wish: Option<Wish>,
    /// The patterns that mean it, ascending.
    pub matched_by: Vec<PatternIx>,
    /// Where it is, if it is not global.
    pub spot: Spot,
    /// Where it is, if it is global. Inactive: leaving.
    pub copies: BTreeMap<MachineIx, DesiredState>,
    pub active: bool,
    pub done: bool,
    /// Why it was put where it is, if this scheduler did it.
    pub because: Option<Box<str>>,
}

impl UnitSlot {
    /// Whether it must be placed before it can be elsewhere than nowhere: wanted, not global, nowhere, not done.
    pub fn is_free(&self) -> bool {
        let wanted = self.wish.as_ref().is_some_and(|wish| wish.is_wanted() && !wish.requirements().global);
        wanted && !self.done && self.spot == Spot::Free && self.copies.is_empty()
    }

    /// The same, or so as soon as its machine lets go of it.
    pub fn will_be_free(&self) -> bool {
        let wanted = self.wish.as_ref().is_some_and(|wish| wish.is_wanted() && !wish.requirements().global);
        wanted && !self.done && matches!(self.spot, Spot::Free | Spot::Leaving(_))
    }

    /// Whether it is a global unit that is wanted.
    pub fn is_wanted_global(&self) -> bool {
        self.wish.as_ref().is_some_and(|wish| wish.is_wanted() && wish.requirements().global)
    }

    /// What it takes of a machine. A unit that is done takes nothing.
    pub fn demand(&self) -> Resources {
        match &self.wish {
            Some(wish) if !self.done => wish.requirements().resources,
            _ => Resources::default(),
        }
    }

    /// Whether it stays on this machine (true), is there but leaves or is held (false), or is not there (none).
    pub fn stays_on(&self, machine: MachineIx) -> Option<bool> {
        let spot = match self.spot {
            Spot::On(at, _) if at == machine => Some(true),
            Spot::Leaving(at) | Spot::Held(at, _) if at == machine => Some(false),
            _ => None,
        };
        let copy = self.copies.get(&machine).map(|state| *state != DesiredState::Inactive);
        spot.max(copy)
    }

    /// Whether it is held on this machine, which is cut off.
    pub fn is_held_on(&self, machine: MachineIx) -> bool {
        matches!(self.spot, Spot::Held(at, _) if at == machine)
    }

    /// The machines that it is on in any way.
    pub fn machines(&self) -> Vec<MachineIx> {
        let mut machines: Vec<_> =
            self.spot.machine().into_iter().chain(self.copies.keys().copied()).collect();
        machines.sort_unstable();
        machines.dedup();
        machines
    }

    /// The machines that have an order for it, and what the order says.
    pub fn orders(&self) -> Vec<(MachineIx, DesiredState)> {
        let spot = match self.spot {
            Spot::On(machine, state) => Some((machine, state)),
            _ => None,
        };
        let copies = self.copies.iter().map(|(machine, state)| (*machine, *state));
        spot.into_iter().chain(copies.filter(|(_, state)| *state != DesiredState::Inactive)).collect()
    }
}

/// All units.
#[derive(Clone, Debug, Default)]
pub(super) struct Units {
    slots: Arena<UnitSlot>,
    pub by_name: BTreeMap<UnitName, UnitIx>,
    /// By a unit's name: those that name it in Requires or After.
    pub dependents: BTreeMap<String, BTreeSet<UnitIx>>,
    /// Global units that are wanted.
    pub globals: BTreeSet<UnitIx>,
}

impl Units {
    /// The unit with this number.
    pub fn at(&self, unit: UnitIx) -> &UnitSlot {
        self.slots.at(unit.0)
    }

    /// The unit with this number.
    pub fn at_mut(&mut self, unit: UnitIx) -> &mut UnitSlot {
        self.slots.at_mut(unit.0)
    }

    /// The number of a unit that is known.
    pub fn find(&self, name: &UnitName) -> Option<UnitIx> {
        self.by_name.get(name).copied()
    }

    /// The slot of a unit by the text of its name.
    pub fn named(&self, name: &str) -> Option<(UnitIx, &UnitSlot)> {
        let unit = *self.by_name.get(name)?;
        Some((unit, self.at(unit)))
    }

    /// Adds a unit that is not known yet.
    pub fn insert(&mut self, name: UnitName, matched_by: Vec<PatternIx>) -> UnitIx {
        let slot = UnitSlot {
            name: name.clone(),
            wish: None,
            matched_by,
            spot: Spot::Free,
            copies: BTreeMap::new(),
            active: false,
            done: false,
            because: None,
        };
        let unit = UnitIx(self.slots.insert(slot));
        let before = self.by_name.insert(name, unit);
        assert!(before.is_none(), "a unit has one slot");
        unit
    }

    /// Takes out a unit of which nothing is left to know; returns what meant it.
    pub fn remove(&mut self, unit: UnitIx) -> Vec<PatternIx> {
        let slot = self.slots.remove(unit.0);
        assert!(slot.wish.is_none() && slot.spot == Spot::Free && slot.copies.is_empty());
        self.by_name.remove(&slot.name);
        slot.matched_by
    }

    /// Whether one of these is the other's: a pattern that means the unit.
    pub fn means(&self, patterns: &[PatternIx], unit: UnitIx) -> bool {
        let matched_by = &self.at(unit).matched_by;
        patterns.iter().any(|pattern| matched_by.binary_search(pattern).is_ok())
    }

    /// Whether one of two units conflicts with the other. No unit conflicts with itself.
    pub fn conflict(&self, one: UnitIx, other: UnitIx) -> bool {
        let says = |a: UnitIx, b: UnitIx| {
            self.at(a).wish.as_ref().is_some_and(|wish| self.means(&wish.conflicts, b))
        };
        one != other && (says(one, other) || says(other, one))
    }
}
