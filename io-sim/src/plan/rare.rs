//! What a plan has so that rare branches of the store are reached by campaigns, and not in tests by hand alone.
//!
//! - *The first day*: a minority of the founders is missing when the cluster begins.
//! - *Comparisons*: members compare all keys with each other every few seconds.
//! - *Few may wait*: of proposals without a leader, or without room, all but a few are refused, and a member's loop has a short inbox.
//! - *Company*: watchers share their stream with others, and its buffer is small.
//! - *Rot while it serves*: sectors of the state cannot be read for a while, again and again, under a member that needs them at once.
//!
//! Each draws from a stream of its own and is in few plans, so that the others stay what they were.

use super::draw::{CALM_MS, QUIET_MS, pick, shuffle};
use super::*;
use kernel::rng::Stream;

/// The room that a member's state has in memory while it rots: what is read comes from the disk.
const ROTTING: (u64, u64) = (32 << 10, 16 << 10);

/// Adds to `plan` what its seed has for it.
pub(super) fn add(plan: &mut Plan) {
    let stream = |name| Stream::new(plan.seed, name, 0);
    let (mut first, mut compare, mut few) =
        (stream("plan first day"), stream("plan comparisons"), stream("plan few may wait"));
    let (mut company, mut rot) = (stream("plan company"), stream("plan rot"));
    let absent = first_day(&mut first, plan);
    if compare.chance(1, 12) {
        plan.knobs.corrupt_check_ms = pick(&mut compare, &[1_500, 4_000, 10_000]);
    }
    if few.chance(1, 12) {
        plan.knobs.waiting = pick(&mut few, &[2, 8]);
        plan.knobs.inbox = pick(&mut few, &[8, 32]);
    }
    keep_company(&mut company, plan);
    match absent {
        Some(absent) => plan.faults.push(absent),
        None => rot_while_it_serves(&mut rot, plan),
    }
    plan.faults.sort_by_key(|fault| fault.at_ms);
}

/// Whether disks of the plan take back, or hide, what they had promised.
fn has_bad_disks(plan: &Plan) -> bool {
    let bad = |class: &Class| {
        class.damages() || class.lies() || matches!(class, Class::FailSync | Class::ReadError { .. })
    };
    plan.faults.iter().any(|fault| bad(&fault.class))
}

/// A minority is not there at first. Not where a disk is bad: a member that comes late has everything to catch up with before it takes
/// part in elections, and so has one that has lost something; and one that never ran and one that has forgotten everything,
/// together and alone, are what no rule can tell from a first day (decision 5).
fn first_day(draw: &mut Stream, plan: &Plan) -> Option<Fault> {
    if plan.members < 3 || !draw.chance(1, 24) || has_bad_disks(plan) {
        return None;
    }
    let mut absent: Vec<u8> = (1..=plan.members).collect();
    shuffle(draw, &mut absent);
    absent.truncate(draw.between(1, u64::from(plan.members - 1) / 2) as usize);
    absent.sort_unstable();
    let class = pick(draw, &[Class::Crash, Class::Partition { way: Way::Both }]);
    Some(Fault { at_ms: 0, for_ms: draw.between(4_000, 12_000), target: Target::Members(absent), class })
}

/// Some watchers get others beside them.
fn keep_company(draw: &mut Stream, plan: &mut Plan) {
    if !draw.chance(1, 16) {
        return;
    }
    plan.knobs.watch_buffer = pick(draw, &[1, 2, plan.knobs.watch_buffer]);
    for operation in &mut plan.operations {
        if let Deed::Watch { beside, .. } = &mut operation.deed {
            *beside = pick(draw, &[0, 1, 3]);
        }
    }
}

/// One member's disk hides parts of what it has, while clients read and write more than memory holds. If disks are bad already,
/// it is one of those: the minority is one and the same.
fn rot_while_it_serves(draw: &mut Stream, plan: &mut Plan) {
    if plan.members < 3 || !draw.chance(1, 10) || plan.faults.iter().any(|fault| fault.class.lies()) {
        return;
    }
    let Some(member) = rotting(draw, plan) else { return };
    (plan.knobs.cache_bytes, plan.knobs.overlay_bytes) = ROTTING;
    plan.knobs.checkpoint_bytes = plan.knobs.checkpoint_bytes.min(4 << 10);
    plan.knobs.catch_up_entries = pick(draw, &[1, plan.knobs.catch_up_entries]);
    let mut at_ms = QUIET_MS + draw.below(4_000);
    while at_ms < CALM_MS - 6_000 {
        let for_ms = draw.between(500, 4_000);
        let mut fault = |at_ms, for_ms, members: Vec<u8>, class| {
            plan.faults.push(Fault { at_ms, for_ms, target: Target::Members(members), class });
        };
        fault(at_ms, for_ms, vec![member], Class::BadSectors { count: pick(draw, &[20, 200]) });
        // What is fetched then comes late, or is ahead of what the member hears of.
        let other = member % plan.members + 1;
        let (from, long) = (at_ms.saturating_sub(500).max(QUIET_MS), draw.between(2_000, 7_000));
        match draw.below(4) {
            0 | 1 => fault(from, long, vec![member.min(other), member.max(other)], Class::Partial),
            2 => fault(from, long, vec![other], Class::SlowLink { by_ms: pick(draw, &[300, 900]) }),
            _ => {}
        }
        at_ms += for_ms + draw.between(1_000, 6_000);
    }
    large_values(draw, plan);
}

/// Writes and reads of values that do not fit into memory, and watchers that want all of them again, until the calm.
fn large_values(draw: &mut Stream, plan: &mut Plan) {
    let last = plan.operations.iter().map(|operation| operation.tag).max().unwrap_or(0);
    let mut now = QUIET_MS;
    for tag in last + 1.. {
        now += draw.between(20, 200);
        if now > CALM_MS {
            break;
        }
        let client = draw.between(1, plan.clients.into()) as u8;
        let key = draw.between(40, 70) as u8;
        let deed = match draw.below(40) {
            0..20 => Deed::Put { key, size: 3_000, lease: 0, prev: draw.chance(1, 2) },
            20..30 => Deed::Get { key, last: key, back: 0, limit: 0, stale: draw.chance(1, 2) },
            30 => {
                let (from, for_ms) = (-(draw.between(20, 300) as i16), draw.between(2_000, 6_000));
                let (last, prev, only) = (70, draw.chance(1, 2), Only::All);
                Deed::Watch { key: 0, last, from, slow_ms: 0, for_ms, prev, only, beside: 0 }
            }
            _ => Deed::Delete { key, last: key, prev: true },
        };
        plan.operations.push(Operation { tag, at_ms: now, client, deed });
    }
    plan.operations.sort_by_key(|operation| (operation.at_ms, operation.tag));
}

/// The member whose disk may rot, if the plan leaves one.
fn rotting(draw: &mut Stream, plan: &Plan) -> Option<u8> {
    let bad = |fault: &&Fault| {
        fault.class.damages() || matches!(fault.class, Class::FailSync | Class::ReadError { .. })
    };
    let mut struck: Vec<u8> = Vec::new();
    for fault in plan.faults.iter().filter(bad) {
        match &fault.target {
            Target::Members(members) => struck.extend(members),
            Target::Leader | Target::Follower => return None,
        }
    }
    if struck.is_empty() {
        Some(draw.between(1, plan.members.into()) as u8)
    } else {
        Some(pick(draw, &struck))
    }
}
