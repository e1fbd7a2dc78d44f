//! The counters, which two threads add to and a third reads.

use crate::tun::TunCounters;
use std::sync::atomic::{AtomicU64, Ordering};

/// One counter. Only ever grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// [`TunCounters`], while they are counted. The names are those.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Counts {
    pub sent_packets: Count,
    pub sent_bytes: Count,
    pub sent_batches: Count,
    pub received_packets: Count,
    pub received_bytes: Count,
    pub received_joined: Count,
    pub answers: Count,
    pub no_peer: Count,
    pub expired: Count,
    pub too_long: Count,
    pub malformed_out: Count,
    pub malformed_in: Count,
    pub refused: Count,
}

impl Counts {
    /// What they say now. Each is right; together they are of slightly different moments.
    pub fn now(&self) -> TunCounters {
        TunCounters {
            sent_packets: self.sent_packets.get(),
            sent_bytes: self.sent_bytes.get(),
            sent_batches: self.sent_batches.get(),
            received_packets: self.received_packets.get(),
            received_bytes: self.received_bytes.get(),
            received_joined: self.received_joined.get(),
            answers: self.answers.get(),
            no_peer: self.no_peer.get(),
            expired: self.expired.get(),
            too_long: self.too_long.get(),
            malformed_out: self.malformed_out.get(),
            malformed_in: self.malformed_in.get(),
            refused: self.refused.get(),
        }
    }
}
