//! The agent as a whole, on a store in memory, a scripted systemd, and a clock that stands still.
