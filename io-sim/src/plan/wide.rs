//! The other half of the seeds: every class of fault there is, in few groups at a time, and knobs that are as hostile as they may be.
//!
//! What is drawn elsewhere for the seed gives way to this, except for what clients do. Draws come from streams of their own, so that
//! the seeds which this leaves alone stay what they were.
//!
//! The atlas: disks that fail, rot, hide or lose things are a fixed minority; a disk that lies strikes a follower, and nothing
//! else goes wrong around it, because only the leader that counted on it can tell it what it has forgotten.

use super::draw::{CALM_MS, QUIET_MS, pick, shuffle};
use super::*;
use kernel::rng::Stream;

/// How long before a lie, and after the truth has come out, nothing else goes wrong.
const AROUND_A_LIE_MS: (u64, u64) = (1_000, 6_000);

/// Links on which even a window of one carries what clients ask for: their longest passage, in microseconds.
const FAST_US: u64 = 2_000;

const NETWORK: [&str; 12] = [
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
];
const PROCESS: [&str; 8] = [
    "crash",
    "power-loss",
    "power-loss-after",
    "crash-in-recovery",
    "rolling-restart",
    "pause",
    "suspend",
    "slow-cpu",
];
const DISK: [&str; 7] =
    ["slow-disk", "stall-disk", "fail-sync", "full-disk", "write-error", "short-write", "read-error"];
const CLOCK: [&str; 3] = ["drift", "wall-jump", "skew"];

/// Makes a wide plan of half of the plans.
pub(super) fn widen(plan: &mut Plan) {
    let mut draw = Stream::new(plan.seed, "plan wide", 0);
    if !draw.chance(1, 2) {
        return;
    }
    if draw.chance(1, 2) {
        hostile(&mut Stream::new(plan.seed, "plan hostile knobs", 0), &mut plan.knobs);
    }
    let bad = bad_disks(&mut draw, plan.members);
    plan.faults = faults(&mut draw, plan.members, &bad);
    if !bad.is_empty() && draw.chance(1, 3) {
        plan.faults.extend(damage(&mut draw, &bad));
    } else if !bad.is_empty() && draw.chance(1, 3) {
        plan.faults.retain(|fault| fault.class != Class::FailSync);
        lie(&mut draw, plan);
    }
    plan.faults.sort_by_key(|fault| fault.at_ms);
}

/// Small and slow things, each in some plans.
fn hostile(draw: &mut Stream, knobs: &mut Knobs) {
    let mut some = |of: &[u64], usual: u64| if draw.chance(1, 2) { pick(draw, of) } else { usual };
    knobs.wal_segment_bytes = some(&[4 << 10], knobs.wal_segment_bytes);
    knobs.checkpoint_bytes = some(&[1, 512, 4 << 10], knobs.checkpoint_bytes);
    knobs.catch_up_entries = some(&[1, 2, 5], knobs.catch_up_entries);
    knobs.overlay_bytes = some(&[8 << 10, 16 << 10], knobs.overlay_bytes);
    // A connection carries its window once in each passage: a tiny one on slow links is less than clients ask for, for ever.
    let is_fast = knobs.delay_us + knobs.jitter_us <= FAST_US;
    knobs.window = some(if is_fast { &[1, 2, 8] } else { &[32, 64] }, knobs.window);
    // So does a leader that sends one append in each passage, and a queue of one loses every second call that a follower passes on.
    knobs.inflight = some(if is_fast { &[1, 2] } else { &[16, 32] }, knobs.inflight);
    knobs.queue = some(if is_fast { &[2, 4, 16] } else { &[64, 128] }, knobs.queue);
    knobs.inbox = some(&[64, 128], knobs.inbox);
    knobs.watch_buffer = some(&[1, 2, 4], knobs.watch_buffer);
    knobs.cache_bytes = some(&[32 << 10, 64 << 10], knobs.cache_bytes);
    knobs.large_sectors = some(&[1], 0) == 1;
}

/// The minority whose disks may be bad.
fn bad_disks(draw: &mut Stream, members: u8) -> Vec<u8> {
    let mut bad: Vec<u8> = (1..=members).collect();
    shuffle(draw, &mut bad);
    bad.truncate(usize::from(members - 1) / 2);
    bad
}

fn time(draw: &mut Stream, last_ms: u64) -> (u64, u64) {
    let at_ms = draw.between(QUIET_MS, last_ms);
    (at_ms, pick(draw, &[50, 400, 1_500, 3_000, 8_000]) + draw.below(500))
}

