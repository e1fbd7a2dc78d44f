//! Levelling loads when an operator asks for it: the only moves that no constraint calls for.
//!
//! One unit at a time goes from the most loaded machine that has one to give to where it would be placed today, if that narrows
//! the gap: the target must have at least two units fewer. Only units that stand alone are moved: not global ones, not
//! members of a MachineOf group, not packed ones, and none to where it likes it less.

use super::ids::{MachineIx, UnitIx};
use super::units::Spot;
use super::view::View;
use crate::model::MachineId;
use crate::unit::{PlacementRule, UnitName};
use std::cmp::Reverse;

/// A unit narrows the gap only if its new machine had at least this many units fewer.
const GAP: u32 = 2;

/// At most `most` moves: unit, from, to, why.
pub(super) fn moves(view: &View, most: usize) -> Vec<(UnitName, MachineId, MachineId, String)> {
    let mut view = view.clone();
    let mut moves = Vec::new();
    while moves.len() < most {
        let Some((unit, from, to)) = best(&mut view) else { break };
        let (heavy, light) = (view.machines.at(from).load(), view.machines.at(to).load());
        assert!(light + GAP <= heavy, "a move narrows the gap");
        let reason = format!("{heavy} units there, {light} where it would go");
        let id = |machine| view.machines.at(machine).id.clone();
        moves.push((view.units.at(unit).name.clone(), id(from), id(to), reason));
        let Spot::On(_, state) = view.units.at(unit).spot else { unreachable!("only a placed unit moves") };
        view.units.at_mut(unit).spot = Spot::On(to, state);
        view.refresh(unit, from);
        view.refresh(unit, to);
    }
    moves
}

fn best(view: &mut View) -> Option<(UnitIx, MachineIx, MachineIx)> {
    let lightest = view.machines.by_load().next().map(|machine| view.machines.at(machine).load())?;
    let mut sources: Vec<MachineIx> = view.machines.present().map(|(machine, _, _)| machine).collect();
    sources.retain(|machine| view.machines.at(*machine).load() >= lightest + GAP);
    sources.sort_by_key(|machine| Reverse(view.machines.at(*machine).load()));
    sources.into_iter().find_map(|from| {
        let mut units: Vec<UnitIx> = view.machines.at(from).occupants.keys().copied().collect();
        units.retain(|unit| stands_alone(view, *unit, from));
        units.sort_by_cached_key(|unit| view.units.at(*unit).name.clone());
        units.into_iter().find_map(|unit| Some((unit, from, target(view, unit, from)?)))
    })
}

fn stands_alone(view: &View, unit: UnitIx, machine: MachineIx) -> bool {
    let slot = view.units.at(unit);
    let Some(wish) = &slot.wish else { return false };
    let requirements = wish.requirements();
    matches!(slot.spot, Spot::On(at, _) if at == machine)
        && !slot.done
        && wish.is_wanted()
        && !requirements.global
        && requirements.placement == PlacementRule::Spread
        && wish.machine_of.is_empty()
        && slot.matched_by.iter().all(|pattern| view.patterns.at(*pattern).followers.is_empty())
}

fn target(view: &mut View, unit: UnitIx, from: MachineIx) -> Option<MachineIx> {
    let mut set = view.candidates(unit);
    set.remove(from.0);
    let demand = view.units.at(unit).demand();
    let to = view.choose(&[unit], &set, demand)?.machine;
    let narrows = view.machines.at(to).load() + GAP <= view.machines.at(from).load();
    let likes = view.liking(unit, to) >= view.liking(unit, from);
    let disturbs = !view.replaced_there(unit, to).is_empty();
    (narrows && likes && !disturbs).then_some(to)
}
