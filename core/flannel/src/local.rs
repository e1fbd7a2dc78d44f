//! The Local port: what the agent asks of its machine beside the kernel's tables.
//!
//! The file subnet.env, by which everything else on the machine learns of the lease, the commands of the extension backend, and
//! the private key of WireGuard. Behind a port, because `core` opens no file and starts no process.

use crate::links::Secret;
use kernel::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;

/// The longest output of a command that is kept, in bytes: it becomes a value in the store.
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// A program of the extension backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The command as the config has it: words between blanks, `$VAR` and `${VAR}` replaced from `env` and from the daemon's own
    /// environment. No shell.
    pub line: String,
    /// Variables in addition to the daemon's own.
    pub env: BTreeMap<String, String>,
    /// What it reads.
    pub stdin: String,
}

/// Why the machine could not do it. The text names the file or the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalError(pub String);

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LocalError {}

/// This machine.
pub trait Local: Send + Sync {
    /// What subnet.env says; none if there is no such file.
    fn read_env(&self) -> BoxFuture<'_, Result<Option<String>, LocalError>>;

    /// Makes subnet.env say this: at once, so that a reader sees the old text or the new one (mode 0644). Makes the folder if it
    /// is missing.
    fn write_env<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), LocalError>>;

    /// This machine's private key for WireGuard: the one in its file. If there is no such file, a key is drawn and kept there, so
    /// that the peers need not learn another after a restart.
    fn wireguard_key(&self) -> BoxFuture<'_, Result<Secret, LocalError>>;

    /// Runs a command to its end; what it wrote to its standard output, at most [`OUTPUT_LIMIT`]. An end other than 0 is an error
    /// that says what it wrote to its standard error.
    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<String, LocalError>>;
}
