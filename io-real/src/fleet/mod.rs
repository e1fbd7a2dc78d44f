//! The HTTP edge of fleet: sockets, TLS, bearer tokens and connections around a [`fleet::api::Service`].
//!
//! [`listen`] makes the sockets (a unix socket, TCP, or what systemd passes in), [`server`] serves them within fixed bounds,
//! [`guard`] says who may, [`local`] runs `journalctl` and `systemctl` for the API, [`figures`] writes `/metrics`.

pub mod figures;
pub mod guard;
pub mod listen;
pub mod local;
pub mod peers;
pub mod server;
#[cfg(test)]
mod tests;
pub mod tls;

pub use guard::Tokens;
pub use listen::Listener;
pub use local::Programs;
pub use peers::HttpPeers;
pub use server::{Options, serve};
pub use tls::{TlsFiles, TlsServer};

use std::fmt;

/// Why the edge cannot begin: the setting, its value, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeError(pub String);

impl fmt::Display for EdgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EdgeError {}
