//! Once calm, every launched unit runs on exactly one eligible machine, global units on all, and nothing else runs.
//!
//! Verifies: no process of a unit that is not wanted launched; none with another text than the wanted one; never two of a
//! non-global unit. A launched unit without a process must have failed in a way that nobody mends (it crashed without `Restart=`,
//! somebody stopped it, its start job failed or was canceled), or have ended by itself, or fit on no machine: for the last, each machine is
//! tried by brute force, alone or together with the units beside which it must be. Does not verify: balance.

use super::Seen;
use super::wishes::{admission, conflict, replaces};
use crate::checkers::{Checked, ensure};
use crate::fleet::plan::{MishapKind, UnitSpec, unit_name};
use crate::systemd::Ended;
use fleet::model::{Admission, DesiredState};
use std::time::Duration;

const NAME: &str = "fleet-placement";
/// How long after a fleetd's end its last message may still have an effect.
const GHOST: Duration = Duration::from_secs(2);

/// Checks every unit of the plan.
pub fn check(seen: &Seen) -> Checked {
    seen.units().into_iter().try_for_each(|unit| match seen.wanted(unit) {
        Some((spec, DesiredState::Launched)) if spec.global => everywhere(seen, spec),
        Some((spec, DesiredState::Launched)) => once(seen, spec),
        _ => nowhere(seen, unit),
    })
}

fn nowhere(seen: &Seen, unit: u16) -> Checked {
    let running = seen.running(unit);
    ensure(running.is_empty(), NAME, "unwanted-is-gone", || {
        format!("u{unit} shall not run, and does: {running:?}")
    })
}

fn wanted_text(spec: &UnitSpec, running: &[(u16, fleet::unit::UnitHash)]) -> Checked {
    let hash = spec.file().hash();
    ensure(running.iter().all(|(_, runs)| *runs == hash), NAME, "wanted-text", || {
        format!("u{} shall run {hash}, and runs {running:?}", spec.unit)
    })
}

fn once(seen: &Seen, spec: &UnitSpec) -> Checked {
    let running = seen.running(spec.unit);
    ensure(running.len() <= 1, NAME, "one-copy", || format!("u{} runs {running:?}", spec.unit))?;
    wanted_text(spec, running)?;
    let ordered = seen.ordered(spec.unit);
    ensure(ordered.len() <= 1, NAME, "one-order", || format!("u{} is ordered on {ordered:?}", spec.unit))?;
    match ordered.first() {
        None if is_done(seen, spec.unit) => Ok(()),
        None => fits_nowhere(seen, spec),
        Some(_) if !running.is_empty() || !spec.is_lasting() => Ok(()),
        Some(machine) => has_an_excuse(seen, spec, *machine),
    }
}

/// A oneshot that has run is not placed again.
fn is_done(seen: &Seen, unit: u16) -> bool {
    seen.registry.jobs.get(&unit_name(unit)).is_some_and(|job| job.is_done())
}

/// A lasting unit that is placed and has no process: something must have happened that nobody mends.
fn has_an_excuse(seen: &Seen, spec: &UnitSpec, machine: u16) -> Checked {
    let excused = seen.was_wrong(machine, Duration::ZERO, seen.end, |kind| {
        matches!(
            kind,
            MishapKind::FailJobs(_)
                | MishapKind::TimeoutJobs(_)
                | MishapKind::CancelJobs(_)
                | MishapKind::CrashUnit(_)
                | MishapKind::StopBehind(_)
        )
    });
    let excused = excused || stopped_by_a_ghost(seen, spec.unit, machine);
    ensure(excused, NAME, "launched-runs", || {
        let report = seen.registry.reports_of(&unit_name(spec.unit)).next().map(|(_, report)| report.clone());
        format!(
            "u{} is ordered on machine {machine}, and does not run: it is reported as {report:?}",
            spec.unit
        )
    })
}

/// Whether the unit was last stopped by a message of a fleetd that had ended by the time it arrived: the next one may have looked
/// before, and takes it for the unit's own end.
fn stopped_by_a_ghost(seen: &Seen, unit: u16, machine: u16) -> bool {
    let name = unit_name(unit);
    let last = seen.runs[&machine].iter().rev().find(|run| run.unit == name.as_str());
    let Some((at, Ended::Asked)) = last.and_then(|run| run.until) else { return false };
    let ends = |kind| matches!(kind, MishapKind::Crash | MishapKind::Restart);
    seen.was_wrong(machine, at.saturating_sub(GHOST), at, ends)
}

