//! Nothing is done that need not be: no unit is stopped or started for nothing, and a cluster at rest writes nothing.
//!
//! Verifies: a process that was stopped over the bus was stopped while something had happened that may call for it (a deed of
//! the operator, trouble on its machine or in the store, the end of a presence that nobody came back for, shortly before); once
//! settled, nothing is started or
//! stopped over the bus at all, and the store's log stands still. Does not verify: that the cause and the stop belong
//! together.

use super::Seen;
use crate::checkers::{Checked, ensure};
use crate::fleet::plan::MishapKind;
use crate::systemd::{Began, Ended, Run};
use fleet::agent::RESTART_GRACE;
use std::time::Duration;

const NAME: &str = "fleet-quiet";
/// How long after a deed or a trouble a unit may be stopped because of it.
const SHORTLY: Duration = Duration::from_secs(30);
/// How long after the end of a trouble the store has a leader at the latest.
const ELECTION: Duration = Duration::from_secs(5);
/// How long a fleetd that was told to stop may take to leave its presence behind.
const LEAVING: Duration = Duration::from_secs(5);

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
    let reason = deed || trouble || presence_ended(seen, from, at);
    ensure(reason, NAME, "stopped-for-a-reason", || {
        format!("{} was stopped on machine {machine} at {at:?}, and nothing had happened", run.unit)
    })
}

/// Whether a presence that a fleetd left to bridge its restart may have ended between `from` and `until` because its machine lost
/// power meanwhile. Up to that moment the machine counts as there, with all its units; then they go elsewhere, the machine is new,
/// and one that takes another's place there sets others in motion, on any machine. Each new leader of the store begins the
/// lease anew.
fn presence_ended(seen: &Seen, from: Duration, until: Duration) -> bool {
    let restarts = seen.troubles.iter().filter(|trouble| match trouble.kind {
        MishapKind::Restart => true,
        // A fleetd that cannot ask systemd whether the machine goes down leaves its presence behind.
        MishapKind::Reboot => {
            let asks = trouble.from + LEAVING;
            seen.was_wrong(trouble.machine, trouble.from, asks, |kind| kind == MishapKind::Bus)
        }
        _ => false,
    });
    restarts.into_iter().any(|restart| {
        let back = restart.until.unwrap_or(seen.end) + SHORTLY;
        let off = |kind| matches!(kind, MishapKind::PowerLoss | MishapKind::Reboot);
        let later = seen.store_troubles.iter().map(|(_, end)| *end + ELECTION);
        let begun = later.fold(restart.from, Duration::max) + LEAVING;
        seen.was_wrong(restart.machine, restart.from, back, off)
            && restart.from + RESTART_GRACE <= until
            && begun + RESTART_GRACE >= from
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
