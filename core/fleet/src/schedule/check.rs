//! Whether the units of a machine still belong there.
//!
//! Where two units do not go together, the one whose requirements changed goes; else a non-global one before a global one; else the
//! last by name. Room is not asked again: a machine that says less than before keeps what it has. Only a unit
//! that asks for more than before may have to go for want of it.

use super::fit::Obstacle;
use super::ids::{MachineIx, PatternIx, UnitIx};
use super::pass::Pass;
use super::view::View;
use crate::model::{Admission, Resources};
use crate::unit::PartitionPolicy;
use kernel::Bug;

/// Takes from a machine what does not belong there.
pub(super) fn check(view: &mut View, machine: MachineIx, pass: &mut Pass) {
    let there = view.machines.at(machine);
    let occupants: Vec<UnitIx> = there.occupants.keys().copied().collect();
    let is_away = there.machine.is_none();
    for unit in occupants {
        if let Some(reason) = unwanted(view, unit, machine) {
            pass.take(view, unit, machine, reason);
        }
    }
    if is_away {
        return;
    }
    let mut goes_on = true;
    while goes_on {
        goes_on = keep_company(view, machine, pass) || part_rivals(view, machine, pass);
    }
}

/// The units that stay on a machine: those first that shall be kept.
fn staying(view: &View, machine: MachineIx) -> Vec<UnitIx> {
    let occupants = view.machines.at(machine).occupants.iter().filter(|(_, at)| at.stays);
    let mut units: Vec<UnitIx> = occupants.map(|(unit, _)| *unit).collect();
    units.sort_by_cached_key(|unit| {
        let slot = view.units.at(*unit);
        (view.dirty.changed.contains(unit), !slot.is_wanted_global(), slot.name.clone())
    });
    units
}

/// Why a unit must go for its own or its machine's sake.
fn unwanted(view: &View, unit: UnitIx, machine: MachineIx) -> Option<String> {
    let slot = view.units.at(unit);
    let is_ordered = slot.orders().iter().any(|(at, _)| *at == machine);
    let is_held = slot.is_held_on(machine);
    if !is_ordered && !is_held {
        return None;
    }
    let Some(wish) = &slot.wish else { return Some("it was destroyed".into()) };
    if !wish.is_wanted() {
        return Some("it shall be inactive".into());
    }
    let global = wish.requirements().global;
    match (global, slot.spot.machine() == Some(machine)) {
        (true, true) => return Some("it is a global unit now".into()),
        (false, false) => return Some("it is not a global unit any more".into()),
        _ => {}
    }
    let Some(there) = &view.machines.at(machine).machine else {
        let leaves = !is_held && !global && wish.requirements().partition == PartitionPolicy::Keep;
        return leaves.then(|| "the machine is gone".into());
    };
    if is_held {
        return None;
    }
    if there.admission == Admission::Drain && !global {
        return Some("the machine is being drained".into());
    }
    match view.misfit(unit, machine) {
        Some(Obstacle::MachineId) => Some("MachineID means another machine".into()),
        Some(Obstacle::Metadata(term)) => {
            Some(format!("the machine lacks metadata {}", wish.requirements().metadata[term]))
        }
        _ => None,
    }
}

/// Takes a unit that must be beside another which is not there, unless that one is free and can come. Says whether it did anything.
fn keep_company(view: &mut View, machine: MachineIx, pass: &mut Pass) -> bool {
    let lonely =
        staying(view, machine).into_iter().find_map(|unit| Some((unit, view.lacks_company(unit, machine)?)));
    let Some((unit, pattern)) = lonely else { return false };
    if let Some(leader) = comer(view, unit, pattern, machine).filter(|leader| !pass.is_restless(*leader)) {
        let reason = format!("{} is there and must be beside it", view.units.at(unit).name);
        pass.give(view, leader, machine, reason);
    } else {
        let reason = format!("{}, beside which it must be, is not there", view.patterns.at(pattern).text);
        pass.take(view, unit, machine, reason);
    }
    true
}

/// A free unit that the pattern means and that the machine can take. It may be one that crashed out of a group half placed.
fn comer(view: &View, unit: UnitIx, pattern: PatternIx, machine: MachineIx) -> Option<UnitIx> {
    let meant = view.patterns.at(pattern).units.iter().copied();
    meant
        .filter(|other| *other != unit && view.units.at(*other).is_free())
        .filter(|other| view.obstacle(*other, machine, &[]).is_none())
        .min_by_key(|other| &view.units.at(*other).name)
}

/// Takes a unit that does not go together with another one there. Says whether it did anything.
fn part_rivals(view: &mut View, machine: MachineIx, pass: &mut Pass) -> bool {
    let units = staying(view, machine);
    for (index, unit) in units.iter().copied().enumerate() {
        let name = |other: UnitIx| view.units.at(other).name.clone();
        let replacing = units.iter().copied().find(|other| view.replaces(*other, unit));
        let looks = !view.planted.is(Bug::ConflictOneWay);
        let rival =
            || units[..index].iter().copied().find(|other| looks && view.units.conflict(*other, unit));
        let reason = if let Some(other) = replacing {
            format!("{} replaces it", name(other))
        } else if let Some(other) = rival() {
            format!("it conflicts with {} there", name(other))
        } else if view.dirty.changed.contains(&unit) && is_too_much(view, unit, machine) {
            "the machine has no room for what it asks for now".into()
        } else {
            continue;
        };
        pass.take(view, unit, machine, reason);
        return true;
    }
    false
}

fn is_too_much(view: &View, unit: UnitIx, machine: MachineIx) -> bool {
    let demand = view.units.at(unit).demand();
    demand != Resources::default() && view.lacks_room(demand, machine, demand).is_some()
}
