//! The scheduler's front: tell it what is true, ask it what to do, ask it why.

use super::decide;
use super::decision::{Decision, Place};
use super::explain;
use super::explanation::Explanation;
use super::rebalance;
use super::units::Spot;
use super::view::View;
use crate::model::{DesiredState, Job, Machine, MachineId};
use crate::unit::UnitName;
use kernel::Planted;
use std::collections::BTreeMap;

/// Units, machines, who is where, and what should change. Pure: it knows no time and no store, and equal calls give equal
/// answers. A clone is an independent world to try things in.
///
/// Invariants after each [`Scheduler::decide`]:
/// - no unit that stays on a machine violates a hard constraint there (room excepted, see [`Scheduler::set_machine`]);
/// - no free unit could be placed while all others stay where they are;
/// - a second `decide` returns nothing, and costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    pub(super) view: View,
}

impl Scheduler {
    /// No machines, no units.
    pub fn new() -> Self {
        Scheduler::default()
    }

    /// As [`Scheduler::new`], with a bug; nothing outside the mutation test.
    pub fn with(planted: Planted) -> Self {
        Scheduler { view: View { planted, ..View::default() } }
    }

    /// A machine has appeared or is different. Units that do not fit any more will be taken from it; but a machine that says
    /// a smaller capacity than before keeps the units that it has.
    pub fn set_machine(&mut self, machine: Machine) {
        self.view.set_machine(machine);
    }

    /// A machine's presence has ended. Units there with the policy `keep` will be taken; for others, say with
    /// [`Scheduler::set_place`] that they are held, and later that they are free. Copies of global units stay ordered.
    pub fn remove_machine(&mut self, machine: &MachineId) {
        self.view.remove_machine(machine);
    }

    /// A unit is known or is different. A new text alone moves nothing.
    pub fn set_job(&mut self, job: Job) {
        self.view.set_job(job);
    }

    /// A unit was destroyed. Where it is, it will be taken away.
    pub fn remove_job(&mut self, unit: &UnitName) {
        self.view.remove_job(unit);
    }

    /// Where a non-global unit is, according to the registry.
    pub fn set_place(&mut self, unit: &UnitName, place: Place) {
        self.view.set_place(unit, &place);
    }

    /// For a global unit: all machines that have an order for it, with what the order says, and those that hold it still though
    /// the order was taken back, as inactive. A machine where it has a [`Place`] has no copy.
    pub fn set_copies(&mut self, unit: &UnitName, copies: BTreeMap<MachineId, DesiredState>) {
        self.view.set_copies(unit, &copies);
    }

    /// Whether a unit is active (or done) on some machine: what `After` waits for.
    pub fn set_active(&mut self, unit: &UnitName, active: bool) {
        self.view.set_active(unit, active);
    }

    /// Whether a unit is a oneshot that has run, with its present text and run. It then takes no resources, and is not placed again.
    pub fn set_done(&mut self, unit: &UnitName, done: bool) {
        self.view.set_done(unit, done);
    }

    /// Decides all that can be decided now, and takes it as done: a unit assigned is on its machine, a unit unassigned is leaving.
    /// Where writing a decision fails, say with [`Scheduler::set_place`] or [`Scheduler::set_copies`] what is true.
    /// Unassignments come first, then assignments, then changes of state. With nothing new since the last call: nothing, at no cost.
    pub fn decide(&mut self) -> Vec<Decision> {
        decide::decide(&mut self.view)
    }

    /// Where a unit is and why, or why it is nowhere. Looks at every machine; for people, not for loops.
    pub fn explain(&self, unit: &UnitName) -> Explanation {
        explain::explain(&self.view, unit)
    }

    /// Moves that would level the machines' loads, at most `most`, the best first: unit, from, to, why. Nothing is changed. A
    /// unit moves when the engine unassigns it; the target is where it would go then.
    pub fn rebalance(&self, most: usize) -> Vec<(UnitName, MachineId, MachineId, String)> {
        rebalance::moves(&self.view, most)
    }

    /// How often a machine was looked at by itself so far: a measure of work that does not depend on the clock.
    pub fn machines_looked_at(&self) -> u64 {
        self.view.looked
    }

    /// All units with an order, and the order: unit, machine, loaded or launched.
    pub fn orders(&self) -> Vec<(UnitName, MachineId, DesiredState)> {
        let units = self.view.units.by_name.iter();
        let orders = units.flat_map(|(name, unit)| {
            self.view
                .units
                .at(*unit)
                .orders()
                .into_iter()
                .map(move |(machine, state)| (name.clone(), machine, state))
        });
        orders
            .map(|(name, machine, state)| (name, self.view.machines.at(machine).id.clone(), state))
            .collect()
    }

    /// How many free units no machine could take when they were last looked at.
    pub fn unplaced(&self) -> usize {
        self.view.dirty.stuck.len()
    }

    /// Units that a machine may still run though their order was taken back: unit and machine.
    pub fn leaving(&self) -> Vec<(UnitName, MachineId)> {
        let machines = self.view.machines.present();
        let leaving = machines.flat_map(|(ix, slot, _)| {
            let units =
                slot.occupants.iter().filter(|(_, at)| !at.stays).map(|(unit, _)| self.view.units.at(*unit));
            units.filter(move |unit| !unit.is_held_on(ix)).map(|unit| (unit.name.clone(), slot.id.clone()))
        });
        leaving.collect()
    }

    /// Whether the unit is known with another text.
    pub(super) fn has_other_text(&self, job: &Job) -> bool {
        let known = self.view.units.named(job.name.as_str()).and_then(|(_, slot)| slot.wish.as_ref());
        known.is_some_and(|wish| wish.job.hash != job.hash)
    }

    /// Takes all that leaves a present machine as gone. Returns how much that was.
    pub(super) fn finish_leaving(&mut self) -> usize {
        let leaving = self.leaving();
        for (name, machine) in &leaving {
            let (_, slot) = self.view.units.named(name.as_str()).expect("what leaves is known");
            if let Spot::Leaving(at) = slot.spot
                && self.view.machines.at(at).id == *machine
            {
                self.set_place(name, Place::Free);
            }
            self.view.drop_copy(name, machine);
        }
        leaving.len()
    }
}
