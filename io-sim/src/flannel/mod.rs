//! Simulated flannel clusters: machines with a flanneld and a kernel each, over a store of members on machines of their own.
//!
//! `plan` (a run as data), `machines`, `local` (what a machine has beside its kernel), `mischief` (what goes wrong), `operator` (who
//! writes the config and spoils keys), `checkers` (what must hold), and `runner` (from a plan to a verdict).

pub mod checkers;
mod local;
pub mod machines;
pub mod mischief;
pub mod operator;
pub mod plan;
pub mod runner;
