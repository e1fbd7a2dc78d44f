//! Launched or only loaded: what `Requires` and `After` let an order say.
//!
//! A unit is *supported* while everything that it requires, directly or through others, is wanted to be launched. An order goes from
//! loaded to launched when the unit is supported, its requirements are placed, and what it comes after is active; it goes back
//! only when the unit is wanted loaded, or supported no more. So a unit that runs is not stopped because another is
//! being moved.

use super::ids::UnitIx;
use super::pass::Pass;
use super::units::{Spot, UnitSlot};
use super::view::View;
use crate::model::DesiredState;
use crate::unit::UnitName;
use std::collections::BTreeSet;

/// Why a unit is not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// A unit that it requires, perhaps through others, is not wanted: its name as it was written.
    Unsupported(String),
    /// A unit that it requires is not placed yet.
    Requires(UnitName),
    /// A unit (its own requirement's if it is required) that it comes after is not active yet.
    After(UnitName),
}

/// Brings the orders of all units noted up to what the gates say.
pub(super) fn settle(view: &mut View, pass: &mut Pass) {
    while let Some(unit) = view.dirty.gates.pop_first() {
        for (machine, state) in view.units.at(unit).orders() {
            let (wanted, reason) = verdict(view, unit, state);
            if wanted != state && wanted != DesiredState::Inactive {
                pass.set(view, unit, machine, wanted, reason);
            }
        }
    }
}

/// What an order that says `state` shall say, and why.
fn verdict(view: &View, unit: UnitIx, state: DesiredState) -> (DesiredState, String) {
    let Some(wish) = &view.units.at(unit).wish else { return (DesiredState::Inactive, String::new()) };
    if wish.job.desired != DesiredState::Launched {
        return (wish.job.desired, format!("it shall be {}", wish.job.desired));
    }
    if state == DesiredState::Launched {
        return match unsupported(view, unit) {
            Some(name) => (DesiredState::Loaded, format!("{name}, which it requires, shall not be launched")),
            None => (DesiredState::Launched, String::new()),
        };
    }
    let reason = if wish.requirements().requires.is_empty() && wish.requirements().after.is_empty() {
        "it shall be launched"
    } else {
        "what it waited for is there"
    };
    match gate(view, unit) {
        Some(_) => (DesiredState::Loaded, String::new()),
        None => (DesiredState::Launched, reason.into()),
    }
}

/// What keeps a unit that shall be launched from it.
pub(super) fn gate(view: &View, unit: UnitIx) -> Option<Gate> {
    if let Some(name) = unsupported(view, unit) {
        return Some(Gate::Unsupported(name));
    }
    // All that has to come up together with it must be able to: units that require each other start at once.
    let mut seen = BTreeSet::from([unit]);
    let mut rest = vec![unit];
    while let Some(member) = rest.pop() {
        let slot = view.units.at(member);
        if member != unit && is_up(slot) {
            continue;
        }
        if slot.orders().is_empty() && member != unit {
            return Some(Gate::Requires(slot.name.clone()));
        }
        if let Some(name) = awaited(view, slot) {
            return Some(Gate::After(name));
        }
        rest.extend(required(view, slot).filter_map(|(_, found)| found).filter(|next| seen.insert(*next)));
    }
    None
}

/// Whether others may count on it: done, held, or with an order to be launched.
fn is_up(slot: &UnitSlot) -> bool {
    let launched = slot.orders().iter().any(|(_, state)| *state == DesiredState::Launched);
    slot.done || launched || matches!(slot.spot, Spot::Held(..))
}

/// The first unit that it comes after which is wanted and not active.
fn awaited(view: &View, slot: &UnitSlot) -> Option<UnitName> {
    let wish = slot.wish.as_ref()?;
    wish.requirements().after.iter().find_map(|name| {
        let (_, before) = view.units.named(name)?;
        let is_wanted = before.wish.as_ref().is_some_and(|wish| wish.job.desired == DesiredState::Launched);
        (is_wanted && !before.active && !before.done).then(|| before.name.clone())
    })
}

fn required<'a>(view: &'a View, slot: &'a UnitSlot) -> impl Iterator<Item = (&'a String, Option<UnitIx>)> {
    let names = slot.wish.iter().flat_map(|wish| &wish.requirements().requires);
    names.map(|name| (name, view.units.named(name).map(|(unit, _)| unit)))
}

/// The first requirement, direct or through others, that is not wanted launched.
fn unsupported(view: &View, unit: UnitIx) -> Option<String> {
    let mut seen = BTreeSet::from([unit]);
    let mut rest = vec![unit];
    while let Some(unit) = rest.pop() {
        for (name, found) in required(view, view.units.at(unit)) {
            let wish = found.and_then(|found| view.units.at(found).wish.as_ref());
            if wish.is_none_or(|wish| wish.job.desired != DesiredState::Launched) {
                return Some(name.clone());
            }
            rest.extend(found.filter(|found| seen.insert(*found)));
        }
    }
    None
}

/// The units of a circle of `After` that a unit is in or waits for, from its first member on; none if there is no such circle.
pub(super) fn circle(view: &View, unit: UnitIx) -> Option<Vec<UnitName>> {
    let mut path = vec![unit];
    loop {
        let last = *path.last().expect("a path begins somewhere");
        let name = awaited(view, view.units.at(last))?;
        let next = view.units.find(&name)?;
        if let Some(start) = path.iter().position(|member| *member == next) {
            return Some(path[start..].iter().map(|member| view.units.at(*member).name.clone()).collect());
        }
        path.push(next);
    }
}
