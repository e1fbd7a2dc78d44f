//! Time from the operating system.

use kernel::{BoxFuture, Clock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks.
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// Monotonic time counts from now.
    pub fn new() -> Self {
        RealClock { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        RealClock::new()
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> Duration {
        // A wall clock set before 1970 is shown as 1970: it only names things.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let instant = self.start.checked_add(deadline);
        Box::pin(async move {
            match instant {
                Some(instant) => tokio::time::sleep_until(instant.into()).await,
                // Beyond what the machine can count: never.
                None => std::future::pending().await,
            }
        })
    }
}
