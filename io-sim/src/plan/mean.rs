//! What a plan has beyond its swarm: a few situations that chance alone makes too rarely, each in some plans only.
//!
//! - An *election storm*: again and again every member starts anew behind slow links, a minority apart from the others, and one
//!   of those once more when it has just voted. Whoever forgets what it promised in a term is asked again in that term.
//! - *Bursts*: reads and writes of one key from every client within milliseconds, so that an answer is on its way while the next
//!   question is asked; some while the leader is far away and one disk is slow, so that a member is behind what it is told.
//! - *Late renewals*: a lease is renewed once more about when it ends, while its end is on its way through the log.
//! - *Late watchers*: from far back, with filters, when much has been compacted.
//!
//! Each draws from a stream of its own, so that a change here leaves the rest of every plan as it was.

use super::draw::{CALM_MS, END_MS, LAST_CALL_MS, QUIET_MS, pick, shuffle};
use super::*;
use kernel::rng::Stream;

/// How long one round of an election storm takes.
const ROUND_MS: u64 = 8_000;

/// Adds to `plan` what its seed has for it.
pub(super) fn add(plan: &mut Plan) {
    let seed = plan.seed;
    plan.faults.extend(storm(&mut Stream::new(seed, "plan storm", 0), plan));
    let (faults, bursts) = bursts(&mut Stream::new(seed, "plan bursts", 0), plan);
    plan.faults.extend(faults);
    plan.faults.sort_by_key(|fault| fault.at_ms);
    number(plan, bursts);
    let renewals = late_renewals(&mut Stream::new(seed, "plan late renewals", 0), plan);
    number(plan, renewals);
    let watchers = late_watchers(&mut Stream::new(seed, "plan late watchers", 0), plan);
    number(plan, watchers);
}

/// Gives the new operations their numbers and puts them in their places.
fn number(plan: &mut Plan, operations: Vec<(u64, u8, Deed)>) {
    let last = plan.operations.iter().map(|operation| operation.tag).max().unwrap_or(0);
    for (tag, (at_ms, client, deed)) in (last + 1..).zip(operations) {
        plan.operations.push(Operation { tag, at_ms, client, deed });
    }
    plan.operations.sort_by_key(|operation| (operation.at_ms, operation.tag));
}

fn storm(draw: &mut Stream, plan: &Plan) -> Vec<Fault> {
    let mut faults = Vec::new();
    if plan.members < 3 || !draw.chance(1, 6) {
        return faults;
    }
    let mut at_ms = QUIET_MS + draw.below(2_000);
    while at_ms < CALM_MS - ROUND_MS {
        round(draw, plan, at_ms, &mut faults);
        at_ms += ROUND_MS + draw.below(1_000);
    }
    faults
}

/// Everybody starts anew, a minority out of reach of the others. Those elect a leader; one of them starts anew about when it has
/// voted and knows nothing of the outcome; and then the minority is back, and asks it for its vote in the same term.
fn round(draw: &mut Stream, plan: &Plan, at_ms: u64, faults: &mut Vec<Fault>) {
    let election_ms = plan.knobs.tick_ms * plan.knobs.election_ticks;
    let by_ms = pick(draw, &[150, 300, 600]);
    let mut members: Vec<u8> = (1..=plan.members).collect();
    shuffle(draw, &mut members);
    let mut fault = |at_ms, for_ms, members: &[u8], class| {
        let mut members = members.to_vec();
        members.sort_unstable();
        faults.push(Fault { at_ms, for_ms, target: Target::Members(members), class });
    };
    // A vote is asked for after a time-out and a pre-vote, there and back.
    let voted_ms = at_ms + election_ms + draw.below(election_ms / 2) + 3 * by_ms;
    let (minority, majority) = members.split_at(members.len() / 2);
    fault(at_ms, ROUND_MS - 1_000, &members, Class::SlowLink { by_ms });
    fault(at_ms, 50, &members, Class::Crash);
    fault(at_ms, voted_ms - at_ms + draw.below(2 * by_ms), minority, Class::Partition { way: Way::Both });
    let class = pick(draw, &[Class::Crash, Class::Crash, Class::PowerLoss]);
    fault(voted_ms + draw.below(2 * by_ms), draw.between(5, 60), &majority[..1], class);
}

