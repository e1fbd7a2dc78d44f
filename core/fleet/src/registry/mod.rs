//! What the cluster knows, as typed values over the Kv port: the only module that knows keys and JSON.
//!
//! Reads: [`Registry::load`] takes everything at one revision, page by page; [`Registry::watch`] goes on from there, change by
//! change. Both speak of [`Change`]s, and [`Snapshot::apply`] is the one place that puts a change into a view, so
//! a view that was loaded and a view that was followed are the same value.
//!
//! Writes are transactions whose compares say what the writer has seen ([`Written`] tells whether that still held). The api writes
//! the operator's wish ([`wish`]), the engine orders, guarded by its leadership ([`engine`]), an agent what is so on its machine, under
//! its lease ([`agent`]). docs/decisions/0006-fleet.md lists the keys and who writes them.
//!
//! A key or value that somebody else spoilt is skipped and noted, never fatal.

mod agent;
mod change;
mod engine;
mod keys;
mod leases;
mod load;
mod ops;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod values;
mod watch;
mod wish;

pub use agent::{Announced, Claim, Released};
pub use change::{Change, Event};
pub use engine::{Fence, STEPS_MOST, Step, Steps};
pub use leases::Alive;
pub use read::{Cut, Page, ReportRow, UnitRow};
pub use record::{Done, Halt, JobRecord, Leader, MachineRecord, Presence, Seen, Snapshot};
pub use watch::{Batch, Scope, Watch};
pub use wish::PutJob;

use crate::meter::{Meter, Metered};
use kernel::{Clock, Kv, KvError, Planted};
use keys::Keys;
use std::fmt;
use std::sync::Arc;

/// fleet's default of `etcd_key_prefix`.
pub const DEFAULT_PREFIX: &str = "/_coreos.com/fleet/";

/// The registry of one cluster. A clone shares the store.
#[derive(Clone)]
pub struct Registry {
    kv: Arc<dyn Kv>,
    keys: Keys,
    /// For all who work with it.
    pub(crate) planted: Planted,
    /// What those who work with it count.
    pub(crate) meter: Meter,
}

impl Registry {
    /// The registry under `prefix` (a slash is added at its end if there is none).
    pub fn new(kv: Arc<dyn Kv>, prefix: &str) -> Registry {
        Registry { kv, keys: Keys::new(prefix), planted: Planted::none(), meter: Meter::default() }
    }

    /// The same, with each call counted, and whatever else is counted by those who work with it.
    pub fn metered(kv: Arc<dyn Kv>, prefix: &str, clock: Arc<dyn Clock>) -> Registry {
        let meter = Meter::default();
        let kv = Arc::new(Metered::new(kv, clock, meter.clone()));
        Registry { meter, ..Registry::new(kv, prefix) }
    }

    /// With a bug, for whoever works with it; nothing outside the mutation test.
    pub fn with(self, planted: Planted) -> Registry {
        Registry { planted, ..self }
    }
}

/// How a guarded write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done, at this revision of the store.
    Done(i64),
    /// Not done: something that was compared is not as seen.
    Moved,
}

/// Why the registry could not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// The store did not do it, or did not say whether it did.
    Store(KvError),
    /// A value that was asked for by its key cannot be read; written by somebody else, or by a newer version.
    Malformed {
        /// The key.
        key: String,
        /// What is wrong with its value.
        why: String,
    },
    /// Others kept changing the same key; the caller may try again.
    Busy(String),
    /// A text that cannot be part of a key.
    BadKey(String),
}

impl RegistryError {
    /// Whether the call certainly had no effect.
    pub fn is_definite(&self) -> bool {
        match self {
            RegistryError::Store(error) => error.is_definite(),
            RegistryError::Malformed { .. } | RegistryError::Busy(_) | RegistryError::BadKey(_) => true,
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::Store(error) => write!(f, "the store: {error}"),
            RegistryError::Malformed { key, why } => {
                write!(f, "key {key} of the store cannot be read: {why}; write it anew or delete it")
            }
            RegistryError::Busy(what) => write!(f, "{what} is being changed by others; try again"),
            RegistryError::BadKey(text) => {
                write!(f, "{text:?} cannot be part of a key: it must not be empty or hold a slash")
            }
        }
    }
}

impl std::error::Error for RegistryError {}

impl From<KvError> for RegistryError {
    fn from(error: KvError) -> Self {
        RegistryError::Store(error)
    }
}
