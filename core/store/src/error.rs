//! Why a member does not start, and why it must end.

use std::fmt;

/// A member cannot start. Nothing was written unless the text says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The configuration contradicts itself; names the field and the remedy.
    Config(String),
    /// The data directory belongs to another member, cluster or program, or is in use.
    Foreign(String),
    /// The data directory is damaged.
    Damaged(String),
    /// The machine refused: an address in use, a directory that cannot be read.
    Io(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(text)
            | StartError::Foreign(text)
            | StartError::Damaged(text)
            | StartError::Io(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

/// The process must end at once: going on could break a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FatalError {
    /// Writing or syncing the log failed; what is on the medium is unknown.
    Log(String),
    /// The state could not be stored or read back right.
    State(String),
    /// Replicas differ, or an entry cannot be understood.
    Diverged(String),
}

impl fmt::Display for FatalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FatalError::Log(text) => write!(f, "the log failed: {text}"),
            FatalError::State(text) => {
                write!(
                    f,
                    "the state failed: {text}; start again: a start checks the whole state and says what to do"
                )
            }
            FatalError::Diverged(text) => write!(f, "this member cannot follow the cluster: {text}"),
        }
    }
}

impl std::error::Error for FatalError {}
