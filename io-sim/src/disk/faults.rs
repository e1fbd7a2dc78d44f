//! What a disk may be told to do wrong, and how slow it is. All of it is data that the world sets while the run goes on;
//! a disk decides nothing by itself except how each unsynced sector ends.

use kernel::rng::Stream;
use std::time::Duration;

/// Faults that are on.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults {
    /// The n-th sync from now (1 is the next) fails once, of a file or of a directory.
    pub fail_sync_in: Option<u64>,
    /// Every sync fails.
    pub fail_syncs: bool,
    /// A file's sync says that all is well and makes nothing durable.
    pub lying_syncs: bool,
    /// Bytes that the medium holds; beyond it `StorageFull`.
    pub quota_bytes: Option<u64>,
    /// Reads that touch `from..to` of the file at this path fail.
    pub unreadable: Vec<Unreadable>,
    /// The power fails in the n-th operation from now that changes something (1 is the next).
    pub power_loss_in: Option<u64>,
    /// The same, where operations that change nothing count too: for whoever recovers, and reads more than he writes.
    pub power_loss_in_any: Option<u64>,
    /// The n-th write from now fails before anything is written.
    pub fail_write_in: Option<u64>,
    /// The n-th write from now fails when a part of it is written.
    pub short_write_in: Option<u64>,
    /// The n-th read from now fails.
    pub fail_read_in: Option<u64>,
    /// The n-th read from now brings what stands at another place.
    pub misread_in: Option<u64>,
    /// The n-th read from now of something that has been synced while [`DiskFaults::keep_old`] was on brings what stood there before.
    pub stale_read_in: Option<u64>,
    /// What a sync replaces is kept for such reads.
    pub keep_old: bool,
    /// The n-th page from now that is synced never reaches the medium.
    pub lose_page_in: Option<u64>,
    /// The n-th page from now that is synced goes to another place.
    pub misplace_page_in: Option<u64>,
}

impl DiskFaults {
    /// Counts one down; whether this is the one.
    pub(super) fn is_due(countdown: &mut Option<u64>) -> bool {
        let Some(left) = *countdown else { return false };
        *countdown = (left > 1).then(|| left - 1);
        left <= 1
    }
}

/// A range that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Path of the file.
    pub path: String,
    /// First byte.
    pub from: u64,
    /// First byte beyond.
    pub to: u64,
}

/// How long a worker's job waits for the disk.
#[derive(Clone, Debug)]
pub struct DiskSpeed {
    /// The least.
    pub base: Duration,
    /// Up to this much more, uniformly.
    pub jitter: Duration,
    /// One job in a thousand, this many times, takes `tail` more.
    pub tail_per_mille: u64,
    /// How much more that is.
    pub tail: Duration,
    /// No job starts before this instant of world time.
    pub stalled_until: Duration,
}

impl Default for DiskSpeed {
    /// A decent solid-state disk.
    fn default() -> Self {
        DiskSpeed {
            base: Duration::from_micros(100),
            jitter: Duration::from_micros(400),
            tail_per_mille: 5,
            tail: Duration::from_millis(10),
            stalled_until: Duration::ZERO,
        }
    }
}

impl DiskSpeed {
    /// A wait in ns, drawn for a job that starts at `now`.
    pub(crate) fn draw(&self, now: u64, draws: &mut Stream) -> u64 {
        let mut wait = self.base.as_nanos() as u64 + draws.between(0, self.jitter.as_nanos() as u64);
        if draws.chance(self.tail_per_mille, 1000) {
            wait += self.tail.as_nanos() as u64;
        }
        wait + (self.stalled_until.as_nanos() as u64).saturating_sub(now)
    }
}
