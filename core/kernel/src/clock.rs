//! The Clock port: time as one machine sees it.
//!
//! Monotonic and wall time are apart because they fail apart: monotonic time may drift against other machines, wall time
//! may also jump. Deadlines, elections and leases use [`Clock::now`] only; wall time is for names and people.

use crate::BoxFuture;
use std::time::Duration;

/// Time as this machine sees it.
pub trait Clock: Send + Sync {
    /// Monotonic time since a fixed but arbitrary instant before this process started. Never goes back.
    fn now(&self) -> Duration;

    /// Time since the Unix epoch by the machine's wall clock. May jump in either direction.
    fn wall(&self) -> Duration;

    /// Ready at the first moment when `now() >= deadline`, never before. Dropping the future cancels it.
    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()>;
}
