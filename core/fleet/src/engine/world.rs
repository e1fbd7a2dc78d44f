//! What the leading engine knows and wants: a pure value, with `now` as an argument.
//!
//! ```text
//!  Change ──apply──> view (registry) ──settle──> scheduler, groups ──turn──> steps ──> Writes ──> store
//!                                                                                        │
//!        ^────────────────────────────── watch ──────────────────────────────────────────┘
//! ```
//!
//! A change marks what it touches; [`World::turn`] looks at what is marked and at nothing else, so a turn costs what has
//! changed, whatever the size of the cluster. The view is the store's truth; the scheduler runs ahead of it by the steps that
//! are pending, and is told the truth again when they are settled.

use super::groups::{self, Group};
use super::locate::{Lost, Rules, Spot, locate};
use super::texts::Texts;
use super::writes::{Answer, Writes};
use crate::meter::Meter;
use crate::model::{DesiredState, Job, MachineId, Order};
use crate::registry::{Change, Event, JobRecord, RegistryError, Snapshot, Step, Steps};
use crate::rollout::Version;
use crate::schedule::{Decision, Place, Scheduler};
use crate::unit::{PartitionPolicy, Requirements, UnitFile, UnitName};
use kernel::{Bug, Planted};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// See the head of the file.
pub(super) struct World {
    planted: Planted,
    meter: Meter,
    view: Snapshot,
    scheduler: Scheduler,
    writes: Writes,
    /// Units as the scheduler knows them.
    jobs: BTreeMap<UnitName, Job>,
    groups: BTreeMap<String, Group>,
    texts: Texts,
    /// Units with a target, an order or a report there.
    at: BTreeMap<MachineId, BTreeSet<UnitName>>,
    lost: Lost,
    /// Units whose text is not there, or cannot be read.
    unread: BTreeSet<UnitName>,
    marked: Marked,
    timers: BTreeSet<(Duration, Timer)>,
    /// The request to rebalance that was carried out last.
    rebalanced: i64,
}

/// What has to be looked at.
#[derive(Default)]
struct Marked {
    units: BTreeSet<UnitName>,
    machines: BTreeSet<MachineId>,
    groups: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Unit(UnitName),
    Group(String),
}

impl World {
    /// From everything as it was read. Of the world before, if this is a load in the middle of a tenure, it keeps how far
    /// replacements are and what is under way, but not since when machines are away: they may have been back meanwhile.
    pub(super) fn new(view: Snapshot, before: Option<World>, planted: Planted, now: Duration) -> World {
        let (groups, writes) = before.map(|world| (world.groups, world.writes)).unwrap_or_default();
        let mut at: BTreeMap<MachineId, BTreeSet<UnitName>> = BTreeMap::new();
        let mut marked = Marked::default();
        let targets = view.jobs.iter().filter_map(|(unit, job)| Some((unit, &job.target.as_ref()?.value)));
        let orders = view.orders.keys().map(|(unit, machine)| (unit, machine));
        let reports = view.reports.keys().map(|(unit, machine)| (unit, machine));
        for (unit, machine) in targets.chain(orders).chain(reports) {
            at.entry(machine.clone()).or_default().insert(unit.clone());
            marked.units.insert(unit.clone());
        }
        marked.units.extend(view.jobs.keys().cloned());
        marked.machines.extend(view.machines.keys().chain(at.keys()).cloned());
        let texts = Texts::of(&view);
        let mut world = World {
            view,
            scheduler: Scheduler::with(planted),
            planted,
            meter: Meter::default(),
            writes,
            jobs: BTreeMap::new(),
            groups: groups
                .into_iter()
                .map(|(name, group)| (name, Group { members: BTreeSet::new(), ..group }))
                .collect(),
            texts,
            at,
            lost: Lost::new(),
            unread: BTreeSet::new(),
            marked,
            timers: BTreeSet::new(),
            rebalanced: 0,
        };
        world.turn(now);
        world
    }

