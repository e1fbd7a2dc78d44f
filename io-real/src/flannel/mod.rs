//! What flanneld shows over HTTP: `/healthz`, `/readyz`, `/metrics` and `/status`.
//!
//! The first two are flannel's: a daemon that answers is healthy, and it is ready when its subnet, its device and its rules are in
//! place. The others are for dashboards and for people. Nothing can be changed here, so nobody is asked who they are.

mod page;
mod server;
#[cfg(test)]
mod tests;

pub use server::{Pages, bind};

use crate::fleet::figures::Figure;
use serde_json::Value;

/// Where the pages' content comes from. Asked for each page anew; must not block.
pub trait Source: Send + Sync {
    /// Whether the machine's containers can use the network.
    fn is_ready(&self) -> bool;

    /// Why not, in words; or how it is.
    fn state(&self) -> String;

    /// What was counted.
    fn figures(&self) -> Vec<Figure>;

    /// Everything that is known, for people and scripts.
    fn status(&self) -> Value;
}
