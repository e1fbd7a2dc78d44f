//! Orders that do not say what they should: which of them to write anew now, group by group.
//!
//! A unit without a pace is ordered anew at once. Units with one go through [`Rollout`]: the copies of a global unit, or all
//! instances of a template, share one. A copy on a machine that is away takes no part; its order stays as it is until it is back.

use crate::model::{DesiredState, Job, Order, Report};
use crate::registry::{Halt, JobRecord, Seen, Snapshot, Step};
use crate::rollout::{Copy, CopyId, Health, Pace, Rollout, Version};
use crate::unit::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Units that are replaced together.
#[derive(Default)]
pub(super) struct Group {
    pub members: BTreeSet<UnitName>,
    pub rollout: Rollout,
}

/// What a group needs now.
#[derive(Default)]
pub(super) struct Paced {
    pub steps: Vec<Step>,
    pub wake: Option<Duration>,
}

/// The name of the unit's group: its template's if it is an instance, else its own.
pub(super) fn group_of(job: &Job) -> String {
    job.name.template().filter(|_| !job.requirements.global).unwrap_or_else(|| job.name.to_string())
}

/// The pace of a unit's replacement; none if it has none.
fn pace_of(job: &Job, forced: bool) -> Option<Pace> {
    let requirements = &job.requirements;
    let has_pace = requirements.max_unavailable.is_some() || requirements.roll_back;
    has_pace.then(|| Pace {
        at_once: requirements.max_unavailable.unwrap_or(u32::MAX).max(1),
        healthy_after: requirements.healthy_after,
        healthy_within: requirements.healthy_within,
        forced,
    })
}

/// Whether the unit's replacement has stopped half-way: orders stay as they are until the operator says what to do.
fn is_frozen(record: &JobRecord) -> bool {
    record.halt.as_ref().is_some_and(|halt| Some(halt.hash) == record.hash && !halt.rolled_back)
}

/// The version for a copy that is placed anew: while a replacement has stopped half-way, the text before it.
pub(super) fn fresh(record: &JobRecord) -> Option<Version> {
    let hash = if is_frozen(record) { record.previous.or(record.hash) } else { record.hash };
    Some(Version { hash: hash?, run: record.run })
}

/// What a group needs at `now`. `jobs` are the units as they were read.
pub(super) fn pace(
    group: &mut Group,
    view: &Snapshot,
    jobs: &BTreeMap<UnitName, Job>,
    now: Duration,
) -> Paced {
    let mut paced = Paced::default();
    let mut copies = BTreeMap::new();
    let mut rules: Option<Pace> = None;
    for unit in &group.members {
        let (Some(job), Some(record)) = (jobs.get(unit), view.jobs.get(unit)) else { continue };
        let Some(hash) = record.hash.filter(|_| !is_frozen(record)) else { continue };
        let wanted = Version { hash, run: record.run };
        let forced = record.halt.as_ref().is_some_and(|halt| halt.rolled_back);
        match pace_of(job, forced) {
            None => paced.steps.extend(at_once(view, unit, wanted)),
            Some(pace) => {
                let more = copies_of(view, job, wanted);
                let decides = more.iter().any(|(_, copy)| copy.ordered != wanted);
                rules = if decides { rules.map(|old| stricter(old, pace)).or(Some(pace)) } else { rules };
                copies.extend(more);
            }
        }
    }
    let rules = rules.or_else(|| group.members.iter().find_map(|unit| pace_of(jobs.get(unit)?, false)));
    let Some(rules) = rules else { return paced };
    let turn = group.rollout.step(now, &rules, &copies);
    paced.wake = turn.wake;
    paced.steps.extend(turn.advance.iter().filter_map(|id| set_order(view, id, copies[id].wanted)));
    if let Some((failed, reason)) = turn.failed {
        paced.steps.extend(halts(group, view, jobs, &failed, &reason));
    }
    paced
}

