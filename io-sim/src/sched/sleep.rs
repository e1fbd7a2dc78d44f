//! A sleep in world time. It is put on the calendar when it is first polled, and taken off when it is dropped.

use super::Sched;
use super::owner::Owner;
use super::timers::{Alarm, What};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A sleep until an instant of world time.
pub(crate) struct WorldSleep {
    sched: Sched,
    owner: Owner,
    at: u64,
    alarm: Option<Arc<Alarm>>,
}

impl WorldSleep {
    pub(super) fn new(sched: Sched, owner: Owner, at: u64) -> WorldSleep {
        WorldSleep { sched, owner, at, alarm: None }
    }

    /// Moves the sleep to another instant.
    pub fn reset(&mut self, at: u64) {
        if at != self.at {
            self.disarm();
            self.at = at;
        }
    }

    fn disarm(&mut self) {
        if let Some(alarm) = self.alarm.take()
            && alarm.cancel()
        {
            self.sched.lock().timers.husk();
        }
    }

    fn arm(&mut self, waker: &Waker) {
        let mut state = self.sched.lock();
        if state.is_current(self.owner) {
            let alarm = Alarm::new(waker.clone());
            state.timers.push(self.at, self.owner, What::Wake(alarm.clone()));
            self.alarm = Some(alarm);
        }
    }
}

impl Future for WorldSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &self.alarm {
            Some(alarm) if alarm.has_fired() => return Poll::Ready(()),
            Some(alarm) => {
                alarm.set_waker(context.waker());
                return Poll::Pending;
            }
            None => {}
        }
        if self.sched.now_ns() >= self.at {
            return Poll::Ready(());
        }
        self.arm(context.waker());
        Poll::Pending
    }
}

impl Drop for WorldSleep {
    fn drop(&mut self) {
        self.disarm();
    }
}
