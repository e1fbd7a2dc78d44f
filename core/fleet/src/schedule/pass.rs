//! One pass of decisions: the three things that can be done to a unit, done to the view and written down.

use super::decision::Decision;
use super::ids::{MachineIx, UnitIx};
use super::units::Spot;
use super::view::View;
use crate::model::{DesiredState, MachineId};
use crate::unit::UnitName;
use std::collections::BTreeMap;

/// How often a unit is given and taken back in one pass before it waits for something else to change.
const TRIES: usize = 3;

/// What was decided so far.
#[derive(Debug, Default)]
pub(super) struct Pass {
    taken: Vec<Decision>,
    /// In the order in which they were decided; their states are read at the end, when the gates are known.
    given: Vec<(UnitIx, MachineIx, String)>,
    set: BTreeMap<(UnitIx, MachineIx), String>,
    /// How often a unit was given and taken back in this pass.
    undone: BTreeMap<UnitIx, usize>,
}

impl Pass {
    /// Takes a unit from a machine.
    pub fn take(&mut self, view: &mut View, unit: UnitIx, machine: MachineIx, reason: String) {
        if let Some(index) = self.given.iter().position(|given| (given.0, given.1) == (unit, machine)) {
            self.given.remove(index);
            *self.undone.entry(unit).or_default() += 1;
            return undo(view, unit, machine);
        }
        let slot = view.units.at_mut(unit);
        assert!(slot.stays_on(machine).is_some(), "{} is taken only from where it is", slot.name);
        if slot.spot.machine() == Some(machine) {
            slot.spot = Spot::Leaving(machine);
        }
        if let Some(state) = slot.copies.get_mut(&machine) {
            *state = DesiredState::Inactive;
        }
        slot.because = None;
        let unit_name = slot.name.clone();
        view.refresh(unit, machine);
        view.note_gates(unit);
        let machine = view.machines.at(machine).id.clone();
        self.taken.push(Decision::Unassign { unit: unit_name, machine, reason });
    }

    /// Whether the unit was given and taken back too often in this pass to be given once more: units that drive each other
    /// around in circles come to rest so.
    pub fn is_restless(&self, unit: UnitIx) -> bool {
        self.undone.get(&unit).is_some_and(|times| *times >= TRIES)
    }

    /// Gives a unit to a machine that can take it: loaded for now; the gates say what more. What it replaces there is taken.
    pub fn give(&mut self, view: &mut View, unit: UnitIx, machine: MachineIx, reason: String) {
        for replaced in view.replaced_there(unit, machine) {
            let reason = format!("{} replaces it", view.units.at(unit).name);
            self.take(view, replaced, machine, reason);
        }
        let slot = view.units.at_mut(unit);
        assert!(slot.stays_on(machine).is_none(), "{} is given only to where it is not", slot.name);
        let wish = slot.wish.as_ref().expect("only what is wanted is placed");
        if wish.requirements().global {
            slot.copies.insert(machine, DesiredState::Loaded);
        } else {
            assert_eq!(slot.spot, Spot::Free, "{} is placed while it is somewhere", slot.name);
            slot.spot = Spot::On(machine, DesiredState::Loaded);
            slot.because = Some(reason.clone().into());
        }
        view.refresh(unit, machine);
        view.note_gates(unit);
        self.given.push((unit, machine, reason));
    }

    /// Changes what the order says.
    pub fn set(
        &mut self,
        view: &mut View,
        unit: UnitIx,
        machine: MachineIx,
        state: DesiredState,
        reason: String,
    ) {
        let slot = view.units.at_mut(unit);
        match slot.spot {
            Spot::On(at, _) if at == machine => slot.spot = Spot::On(machine, state),
            _ => *slot.copies.get_mut(&machine).expect("only an order can be changed") = state,
        }
        view.note_gates(unit);
        self.set.insert((unit, machine), reason);
    }

    /// All decisions: what is taken, what is given, what is set otherwise.
    pub fn finish(mut self, view: &View) -> Vec<Decision> {
        let mut decisions = self.taken;
        decisions.reserve(self.given.len() + self.set.len());
        for (unit, machine, reason) in self.given {
            self.set.remove(&(unit, machine));
            let (unit, machine, state) = order(view, unit, machine);
            decisions.push(Decision::Assign { unit, machine, state, reason });
        }
        for ((unit, machine), reason) in self.set {
            let (unit, machine, state) = order(view, unit, machine);
            decisions.push(Decision::SetState { unit, machine, state, reason });
        }
        decisions
    }
}

/// Takes back what was given in this pass, which nobody has heard of.
fn undo(view: &mut View, unit: UnitIx, machine: MachineIx) {
    let slot = view.units.at_mut(unit);
    if slot.copies.remove(&machine).is_some() {
        view.dirty.globals.insert(unit);
    } else {
        assert_eq!(slot.spot.machine(), Some(machine), "what was given is where it was given to");
        slot.spot = Spot::Free;
        slot.because = None;
        view.dirty.free.insert(unit);
    }
    view.refresh(unit, machine);
    view.note_gates(unit);
}

fn order(view: &View, unit: UnitIx, machine: MachineIx) -> (UnitName, MachineId, DesiredState) {
    let slot = view.units.at(unit);
    let state = match slot.spot {
        Spot::On(at, state) if at == machine => state,
        _ => slot.copies.get(&machine).copied().expect("an order was given there in this pass"),
    };
    assert_ne!(state, DesiredState::Inactive, "an order to be inactive is no order");
    (slot.name.clone(), view.machines.at(machine).id.clone(), state)
}
