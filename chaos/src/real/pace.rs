//! A plan, made as short as a real run should be.
//!
//! The simulator skips idle time; here every second is one. So a plan that is longer than [`LONGEST_MS`] is drawn together: what
//! happens before the calm to [`CALM_MS`], with the lengths of faults and watchers; what happens in the calm to behind the time in
//! which a cluster must recover, because calls are judged from there on. Times to live stay as they are, because the store
//! counts them in whole seconds.

use io_sim::plan::{Deed, Plan};
use io_sim::runner::SETTLE;

/// Plans up to this length run as they are, in milliseconds.
const LONGEST_MS: u64 = 45_000;
/// When the calm begins, and when the run ends.
const CALM_MS: u64 = 15_000;
const END_MS: u64 = 42_000;
/// No call is made in the last part, so that every outcome is known.
const LAST_CALL_MS: u64 = 5_000;
/// The shortest fault.
const SHORTEST_MS: u64 = 30;

/// The plan as it is run.
pub fn paced(plan: &Plan) -> Plan {
    let mut paced = plan.clone();
    if plan.end_ms <= LONGEST_MS {
        return paced;
    }
    let before = |ms: u64| (u128::from(ms) * u128::from(CALM_MS) / u128::from(plan.calm_ms.max(1))) as u64;
    let last = plan.operations.iter().map(|operation| operation.at_ms).max().unwrap_or(0);
    let behind = last.saturating_sub(plan.calm_ms).max(1);
    let when = |ms: u64| match ms.checked_sub(plan.calm_ms) {
        None => before(ms),
        Some(ms) => CALM_MS + ms * (END_MS - LAST_CALL_MS - CALM_MS) / behind,
    };
    for operation in &mut paced.operations {
        operation.at_ms = when(operation.at_ms).min(END_MS - LAST_CALL_MS);
        if let Deed::Watch { for_ms, slow_ms, .. } = &mut operation.deed {
            (*for_ms, *slow_ms) = (before(*for_ms), before(*slow_ms));
        }
    }
    for fault in &mut paced.faults {
        fault.at_ms = when(fault.at_ms);
        fault.for_ms = before(fault.for_ms).max(SHORTEST_MS);
    }
    (paced.calm_ms, paced.end_ms) = (CALM_MS, END_MS);
    paced
}

/// Whether calls are judged at all: the calm is longer than a cluster may take to recover.
pub fn is_judged(plan: &Plan) -> bool {
    u128::from(plan.end_ms) > u128::from(plan.calm_ms) + SETTLE.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn every_seed_fits_and_keeps_its_order(seed: u64) -> bool {
            let plan = Plan::from_seed(seed);
            let short = paced(&plan);
            let in_order = short.operations.windows(2).all(|two| two[0].at_ms <= two[1].at_ms);
            let last = short.operations.last().map_or(0, |operation| operation.at_ms);
            let sides = plan.operations.iter().zip(&short.operations)
                .all(|(long, short)| (long.at_ms < plan.calm_ms) == (short.at_ms < CALM_MS));
            in_order && sides && last <= END_MS - LAST_CALL_MS && is_judged(&short)
                && short.faults.iter().all(|fault| fault.at_ms < CALM_MS) && paced(&short) == short
        }
    }
}