fn faults(draw: &mut Stream, members: u8, bad: &[u8]) -> Vec<Fault> {
    let groups: [&[&str]; 4] = [&NETWORK, &PROCESS, &DISK, &CLOCK];
    let mut faults = Vec::new();
    for group in groups {
        if !draw.chance(1, 2) {
            continue;
        }
        for name in group.iter().copied() {
            if !draw.chance(1, 3) {
                continue;
            }
            for _ in 0..draw.between(1, 3) {
                let (at_ms, for_ms) = time(draw, CALM_MS - 2_000);
                let class = class_named(name, draw);
                let target = match class {
                    // What a member cannot read it has lost.
                    Class::FailSync | Class::ReadError { .. } if bad.is_empty() => continue,
                    Class::FailSync | Class::ReadError { .. } => Target::Members(vec![pick(draw, bad)]),
                    Class::Partial => pair(draw, members),
                    Class::RollingRestart => Target::Members((1..=members).collect()),
                    _ => super::draw::target(draw, members),
                };
                faults.push(Fault { at_ms, for_ms, target, class });
            }
        }
    }
    faults
}

/// Two members, or three of five.
fn pair(draw: &mut Stream, members: u8) -> Target {
    let mut list: Vec<u8> = (1..=members).collect();
    shuffle(draw, &mut list);
    list.truncate(if members > 3 { pick(draw, &[2, 3]) } else { 2 });
    list.sort_unstable();
    Target::Members(list)
}

fn damage(draw: &mut Stream, bad: &[u8]) -> Vec<Fault> {
    let one = |draw: &mut Stream| {
        let (at_ms, for_ms) = time(draw, CALM_MS - 9_000);
        let name = pick(draw, &Class::DAMAGE);
        Fault {
            at_ms,
            for_ms,
            target: Target::Members(vec![pick(draw, bad)]),
            class: class_named(name, draw),
        }
    };
    let count = draw.between(1, 3);
    (0..count).map(|_| one(draw)).collect()
}

/// A disk that lies, and nothing else around it.
fn lie(draw: &mut Stream, plan: &mut Plan) {
    let name = pick(draw, &Class::LIES);
    let at_ms = draw.between(QUIET_MS + 4_000, CALM_MS - 14_000);
    let for_ms = draw.between(300, 4_000);
    let (before, after) = AROUND_A_LIE_MS;
    let around = at_ms - before..at_ms + for_ms + after;
    plan.faults.retain(|fault| fault.at_ms + fault.for_ms < around.start || fault.at_ms > around.end);
    plan.faults.push(Fault { at_ms, for_ms, target: Target::Follower, class: class_named(name, draw) });
}

/// A class with a number, where it has one.
fn class_named(name: &str, draw: &mut Stream) -> Class {
    let nth = |draw: &mut Stream| pick(draw, &[1, 2, 5, 20]);
    match name {
        "partial" => Class::Partial,
        "flap" => Class::Flap { every_ms: pick(draw, &[30, 150, 700]) },
        "reorder" => Class::Reorder { by_ms: pick(draw, &[10, 100, 600]) },
        "duplicate" => Class::Duplicate { permille: pick(draw, &[5, 30, 150]) },
        "corrupt" => Class::Corrupt { permille: pick(draw, &[2, 20, 100]) },
        // What is on its way keeps its pace when the fault ends: a chunk of a snapshot must not take all of the calm.
        "bandwidth" => Class::Bandwidth { bytes: pick(draw, &[10_000, 20_000, 50_000]) },
        "slow-peer" => Class::SlowPeer { by_ms: pick(draw, &[1, 20, 100]) },
        "reset" => Class::Reset,
        "half-open" => Class::HalfOpen,
        "crash-in-recovery" => Class::CrashInRecovery { operations: draw.between(1, 12) },
        "rolling-restart" => Class::RollingRestart,
        "suspend" => Class::Suspend,
        "slow-cpu" => Class::SlowCpu { by_us: pick(draw, &[20, 200, 1_000]) },
        "stall-disk" => Class::StallDisk,
        "write-error" => Class::WriteError { nth: nth(draw) },
        "short-write" => Class::ShortWrite { nth: nth(draw) },
        "read-error" => Class::ReadError { nth: nth(draw) },
        "skew" => Class::Skew { by_ms: pick(draw, &[-600_000, -700, 700, 600_000]) },
        "wipe" => Class::Wipe,
        "bit-rot" => Class::BitRot { bits: pick(draw, &[1, 8, 200]) },
        "bad-sectors" => Class::BadSectors { count: pick(draw, &[1, 8, 60]) },
        "misread" => Class::Misread { nth: nth(draw) },
        "lying-sync" => Class::LyingSync,
        "lost-write" => Class::LostWrite { nth: nth(draw) },
        "misplaced" => Class::Misplaced { nth: nth(draw) },
        "stale-read" => Class::StaleRead { nth: pick(draw, &[1, 2, 4]) },
        other => super::draw::class_named(other, draw),
    }
}
