//! At no time two copies of one unit, beyond what its partition policy allows.
//!
//! Verifies, for each two overlapping lives of a non-global unit's process on two machines: under `keep`, that the first machine
//! or the store was in trouble shortly before the second copy began; under `stop`, that the first machine's agent could not act
//! (its process was down or still, or its systemd out of reach), because nothing but a partition can promise more; under
//! `hold`, that an operator had declared the machine gone. A policy that was changed counts as the weaker of the two. Does not
//! verify: that a second copy ends soon; in the calm [`placement`](super::placement) does.

use super::Seen;
use crate::checkers::{Checked, ensure};
use crate::fleet::operator::Outcome;
use crate::fleet::plan::{MishapKind, UnitSpec, Wish};
use crate::systemd::{Began, Run};
use fleet::unit::PartitionPolicy;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "fleet-copies";
/// How long before a second copy the trouble that explains it may have ended: a lease, a grace, a slow start.
const SHORTLY: Duration = Duration::from_secs(25);

/// Checks every pair of lives.
pub fn check(seen: &Seen) -> Checked {
    let mut by_unit: BTreeMap<&str, Vec<(u16, &Run)>> = BTreeMap::new();
    for (machine, runs) in &seen.runs {
        runs.iter().for_each(|run| by_unit.entry(&run.unit).or_default().push((*machine, run)));
    }
    for lives in by_unit.values_mut() {
        lives.sort_by_key(|(machine, run)| (run.from, *machine));
        for (index, first) in lives.iter().enumerate() {
            for second in &lives[index + 1..] {
                pair(seen, *first, *second)?;
            }
        }
    }
    Ok(())
}

fn pair(seen: &Seen, first: (u16, &Run), second: (u16, &Run)) -> Checked {
    let ((here, one), (there, other)) = (first, second);
    let overlap = one.is_at(other.from);
    let (Some(before), Some(after)) = (seen.spec(one.hash), seen.spec(other.hash)) else { return Ok(()) };
    if here == there || !overlap || before.global || after.global {
        return Ok(());
    }
    let policy = weaker(before, after);
    let from = other.from.saturating_sub(SHORTLY);
    // What systemd starts again was there before: then either machine may be the one that was in trouble.
    let again = other.began == Began::Restart;
    let in_trouble = |kinds: fn(MishapKind) -> bool| {
        seen.was_wrong(here, from, other.from, kinds)
            || (again && seen.was_wrong(there, from, other.from, kinds))
    };
    let excused = match policy {
        PartitionPolicy::Keep => seen.store_was_wrong(from, other.from) || in_trouble(|_| true),
        PartitionPolicy::Stop => in_trouble(disables_agent),
        PartitionPolicy::Hold => declared_gone(seen, here, other.from),
    };
    ensure(excused, NAME, "one-copy", || {
        format!(
            "{} runs on machine {here} since {:?} ({:?}) and on machine {there} since {:?}, although its policy is {policy:?}",
            one.unit, one.from, one.until, other.from
        )
    })
}

/// The policy of two that promises less.
fn weaker(one: &UnitSpec, other: &UnitSpec) -> PartitionPolicy {
    let rank = |policy: PartitionPolicy| match policy {
        PartitionPolicy::Keep => 0,
        PartitionPolicy::Stop => 1,
        PartitionPolicy::Hold => 2,
    };
    if rank(one.policy) <= rank(other.policy) { one.policy } else { other.policy }
}

/// Whether an agent may be unable to stop its units in time for it.
fn disables_agent(kind: MishapKind) -> bool {
    matches!(
        kind,
        MishapKind::Crash
            | MishapKind::Restart
            | MishapKind::Reboot
            | MishapKind::Pause
            | MishapKind::Stall
            | MishapKind::Bus
            | MishapKind::SlowReload(_)
    )
}

fn declared_gone(seen: &Seen, machine: u16, before: Duration) -> bool {
    seen.done.iter().any(|done| {
        let counts = done.in_doubt || done.outcome == Outcome::Acknowledged;
        counts && done.invoked <= before && done.deed.wish == Wish::Gone(machine)
    })
}
