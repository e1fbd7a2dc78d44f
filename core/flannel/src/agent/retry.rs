//! Pauses between tries that double.

use super::config::{RETRY_FIRST, RETRY_MOST};
use std::time::Duration;

/// When to try again something that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retry {
    pause: Duration,
    until: Option<Duration>,
}

impl Retry {
    /// It failed: the next pause begins, longer than the last.
    pub(super) fn fail(&mut self, now: Duration) {
        self.pause = (self.pause * 2).clamp(RETRY_FIRST, RETRY_MOST);
        self.until = Some(now + self.pause);
    }

    /// It went well.
    pub(super) fn succeed(&mut self) {
        *self = Retry::default();
    }

    /// Whether a pause goes on.
    pub(super) fn holds(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Until when; none if nothing has failed.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }
}
