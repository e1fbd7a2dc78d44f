//! Every request that was acknowledged takes effect, and nothing else does.
//!
//! Verifies: of each unit about which nothing is in doubt, the registry holds the text and the state that the last acknowledged
//! deed left; of each machine, the admission. Does not verify: units with a deed whose outcome is unknown, which may land late.

use super::Seen;
use crate::checkers::{Checked, ensure};
use crate::fleet::operator::{Done, Outcome};
use crate::fleet::plan::{Wish, machine_id, unit_name};
use fleet::model::{Admission, DesiredState};
use fleet::unit::UnitHash;

const NAME: &str = "fleet-effects";

/// Checks every unit and machine of the plan.
pub fn check(seen: &Seen) -> Checked {
    seen.units().into_iter().try_for_each(|unit| of_unit(seen, unit))?;
    seen.plan.all_machines().try_for_each(|machine| of_machine(seen, machine))
}

fn is_in_doubt(done: &Done) -> bool {
    done.in_doubt || done.outcome == Outcome::Unknown
}

fn of_unit(seen: &Seen, unit: u16) -> Checked {
    let concerns = |wish: &Wish| match wish {
        Wish::Put(spec, _) => spec.unit == unit,
        Wish::State(other, _) | Wish::Destroy(other) | Wish::Restart(other) => *other == unit,
        _ => false,
    };
    let mut expected: Option<(UnitHash, DesiredState)> = None;
    for done in seen.done.iter().filter(|done| concerns(&done.deed.wish)) {
        if is_in_doubt(done) {
            return Ok(());
        }
        match (&done.deed.wish, &done.outcome) {
            (_, Outcome::Refused(why)) => {
                return ensure(false, NAME, "good-requests-are-taken", || format!("{}: {why}", done.deed));
            }
            (Wish::Put(spec, state), _) => expected = Some((spec.file().hash(), *state)),
            (Wish::State(_, state), Outcome::Acknowledged) => {
                expected = expected.map(|(hash, _)| (hash, *state));
            }
            (Wish::Destroy(_), Outcome::Acknowledged) => expected = None,
            _ => {}
        }
    }
    let job = seen.registry.jobs.get(&unit_name(unit));
    let found = job.and_then(|job| Some((job.hash?, job.desired)));
    ensure(found == expected, NAME, "acknowledged-is-there", || {
        format!("{}: the registry holds {found:?}, the operator was told {expected:?}", unit_name(unit))
    })
}

fn of_machine(seen: &Seen, machine: u16) -> Checked {
    let mut expected = Admission::Open;
    for done in &seen.done {
        if let Wish::Admission(other, to) = done.deed.wish
            && other == machine
        {
            if is_in_doubt(done) {
                return Ok(());
            }
            expected = to;
        }
    }
    let record = seen.registry.machines.get(&machine_id(machine));
    let found = record.map_or(Admission::Open, |record| record.admission);
    ensure(found == expected, NAME, "acknowledged-is-there", || {
        format!("machine {machine}: the registry says {found:?}, the operator was told {expected:?}")
    })
}
