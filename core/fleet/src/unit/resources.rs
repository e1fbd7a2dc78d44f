//! Amounts of processor time and memory.

use serde::{Deserialize, Serialize};

/// Processor time and memory, of a machine or asked for by a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}