fn bursts(draw: &mut Stream, plan: &Plan) -> (Vec<Fault>, Vec<(u64, u8, Deed)>) {
    let (mut faults, mut operations) = (Vec::new(), Vec::new());
    if !draw.chance(1, 2) {
        return (faults, operations);
    }
    // An answer takes about two of these: what is asked within it meets what is on its way.
    let way_ms = 1 + (plan.knobs.delay_us + plan.knobs.jitter_us) / 1_000;
    for _ in 0..draw.between(3, 8) {
        let at_ms = draw.between(QUIET_MS, END_MS - LAST_CALL_MS - 3_000);
        let mut spread_ms = way_ms * pick(draw, &[4, 8, 16]);
        if draw.chance(1, 2) && at_ms < CALM_MS - 4_000 {
            let by_ms = pick(draw, &[30, 100, 250]);
            let member = draw.between(1, plan.members.into()) as u8;
            let (at_ms, for_ms) = (at_ms - 200, 200 + 12 * by_ms);
            let target = Target::Members(vec![member]);
            let class = Class::SlowLink { by_ms };
            faults.push(Fault { at_ms, for_ms, target: Target::Leader, class });
            faults.push(Fault { at_ms, for_ms, target, class: Class::SlowDisk { by_ms: 6 * by_ms } });
            spread_ms = 8 * by_ms;
        }
        burst(draw, plan, (at_ms, spread_ms), &mut operations);
    }
    (faults, operations)
}

fn burst(draw: &mut Stream, plan: &Plan, when: (u64, u64), operations: &mut Vec<(u64, u8, Deed)>) {
    let ((at_ms, spread_ms), key) = (when, draw.below(2) as u8);
    for _ in 0..draw.between(6, 20) {
        let client = draw.between(1, plan.clients.into()) as u8;
        let deed = match draw.below(5) {
            0 | 1 => Deed::Put { key, size: 8, lease: 0, prev: false },
            _ => Deed::Get { key, last: key, back: 0, limit: 0, stale: false },
        };
        operations.push((at_ms + draw.below(spread_ms), client, deed));
    }
}

fn late_renewals(draw: &mut Stream, plan: &Plan) -> Vec<(u64, u8, Deed)> {
    let mut operations = Vec::new();
    for granted in &plan.operations {
        let Deed::Grant { ttl } = granted.deed else { continue };
        let renewals =
            plan.operations.iter().filter(|one| one.deed == Deed::KeepAlive { lease: granted.tag });
        let touched = renewals.map(|one| one.at_ms).max().unwrap_or(granted.at_ms);
        let client = draw.between(1, plan.clients.into()) as u8;
        let at_ms = touched + u64::from(ttl) * 1_000 + draw.below(160);
        if draw.chance(1, 2) && at_ms < END_MS - LAST_CALL_MS {
            operations.push((at_ms, client, Deed::KeepAlive { lease: granted.tag }));
        }
    }
    operations
}

fn late_watchers(draw: &mut Stream, plan: &Plan) -> Vec<(u64, u8, Deed)> {
    let mut operations = Vec::new();
    if !draw.chance(1, 2) {
        return operations;
    }
    for _ in 0..draw.between(1, 3) {
        let deed = Deed::Watch {
            key: 0,
            last: pick(draw, &[0, 1, 8, 30]),
            from: pick(draw, &[-300, -60, -15, -2]),
            slow_ms: pick(draw, &[0, 0, 300]),
            for_ms: draw.between(3_000, 15_000),
            prev: draw.chance(1, 2),
            only: pick(draw, &[Only::All, Only::Puts, Only::Deletes]),
            beside: 0,
        };
        let client = draw.between(1, plan.clients.into()) as u8;
        operations.push((draw.between(8_000, END_MS - LAST_CALL_MS), client, deed));
    }
    operations
}
