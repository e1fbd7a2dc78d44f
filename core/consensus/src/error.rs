//! What can go wrong, by what the caller does next.

use std::fmt;

/// Why a call had no effect. A call that returns an error has left the value as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The configuration or the restored state contradicts itself. The member must not start; the text says what is wrong.
    Invalid(String),
    /// No leader is known. Retry when [`crate::Status::leader`] is not 0 again.
    NoLeader,
    /// This cannot be done yet, but soon. Retry after a tick or two; the text says what is awaited.
    NotReady(&'static str),
    /// The bound on uncommitted bytes is reached. Retry when entries have committed.
    Busy,
    /// This will never be done: a message that makes no sense here, or a change that is impossible. Do not retry.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(why) => write!(f, "consensus cannot start: {why}"),
            Error::NoLeader => write!(f, "no leader is known; retry when one is elected"),
            Error::NotReady(awaited) => write!(f, "not ready: {awaited}; retry soon"),
            Error::Busy => write!(f, "too many bytes wait to be committed; retry when some have"),
            Error::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl std::error::Error for Error {}
