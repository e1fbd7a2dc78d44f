//! One pass over what is to be looked at again.
//!
//! In this order: units that do not belong where they are; copies of global units; free units; and at last which orders
//! may say launched. What one step makes necessary (a follower to be taken, a unit that was waiting for company) the loop
//! sees in the same pass; a unit that was taken is not free before the engine says so.

use super::bits::Bits;
use super::check;
use super::choose::Choice;
use super::decision::Decision;
use super::gate;
use super::group::Group;
use super::ids::{MachineIx, UnitIx};
use super::pass::Pass;
use super::view::View;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A pass that takes so many turns for each machine and unit goes in a circle; a real one takes one or two.
const TURNS: usize = 64;

/// Decides all that can be decided. Nothing to look at, nothing done.
pub(super) fn decide(view: &mut View) -> Vec<Decision> {
    if view.dirty.is_clean() {
        return Vec::new();
    }
    let mut pass = Pass::default();
    let most = TURNS * (view.machines.count() + view.units.by_name.len() + 1);
    for turn in 0.. {
        assert!(turn < most, "a pass comes to rest, and not after {most} turns");
        if let Some(machine) = view.dirty.checks.pop_first() {
            check::check(view, machine, &mut pass);
        } else if !view.dirty.globals.is_empty() || !view.dirty.fills.is_empty() {
            fill(view, &mut pass);
        } else if view.dirty.retry || !view.dirty.free.is_empty() {
            place_free(view, &mut pass);
        } else {
            break;
        }
    }
    view.dirty.changed.clear();
    gate::settle(view, &mut pass);
    assert!(view.dirty.is_clean(), "a pass leaves nothing to look at");
    pass.finish(view)
}

/// Gives copies of global units to machines that lack them.
fn fill(view: &mut View, pass: &mut Pass) {
    let open = view.machines.open().clone();
    let globals = std::mem::take(&mut view.dirty.globals);
    let fills = std::mem::take(&mut view.dirty.fills);
    for unit in by_name(view, &globals) {
        if view.units.at(unit).is_wanted_global() {
            open.iter().for_each(|machine| give_copy(view, unit, MachineIx(machine), pass));
        }
    }
    let others: BTreeSet<UnitIx> = view.units.globals.difference(&globals).copied().collect();
    let others = if fills.is_empty() { Vec::new() } else { by_name(view, &others) };
    for machine in fills.into_iter().filter(|machine| open.contains(machine.0)) {
        others.iter().for_each(|unit| give_copy(view, *unit, machine, pass));
    }
}

fn give_copy(view: &mut View, unit: UnitIx, machine: MachineIx, pass: &mut Pass) {
    let slot = view.units.at(unit);
    assert!(slot.is_wanted_global(), "{} gets copies only if it is global", slot.name);
    if slot.stays_on(machine).is_some() {
        return;
    }
    view.looked += 1;
    if view.obstacle(unit, machine, &[]).is_none() {
        pass.give(view, unit, machine, "it is global, and the machine fits".into());
    }
}

fn by_name(view: &View, units: &BTreeSet<UnitIx>) -> Vec<UnitIx> {
    let mut units: Vec<UnitIx> = units.iter().copied().collect();
    units.sort_by_cached_key(|unit| view.units.at(*unit).name.clone());
    units
}

/// Places what is free: first what takes another's place, then the largest, then by name.
fn place_free(view: &mut View, pass: &mut Pass) {
    if std::mem::take(&mut view.dirty.retry) {
        let mut stuck = std::mem::take(&mut view.dirty.stuck);
        view.dirty.free.append(&mut stuck);
    }
    let mut units: Vec<UnitIx> = std::mem::take(&mut view.dirty.free).into_iter().collect();
    units.sort_by_cached_key(|unit| {
        let slot = view.units.at(*unit);
        let replaces = slot.wish.as_ref().is_some_and(|wish| !wish.replaces.is_empty());
        (!replaces, Reverse(slot.demand().memory_bytes), Reverse(slot.demand().cpu_millis), slot.name.clone())
    });
    for unit in units {
        // It may have been placed with its group.
        if view.units.at(unit).is_free() && (pass.is_restless(unit) || !place(view, unit, pass)) {
            view.dirty.stuck.insert(unit);
        }
    }
}

fn place(view: &mut View, unit: UnitIx, pass: &mut Pass) -> bool {
    let Some((group, choice)) = find(view, unit) else { return false };
    let members: Vec<UnitIx> =
        group.members.into_iter().filter(|member| view.units.at(*member).is_free()).collect();
    let names: Vec<_> = members.iter().map(|member| view.units.at(*member).name.clone()).collect();
    for (index, member) in members.iter().copied().enumerate() {
        let mut reason = choice.reason.clone();
        let others = names.iter().enumerate().filter(|(other, _)| *other != index);
        if let Some((_, other)) = others.min_by_key(|(_, name)| *name) {
            reason.push_str(&format!(", together with {other}"));
            match members.len() {
                2 => {}
                all => reason.push_str(&format!(" and {} more", all - 2)),
            }
        }
        view.dirty.stuck.remove(&member);
        pass.give(view, member, choice.machine, reason);
    }
    true
}

/// Where a free unit could go now, and who goes with it.
pub(super) fn find(view: &mut View, unit: UnitIx) -> Option<(Group, Choice)> {
    let core = view.core(unit).ok()?;
    if let Some(choice) = takeover(view, &core) {
        return Some((core, choice));
    }
    if core.set.is_empty() {
        return None;
    }
    let group = view.with_followers(core);
    let choice = view.choose(&group.members, &group.set, group.demand)?;
    Some((group, choice))
}

/// The least loaded machine on which a unit can take the place of one that it replaces.
fn takeover(view: &mut View, core: &Group) -> Option<Choice> {
    let [unit] = core.members[..] else { return None };
    let mut targets = Bits::default();
    for pattern in &view.units.at(unit).wish.as_ref()?.replaces {
        targets.add_all(view.patterns.at(*pattern).staying.machines());
    }
    let mut best = None;
    for machine in targets.iter().map(MachineIx) {
        let replaced = view.replaced_there(unit, machine);
        let Some(first) = replaced.first() else { continue };
        view.looked += 1;
        if view.obstacle(unit, machine, &replaced).is_none() {
            let slot = view.machines.at(machine);
            let better = (slot.load(), slot.id.clone(), machine, view.units.at(*first).name.clone());
            best = best.into_iter().chain([better]).min();
        }
    }
    let (_, _, machine, replaced) = best?;
    Some(Choice { machine, reason: format!("it takes the place of {replaced}") })
}
