//! The state of one connection: two directed pipes of frames between two ends.
//!
//! A pipe is a queue of (arrival, frame) with arrivals that never decrease, so order within a connection holds whatever the
//! link does. A frame whose arrival is [`HELD`] waits for a cut link to heal. A frame stays in the queue until the receiver
//! takes it, so the length of the queue is the window that a sender waits for.

use crate::sched::Owner;
use bytes::Bytes;
use std::collections::VecDeque;
use std::task::Waker;

/// The arrival of what is held at a cut.
pub(super) const HELD: u64 = u64::MAX;

/// A frame on its way.
pub(super) struct Sent {
    /// When it arrives.
    pub at: u64,
    pub frame: Bytes,
    /// The checksum that it left with, where it has been changed since.
    pub left_with: Option<u32>,
}

/// One direction: from end `i` to end `1 - i`, where `i` is its place in [`Conn::pipes`].
#[derive(Default)]
pub(super) struct Pipe {
    pub queue: VecDeque<Sent>,
    /// A slow receiver takes nothing before this.
    pub taken_from: u64,
    /// When the sender's close arrives.
    pub fin: Option<u64>,
    last_arrival: u64,
    pub sender_waker: Option<Waker>,
    pub receiver_waker: Option<Waker>,
}

impl Pipe {
    /// Queues a frame that arrives at `at`, or right behind the one before it. Returns when that is.
    pub fn push(&mut self, at: u64, sent: Sent) -> u64 {
        let at = self.order(at);
        assert!(self.queue.back().is_none_or(|last| last.at <= at), "within a connection nothing overtakes");
        self.queue.push_back(Sent { at, ..sent });
        at
    }

    /// Queues the close behind everything. Returns when it arrives.
    pub fn close(&mut self, at: u64) -> u64 {
        let at = self.order(at);
        self.fin = Some(at);
        at
    }

    fn order(&mut self, at: u64) -> u64 {
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// Whether anything waits for a link to heal.
    pub fn is_held(&self) -> bool {
        self.last_arrival == HELD
    }

    /// The link is cut: what has not arrived by `now` is held. Returns whether anything is.
    pub fn hold(&mut self, now: u64) -> bool {
        let fin = self.fin.iter_mut();
        for at in self.queue.iter_mut().map(|sent| &mut sent.at).chain(fin).filter(|at| **at > now) {
            *at = HELD;
            self.last_arrival = HELD;
        }
        self.is_held()
    }

    /// The link is whole: what was held arrives from `at` on, in order. Returns the arrivals.
    pub fn release(&mut self, now: u64, mut delay: impl FnMut() -> u64) -> Vec<u64> {
        let mut arrivals = Vec::new();
        let mut last = now;
        let fin = self.fin.iter_mut();
        for at in self.queue.iter_mut().map(|sent| &mut sent.at).chain(fin) {
            if *at == HELD {
                *at = last.max(now + delay());
                arrivals.push(*at);
            }
            last = last.max(*at);
        }
        self.last_arrival = last;
        arrivals.dedup();
        arrivals
    }

    /// What would arrive later than `by` arrives then. Returns whether anything does.
    pub fn hurry(&mut self, by: u64) -> bool {
        let later = |at: &u64| *at > by && *at != HELD;
        let mut hurries = false;
        for at in
            self.queue.iter_mut().map(|sent| &mut sent.at).chain(self.fin.iter_mut()).filter(|at| later(at))
        {
            *at = by;
            hurries = true;
        }
        if later(&self.last_arrival) {
            self.last_arrival = by;
        }
        hurries
    }

    /// What has not arrived never does.
    pub fn lose_unarrived(&mut self, now: u64) {
        while self.queue.back().is_some_and(|sent| sent.at > now) {
            self.queue.pop_back();
        }
        self.fin = self.fin.filter(|at| *at <= now);
        self.last_arrival = now;
    }

    /// The next frame that has arrived.
    pub fn take(&mut self, now: u64) -> Option<Sent> {
        if self.has_arrived(now) { self.queue.pop_front() } else { None }
    }

    /// Whether a frame can be taken.
    pub fn has_arrived(&self, now: u64) -> bool {
        self.queue.front().is_some_and(|sent| sent.at <= now)
    }

    /// The sender is gone; what it had sent arrives so much later, and then the end. Returns the arrivals.
    pub fn trail(&mut self, now: u64, late: u64) -> Vec<u64> {
        let mut arrivals = Vec::new();
        for sent in self.queue.iter_mut().filter(|sent| sent.at > now && sent.at != HELD) {
            sent.at += late;
            arrivals.push(sent.at);
        }
        let last = arrivals.last().copied().unwrap_or(now + late);
        self.last_arrival = self.queue.back().map_or(last, |sent| sent.at.max(last));
        let last = self.last_arrival;
        arrivals.push(self.close(last));
        arrivals.dedup();
        arrivals
    }

    /// Whether the close has arrived.
    pub fn is_finished(&self, now: u64) -> bool {
        self.fin.is_some_and(|at| at <= now)
    }
}

/// How an end stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In use.
    Open,
    /// It knows that the connection is broken.
    Broken,
    /// It has dropped a half.
    Closed,
}

/// A connection.
pub(super) struct Conn {
    /// Whose end it is: 0 connected, 1 accepted.
    pub owners: [Owner; 2],
    pub ends: [End; 2],
    /// Halves of each end that are still held.
    pub halves: [u8; 2],
    pub pipes: [Pipe; 2],
    /// Nothing gets through any more, whether the ends know it or not.
    pub dead: bool,
    /// The end knows, or will.
    pub told: [bool; 2],
    /// Since when something waits for a link to heal.
    pub held_since: Option<u64>,
}

impl Conn {
    pub fn new(owners: [Owner; 2]) -> Conn {
        Conn {
            owners,
            ends: [End::Open; 2],
            halves: [2; 2],
            pipes: [Pipe::default(), Pipe::default()],
            dead: false,
            told: [false; 2],
            held_since: None,
        }
    }

    /// The wakers of both halves of `end`: the sender into its own pipe, the receiver out of the other's.
    pub fn take_wakers(&mut self, end: usize) -> [Option<Waker>; 2] {
        [self.pipes[end].sender_waker.take(), self.pipes[1 - end].receiver_waker.take()]
    }

    /// Whether nobody can use it any more.
    pub fn is_over(&self) -> bool {
        self.halves == [0; 2]
    }
}
