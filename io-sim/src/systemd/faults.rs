//! What a systemd does wrong, switchable while a run goes on.
//!
//! Chances are in a thousand, drawn for each job or verb from a stream of their own, so a fault taken away shifts nothing
//! else. Faults that are acts (a unit crashes, the bus drops, the power fails) are verbs of [`SimSystemd`](super::SimSystemd).

use std::time::Duration;

/// What goes wrong at present; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemdFaults {
    /// Every job waits so much longer before it runs.
    pub job_slow: Duration,
    /// Start jobs of a thousand that fail.
    pub job_fail_permille: u64,
    /// Start jobs of a thousand that hang, with their process, and then time out.
    pub job_timeout_permille: u64,
    /// Jobs of a thousand that are canceled without effect.
    pub job_cancel_permille: u64,
    /// Installations of a thousand that are refused.
    pub refuse_permille: u64,
    /// Writes of unit files of a thousand that fail.
    pub files_permille: u64,
    /// Signals come up to so much later.
    pub signal_late: Duration,
    /// A reload takes so much longer, and nothing else happens meanwhile.
    pub reload_slow: Duration,
}
