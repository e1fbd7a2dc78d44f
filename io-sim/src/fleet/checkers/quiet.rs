//! Nothing is done that need not be: no unit is stopped or started for nothing, and a cluster at rest writes nothing.
//!
//! Verifies: a process that was stopped over the bus was stopped while something had happened that may call for it (a deed of
//! the operator, trouble on its machine or in the store, shortly before); once settled, nothing is started or
//! stopped over the bus at all, and the store's log stands still. Does not verify: that the cause and the stop belong
//! together.

use super::Seen;
use crate::checkers::{Checked, ensure};
use crate::systemd::{Began, Ended, Run};
use std::time::Duration;

const NAME: &str = "fleet-quiet";
/// How long after a deed or a trouble a unit may be stopped because of it.
const SHORTLY: Duration = Duration::from_secs(30);

/// Checks every process, and the log.
pub fn check(seen: &Seen) -> Checked {
    for (machine, runs) in &seen.runs {
        for run in runs {
            needed(seen, *machine, run)?;
            settled(seen, *machine, run)?;
        }
    }
    let late = seen.writes.iter().filter(|at| **at > seen.settled).count();
    ensure(late == 0, NAME, "rest-writes-nothing", || {
        let first = seen.writes.iter().find(|at| **at > seen.settled);
        format!("{late} entries were written at rest, the first at {first:?}")
    })
}

fn needed(seen: &Seen, machine: u16, run: &Run) -> Checked {
    let Some((at, Ended::Asked)) = run.until else { return Ok(()) };
    let from = at.saturating_sub(SHORTLY);
    let deed = seen.done.iter().any(|done| done.invoked <= at && done.returned >= from)
        || seen.done.len() < seen.plan.deeds.len();
    let trouble = seen.was_wrong(machine, from, at, |_| true) || seen.store_was_wrong(from, at);
    ensure(deed || trouble, NAME, "stopped-for-a-reason", || {
        format!("{} was stopped on machine {machine} at {at:?}, and nothing had happened", run.unit)
    })
}

fn settled(seen: &Seen, machine: u16, run: &Run) -> Checked {
    ensure(run.began != Began::Job || run.from <= seen.settled, NAME, "rest-starts-nothing", || {
        format!("{} was started on machine {machine} at rest, at {:?}", run.unit, run.from)
    })?;
    let stopped = matches!(run.until, Some((at, Ended::Asked)) if at > seen.settled);
    ensure(!stopped, NAME, "rest-stops-nothing", || {
        format!("{} was stopped on machine {machine} at rest: {:?}", run.unit, run.until)
    })
}
