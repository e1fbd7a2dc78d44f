//! The engine as a whole, on a store in memory, with agents that do at once what they are told.

mod bench;
mod partition;
mod placing;
mod replacing;
mod scale;
mod trouble;
