//! Each port once, for the invented world, and everything that makes a run: plans, clients, faults, checkers.
//!
//! The bottom half is the world itself: `sched` (one order of everything, drawn from the seed), `clock`, `spawn`, `disk` and
//! `net` (the ports, with the faults of real machines), `world` (machines made of those) and `room` (a thread of its own,
//! sealed by madsim, so that nothing outside of the seed gets in). This is the only crate that names madsim.
//!
//! The top half makes runs of it: `plan` (a run as data), `cluster`, `client` and `storm` (members, callers and faults, by that
//! plan), `history` (what was seen), `checkers` (what must hold) and `runner` (from a plan to a verdict).
#![forbid(unsafe_code)]

#[cfg(not(madsim))]
compile_error!(
    "io-sim needs `--cfg madsim`, which .cargo/config.toml sets for the whole workspace: build inside of the workspace, \
     and do not set RUSTFLAGS (it replaces the configured flags)"
);

pub mod bugbase;
pub mod checkers;
pub mod client;
mod clock;
pub mod cluster;
pub mod disk;
pub mod flannel;
pub mod fleet;
pub mod history;
pub mod hunt;
pub mod links;
pub mod load;
pub mod net;
pub mod plan;
pub mod pool;
pub mod room;
pub mod runner;
pub mod sched;
pub mod shrink;
mod spawn;
pub mod storm;
pub mod systemd;
pub mod trace;
pub mod whole;
pub mod workload;
pub mod world;

pub use clock::MAX_DRIFT_PPM;
pub use disk::{DiskCounts, DiskFaults, DiskSpeed, Unreadable};
pub use net::LinkConfig;
pub use room::{Room, run_sealed};
pub use sched::{Effect, Failure, NodeId};
pub use world::{Death, End, Stop, World};
