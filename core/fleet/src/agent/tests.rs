//! The agent as a whole, on a store in memory, a scripted systemd, and a clock that goes on only when everybody waits.

mod lease;
mod machine;
pub(crate) mod room;
mod story;
pub(crate) mod systemd;
mod units;