fn stricter(one: Pace, other: Pace) -> Pace {
    Pace {
        at_once: one.at_once.min(other.at_once),
        healthy_after: one.healthy_after.max(other.healthy_after),
        healthy_within: one.healthy_within.max(other.healthy_within),
        forced: one.forced || other.forced,
    }
}

/// New orders for every copy of a unit without a pace.
fn at_once(view: &Snapshot, unit: &UnitName, wanted: Version) -> Vec<Step> {
    let stale = view.orders_of(unit).filter(|(_, order)| version(&order.value) != wanted);
    let ids = stale.map(|(machine, _)| CopyId { unit: unit.clone(), machine: machine.clone() });
    ids.filter_map(|id| set_order(view, &id, wanted)).collect()
}

fn version(order: &Order) -> Version {
    Version { hash: order.hash, run: order.run }
}

fn set_order(view: &Snapshot, id: &CopyId, wanted: Version) -> Option<Step> {
    let old = view.orders.get(&(id.unit.clone(), id.machine.clone()))?;
    let order = Order { hash: wanted.hash, run: wanted.run, state: old.value.state };
    let (unit, machine) = (id.unit.clone(), id.machine.clone());
    Some(Step::SetOrder { unit, machine, order, order_revision: old.revision })
}

fn copies_of(view: &Snapshot, job: &Job, wanted: Version) -> Vec<(CopyId, Copy)> {
    let unit = &job.name;
    let is_there =
        |machine| view.machines.get(machine).is_some_and(|record| record.presence.is_some() && !record.gone);
    let orders = view.orders_of(unit).filter(|(machine, _)| is_there(*machine));
    let copy = |(machine, order): (&_, &Seen<Order>)| {
        let id = CopyId { unit: unit.clone(), machine: Clone::clone(machine) };
        let report = view.reports.get(&(unit.clone(), id.machine.clone())).map(|report| &report.value);
        let reported = report.map(|report| Version { hash: report.hash, run: report.run });
        let health = health(job, &order.value, report);
        (id, Copy { wanted, ordered: version(&order.value), reported, health })
    };
    orders.map(copy).collect()
}

fn health(job: &Job, order: &Order, report: Option<&Report>) -> Health {
    let Some(report) = report else { return Health::Down };
    let state = &report.state;
    match state.active.as_str() {
        _ if order.state == DesiredState::Loaded && report.error.is_empty() => Health::Up,
        "active" => Health::Up,
        "failed" => Health::Failed(format!("it {}/{}: {}", state.active, state.sub, said(&report.error))),
        "inactive" if job.requirements.oneshot && report.launched && report.error.is_empty() => Health::Up,
        _ => Health::Down,
    }
}

fn said(error: &str) -> &str {
    if error.is_empty() { "see its journal" } else { error }
}

/// The end of a replacement, for every member that was to get the text that failed.
fn halts(
    group: &Group,
    view: &Snapshot,
    jobs: &BTreeMap<UnitName, Job>,
    failed: &CopyId,
    reason: &str,
) -> Vec<Step> {
    let Some(hash) = view.jobs.get(&failed.unit).and_then(|record| record.hash) else { return Vec::new() };
    let mut steps = Vec::new();
    for unit in &group.members {
        let (Some(job), Some(record)) = (jobs.get(unit), view.jobs.get(unit)) else { continue };
        if record.hash != Some(hash) {
            continue;
        }
        let is_kept = |previous: &_| view.files.contains_key(previous) && *previous != hash;
        let back_to = record.previous.filter(|previous| job.requirements.roll_back && is_kept(previous));
        let reason = format!("{} on {}: {reason}", failed.unit, failed.machine);
        let halt = Halt { hash, machine: failed.machine.clone(), reason, rolled_back: back_to.is_some() };
        let object_revision = record.object_revision;
        steps.push(Step::Halt { unit: unit.clone(), object_revision, halt, back_to });
    }
    steps
}
