//! Whole clusters: store, fleet and flannel on the same machines, as production runs them.
//!
//! Machine `n` has a member of the store (the first few machines have one), a fleetd with its systemd, and a flanneld with its kernel.
//! Each is a node of its own in the world, with its own process and files; nodes of one machine see each other over loopback, which
//! nothing cuts, and what strikes a machine strikes all of them at one moment. Machines, operators, mischief and checkers are those of
//! [`fleet`](crate::fleet) and [`flannel`](crate::flannel); the store has clients besides.

pub mod plan;
pub mod runner;
#[cfg(test)]
mod tests;
