//! What went wrong, and the exit code that says so.

use io_real::fleet_client::ClientError;

/// The end of a command that did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// For standard error; empty if the command has already said what happened.
    pub message: String,
}

impl Failure {
    /// The command failed.
    pub fn error(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: message.into() }
    }

    /// The command line is wrong, or asks for what is no longer there.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }

    /// Ends with this code; everything is said.
    pub fn quiet(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }

    /// The failure of a call, behind what was tried.
    pub fn of(tried: &str, error: &ClientError) -> Failure {
        match error {
            ClientError::Settings(text) => Failure::usage(text),
            _ => Failure::error(format!("{tried}: {error}")),
        }
    }
}
