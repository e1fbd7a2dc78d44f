//! The task that listens to the kernel for the loop.

use super::config::{PREPARE_RETRY, RETRY_FIRST};
use super::state::Event;
use crate::links::{Hint, Links};
use kernel::Clock;
use kernel::inbox::{Inbox, Refused};
use std::sync::Arc;
use std::time::Duration;

/// How long the listener waits when the loop has more to do than it can take.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Hands on hints until the loop ends. A stream that broke is a loss of hints: a new one begins with [`Hint::Resync`].
pub(super) async fn listen(links: Arc<dyn Links>, events: Inbox<Event>, clock: Arc<dyn Clock>) {
    loop {
        let Ok(mut changes) = links.changes().await else {
            if !push(&events, Hint::Resync, &*clock).await {
                return;
            }
            clock.sleep_until(clock.now() + PREPARE_RETRY).await;
            continue;
        };
        let mut next = Ok(Hint::Resync);
        while let Ok(hint) = next {
            if !push(&events, hint, &*clock).await {
                return;
            }
            next = changes.next().await;
        }
        clock.sleep_until(clock.now() + RETRY_FIRST).await;
    }
}

/// Hands a hint to the loop, waiting for room; false when the loop has ended.
async fn push(events: &Inbox<Event>, hint: Hint, clock: &dyn Clock) -> bool {
    let mut event = Event::Hint(hint);
    loop {
        match events.try_push(event) {
            Ok(()) => return true,
            Err(Refused::Closed(_)) => return false,
            Err(Refused::Full(back)) => event = back,
        }
        clock.sleep_until(clock.now() + FULL_PAUSE).await;
    }
}
