//! What the world does to links, clocks and disks of its machines.

use super::{World, ns};
use crate::disk::{DiskCounts, DiskFaults, DiskSpeed, Medium};
use crate::net::LinkConfig;
use crate::sched::NodeId;
use bytes::Bytes;
use kernel::rng::Stream;
use std::time::Duration;

impl World {
    // Network.

    /// Cuts the way from one machine to another. Cuts count: as many [`World::heal`] make it whole.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.0.sched.trace(from, || format!("cut off from {to}"));
        self.0.net.cut(from, to);
    }

    /// Takes one cut away; nothing when there is none.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.0.sched.trace(from, || format!("heals towards {to}"));
        self.0.net.heal(from, to);
    }

    /// Breaks every connection between two machines.
    pub fn reset_connections(&self, a: NodeId, b: NodeId) {
        self.0.net.reset(a, b);
    }

    /// Every connection between two machines is dead from now on, and nobody is told.
    pub fn half_open(&self, a: NodeId, b: NodeId) {
        self.0.net.reset_silently(a, b);
    }

    /// From now on a machine takes so long to take in a frame.
    pub fn set_pace(&self, node: NodeId, pace: Duration) {
        self.0.net.set_pace(node, ns(pace));
    }

    /// What every link does from now on, except those of a machine to itself.
    pub fn set_all_links(&self, config: &LinkConfig) {
        self.0.net.set_all_links(config);
    }

    /// What one directed link does from now on.
    pub fn set_link(&self, from: NodeId, to: NodeId, config: LinkConfig) {
        self.0.net.set_link(from, to, config);
    }

    /// From now on every frame between two processes goes through `mangle` when it is sent, to arrive changed, or (`None`) to
    /// be swallowed while what follows it arrives. No honest network does this: it stands for memory and middleboxes that do.
    pub fn mangle_frames(&self, mangle: impl FnMut(NodeId, NodeId, Bytes) -> Option<Bytes> + Send + 'static) {
        self.0.net.set_mangle(Some(Box::new(mangle)));
    }

    /// Frames arrive as they were sent again.
    pub fn mangle_nothing(&self) {
        self.0.net.set_mangle(None);
    }

    /// Frames that may wait in a connection, at most [`kernel::net::WINDOW_FRAMES`].
    pub fn set_window(&self, frames: usize) {
        self.0.net.set_window(frames);
    }

    /// For what is sent outside of connections (calls of simulated clients): the delays after which copies of one sending
    /// of `bytes` arrive. None when it is lost or the way is cut; two when it is doubled; later sendings may overtake.
    pub fn link(&self, from: NodeId, to: NodeId, bytes: u64) -> Vec<Duration> {
        self.0.net.datagram(from, to, bytes)
    }

    // Clocks.

    /// From now on the node's clocks gain `ppm` microseconds a second on world time.
    pub fn set_drift(&self, node: NodeId, ppm: i64) {
        self.face(node).set_drift(self.0.sched.now_ns(), ppm);
        self.nudge(node);
    }

    /// Moves the node's wall clock by so many milliseconds, either way.
    pub fn jump_wall(&self, node: NodeId, by_ms: i64) {
        self.with_node(node, |node| node.face.jump_wall(by_ms.saturating_mul(1_000_000)));
    }

    /// What the node's monotonic clock shows now.
    pub fn local_time(&self, node: NodeId) -> Duration {
        let face = self.face(node);
        Duration::from_nanos(face.local(self.0.sched.now_ns()))
    }

    // Disks.

    /// Changes what the node's disk does wrong.
    pub fn disk_faults(&self, node: NodeId, change: impl FnOnce(&mut DiskFaults)) {
        self.with_medium(node, |medium| change(&mut medium.faults));
    }

    /// Every sync of the node's disk that has lied tells the truth after all; every sector can be read; no fault is armed.
    pub fn disk_makes_good(&self, node: NodeId) {
        self.with_medium(node, Medium::make_good);
    }

    /// What the node's disk has promised and not done will never be done.
    pub fn disk_owes_nothing(&self, node: NodeId) {
        self.with_medium(node, Medium::owe_nothing);
    }

    /// Forgets what syncs have replaced (see [`DiskFaults::keep_old`]).
    pub fn disk_forgets_old(&self, node: NodeId) {
        self.with_medium(node, Medium::forget_old);
    }

    /// One sector of the node's medium, drawn from `draws`, cannot be read until it is written again.
    pub fn spoil_sector(&self, node: NodeId, draws: &mut Stream) -> bool {
        self.with_medium(node, |medium| medium.spoil(draws))
    }

    /// Changes how fast the node's disk is.
    pub fn disk_speed(&self, node: NodeId, change: impl FnOnce(&mut DiskSpeed)) {
        self.with_medium(node, |medium| change(&mut medium.speed));
    }

    /// Makes the node's disk keep or lose 4 KiB at a time, not 512 bytes.
    pub fn set_large_sectors(&self, node: NodeId, large: bool) {
        self.with_medium(node, |medium| medium.whole_pages = large);
    }

    /// Turns one bit of a file on the node's medium, beneath the page cache. False when there is no such byte.
    pub fn flip_bit(&self, node: NodeId, path: &str, offset: u64, bit: u8) -> bool {
        self.with_medium(node, |medium| medium.flip(path, offset, bit))
    }

    /// The node's files and their lengths on the medium, sorted by path.
    pub fn files(&self, node: NodeId) -> Vec<(String, u64)> {
        self.with_medium(node, |medium| medium.files())
    }

    /// Replaces the disk of a node that is down by an empty one.
    pub fn wipe(&self, node: NodeId) {
        self.with_medium(node, Medium::wipe);
    }

    /// What the node's disk was asked so far.
    pub fn disk_counts(&self, node: NodeId) -> DiskCounts {
        self.with_medium(node, |medium| medium.counts())
    }

    /// Bytes in use on the node's disk.
    pub fn disk_used_bytes(&self, node: NodeId) -> u64 {
        self.with_medium(node, |medium| medium.used_bytes())
    }
}
