//! What whoever opens a store decides.

use kernel::{Planted, Probe};

/// Bounds and knobs of a store.
#[derive(Clone)]
pub struct Options {
    /// Memory for redb's page cache, in bytes.
    pub cache_bytes: usize,
    /// Rows that may wait in memory for the file, in bytes: beyond it [`overlay_full`](crate::Store::overlay_full) is true.
    pub overlay_bytes: usize,
    /// Rows after which a flush is worthwhile, in bytes. Small against `overlay_bytes`, or writes stall during a flush.
    pub checkpoint_bytes: u64,
    /// The bug planted in this run.
    pub planted: Planted,
    /// Told of rare branches.
    pub probe: Probe,
}

impl Default for Options {
    /// 64 MiB of cache, 64 MiB of overlay, a checkpoint each 8 MiB.
    fn default() -> Self {
        Options {
            cache_bytes: 64 << 20,
            overlay_bytes: 64 << 20,
            checkpoint_bytes: 8 << 20,
            planted: Planted::none(),
            probe: Probe::default(),
        }
    }
}
