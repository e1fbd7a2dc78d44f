//! Simulated fleet clusters: machines with a fleetd and a systemd each, over a store of members on machines of their own.
//!
//! `plan` (a run as data), `kv` (the store as a program on another machine has it), `machines`, `mischief` (what goes wrong with
//! them), `operator` (who asks for units), `checkers` (what must hold), and `runner` (from a plan to a verdict).

pub mod checkers;
mod kv;
#[cfg(test)]
mod kv_tests;
pub mod machines;
pub mod mischief;
pub mod operator;
pub mod plan;
pub mod runner;

pub use kv::{PATIENCE, SimKv};
