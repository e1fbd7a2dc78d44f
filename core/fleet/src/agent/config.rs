//! What an agent is told at start, and the numbers that bound it.

use crate::model::Machine;
use std::time::Duration;

/// Verbs and small writes under way at a time, for all units together. A start or stop that takes long counts for
/// [`JOB_PATIENCE`] only: it is systemd that waits then.
pub const MAX_JOBS: usize = 64;
/// How long a job counts against [`MAX_JOBS`].
pub const JOB_PATIENCE: Duration = Duration::from_secs(1);
/// Events that may wait for the agent's loop; the store's watch and systemd's changes wait beyond it.
pub const INBOX: usize = 4_096;
/// Events handled in one turn.
pub const TURN_EVENTS: usize = 512;
/// How long a change of a report waits for others to travel with.
pub const REPORT_DELAY: Duration = Duration::from_millis(50);
/// Reports in one transaction.
pub const REPORT_BATCH: usize = 128;
/// Reports of one unit within one [`TELLING_PERIOD`].
pub const TELLINGS: u32 = 10;
/// The period in which a unit's reports are counted.
pub const TELLING_PERIOD: Duration = Duration::from_secs(5);
/// Pause after a batch of reports that the store did not take.
pub const REPORT_RETRY: Duration = Duration::from_secs(1);
/// How long a file that came or went waits for others to be read with by systemd.
pub const RELOAD_DELAY: Duration = Duration::from_millis(5);
/// The same while files are still being written.
pub const RELOAD_PATIENCE: Duration = Duration::from_millis(100);
/// First pause after something failed; doubled each time.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after something failed.
pub const RETRY_MOST: Duration = Duration::from_secs(60);
/// Between two SIGKILLs for a unit that must not run.
pub const KILL_PERIOD: Duration = Duration::from_secs(1);
/// How long one call to the store may take.
pub const STORE_LIMIT: Duration = Duration::from_secs(5);
/// How long a verb of systemd that is not a job may take.
pub const VERB_LIMIT: Duration = Duration::from_secs(60);
/// TTL that presence and reports get when fleetd stops and its units run on.
pub const RESTART_GRACE: Duration = Duration::from_secs(60);
/// How long a stop that leaves units running may take.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// How long a stop that takes units along may take.
pub const PURGE_LIMIT: Duration = Duration::from_secs(80);

/// What an agent is told at start.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// This machine, as it presents itself.
    pub machine: Machine,
    /// A random text made once a boot: tells this machine's own earlier fleetd from another machine with its id.
    pub instance: String,
    /// Time without a keep-alive until the cluster takes the machine for gone. Whole seconds count.
    pub ttl: Duration,
}

/// How an agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Units run on, and the cluster is told to wait [`RESTART_GRACE`] for the next fleetd. If the machine itself is going
    /// down, as [`Ending::Purge`], but the files stay: they are on a file system that a reboot empties.
    Leave,
    /// Units are stopped and removed, and others may take them over at once.
    Purge,
}
