//! Once calm, what units ask for in `[X-Fleet]` holds, for what really runs.
//!
//! Verifies, for each process at the end: its machine has the metadata and the id asked for and is not drained (globals aside); no
//! unit that it conflicts with, either way, has a process there; the unit beside which it must be is ordered there; no unit
//! that replaces it has a process there. Does not verify: soft wishes, and what is not placed (see
//! [`placement`](super::placement)).

use super::Seen;
use crate::checkers::{Checked, ensure};
use crate::fleet::plan::{UnitSpec, machine_id};
use fleet::model::Admission;

const NAME: &str = "fleet-wishes";

/// Checks every unit that has a process at the end.
pub fn check(seen: &Seen) -> Checked {
    for unit in seen.units() {
        for (machine, hash) in seen.running(unit) {
            if let Some(spec) = seen.spec(*hash) {
                alone(seen, spec, *machine)?;
                together(seen, spec, *machine)?;
            }
        }
    }
    Ok(())
}

fn alone(seen: &Seen, spec: &UnitSpec, machine: u16) -> Checked {
    let unit = spec.unit;
    ensure(spec.machine.is_none_or(|wanted| wanted == machine), NAME, "machine-id", || {
        format!("u{unit} runs on machine {machine}, and wants {:?}", spec.machine)
    })?;
    let zone = seen.plan.zone(machine);
    ensure(spec.zone.is_none_or(|wanted| wanted == zone), NAME, "metadata", || {
        format!("u{unit} runs on machine {machine} in zone {zone}, and wants zone {:?}", spec.zone)
    })?;
    ensure(spec.global || admission(seen, machine) != Admission::Drain, NAME, "drained", || {
        format!("u{unit} runs on machine {machine}, which is drained")
    })
}

fn together(seen: &Seen, spec: &UnitSpec, machine: u16) -> Checked {
    let unit = spec.unit;
    for (other, hash) in seen.running_on(machine).iter().filter(|(other, _)| *other != unit) {
        let Some(neighbour) = seen.spec(*hash) else { continue };
        ensure(!conflict(spec, neighbour), NAME, "conflicts", || {
            format!("u{unit} and u{other} conflict, and both run on machine {machine}")
        })?;
        ensure(!replaces(neighbour, spec), NAME, "replaces", || {
            format!("u{other} replaces u{unit}, and both run on machine {machine}")
        })?;
    }
    let beside = spec.beside.is_none_or(|other| seen.ordered(other).contains(&machine));
    ensure(beside, NAME, "machine-of", || {
        format!("u{unit} runs on machine {machine} without u{:?}, beside which it must be", spec.beside)
    })
}

/// Whether a machine takes units.
pub fn admission(seen: &Seen, machine: u16) -> Admission {
    seen.registry.machines.get(&machine_id(machine)).map_or(Admission::Open, |record| record.admission)
}

/// Whether two units may not be on one machine.
pub fn conflict(one: &UnitSpec, other: &UnitSpec) -> bool {
    one.conflicts.contains(&other.unit) || other.conflicts.contains(&one.unit)
}

/// Whether one takes the other's machine. Global units are left alone; plans have no circles.
pub fn replaces(one: &UnitSpec, other: &UnitSpec) -> bool {
    one.replaces == Some(other.unit) && !one.global && !other.global
}
