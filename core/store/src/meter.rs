//! What a member measures: how long its disk takes, and what passes between it and its peers.
//!
//! Times come from the Clock port, so a simulated member measures simulated time. To count is an addition to an atomic: nothing
//! is allocated, and no lock is taken. Counts start at zero with the member and only grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bounds of a histogram: 1 ms, doubled up to 8.192 s, which are those of etcd's disk metrics.
pub const BUCKETS: usize = 14;
/// An apply that takes longer is counted as slow, as in etcd.
const SLOW_APPLY: Duration = Duration::from_millis(100);

/// Durations, by size.
#[derive(Default)]
pub struct Histogram {
    /// The last is for what exceeds every bound.
    counts: [AtomicU64; BUCKETS + 1],
    nanoseconds: AtomicU64,
}

/// What a histogram holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How many durations were at most 1 ms, 2 ms, 4 ms and so on.
    pub up_to: [u64; BUCKETS],
    /// How many there were.
    pub count: u64,
    /// What they add up to.
    pub sum: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let milliseconds = nanoseconds.div_ceil(1_000_000);
        // The number of doublings of 1 ms that it takes to reach it.
        let bucket = milliseconds.saturating_sub(1).checked_ilog2().map_or(0, |power| power as usize + 1);
        self.counts[bucket.min(BUCKETS)].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Reading {
        let mut reading =
            Reading { sum: Duration::from_nanos(self.nanoseconds.load(Relaxed)), ..Reading::default() };
        for (bucket, count) in self.counts.iter().enumerate() {
            reading.count += count.load(Relaxed);
            if let Some(up_to) = reading.up_to.get_mut(bucket) {
                *up_to = reading.count;
            }
        }
        reading
    }
}

/// What passed between this member and another.
#[derive(Default)]
pub struct Traffic {
    /// Frames handed to its connection; those of snapshots are not counted.
    pub sent: AtomicU64,
    /// Their bytes.
    pub sent_bytes: AtomicU64,
    /// Frames that came from it.
    pub received: AtomicU64,
    /// Their bytes.
    pub received_bytes: AtomicU64,
    /// Connections to it that could not be made, or that broke.
    pub send_failures: AtomicU64,
    /// Snapshots that it took.
    pub snapshots_sent: AtomicU64,
    /// Snapshots that it did not take whole.
    pub snapshots_failed: AtomicU64,
    /// Snapshots that came from it whole.
    pub snapshots_received: AtomicU64,
    /// Snapshots that did not come whole, or were refused.
    pub snapshots_refused: AtomicU64,
}

/// See the head of the file.
#[derive(Default)]
pub struct Meter {
    /// Syncs of the log's files.
    pub log_syncs: Histogram,
    /// Bytes written to the log's files.
    pub log_bytes: AtomicU64,
    /// Checkpoints of the state.
    pub checkpoints: Histogram,
    /// Entries whose apply took more than 100 ms.
    pub slow_applies: AtomicU64,
    /// Read indexes that had to be asked for again because no answer came.
    pub slow_read_indexes: AtomicU64,
    /// Linearizable reads that were given up.
    pub failed_read_indexes: AtomicU64,
    /// Times that the state was found damaged, or wrong.
    pub state_damages: AtomicU64,
    /// Times that another member's state took the place of a damaged one.
    pub state_repairs: AtomicU64,
    /// Sealed segments of the log that were found damaged.
    pub log_damages: AtomicU64,
    /// Bytes that the scrub has read.
    pub scrubbed_bytes: AtomicU64,
    /// Passes of the scrub over all cold data.
    pub scrub_passes: AtomicU64,
    /// By the id of the other member; the set is fixed at start.
    traffic: BTreeMap<u64, Traffic>,
}

impl Meter {
    /// For a member with these peers.
    pub fn new(peers: impl Iterator<Item = u64>) -> Meter {
        Meter { traffic: peers.map(|peer| (peer, Traffic::default())).collect(), ..Meter::default() }
    }

    /// An entry was applied, which took so long.
    pub fn applied(&self, took: Duration) {
        if took > SLOW_APPLY {
            self.slow_applies.fetch_add(1, Relaxed);
        }
    }

    /// Counts something of the traffic with `peer`; a stranger's is not counted.
    pub fn count(&self, peer: u64, what: impl FnOnce(&Traffic)) {
        if let Some(traffic) = self.traffic.get(&peer) {
            what(traffic);
        }
    }

    /// The traffic with each other member.
    pub fn traffic(&self) -> impl Iterator<Item = (u64, &Traffic)> {
        self.traffic.iter().map(|(peer, traffic)| (*peer, traffic))
    }
}

impl Traffic {
    /// Frames of `bytes` in all go out.
    pub fn sending(&self, frames: usize, bytes: usize) {
        self.sent.fetch_add(frames as u64, Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A frame came in.
    pub fn receiving(&self, bytes: usize) {
        self.received.fetch_add(1, Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// One more.
pub fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn bound(bucket: usize) -> Duration {
        Duration::from_millis(1 << bucket)
    }

    quickcheck! {
        fn a_duration_counts_in_every_bucket_that_holds_it(nanoseconds: Vec<u64>) -> bool {
            let histogram = Histogram::default();
            let taken: Vec<_> = nanoseconds.iter().map(|n| Duration::from_nanos(n % 20_000_000_000)).collect();
            taken.iter().for_each(|took| histogram.observe(*took));
            let reading = histogram.read();
            assert_eq!(reading.sum, taken.iter().sum());
            for (bucket, up_to) in reading.up_to.iter().enumerate() {
                assert_eq!(*up_to, taken.iter().filter(|took| **took <= bound(bucket)).count() as u64);
            }
            reading.count == taken.len() as u64
        }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for bucket in 0..BUCKETS {
            let histogram = Histogram::default();
            histogram.observe(bound(bucket));
            histogram.observe(bound(bucket) + Duration::from_nanos(1));
            let reading = histogram.read();
            assert_eq!((reading.up_to[bucket], reading.count), (1, 2), "{:?}", bound(bucket));
            assert!(bucket == 0 || reading.up_to[bucket - 1] == 0);
        }
    }

    #[test]
    fn only_members_are_counted() {
        let meter = Meter::new([2, 3].into_iter());
        meter.count(3, |traffic| traffic.sending(2, 100));
        meter.count(9, |_| panic!("9 is a stranger"));
        let sent = |traffic: &Traffic| traffic.sent_bytes.load(Relaxed);
        assert_eq!(
            meter.traffic().map(|(id, traffic)| (id, sent(traffic))).collect::<Vec<_>>(),
            [(2, 0), (3, 100)]
        );
    }

    #[test]
    fn an_apply_is_slow_beyond_a_tenth_of_a_second() {
        let meter = Meter::default();
        meter.applied(SLOW_APPLY);
        meter.applied(SLOW_APPLY + Duration::from_nanos(1));
        assert_eq!(meter.slow_applies.load(Relaxed), 1);
    }
}
