//! What faults really did, counted where it happens: a plan says what shall go wrong, this says what did.
//!
//! A fault of a plan may find nothing to strike (a crash of a member that is down), and a chance of a thousandth may never come
//! true; a campaign that only counts plans would not notice. Counting costs one addition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! effects {
    ($($variant:ident $name:literal $what:literal,)*) => {
        /// Something that went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Effect {
            $(#[doc = $what] $variant,)*
        }

        impl Effect {
            /// Every effect with its name. A class of fault and its effect have one name.
            pub const ALL: &'static [(Effect, &'static str)] = &[$((Effect::$variant, $name),)*];
        }
    };
}

effects! {
    Partition "partition" "Links of members were cut.",
    Partial "partial" "Links between two members were cut which both see others.",
    Flap "flap" "A link that comes and goes was cut once more.",
    IsolatedLeader "isolated-leader" "A leader was cut off from all others.",
    Held "held-at-a-cut" "Frames waited for a cut link, or a datagram was lost at one.",
    Loss "loss" "A packet was lost.",
    Reorder "reorder" "Something overtook what had left before it by another connection.",
    Duplicate "duplicate" "A connection broke for its sender while what it had sent still arrived, late.",
    Corrupt "corrupt" "A frame arrived with bits turned over, and its checksum told.",
    SlowLink "slow-link" "Links became slow.",
    Bandwidth "bandwidth" "A sending waited for those before it to leave.",
    SlowPeer "slow-peer" "A frame had arrived and was not taken for a while.",
    BackPressure "back-pressure" "A sender waited for room in its window.",
    Reset "reset" "A connection was reset.",
    HalfOpen "half-open" "A connection was dead and an end of it was not told.",
    Crash "crash" "A process died.",
    PowerLoss "power-loss" "A machine lost its power.",
    PowerLossAfter "power-loss-after" "A machine lost its power in the middle of its disk's work.",
    CrashInRecovery "crash-in-recovery" "A process ended before it had recovered.",
    RollingRestart "rolling-restart" "A member was stopped in good order, in its turn.",
    Pause "pause" "A process stood still.",
    Suspend "suspend" "A machine slept, its monotonic clock with it.",
    SlowCpu "slow-cpu" "A task waited for a slow processor.",
    SlowDisk "slow-disk" "A disk became slow.",
    StallDisk "stall-disk" "A job waited for a disk that did nothing.",
    FailSync "fail-sync" "A sync failed.",
    FullDisk "full-disk" "There was no room for something.",
    WriteError "write-error" "A write failed.",
    ShortWrite "short-write" "A write failed behind a part of it.",
    ReadError "read-error" "A read failed.",
    Drift "drift" "A clock began to run at another rate.",
    WallJump "wall-jump" "A wall clock jumped.",
    Skew "skew" "A wall clock was set wrong.",
    Wipe "wipe" "A disk was emptied.",
    BitRot "bit-rot" "A bit turned over on a medium.",
    BadSectors "bad-sectors" "A read met a sector that cannot be read.",
    Misread "misread" "A read brought what stands somewhere else.",
    LyingSync "lying-sync" "A sync promised and did nothing.",
    LostWrite "lost-write" "A synced page never reached the medium.",
    Misplaced "misplaced" "A synced page went to another place.",
    StaleRead "stale-read" "A read brought what stood there before.",
    KeptSector "kept-sectors" "An unsynced sector survived a loss of power.",
    LostSector "lost-sectors" "An unsynced sector did not.",
    TornSector "torn-sectors" "A part of an unsynced sector survived.",
    LostName "lost-names" "A change of names did not survive a loss of power.",
}

const COUNT: usize = Effect::ALL.len();

/// Counts of all effects.
pub(crate) struct Effects([AtomicU64; COUNT]);

impl Default for Effects {
    fn default() -> Self {
        Effects([const { AtomicU64::new(0) }; COUNT])
    }
}

impl Effects {
    /// It happened so many times more.
    pub fn add(&self, effect: Effect, times: u64) {
        self.0[effect as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// What happened at all, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let all = Effect::ALL
            .iter()
            .map(|(effect, name)| (*name, self.0[*effect as usize].load(Ordering::Relaxed)));
        all.filter(|(_, count)| *count > 0).collect()
    }
}
