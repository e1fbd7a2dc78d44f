//! Unit files, their names, and what their `[X-Fleet]` section asks for.
//!
//! A unit file is read once, at the edge, into a [`UnitFile`]: the list of its options, in order, whose canonical text is what
//! is stored, hashed, and given to systemd. What fleet itself reads of it is in [`Requirements`].

pub mod amount;
mod file;
pub mod glob;
mod hash;
mod lexer;
mod metadata;
mod name;
mod options;
mod read;
mod requirements;
mod resources;

#[cfg(test)]
mod tests;

pub use file::{UnitError, UnitFile, UnitOption};
pub use hash::UnitHash;
pub use metadata::{MetadataTerm, MetadataTest};
pub use name::{NAME_LENGTH_MAX, NameError, UnitName};
pub use read::RequirementsError;
pub use requirements::*;
pub use resources::Resources;
