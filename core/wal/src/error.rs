//! What can go wrong with the log, grouped by what the caller must do next.

use std::fmt;
use std::io;

/// Why a verb of the log failed.
#[derive(Debug)]
pub enum Error {
    /// The disk has no room. Nothing of the call counts, and the log stays usable: free space, then try again.
    Full(io::Error),
    /// The disk failed. What is on it is uncertain, so the log takes no further call: end the process and start it again.
    Io {
        /// What was being done, and to which file.
        doing: String,
        /// The disk's own words.
        source: io::Error,
    },
    /// An earlier call failed with [`Error::Io`]: end the process.
    Poisoned,
    /// Something that was acknowledged is damaged or missing. Nothing was changed on the disk.
    Corrupt(Damage),
    /// As [`Error::Corrupt`], and what was lost may include a vote, or its extent is unknown. This copy of the log can never
    /// take part again: the member has to start anew, with an empty data directory.
    Unrepairable {
        /// The damage.
        damage: Damage,
        /// What cannot be known any more.
        why: &'static str,
    },
    /// The log was written by a newer format than this program knows. Nothing was changed on the disk.
    Version {
        /// The segment.
        segment: String,
        /// Its format version.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// More bytes in one call than a segment can ever hold, or metadata beyond its block.
    TooLarge {
        /// Bytes given.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// `create` where a log exists (`true`), or `open` where there is none (`false`).
    Exists(bool, String),
}

/// Where the log is damaged and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Path of the segment.
    pub segment: String,
    /// Byte offset of the first record that cannot be used.
    pub offset: u64,
    /// The lowest index that may be lost.
    pub lost_from: u64,
    /// The highest index that was acknowledged here, as far as what remains can tell.
    pub lost_to: u64,
    /// How it was noticed.
    pub why: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} is damaged at byte {} ({})", self.segment, self.offset, self.why)?;
        if self.lost_to >= self.lost_from {
            return write!(f, ", acknowledged entries {}..={} are affected", self.lost_from, self.lost_to);
        }
        write!(f, ", no entry is affected")
    }
}

impl Error {
    /// Whether the log must not be used any further by this process.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Error::Io { .. } | Error::Poisoned)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Full(source) => {
                write!(
                    f,
                    "log: no space left on the disk ({source}); nothing was saved: free space and try again"
                )
            }
            Error::Io { doing, source } => {
                write!(f, "log: {doing}: {source}; the process must end and judge the log anew from the disk")
            }
            Error::Poisoned => f.write_str("log: refused after an earlier disk error; the process must end"),
            Error::Corrupt(damage) => write!(
                f,
                "log: {damage}; nothing was changed: there is no other member to repair it from, restore the data \
                 directory from a backup"
            ),
            Error::Unrepairable { damage, why } => write!(
                f,
                "log: {damage}, and {why}: this member may have voted without knowing it. Move its data directory away \
                 and start it again: it learns from the other members what it may have forgotten"
            ),
            Error::Version { segment, found, known } => write!(
                f,
                "log: segment {segment} has format version {found}, this program reads up to {known}; nothing was \
                 changed: use the newer program"
            ),
            Error::TooLarge { bytes, limit } => {
                write!(f, "log: {bytes} bytes in one call, {limit} allowed: save less at a time")
            }
            Error::Exists(true, dir) => write!(f, "log: {dir:?} already holds a log: open it instead"),
            Error::Exists(false, dir) => write!(f, "log: {dir:?} holds no log: create one first"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Full(source) | Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Gives an I/O error its place. Lack of room stays apart, because the log survives it.
pub(crate) fn failed(doing: &str, path: &str) -> impl FnOnce(io::Error) -> Error {
    let doing = format!("{doing} {path}");
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(source),
        _ => Error::Io { doing, source },
    }
}

/// Gives an I/O error its place where even lack of room is fatal: at a sync, or once a name may have changed.
pub(crate) fn fatal(doing: &str, path: &str) -> impl FnOnce(io::Error) -> Error {
    let doing = format!("{doing} {path}");
    move |source| Error::Io { doing, source }
}
