//! What goes into the scheduler and what comes out: places and decisions.

use crate::model::{DesiredState, MachineId};
use crate::unit::{PartitionPolicy, UnitName};
use serde::Serialize;
use std::fmt;

/// Where a non-global unit is, according to the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it has no target. It may be placed.
    #[default]
    Free,
    /// A machine has an order for it.
    On {
        /// Which.
        machine: MachineId,
        /// What the order says: loaded or launched.
        state: DesiredState,
    },
    /// The order was taken back; the machine may still run it. It counts there, and is not placed elsewhere yet.
    Leaving(MachineId),
    /// Its machine is cut off, and the unit's policy forbids a second copy. The order still stands.
    Held {
        /// The machine that is cut off.
        machine: MachineId,
        /// The policy that holds it: stop or hold.
        policy: PartitionPolicy,
    },
}

impl Place {
    /// The machine that has, or may have, the unit.
    pub fn machine(&self) -> Option<&MachineId> {
        match self {
            Place::Free => None,
            Place::On { machine, .. } | Place::Leaving(machine) | Place::Held { machine, .. } => {
                Some(machine)
            }
        }
    }
}

/// One thing that the engine has to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Decision {
    /// Give the machine an order for the unit. A non-global unit was free; a global one had no copy there.
    Assign {
        /// The unit.
        unit: UnitName,
        /// The machine.
        machine: MachineId,
        /// What the order says: loaded or launched.
        state: DesiredState,
        /// Why this machine, for people.
        reason: String,
    },
    /// Take the order back. The unit is then leaving, until the engine says that it is free.
    Unassign {
        /// The unit.
        unit: UnitName,
        /// The machine that has the order.
        machine: MachineId,
        /// Why, for people.
        reason: String,
    },
    /// Change what the order says, on the same machine.
    SetState {
        /// The unit.
        unit: UnitName,
        /// The machine that has the order.
        machine: MachineId,
        /// Loaded or launched.
        state: DesiredState,
        /// Why, for people.
        reason: String,
    },
}

impl Decision {
    /// The unit that it is about.
    pub fn unit(&self) -> &UnitName {
        match self {
            Decision::Assign { unit, .. }
            | Decision::Unassign { unit, .. }
            | Decision::SetState { unit, .. } => unit,
        }
    }

    /// The machine that it is about.
    pub fn machine(&self) -> &MachineId {
        match self {
            Decision::Assign { machine, .. }
            | Decision::Unassign { machine, .. }
            | Decision::SetState { machine, .. } => machine,
        }
    }

    /// Why, for people.
    pub fn reason(&self) -> &str {
        match self {
            Decision::Assign { reason, .. }
            | Decision::Unassign { reason, .. }
            | Decision::SetState { reason, .. } => reason,
        }
    }
}

/// One line: `assign web.service to 3f2a91c0… (launched): …`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Assign { unit, machine, state, reason } => {
                write!(f, "assign {unit} to {machine} ({state}): {reason}")
            }
            Decision::Unassign { unit, machine, reason } => write!(f, "take {unit} from {machine}: {reason}"),
            Decision::SetState { unit, machine, state, reason } => {
                write!(f, "set {unit} on {machine} to {state}: {reason}")
            }
        }
    }
}
