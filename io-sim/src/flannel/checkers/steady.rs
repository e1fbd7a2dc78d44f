//! What a daemon does to its kernel costs no packet that it need not cost.
//!
//! Verifies: no list of operations broke the way to a subnet that was whole before it and whole after it (see `links::steady`, which
//! looks after each operation). Does not verify what others do to the kernel, nor lists that make a device anew.

use super::super::machines::Machines;
use crate::checkers::{Checked, ensure};

/// Checks every machine.
pub fn check(machines: &Machines) -> Checked {
    for machine in machines.plan().all_machines() {
        let lost = machines.links(machine).lost();
        ensure(lost.is_empty(), "flannel-steady", "no-way-is-broken-for-nothing", || {
            format!("on machine {machine}: {}", lost.join("; "))
        })?;
    }
    Ok(())
}
