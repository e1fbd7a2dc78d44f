//! The log on disk: segments of chained, checksummed records, and the rules by which recovery tells a torn tail from damage.
//!
//! ```text
//! wal/0000000000000007-00000000000003e9.seg     preamble | segment record | copies of hard state, snapshot, quarantine
//!                                               | record | record | marker | record ... | zeros
//! ```
//!
//! A batch of records is one write and at most one sync, and always lies in one segment ([`Wal::save`]). Each record names its
//! segment, its offset, the checksum of the record before it, and up to where the log was known durable when it was written.
//! From that alone recovery decides: what was never acknowledged is cut, what was acknowledged is never cut silently
//! ([`OnDamage`]). The bytes are described in docs/file-format.md and at the head of each module.
//!
//! Modules, each using only those before it: `types`, `error`, `record` (one record), `segment` (name and first block), `make`
//! (a new segment), `replay` (what records amount to), `survey` (what files amount to), `log` (saving), `open` (recovery), `scrub`
//! (looking after what is sealed).
//!
//! This crate does not know what an entry contains, and it does not decide when to sync.
#![forbid(unsafe_code)]

mod error;
mod log;
mod make;
mod open;
mod record;
mod replay;
mod scrub;
mod segment;
mod survey;
mod types;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::{Damage, Error};
pub use log::Wal;
pub use scrub::{Scrub, Step};
pub use types::{Kind, OnDamage, Options, Record, Recovered, Torn};
