//! Why the state could not be read or kept. What a *client* is told is a [`KvError`](kernel::KvError); these are for
//! whoever runs the replica.

use std::fmt;
use std::io;

/// A failure of this replica's state, which says nothing about any other replica. After all but [`Error::Full`] and
/// [`Error::BadSnapshot`] the replica must stop: what it has in memory may no longer be what the log adds up to.
#[derive(Debug)]
pub enum Error {
    /// The medium failed. What it holds is unknown until the state is opened anew.
    Io(io::Error),
    /// There is no room. Nothing was lost: the rows stay in memory, and the next flush tries again.
    Full(io::Error),
    /// What is stored is not what was written, and there is no second copy here.
    Damaged(String),
    /// A snapshot was refused; the state is as before. Ask for another.
    BadSnapshot(String),
    /// The file is of a version that this program cannot read.
    Version(String),
    /// The worker that should have done it has ended.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "the state file failed: {error}: check the disk, then start again"),
            Error::Full(error) => {
                write!(f, "no room for the state file: {error}: free space in the data directory")
            }
            Error::Damaged(what) => {
                write!(f, "the state file is damaged: {what}")
            }
            Error::BadSnapshot(what) => write!(f, "a snapshot was refused: {what}"),
            Error::Version(what) => write!(f, "the state file cannot be read: {what}"),
            Error::Stopped => f.write_str("the worker of the state has ended"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) | Error::Full(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if is_full(error.kind()) { Error::Full(error) } else { Error::Io(error) }
    }
}

/// Whether a failure says that there is no room.
pub(crate) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<redb::StorageError> for Error {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Error::Damaged(error.to_string())
            }
            redb::StorageError::Io(error) => error.into(),
            redb::StorageError::Corrupted(what) => Error::Damaged(what),
            other => Error::Io(io::Error::other(other.to_string())),
        }
    }
}

/// redb has an error type a verb; all of them hold a storage error or mean a bug or damage.
macro_rules! from_redb {
    ($($kind:ident)*) => { $(
        impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Self {
                match error {
                    redb::$kind::Storage(error) => error.into(),
                    other => Error::Damaged(other.to_string()),
                }
            }
        }
    )* };
}

from_redb! { DatabaseError TransactionError TableError CommitError }
