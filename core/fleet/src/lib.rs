//! systemd for the whole cluster: an operator submits a unit once, and the cluster runs it.
//!
//! Inside decide pure values: [`mod@unit`] files, [`schedule`] (which machine runs what, and why), [`rollout`] (at what pace units are
//! replaced), [`reconcile`] (what one machine must do). Around them wait two loops: the [`engine`], of which one in the
//! cluster leads, writes decisions into the [`registry`]; the [`agent`] on each machine carries out its own orders over the
//! [`systemd`] port. [`api`] is what clients see. The store is known as `kernel::Kv` only.
//!
//! docs/decisions/0006-fleet.md tells how these keep one unit on one machine.
#![forbid(unsafe_code)]

pub mod agent;
pub mod api;
#[cfg(feature = "contract")]
pub mod contract;
pub mod daemon;
pub mod engine;
pub mod local;
pub mod meter;
pub mod model;
pub mod reconcile;
pub mod registry;
pub mod rollout;
pub mod schedule;
pub mod systemd;
pub mod unit;
