//! The bundle of ports that a program hands to its parts at start.

use crate::{Clock, Disk, Net, Planted, Probe, Spawn};
use std::sync::Arc;

/// Shared ports. A plain value: clone it, take out of it only what you use.
#[derive(Clone)]
pub struct Io {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The way to other members.
    pub net: Arc<dyn Net>,
    /// Tasks and workers.
    pub spawn: Arc<dyn Spawn>,
    /// Seed of everything random in this process; never used twice for the same purpose without a stream name.
    pub seed: u64,
    /// Where rare branches report that they were reached.
    pub probe: Probe,
    /// The bug planted in this run; none outside the mutation test, and no production build can plant one.
    pub planted: Planted,
}
