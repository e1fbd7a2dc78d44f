//! The agent as a whole, on a store in memory, a scripted systemd, and a clock that goes on only when everybody waits.

mod lease;
mod machine;
mod room;
mod story;
mod systemd;
mod units;
