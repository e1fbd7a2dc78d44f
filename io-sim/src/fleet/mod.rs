//! Simulated fleet clusters: machines with a fleetd and a systemd each, over a store of members on machines of their own.

mod kv;
#[cfg(test)]
mod kv_tests;
pub mod plan;

pub use kv::{PATIENCE, SimKv};
