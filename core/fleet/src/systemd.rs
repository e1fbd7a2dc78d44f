//! The Systemd port: the one machine's init system, as the agent sees it.
//!
//! It owns the units directory (fleet's runtime unit files) and the bus. Nothing here decides; each verb is one thing that systemd
//! does. A verb may fail because the bus is gone; then nothing is known about what it did, and the caller looks again
//! ([`Systemd::installed`], [`Systemd::states`]) after [`Change::Resync`].

use crate::model::SystemdState;
use kernel::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;

/// The outcome of a verb.
pub type SystemdResult<T> = Result<T, SystemdError>;

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemdError {
    /// systemd knows no such unit, and there is no file for it.
    NoSuchUnit(String),
    /// systemd refused: a bad unit file, a masked unit, a missing right. Trying again changes nothing until somebody acts.
    Refused(String),
    /// The bus is away, or went away before the answer: unknown whether it was done.
    Gone(String),
    /// A file of the units directory cannot be written or read.
    Files(String),
}

impl fmt::Display for SystemdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemdError::NoSuchUnit(text) | SystemdError::Refused(text) => f.write_str(text),
            SystemdError::Gone(text) => write!(f, "systemd is not reachable: {text}"),
            SystemdError::Files(text) => write!(f, "units directory: {text}"),
        }
    }
}

impl std::error::Error for SystemdError {}

/// How a job ended, in systemd's words (the `result` of its JobRemoved signal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobResult {
    /// It did what was asked. The unit may still fail a moment later.
    Done,
    /// Another job took its place.
    Canceled,
    /// It took longer than the unit allows.
    Timeout,
    /// The unit failed.
    Failed,
    /// A unit that it requires failed.
    Dependency,
    /// Nothing to do for this kind of unit, or a condition was not met.
    Skipped,
}

/// What happened behind the agent's back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The unit's state may be another now. May be late, may be said once for several changes, never wrongly left out
    /// without a later [`Change::Resync`].
    Unit(String),
    /// Anything may have changed: the bus was away, signals were lost, systemd was executed anew. Look at everything.
    Resync,
}

/// The changes of one subscription, in order.
pub trait Changes: Send {
    /// The next change. Waits while the bus is away. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Change>;
}

/// One machine's systemd. Verbs may be called at the same time; systemd orders jobs of one unit itself.
pub trait Systemd: Send + Sync {
    /// Writes the unit file `name` into the units directory (whole or not at all, mode 0644) and links it into systemd's
    /// runtime; enables it there if it has an `[Install]` section. A file that changed is what systemd runs only after
    /// [`Systemd::reload`]. When enabling fails the file is removed again. Idempotent.
    fn install<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, SystemdResult<()>>;

    /// Takes the links and the file away. The unit itself is not stopped. Fine when there is none. Idempotent.
    fn uninstall<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>>;

    /// Reads all unit files anew. Costly (tens of milliseconds and more): once a batch.
    fn reload(&self) -> BoxFuture<'_, SystemdResult<()>>;

    /// Starts the unit (mode "replace"); ready when the job has ended, with how. Fine when it runs already.
    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>>;

    /// Stops the unit (mode "replace"); ready when the job has ended, with how. Fine when it does not run, or is not known.
    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>>;

    /// Sends SIGKILL to every process of the unit. Fine when it does not run, or is not known.
    fn kill<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>>;

    /// Makes systemd forget that the unit failed, and its count of restarts. Fine when it did not, or is not known.
    fn reset_failed<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>>;

    /// The files of the units directory: name and text.
    fn installed(&self) -> BoxFuture<'_, SystemdResult<BTreeMap<String, String>>>;

    /// The states of these units, each as of one moment within the call; a unit that systemd does not know is
    /// `not-found`, `inactive`, `dead`. One call to systemd however many units.
    fn states<'a>(
        &'a self,
        names: &'a [String],
    ) -> BoxFuture<'a, SystemdResult<BTreeMap<String, SystemdState>>>;

    /// Whether the machine itself is going down (systemd's SystemState is "stopping").
    fn stopping(&self) -> BoxFuture<'_, SystemdResult<bool>>;

    /// A subscription to changes of units from now on; those of units that were never installed here may be left out.
    fn changes(&self) -> Box<dyn Changes>;
}
