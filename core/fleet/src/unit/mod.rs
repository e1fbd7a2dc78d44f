//! Unit files, their names, and what their `[X-Fleet]` section asks for.
//!
//! A unit file is read once, at the edge, into a [`UnitFile`]: the list of its options, in order, whose canonical text is what
//! is stored, hashed, and given to systemd. What fleet itself reads of it is in [`Requirements`].

mod file;
mod hash;
mod name;
mod requirements;

pub use file::{UnitFile, UnitOption};
pub use hash::UnitHash;
pub use name::UnitName;
pub use requirements::*;
