//! The classes of fault: what each does, what it is called, and its number where it has one.
//!
//! A class belongs to a group, which says whom a plan may strike with it (the atlas, see [`draw`](super::draw)): most classes anybody;
//! *failing* and *damaging* ones a fixed minority of disks, so that a good copy of everything stays; *lying* ones one follower, while
//! nothing else goes wrong.

use super::{Fields, Parsed};
use std::fmt;

/// Which way a cut goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// Nothing reaches the target.
    In,
    /// Nothing leaves the target.
    Out,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The target is cut off from the other members (members of one target still see each other).
    Partition {
        /// Which way.
        way: Way,
    },
    /// The members of the target do not see each other, while everybody else sees them all.
    Partial,
    /// The target's links come and go.
    Flap {
        /// Milliseconds that each state lasts.
        every_ms: u64,
    },
    /// Packets to and from the target are lost, and connections break of it now and then.
    Loss {
        /// Chance for each sending, in a thousand.
        permille: u64,
    },
    /// What goes to and from the target by different ways overtakes each other.
    Reorder {
        /// By how much at most, in milliseconds.
        by_ms: u64,
    },
    /// The target's connections break for those who send, while what they had sent still arrives, late: what they then send
    /// again arrives twice.
    Duplicate {
        /// Chance for each sending, in a thousand.
        permille: u64,
    },
    /// Bits of frames to and from the target turn over on the way.
    Corrupt {
        /// Chance for each frame, in a thousand.
        permille: u64,
    },
    /// Everything to and from the target takes longer.
    SlowLink {
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// The target's links carry little.
    Bandwidth {
        /// Bytes a second.
        bytes: u64,
    },
    /// The target takes in frames slowly, so that whoever sends to it must wait.
    SlowPeer {
        /// Milliseconds for each frame.
        by_ms: u64,
    },
    /// The target's connections are reset.
    Reset,
    /// The target's connections are dead and its ends are not told.
    HalfOpen,
    /// The process dies; what is in the page cache survives. It starts again at the end.
    Crash,
    /// The machine loses power. It starts again at the end.
    PowerLoss,
    /// The machine loses power in the middle of its disk's work.
    PowerLossAfter {
        /// After how many disk operations.
        operations: u64,
    },
    /// The process is killed, started, and loses its power again and again while it recovers.
    CrashInRecovery {
        /// After how many disk operations of its recovery, reads among them; the double the next time.
        operations: u64,
    },
    /// The members of the target are stopped in good order and started again, one after the other.
    RollingRestart,
    /// The process does nothing, while time goes on.
    Pause,
    /// The machine sleeps: its process does nothing and its monotonic clock stands still, while its wall clock goes on.
    Suspend,
    /// The processor is slow: each step of a task takes longer.
    SlowCpu {
        /// By how much, in microseconds.
        by_us: u64,
    },
    /// Each disk operation takes longer.
    SlowDisk {
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// The disk does nothing until the end.
    StallDisk,
    /// The next sync fails, and the disk forgets what it was to keep.
    FailSync,
    /// No room for anything new.
    FullDisk,
    /// A write fails.
    WriteError {
        /// Which one from now on, counted from 1.
        nth: u64,
    },
    /// A write fails when a part of it has been written.
    ShortWrite {
        /// Which one from now on, counted from 1.
        nth: u64,
    },
    /// A read fails; the next one may succeed.
    ReadError {
        /// Which one from now on, counted from 1.
        nth: u64,
    },
    /// The clock runs fast (above 0) or slow.
    Drift {
        /// Parts per million.
        ppm: i64,
    },
    /// The wall clock jumps. Nothing may come of it.
    WallJump {
        /// Milliseconds.
        by_ms: i64,
    },
    /// The wall clock is off for a while, and set right at the end.
    Skew {
        /// Milliseconds.
        by_ms: i64,
    },
    /// The machine loses power and everything on its disk. An empty one starts at the end.
    Wipe,
    /// The machine loses power, and bits of what it had stored turn over. It starts again at the end; what refuses to
    /// start, or finds the damage later and ends, gets an empty disk.
    BitRot {
        /// How many bits.
        bits: u64,
    },
    /// Sectors cannot be read any more until they are written again.
    BadSectors {
        /// How many.
        count: u64,
    },
    /// A read brings what stands somewhere else.
    Misread {
        /// Which one from now on, counted from 1.
        nth: u64,
    },
    /// Syncs promise and do nothing, and at the end the machine loses power and starts again.
    LyingSync,
    /// A page that was synced never reached the medium; at the end the machine loses power and starts again.
    LostWrite {
        /// Which page from now on, counted from 1.
        nth: u64,
    },
    /// A page that was synced went to another place; at the end the machine loses power and starts again.
    Misplaced {
        /// Which page from now on, counted from 1.
        nth: u64,
    },
    /// A read brings what stood there before the last sync; before, the machine has lost power.
    StaleRead {
        /// Which one from now on, counted from 1.
        nth: u64,
    },
}

/// How a class's number stands in text: its name there, the number, its unit.
type Number = (&'static str, i64, &'static str);

impl Class {
    /// The names of all classes, as they stand in the text form, by what they strike: the network, processes, disks, clocks.
    pub const NAMES: [&str; 38] = [
        "partition",
        "partial",
        "flap",
        "loss",
        "reorder",
        "duplicate",
        "corrupt",
        "slow-link",
        "bandwidth",
        "slow-peer",
        "reset",
        "half-open",
        "crash",
        "power-loss",
        "power-loss-after",
        "crash-in-recovery",
        "rolling-restart",
        "pause",
        "suspend",
        "slow-cpu",
        "slow-disk",
        "stall-disk",
        "fail-sync",
        "full-disk",
        "write-error",
        "short-write",
        "read-error",
        "drift",
        "wall-jump",
        "skew",
        "wipe",
        "bit-rot",
        "bad-sectors",
        "misread",
        "lying-sync",
        "lost-write",
        "misplaced",
        "stale-read",
    ];

    /// Classes that take from a disk what it had promised to keep, or hide it. A plan strikes a minority with them, always the
    /// same, so that what was acknowledged is somewhere.
    pub const DAMAGE: [&str; 4] = ["wipe", "bit-rot", "bad-sectors", "misread"];

    /// Classes that the store beneath something else may have: it has runs of its own for the others.
    pub const MILD: [&str; 5] = ["crash", "power-loss", "partition", "pause", "slow-disk"];

    /// Classes whose victim cannot know that it has lost what it had promised: only a leader that lives on can tell it.
    pub const LIES: [&str; 4] = ["lying-sync", "lost-write", "misplaced", "stale-read"];

    /// The class's name.
    pub fn name(&self) -> &'static str {
        match self {
            Class::Partition { .. } => "partition",
            Class::Partial => "partial",
            Class::Flap { .. } => "flap",
            Class::Loss { .. } => "loss",
            Class::Reorder { .. } => "reorder",
            Class::Duplicate { .. } => "duplicate",
            Class::Corrupt { .. } => "corrupt",
            Class::SlowLink { .. } => "slow-link",
            Class::Bandwidth { .. } => "bandwidth",
            Class::SlowPeer { .. } => "slow-peer",
            Class::Reset => "reset",
            Class::HalfOpen => "half-open",
            Class::Crash => "crash",
            Class::PowerLoss => "power-loss",
            Class::PowerLossAfter { .. } => "power-loss-after",
            Class::CrashInRecovery { .. } => "crash-in-recovery",
            Class::RollingRestart => "rolling-restart",
            Class::Pause => "pause",
            Class::Suspend => "suspend",
            Class::SlowCpu { .. } => "slow-cpu",
            Class::SlowDisk { .. } => "slow-disk",
            Class::StallDisk => "stall-disk",
            Class::FailSync => "fail-sync",
            Class::FullDisk => "full-disk",
            Class::WriteError { .. } => "write-error",
            Class::ShortWrite { .. } => "short-write",
            Class::ReadError { .. } => "read-error",
            Class::Drift { .. } => "drift",
            Class::WallJump { .. } => "wall-jump",
            Class::Skew { .. } => "skew",
            Class::Wipe => "wipe",
            Class::BitRot { .. } => "bit-rot",
            Class::BadSectors { .. } => "bad-sectors",
            Class::Misread { .. } => "misread",
            Class::LyingSync => "lying-sync",
            Class::LostWrite { .. } => "lost-write",
            Class::Misplaced { .. } => "misplaced",
            Class::StaleRead { .. } => "stale-read",
        }
    }

    /// Whether it is one of [`Class::DAMAGE`].
    pub fn damages(&self) -> bool {
        Class::DAMAGE.contains(&self.name())
    }

    /// Whether it is one of [`Class::LIES`].
    pub fn lies(&self) -> bool {
        Class::LIES.contains(&self.name())
    }

    fn number(&self) -> Option<Number> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Some(match *self {
            Class::Flap { every_ms } => ("every", number(every_ms), "ms"),
            Class::Loss { permille } | Class::Duplicate { permille } | Class::Corrupt { permille } => {
                ("permille", number(permille), "")
            }
            Class::Reorder { by_ms } | Class::SlowLink { by_ms } | Class::SlowPeer { by_ms } => {
                ("by", number(by_ms), "ms")
            }
            Class::SlowDisk { by_ms } => ("by", number(by_ms), "ms"),
            Class::SlowCpu { by_us } => ("by", number(by_us), "us"),
            Class::Bandwidth { bytes } => ("bytes", number(bytes), ""),
            Class::PowerLossAfter { operations } | Class::CrashInRecovery { operations } => {
                ("operations", number(operations), "")
            }
            Class::WriteError { nth }
            | Class::ShortWrite { nth }
            | Class::ReadError { nth }
            | Class::Misread { nth }
            | Class::LostWrite { nth }
            | Class::Misplaced { nth }
            | Class::StaleRead { nth } => ("nth", number(nth), ""),
            Class::Drift { ppm } => ("ppm", ppm, ""),
            Class::WallJump { by_ms } | Class::Skew { by_ms } => ("by", by_ms, "ms"),
            Class::BitRot { bits } => ("bits", number(bits), ""),
            Class::BadSectors { count } => ("count", number(count), ""),
            _ => return None,
        })
    }

    /// Reads a class of a plan's line.
    pub(super) fn parse(name: &str, fields: &Fields<'_>) -> Parsed<Class> {
        Ok(match name {
            "partition" => Class::Partition {
                way: match fields.take("way").unwrap_or("both") {
                    "both" => Way::Both,
                    "in" => Way::In,
                    "out" => Way::Out,
                    other => return Err(format!("'way={other}' is none of both, in, out")),
                },
            },
            "partial" => Class::Partial,
            "flap" => Class::Flap { every_ms: at_least_1(fields, "every")? },
            "loss" => Class::Loss { permille: fields.required("permille")? },
            "reorder" => Class::Reorder { by_ms: fields.required("by")? },
            "duplicate" => Class::Duplicate { permille: fields.required("permille")? },
            "corrupt" => Class::Corrupt { permille: fields.required("permille")? },
            "slow-link" => Class::SlowLink { by_ms: fields.required("by")? },
            "bandwidth" => Class::Bandwidth { bytes: at_least_1(fields, "bytes")? },
            "slow-peer" => Class::SlowPeer { by_ms: fields.required("by")? },
            "reset" => Class::Reset,
            "half-open" => Class::HalfOpen,
            "crash" => Class::Crash,
            "power-loss" => Class::PowerLoss,
            "power-loss-after" => Class::PowerLossAfter { operations: fields.required("operations")? },
            "crash-in-recovery" => Class::CrashInRecovery { operations: at_least_1(fields, "operations")? },
            "rolling-restart" => Class::RollingRestart,
            "pause" => Class::Pause,
            "suspend" => Class::Suspend,
            "slow-cpu" => Class::SlowCpu { by_us: fields.required("by")? },
            "slow-disk" => Class::SlowDisk { by_ms: fields.required("by")? },
            "stall-disk" => Class::StallDisk,
            "fail-sync" => Class::FailSync,
            "full-disk" => Class::FullDisk,
            "write-error" => Class::WriteError { nth: at_least_1(fields, "nth")? },
            "short-write" => Class::ShortWrite { nth: at_least_1(fields, "nth")? },
            "read-error" => Class::ReadError { nth: at_least_1(fields, "nth")? },
            "drift" => Class::Drift { ppm: fields.required("ppm")? },
            "wall-jump" => Class::WallJump { by_ms: fields.required("by")? },
            "skew" => Class::Skew { by_ms: fields.required("by")? },
            "wipe" => Class::Wipe,
            "bit-rot" => Class::BitRot { bits: fields.required("bits")? },
            "bad-sectors" => Class::BadSectors { count: fields.required("count")? },
            "misread" => Class::Misread { nth: at_least_1(fields, "nth")? },
            "lying-sync" => Class::LyingSync,
            "lost-write" => Class::LostWrite { nth: at_least_1(fields, "nth")? },
            "misplaced" => Class::Misplaced { nth: at_least_1(fields, "nth")? },
            "stale-read" => Class::StaleRead { nth: at_least_1(fields, "nth")? },
            other => {
                return Err(format!("'{other}' is no class of fault: {}", Class::NAMES.join(", ")));
            }
        })
    }
}

fn at_least_1(fields: &Fields<'_>, name: &str) -> Parsed<u64> {
    match fields.required(name)? {
        0 => Err(format!("'{name}=0' is out of range: 1 or more")),
        number => Ok(number),
    }
}

/// What stands behind a fault's name, time and target.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.number()) {
            (Class::Partition { way: Way::In }, _) => f.write_str(" way=in"),
            (Class::Partition { way: Way::Out }, _) => f.write_str(" way=out"),
            (_, Some((name, number, unit))) => write!(f, " {name}={number}{unit}"),
            _ => Ok(()),
        }
    }
}