    /// Counts what it decides in this meter.
    pub(super) fn counting(self, meter: Meter) -> World {
        World { meter, ..self }
    }

    /// How many wanted units no machine can take.
    pub(super) fn unplaced(&self) -> usize {
        self.scheduler.unplaced()
    }

    /// The store has changed.
    pub(super) fn apply(&mut self, change: Change, now: Duration) {
        assert!(change.revision >= self.view.revision, "changes come in the order of the store");
        self.mark(&change.event, now);
        let before = Texts::named(&self.view, &change.event);
        let event = change.event.clone();
        self.view.apply(change);
        self.texts.change(before, Texts::named(&self.view, &event));
    }

    fn mark(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Object { unit, .. }
            | Event::Desired { unit, .. }
            | Event::Run { unit, .. }
            | Event::Done { unit, .. }
            | Event::Previous { unit, .. }
            | Event::Halt { unit, .. } => self.mark_unit(unit),
            Event::Target { unit, machine } => {
                self.mark_unit(unit);
                machine.iter().for_each(|machine| self.mark_at(machine, unit));
            }
            Event::Order { unit, machine, .. } => {
                self.mark_unit(unit);
                self.mark_at(machine, unit);
            }
            Event::Report { unit, machine, report } => {
                self.mark_unit(unit);
                self.mark_at(machine, unit);
                // A machine that is away and loses a report may have lost its lease only now: count from here.
                if report.is_none()
                    && let Some(since) = self.lost.get_mut(machine)
                {
                    *since = now;
                }
            }
            Event::Presence { machine, presence, .. } => {
                // It may have come and gone between two turns: what counts is the last time that it went.
                if presence.is_none() {
                    self.lost.insert(machine.clone(), now);
                }
                self.marked.machines.insert(machine.clone());
            }
            Event::Metadata { machine, .. }
            | Event::Admission { machine, .. }
            | Event::Gone { machine, .. } => drop(self.marked.machines.insert(machine.clone())),
            Event::Text { hash, text } => {
                self.marked.units.extend(std::mem::take(&mut self.unread));
                if text.is_some() {
                    self.texts.look_at(*hash);
                }
            }
            Event::Leader(_) | Event::Rebalance(_) | Event::Note { .. } => {}
        }
    }

    fn mark_unit(&mut self, unit: &UnitName) {
        self.writes.heard_of(unit);
        self.marked.units.insert(unit.clone());
    }

    fn mark_at(&mut self, machine: &MachineId, unit: &UnitName) {
        self.at.entry(machine.clone()).or_default().insert(unit.clone());
    }

    /// Looks at all that is marked or due, and decides.
    pub(super) fn turn(&mut self, now: Duration) {
        while let Some((_, timer)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.timers.pop_first();
            match timer {
                Timer::Unit(unit) => drop(self.marked.units.insert(unit)),
                Timer::Group(group) => drop(self.marked.groups.insert(group)),
            }
        }
        let settled = self.writes.settled(now, self.view.revision);
        self.marked.units.extend(settled);
        for machine in std::mem::take(&mut self.marked.machines) {
            self.settle_machine(machine, now);
        }
        for unit in std::mem::take(&mut self.marked.units) {
            // A pending unit is marked again when it is settled.
            if !self.writes.is_pending(&unit) {
                self.settle_unit(&unit, now);
            }
        }
        self.decide();
        for name in std::mem::take(&mut self.marked.groups) {
            self.settle_group(name, now);
        }
        self.rebalance();
        self.drop_texts();
    }

    fn settle_machine(&mut self, machine: MachineId, now: Duration) {
        let record = self.view.machines.get(&machine);
        match record.and_then(|record| record.machine()) {
            Some(there) => {
                if record.is_some_and(|record| record.gone) {
                    self.writes.push(Step::DropGone { machine: machine.clone() });
                }
                self.lost.remove(&machine);
                self.scheduler.set_machine(there);
            }
            None => {
                self.lost.entry(machine.clone()).or_insert(now);
                self.scheduler.remove_machine(&machine);
            }
        }
        let Some(units) = self.at.get_mut(&machine) else { return };
        let view = &self.view;
        units.retain(|unit| {
            let key = (unit.clone(), machine.clone());
            let target = view.jobs.get(unit).and_then(|job| job.target.as_ref());
            target.is_some_and(|target| target.value == machine)
                || view.orders.contains_key(&key)
                || view.reports.contains_key(&key)
        });
        self.marked.units.extend(units.iter().cloned());
        if units.is_empty() {
            self.at.remove(&machine);
            if self.view.machines.get(&machine).is_none_or(|record| record.presence.is_none()) {
                self.lost.remove(&machine);
            }
        }
    }

    /// Tells the scheduler and the unit's group the truth about a unit, and puts in order what needs no decision.
    fn settle_unit(&mut self, unit: &UnitName, now: Duration) {
        let record = self.view.jobs.get(unit).cloned().unwrap_or_default();
        self.settle_job(unit, &record);
        if record.hash.is_some() && !self.jobs.contains_key(unit) {
            return; // The scheduler would take a unit of which it knows nothing off its machine.
        }
        let rules = self.rules(unit, &record);
        let located = locate(&self.view, unit, &rules, &self.lost, now);
        match located.spot {
            Spot::One(place) => {
                self.scheduler.set_copies(unit, BTreeMap::new());
                self.scheduler.set_place(unit, place);
            }
            Spot::Copies(copies) => {
                self.scheduler.set_place(unit, Place::Free);
                self.scheduler.set_copies(unit, copies);
            }
        }
        let is_active = self.view.reports_of(unit).any(|(_, report)| report.value.state.active == "active");
        self.scheduler.set_active(unit, is_active);
        self.scheduler.set_done(unit, record.is_done());
        located.chores.into_iter().for_each(|step| self.writes.push(step));
        if record.hash.is_none() && record.done.is_some() {
            self.writes.push(Step::DropDone { unit: unit.clone() });
        }
        self.timers.extend(located.look.map(|due| (due, Timer::Unit(unit.clone()))));
        if let Some(job) = self.jobs.get(unit) {
            self.marked.groups.insert(groups::group_of(job));
        }
    }

    /// Reads the unit's text, if it is another than before.
    fn settle_job(&mut self, unit: &UnitName, record: &JobRecord) {
        let Some(hash) = record.hash else { return self.forget_job(unit) };
        let job = match self.jobs.get(unit) {
            Some(old) if old.hash == hash && old.desired == record.desired => return,
            Some(old) if old.hash == hash => Job { desired: record.desired, ..old.clone() },
            _ => match self.view.files.get(&hash).and_then(|text| read(unit, &text.value)) {
                Some((file, requirements)) => {
                    Job { name: unit.clone(), file, hash, requirements, desired: record.desired }
                }
                // The unit stays as it was: nothing is stopped because a text cannot be read.
                None => {
                    self.unread.insert(unit.clone());
                    return;
                }
            },
        };
        // A unit that stays in its group must not leave it for a moment: the group knows how far a replacement is.
        let group = groups::group_of(&job);
        if self.jobs.get(unit).is_some_and(|old| groups::group_of(old) != group) {
            self.leave_group(unit);
        }
        self.groups.entry(group).or_default().members.insert(unit.clone());
        self.scheduler.set_job(job.clone());
        self.jobs.insert(unit.clone(), job);
    }

    fn forget_job(&mut self, unit: &UnitName) {
        self.unread.remove(unit);
        self.leave_group(unit);
        self.scheduler.remove_job(unit);
        self.jobs.remove(unit);
    }

    fn leave_group(&mut self, unit: &UnitName) {
        let Some(name) = self.jobs.get(unit).map(groups::group_of) else { return };
        let Some(group) = self.groups.get_mut(&name) else { return };
        group.members.remove(unit);
        if group.members.is_empty() {
            self.groups.remove(&name);
        }
    }

    /// The rules of the text that its machine runs, or else of the one it shall run.
    fn rules(&self, unit: &UnitName, record: &JobRecord) -> Rules {
        let order = record.target.as_ref().and_then(|target| {
            let order = self.view.orders.get(&(unit.clone(), target.value.clone()))?;
            Some(order.value.hash)
        });
        let known = self.jobs.get(unit).filter(|job| order.is_none_or(|hash| hash == job.hash));
        let running = match known {
            Some(job) => Some(job.requirements.clone()),
            None => order.and_then(|hash| Some(read(unit, &self.view.files.get(&hash)?.value)?.1)),
        };
        let (mut policy, mut grace) = running
            .map_or((PartitionPolicy::Keep, Duration::ZERO), |rules| (rules.partition, rules.stop_grace));
        if self.planted.is(Bug::HoldGivenUp) && policy == PartitionPolicy::Hold {
            policy = PartitionPolicy::Keep;
        }
        if self.planted.is(Bug::StopWithoutGrace) {
            grace = Duration::ZERO;
        }
        let hasty = self.planted.is(Bug::FreeBeforeRelease);
        Rules { global: self.jobs.get(unit).map(|job| job.requirements.global), policy, grace, hasty }
    }

    fn settle_group(&mut self, name: String, now: Duration) {
        let Some(group) = self.groups.get_mut(&name) else { return };
        if group.members.iter().any(|unit| self.writes.is_pending(unit)) {
            return; // Marked again when the unit is settled.
        }
        let paced = groups::pace(group, &self.view, &self.jobs, now);
        paced.steps.into_iter().for_each(|step| self.writes.push(step));
        self.timers.extend(paced.wake.map(|due| (due, Timer::Group(name))));
    }

    /// Turns decisions into steps. A unit that was pending before takes none: the scheduler is told the truth later, and
    /// decides again.
    fn decide(&mut self) {
        let mut begun = BTreeSet::new();
        for decision in self.scheduler.decide() {
            let unit = decision.unit().clone();
            if !self.writes.is_pending(&unit) || begun.contains(&unit) {
                begun.insert(unit);
                self.carry_out(decision);
            }
        }
    }

    fn carry_out(&mut self, decision: Decision) {
        let unit = decision.unit().clone();
        if self.is_held(&decision) {
            return;
        }
        let is_wanted = self.jobs.get(&unit).is_some_and(|job| job.desired != DesiredState::Inactive);
        if is_wanted && matches!(decision, Decision::Unassign { .. }) {
            self.meter.could_not_stay();
        }
        let step = match decision {
            Decision::Assign { unit, machine, state, .. } => self.assign(unit, machine, state),
            Decision::Unassign { unit, machine, .. } => {
                let order = self.view.orders.get(&(unit.clone(), machine.clone()));
                let order_revision = order.map(|order| order.revision);
                order_revision.map(|order_revision| Step::Unassign { unit, machine, order_revision })
            }
            Decision::SetState { unit, machine, state, .. } => self.set_state(unit, machine, state),
        };
        match step {
            Some(step) => self.writes.push(step),
            // What the decision was about is not in the view: the scheduler has it wrong.
            None => drop(self.marked.units.insert(unit)),
        }
    }

    /// Whether a decision takes a unit off a machine that is cut off: the order stays, for it carries the unit's policy. When the
    /// machine is back, or given up, the scheduler is told so and decides again.
    fn is_held(&self, decision: &Decision) -> bool {
        let Decision::Unassign { unit, machine, .. } = decision else { return false };
        let target = self.view.jobs.get(unit).and_then(|job| job.target.as_ref());
        let is_away = self.view.machines.get(machine).is_none_or(|record| record.presence.is_none());
        is_away && target.is_some_and(|target| target.value == *machine)
    }

    fn assign(&mut self, unit: UnitName, machine: MachineId, state: DesiredState) -> Option<Step> {
        let record = self.view.jobs.get(&unit)?;
        let Version { hash, run } = groups::fresh(record)?;
        let order = Order { hash, state, run };
        if !self.jobs.get(&unit)?.requirements.global {
            return Some(Step::Assign { unit, machine, order });
        }
        match self.view.orders.get(&(unit.clone(), machine.clone())) {
            Some(old) => Some(Step::SetOrder { order_revision: old.revision, unit, machine, order }),
            None => Some(Step::AssignCopy { unit, machine, order }),
        }
    }

    fn set_state(&mut self, unit: UnitName, machine: MachineId, state: DesiredState) -> Option<Step> {
        for queued in self.writes.queued(&unit) {
            match queued {
                Step::Assign { machine: to, order, .. }
                | Step::AssignCopy { machine: to, order, .. }
                | Step::SetOrder { machine: to, order, .. }
                    if *to == machine =>
                {
                    order.state = state;
                    return None;
                }
                _ => {}
            }
        }
        let old = self.view.orders.get(&(unit.clone(), machine.clone()))?;
        let order = Order { state, ..old.value.clone() };
        Some(Step::SetOrder { order_revision: old.revision, unit, machine, order })
    }

    fn rebalance(&mut self) {
        let Some(request) = self.view.rebalance.clone().filter(|request| request.revision > self.rebalanced)
        else {
            return;
        };
        self.rebalanced = request.revision;
        let most = usize::try_from(request.value).unwrap_or(usize::MAX);
        for (unit, from, _, _) in self.scheduler.rebalance(most) {
            let order = self.view.orders.get(&(unit.clone(), from.clone()));
            if let Some(order_revision) =
                order.map(|order| order.revision).filter(|_| !self.writes.is_pending(&unit))
            {
                self.scheduler.set_place(&unit, Place::Leaving(from.clone()));
                self.writes.push(Step::Unassign { unit, machine: from, order_revision });
            }
        }
        self.writes.push(Step::DropRebalance { revision: request.revision });
    }

    fn drop_texts(&mut self) {
        for hash in self.texts.unused() {
            if let Some(text) = self.view.files.get(&hash) {
                self.writes.push(Step::DropText { hash, revision: text.revision });
            }
        }
    }

    /// The next transaction to send.
    pub(super) fn next_write(&mut self, now: Duration) -> Option<(u64, Vec<Step>)> {
        self.writes.next(now)
    }

    /// A transaction was answered. False: another engine leads.
    pub(super) fn wrote(&mut self, now: Duration, id: u64, answer: &Result<Steps, RegistryError>) -> bool {
        match self.writes.answer(now, id, answer) {
            Answer::Deposed => return false,
            Answer::Settled => {}
            Answer::Dropped(steps) => steps.into_iter().for_each(|step| self.look_again(step)),
        }
        true
    }

    /// Upkeep that was not done is needed still, or not: its key says.
    fn look_again(&mut self, step: Step) {
        match step {
            Step::DropText { hash, .. } => self.texts.look_at(hash),
            Step::DropRebalance { revision } => self.rebalanced = self.rebalanced.min(revision - 1),
            Step::DropGone { machine } => drop(self.marked.machines.insert(machine)),
            _ => {}
        }
    }

    /// When to take a turn if nothing happens before.
    pub(super) fn wake(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due).into_iter().chain(self.writes.wake()).min()
    }
}

fn read(unit: &UnitName, text: &str) -> Option<(Arc<UnitFile>, Arc<Requirements>)> {
    let (file, requirements) = Requirements::of_text(unit, text).ok()?;
    Some((Arc::new(file), Arc::new(requirements)))
}