fn everywhere(seen: &Seen, spec: &UnitSpec) -> Checked {
    let running = seen.running(spec.unit);
    wanted_text(spec, running)?;
    let contested = seen.units().into_iter().any(|other| {
        seen.wanted(other).is_some_and(|(other, _)| other.unit != spec.unit && conflict(spec, other))
    });
    if contested || !spec.is_lasting() {
        return Ok(());
    }
    for machine in seen.plan.all_machines() {
        let fits = spec.zone.is_none_or(|zone| zone == seen.plan.zone(machine));
        let is_there = running.iter().any(|(at, _)| *at == machine);
        if fits && admission(seen, machine) == Admission::Open && !is_there {
            has_an_excuse(seen, spec, machine)?;
            ensure(seen.ordered(spec.unit).contains(&machine), NAME, "global-is-everywhere", || {
                format!("u{} is global, fits machine {machine}, and is not ordered there", spec.unit)
            })?;
        }
        ensure(fits || !is_there, NAME, "global-fits", || {
            format!("u{} is global, runs on machine {machine}, and does not fit it", spec.unit)
        })?;
    }
    Ok(())
}

/// A unit that is not placed: no machine could take it, alone or with those beside which it must be.
fn fits_nowhere(seen: &Seen, spec: &UnitSpec) -> Checked {
    let group = group_of(seen, spec);
    let taker = seen.plan.all_machines().find(|machine| takes(seen, *machine, &group));
    ensure(taker.is_none(), NAME, "placed-if-possible", || {
        let group: Vec<u16> = group.iter().map(|member| member.unit).collect();
        let job = seen.registry.jobs.get(&unit_name(spec.unit));
        let name = unit_name(spec.unit);
        let reports: Vec<_> = seen.registry.reports_of(&name).map(|(machine, _)| machine.as_str()).collect();
        format!(
            "{name} is placed nowhere, but machine {taker:?} could take {group:?}; the registry has {job:?} and reports of \
             {reports:?}"
        )
    })
}

/// The unit, and those that are not placed either beside which it must be, through others too.
fn group_of<'a>(seen: &'a Seen, spec: &'a UnitSpec) -> Vec<&'a UnitSpec> {
    let mut group = vec![spec];
    while let Some(next) = group.last().and_then(|member| member.beside) {
        let free = seen.wanted(next).filter(|(_, state)| *state != DesiredState::Inactive);
        match free {
            Some((other, _))
                if seen.ordered(next).is_empty()
                    && !is_done(seen, next)
                    && group.iter().all(|one| one.unit != next) =>
            {
                group.push(other);
            }
            _ => break,
        }
    }
    group
}

fn takes(seen: &Seen, machine: u16, group: &[&UnitSpec]) -> bool {
    let staying = staying_beside(seen, machine, group);
    group.iter().enumerate().all(|(index, spec)| {
        let amongst = group[index + 1..]
            .iter()
            .all(|other| !conflict(spec, other) && !replaces(spec, other) && !replaces(other, spec));
        let beside = spec
            .beside
            .is_none_or(|other| staying.contains(&other) || group.iter().any(|member| member.unit == other));
        amongst && beside && takes_one(seen, machine, spec)
    })
}

/// The units ordered on a machine that would be left if a group came: without what it replaces, what must be beside that, and so
/// on. A unit that leans on what falls when it comes cannot be placed there: it would have to leave at once.
fn staying_beside(seen: &Seen, machine: u16, group: &[&UnitSpec]) -> Vec<u16> {
    let wanted = |unit: u16| seen.wanted(unit).map(|(spec, _)| spec);
    let mut staying = seen.ordered_on(machine).to_vec();
    staying.retain(|unit| wanted(*unit).is_none_or(|there| !group.iter().any(|one| replaces(one, there))));
    loop {
        let before = staying.clone();
        staying.retain(|unit| {
            let beside = wanted(*unit).and_then(|spec| spec.beside);
            beside.is_none_or(|other| before.contains(&other) || group.iter().any(|one| one.unit == other))
        });
        if staying == before {
            return staying;
        }
    }
}

fn takes_one(seen: &Seen, machine: u16, spec: &UnitSpec) -> bool {
    let fits = spec.machine.is_none_or(|wanted| wanted == machine)
        && spec.zone.is_none_or(|zone| zone == seen.plan.zone(machine))
        && admission(seen, machine) == Admission::Open;
    let mut neighbours = seen.ordered_on(machine).iter().copied().filter(|other| *other != spec.unit);
    fits && neighbours.all(|other| {
        let neighbour = seen.wanted(other).map(|(neighbour, _)| neighbour);
        neighbour.is_none_or(|neighbour| !conflict(spec, neighbour) && !replaces(neighbour, spec))
    })
}
