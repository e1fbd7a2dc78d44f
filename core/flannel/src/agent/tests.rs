//! Agents over a store in memory and models of their machines, in a room where time is free.

mod backends;
mod kernel;
mod lease;
mod life;
mod mending;
mod world;
