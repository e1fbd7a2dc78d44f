//! A lease survives as promised: a machine keeps its subnet through everything that takes less than the lease's time.
//!
//! Verifies: a machine that nothing kept from its lease for half of the lease's time held one subnet only, over crashes, restarts and
//! reboots. Does not verify machines whose lease somebody took away, nor runs in which the store was away for long.

use super::super::machines::Machines;
use super::super::plan::{Mishap, MishapKind};
use super::exclusive::Onlooker;
use crate::checkers::{Checked, ensure};

/// Checks every machine.
pub fn check(machines: &Machines, onlooker: &Onlooker) -> Checked {
    let plan = machines.plan();
    let most_ms = plan.ttl_s * 1_000 / 3;
    let store_ms: u64 = plan.store.faults.iter().map(|fault| fault.for_ms + 5_000).sum();
    for machine in plan.all_machines() {
        let here = |mishap: &&Mishap| {
            let all = matches!(mishap.kind, MishapKind::Retune(_));
            all || mishap.machines.contains(&machine)
        };
        let moved =
            |mishap: &Mishap| matches!(mishap.kind, MishapKind::Retune(retuning) if retuning.moves_subnets());
        if plan.mishaps.iter().any(moved) {
            return Ok(());
        }
        let away_ms: u64 = plan.mishaps.iter().filter(here).map(|mishap| kept_away_ms(mishap, most_ms)).sum();
        if away_ms + store_ms > most_ms {
            continue;
        }
        let held = onlooker.held(machine);
        ensure(held.len() <= 1, "flannel-promise", "lease-survives", || {
            format!("machine {machine} held {held:?}, one after the other, and nothing had taken its lease")
        })?;
    }
    Ok(())
}

/// How long a mishap keeps a machine from renewing, at most.
fn kept_away_ms(mishap: &Mishap, most_ms: u64) -> u64 {
    match mishap.kind {
        kind if kind.takes_lease() => most_ms + 1,
        MishapKind::Crash
        | MishapKind::Restart
        | MishapKind::PowerLoss
        | MishapKind::Pause
        | MishapKind::Partition
        | MishapKind::Slow(_) => mishap.for_ms + 1_000,
        MishapKind::Retune(retuning) if retuning.blocks_starts() => mishap.for_ms + 1_000,
        _ => 0,
    }
}
