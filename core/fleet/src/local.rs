//! What the API asks of the machine that it runs on, beside systemd itself: a unit's journal and its status for people;
//! and what it asks of other machines' APIs on somebody's behalf.
//!
//! Journal and status are what `journalctl` and `systemctl` print; nobody parses them. Behind ports, so that the API can be tested, and
//! so that `core` starts no process.

use kernel::BoxFuture;
use std::fmt;

/// Which part of a unit's journal is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRequest {
    /// The unit's name.
    pub unit: String,
    /// So many of the newest lines to begin with.
    pub lines: u32,
    /// Whether to go on with what is written from now on.
    pub follow: bool,
    /// journalctl's word for how a line looks: `short`, `json`, `cat`, …
    pub output: String,
}

/// What `systemctl status` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusText {
    /// Its output.
    pub text: Vec<u8>,
    /// Its exit code: 0 active, 3 not active, 4 not known.
    pub code: i32,
}

/// Why the machine could not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalError {
    /// Too many such requests are under way; later it works.
    Busy(String),
    /// The program is missing or failed.
    Failed(String),
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalError::Busy(text) | LocalError::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LocalError {}

/// The pieces of an answer whose end is not known when it begins. Dropping it ends what makes them.
pub trait Lines: Send {
    /// The next piece; `None` at the end. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<u8>>>;
}

/// This machine.
pub trait Local: Send + Sync {
    /// The journal of a unit, piece by piece.
    fn journal(&self, request: JournalRequest) -> BoxFuture<'_, Result<Box<dyn Lines>, LocalError>>;

    /// `systemctl status` of a unit.
    fn status<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<StatusText, LocalError>>;
}
