//! The calendar: what happens when, ordered by (time, seeded tie-break, sequence).
//!
//! The tie-break makes the order of things that fall on one instant a matter of the seed and not of who asked first. A
//! cancelled timer stays in the heap as a husk until its time or the next sweep, and has no effect at all: not on the clock,
//! not on the digest.

use super::owner::Owner;
use kernel::rng::Stream;
use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// Husks that may lie in the heap before a sweep is worth its cost.
const SWEEP_HUSKS: usize = 1024;

/// A timer as its holder sees it.
pub(super) struct Alarm {
    cancelled: AtomicBool,
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    pub fn new(waker: Waker) -> Arc<Alarm> {
        Arc::new(Alarm {
            cancelled: AtomicBool::new(false),
            fired: AtomicBool::new(false),
            waker: Mutex::new(Some(waker)),
        })
    }

    pub fn set_waker(&self, waker: &Waker) {
        let mut held = self.waker.lock().expect("no holder panics");
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }

    /// Wakes the sleeper but leaves the alarm set.
    pub fn nudge(&self) {
        let waker = self.waker.lock().expect("no holder panics").clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn fire(&self) {
        self.fired.store(true, Ordering::Relaxed);
        let waker = self.waker.lock().expect("no holder panics").take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// True when this made a husk of it.
    pub fn cancel(&self) -> bool {
        self.waker.lock().expect("no holder panics").take();
        !self.fired.load(Ordering::Relaxed) && !self.cancelled.swap(true, Ordering::Relaxed)
    }

    pub fn has_fired(&self) -> bool {
        self.fired.load(Ordering::Relaxed)
    }
}

/// What is to happen.
pub(super) enum What {
    Wake(Arc<Alarm>),
    Call(Box<dyn FnOnce() + Send>),
}

impl What {
    fn is_husk(&self) -> bool {
        matches!(self, What::Wake(alarm) if alarm.cancelled.load(Ordering::Relaxed))
    }
}

/// One line of the calendar.
pub(super) struct Entry {
    pub at: u64,
    tie: u64,
    pub sequence: u64,
    pub owner: Owner,
    pub what: What,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Order {
        // Reversed: BinaryHeap gives the greatest first, and we want the earliest.
        (other.at, other.tie, other.sequence).cmp(&(self.at, self.tie, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Entry {}

/// The heap.
pub(super) struct Timers {
    heap: BinaryHeap<Entry>,
    husks: usize,
    sequence: u64,
    ties: Stream,
}

impl Timers {
    pub fn new(seed: u64) -> Timers {
        Timers { heap: BinaryHeap::new(), husks: 0, sequence: 0, ties: Stream::new(seed, "sched ties", 0) }
    }

    pub fn push(&mut self, at: u64, owner: Owner, what: What) {
        self.sequence += 1;
        let tie = self.ties.next_u64();
        self.heap.push(Entry { at, tie, sequence: self.sequence, owner, what });
    }

    /// The earliest entry at or before `limit`.
    pub fn pop(&mut self, limit: u64) -> Option<Entry> {
        while self.heap.peek().is_some_and(|entry| entry.at <= limit) {
            let entry = self.heap.pop().expect("just peeked");
            if !entry.what.is_husk() {
                return Some(entry);
            }
            self.husks = self.husks.saturating_sub(1);
        }
        None
    }

    /// A holder has cancelled its alarm.
    pub fn husk(&mut self) {
        self.husks += 1;
        if self.husks > SWEEP_HUSKS && self.husks * 2 > self.heap.len() {
            self.heap.retain(|entry| !entry.what.is_husk());
            self.husks = 0;
        }
    }

    /// Takes out everything of `owner`, to be dropped by the caller without any lock.
    pub fn kill(&mut self, owner: Owner) -> Vec<Entry> {
        let (dead, living): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.heap).into_iter().partition(|entry| entry.owner == owner);
        self.heap = living.into();
        dead
    }

    /// The alarms of `owner`, in the order in which they were set.
    pub fn alarms_of(&self, owner: Owner) -> Vec<Arc<Alarm>> {
        let mut alarms: Vec<(u64, Arc<Alarm>)> = self
            .heap
            .iter()
            .filter(|entry| entry.owner == owner && !entry.what.is_husk())
            .filter_map(|entry| match &entry.what {
                What::Wake(alarm) => Some((entry.sequence, alarm.clone())),
                What::Call(_) => None,
            })
            .collect();
        alarms.sort_by_key(|(sequence, _)| *sequence);
        alarms.into_iter().map(|(_, alarm)| alarm).collect()
    }

    /// Takes everything, at the end of the world.
    pub fn take_all(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.heap).into_vec()
    }
}
