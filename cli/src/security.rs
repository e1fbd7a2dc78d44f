//! What a store wants to see of a daemon that is its client: TLS files, and a user. One reading for all daemons, each with its own
//! names of the settings, so that an error names what the operator has written.

use io_real::client::{Login, Options};
use io_real::tls::{TlsFiles, TlsFlags};
use std::path::PathBuf;

/// What a program calls these settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The TLS files.
    pub files: TlsFlags,
    /// The user.
    pub username: &'static str,
    /// The password.
    pub password: &'static str,
}

/// How a daemon shows itself to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    names: Names,
    files: TlsFiles,
    login: Option<Login>,
}

impl Security {
    /// Reads the settings; `some` is the value of one, if it is set.
    pub fn read(names: Names, some: impl Fn(&str) -> Option<String>) -> Result<Security, String> {
        let file = |name| some(name).map(PathBuf::from);
        let files = TlsFiles {
            authorities: file(names.files.authorities),
            certificate: file(names.files.certificate),
            key: file(names.files.key),
            skip_verify: false,
        };
        let login = match (some(names.username), some(names.password)) {
            (None, None) => None,
            (Some(name), Some(password)) => Some(Login { name, password }),
            (Some(name), None) => {
                return Err(format!(
                    "{}={name} has no password: set {} too, or leave both out",
                    names.username, names.password
                ));
            }
            (None, Some(_)) => {
                return Err(format!(
                    "{} is set without a user: set {} too, or leave both out",
                    names.password, names.username
                ));
            }
        };
        Ok(Security { names, files, login })
    }

    /// Options of a client that shows itself so.
    pub fn apply(&self, options: Options) -> Result<Options, String> {
        Options { login: self.login.clone(), ..options }.secured(&self.files, self.names.files)
    }
}
