//! How a command of etcdctl fails: an exit code and the text behind `Error: `.

use kernel::KvError;

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// The text; empty when the command has already said what happened.
    pub message: String,
}

/// The exit codes of etcdctl.
impl Failure {
    /// The call failed.
    pub fn error(message: impl Into<String>) -> Self {
        Failure { code: 1, message: message.into() }
    }

    /// The connection failed.
    pub fn connection(message: impl Into<String>) -> Self {
        Failure { code: 2, message: message.into() }
    }

    /// What was read from standard input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Failure { code: 3, message: message.into() }
    }

    /// A flag has a value that is not offered.
    pub fn feature(message: impl Into<String>) -> Self {
        Failure { code: 4, message: message.into() }
    }

    /// Ended from outside.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Failure { code: 5, message: message.into() }
    }

    /// The arguments are wrong.
    pub fn arguments(message: impl Into<String>) -> Self {
        Failure { code: 128, message: message.into() }
    }
}

impl From<KvError> for Failure {
    fn from(error: KvError) -> Self {
        Failure::error(error.message)
    }
}
