//! Units: which step each needs, how it is begun, and what is known when it has ended.
//!
//! A unit has one job at a time, with one exception: a stop may overtake a start that takes long. Then nothing else is done
//! about the unit until both have ended. Jobs are as many as [`MAX_JOBS`] at a time; whoever must not run is stopped
//! without waiting for a place.

use super::config::*;
use super::event::{Call, CallId, Claims, Fault, Outcome};
use super::mind::{Mind, Pending};
use super::unit::{Installed, Job, Sight, Unit, result_text};
use crate::model::Order;
use crate::reconcile::{Activity, Footing, Step, Wish, next_step};
use crate::systemd::{JobResult, SystemdError};
use crate::unit::{UnitHash, UnitName};
use kernel::Bug;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

impl Mind {
    /// How far the agent may go with a unit.
    pub(super) fn footing(&self, unit: &Unit, now: Duration) -> Footing {
        let cut_off = now >= self.tenure.edge() && !self.planted.is(Bug::CutOffRunsOn);
        if cut_off && unit.stops_when_cut_off() {
            Footing::Forbidden
        } else if self.tenure.is_certain(now) && self.orders.is_of(self.tenure.term()) {
            Footing::Firm
        } else {
            Footing::Shaky
        }
    }

    fn wish(&self, unit: &Unit) -> Wish {
        if self.is_purging() {
            Wish::Absent
        } else if self.orders.known && !unit.obscure {
            unit.wish()
        } else {
            Wish::Unknown
        }
    }

    /// What is to be done about a unit now, if anything.
    fn due(&self, name: &UnitName, unit: &Unit, now: Duration) -> Option<Step> {
        let footing = self.footing(unit, now);
        if !self.look.is_known() && footing != Footing::Forbidden {
            return None;
        }
        let mut actual = unit.actual();
        if self.is_going_down() && actual.activity == Activity::AtRest {
            // The files are on a file system that goes with the machine.
            (actual.file, actual.read) = (None, true);
        }
        actual.claimed |= self.planted.is(Bug::StartBeforeClaim);
        if self.planted.is(Bug::UninstallBeforeRest) && unit.order.is_none() {
            actual.activity = Activity::AtRest;
        }
        let step = next_step(&self.wish(unit), &actual, footing)?;
        let overtakes = step == Step::Stop && unit.job.as_ref().is_some_and(|job| job.step == Step::Start);
        if unit.overtaken.is_some() || (unit.job.is_some() && !overtakes) {
            return None;
        }
        let waits = match footing {
            Footing::Forbidden => unit.waits_a_little(step, now),
            _ => unit.must_wait(step, now),
        };
        // A report on its way must not come after its deletion.
        let held_up =
            step == Step::Release && (self.reporting.is_telling(name) || self.tenure.lease().is_none());
        (!waits && !held_up).then_some(step)
    }

    /// Whether what went wrong with a unit is not to be done any more: it came right by itself, or is wanted no longer.
    fn is_past(&self, unit: &Unit, now: Duration) -> bool {
        let Some(trouble) = &unit.trouble else { return false };
        let certain = self.look.is_known() && unit.sight == Sight::Fresh && unit.job.is_none();
        let footing = self.footing(unit, now);
        certain
            && footing == Footing::Firm
            && next_step(&self.wish(unit), &unit.actual(), footing) != Some(trouble.step)
    }

    pub(super) fn tend_units(&mut self, now: Duration) {
        self.crowded_until = None;
        let past: Vec<UnitName> = self
            .units
            .iter()
            .filter(|(_, unit)| self.is_past(unit, now))
            .map(|(name, _)| name.clone())
            .collect();
        past.iter().for_each(|name| self.unit(name).forgive());
        let due =
            self.units.iter().filter_map(|(name, unit)| Some((name.clone(), self.due(name, unit, now)?)));
        let due: Vec<(UnitName, Step)> = due.collect();
        let (mut claims, mut fetches) = (Claims::new(), Vec::new());
        for (name, step) in due {
            match step {
                Step::Claim => claims.extend(self.claim_of(&name)),
                Step::Fetch => fetches.push(name),
                Step::Reload => self.reload.want(now),
                Step::Settle => self.unit(&name).launched = Some(false),
                Step::Forget => drop(self.units.remove(&name)),
                Step::Install | Step::Start | Step::Stop | Step::Uninstall | Step::Finish | Step::Release => {
                    self.begin(&name, step, now);
                }
            }
        }
        self.begin_claims(claims);
        self.begin_fetches(fetches);
        self.kill_what_must_not_run(now);
    }

    fn unit(&mut self, name: &UnitName) -> &mut Unit {
        self.units.get_mut(name).expect("a unit with a step or a job is known")
    }

    fn claim_of(&self, name: &UnitName) -> Option<(UnitName, i64, crate::model::Report)> {
        let unit = &self.units[name];
        let (_, revision) = unit.order.as_ref()?;
        Some((name.clone(), *revision, unit.report()))
    }

    fn begin_claims(&mut self, claims: Claims) {
        let Some(lease) = self.tenure.lease().filter(|_| !claims.is_empty()) else { return };
        assert!(
            self.orders.is_of(self.tenure.term()),
            "claimed by orders that were read under another lease"
        );
        let pending = Pending::Claim { lease, claims: claims.clone() };
        let names: Vec<UnitName> = claims.iter().map(|(name, ..)| name.clone()).collect();
        let id = self.ask(pending, Call::Claim { lease, claims });
        for name in names {
            let unit = self.unit(&name);
            unit.maybe_written = true;
            unit.take_job(id, Step::Claim);
        }
    }

    fn begin_fetches(&mut self, names: Vec<UnitName>) {
        if names.is_empty() {
            return;
        }
        let order = |name: &UnitName| self.units[name].order.as_ref().map(|(order, _)| order.hash);
        let hashes: BTreeSet<UnitHash> = names.iter().filter_map(order).collect();
        let id = self.ask(Pending::Fetch(names.clone()), Call::Fetch { hashes });
        names.iter().for_each(|name| self.unit(name).take_job(id, Step::Fetch));
    }

    fn begin(&mut self, name: &UnitName, step: Step, now: Duration) {
        let files = matches!(step, Step::Install | Step::Uninstall);
        let forced = self.footing(&self.units[name], now) == Footing::Forbidden;
        if !forced && self.is_crowded(now) {
            return;
        }
        let going_down = self.is_purging();
        let unit = &self.units[name];
        let order = unit.order.as_ref().map(|(order, _)| order.clone());
        if matches!(step, Step::Install | Step::Start) {
            assert!(unit.written.is_some(), "{name} is to {} without a claim", step.as_str());
        }
        if step == Step::Uninstall {
            assert_eq!(unit.activity(), Activity::AtRest, "{name} is to be uninstalled under its processes");
        }
        let call = match (step, &order) {
            (Step::Install, _) => {
                let text = unit.order_text().expect("nothing is installed without a text");
                Call::Install { unit: name.clone(), text }
            }
            (Step::Start, _) => Call::Start { unit: name.clone(), reset: unit.state.active == "failed" },
            (Step::Stop, _) => Call::Stop { unit: name.clone() },
            (Step::Uninstall, _) => Call::Uninstall { unit: name.clone() },
            (Step::Finish, Some(Order { hash, run, .. })) => {
                Call::Finish { unit: name.clone(), hash: *hash, run: *run }
            }
            (Step::Release, _) => Call::Release { unit: name.clone(), going_down },
            other => unreachable!("{other:?} is not a job of one unit"),
        };
        let id = self.ask(Pending::Unit { name: name.clone(), since: now, files }, call);
        let unit = self.unit(name);
        if let Some(job) = unit.job.take() {
            assert_eq!(
                (job.step, step),
                (Step::Start, Step::Stop),
                "only a stop overtakes, and only a start"
            );
            unit.overtaken = Some(job.id);
        }
        unit.take_job(id, step);
    }

    /// Whether as many jobs are under way as may be.
    fn is_crowded(&mut self, now: Duration) -> bool {
        let young = self.pending.values().filter_map(|pending| match pending {
            Pending::Unit { since, .. } if *since + JOB_PATIENCE > now => Some(*since + JOB_PATIENCE),
            _ => None,
        });
        let (count, first) = young.fold((0, None::<Duration>), |(count, first), until| {
            (count + 1, Some(first.map_or(until, |first| first.min(until))))
        });
        let crowded = count >= MAX_JOBS;
        if crowded {
            self.crowded_until = first;
        }
        crowded
    }

    /// Units that should have stopped by now, after their grace.
    fn kill_what_must_not_run(&mut self, now: Duration) {
        let edge = self.tenure.edge();
        let overdue = |unit: &Unit| {
            unit.stops_when_cut_off()
                && !self.planted.is(Bug::CutOffRunsOn)
                && now >= edge + unit.stop_grace()
                && unit.was_seen_running()
                && unit.killed.is_none_or(|killed| killed + KILL_PERIOD <= now)
        };
        let names: Vec<UnitName> =
            self.units.iter().filter(|(_, unit)| overdue(unit)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.probe.sometimes("agent: killed a unit that must not run");
            let unit = self.unit(&name);
            unit.killed = Some(now);
            unit.look_again();
            self.ask(Pending::Kill, Call::Kill { unit: name });
        }
    }

    pub(super) fn claimed(
        &mut self,
        id: CallId,
        lease: i64,
        claims: Claims,
        result: Result<Vec<UnitName>, Fault>,
        now: Duration,
    ) {
        if result == Err(Fault::NoLease) {
            self.tenure.doubt(now);
        }
        let present = self.tenure.lease() == Some(lease);
        for (name, _, report) in claims {
            let Some(unit) = self.units.get_mut(&name) else { continue };
            if unit.end_job(id).is_none() || !present {
                continue;
            }
            match &result {
                Ok(claimed) if claimed.contains(&name) => {
                    (unit.written, unit.maybe_written) = (Some(report), false);
                    unit.succeed(Step::Claim);
                }
                Ok(_) => {
                    // Certainly not written, if no earlier claim was.
                    unit.fault(Step::Claim, &Fault::Moved, now);
                }
                Err(fault) => unit.fault(Step::Claim, fault, now),
            }
        }
    }

    pub(super) fn fetched(
        &mut self,
        id: CallId,
        names: Vec<UnitName>,
        result: Result<BTreeMap<UnitHash, Arc<str>>, Fault>,
        now: Duration,
    ) {
        for name in names {
            let Some(unit) = self.units.get_mut(&name) else { continue };
            let Some(Job { order: Some(order), .. }) = unit.end_job(id) else { continue };
            match &result {
                Ok(texts) => match texts.get(&order.hash) {
                    Some(text) => unit.was_fetched(Installed::read(&name, text), &order, text, now),
                    None => unit.fail(Step::Fetch, format!("the store has no text of {}", order.hash), now),
                },
                Err(fault) => unit.fault(Step::Fetch, fault, now),
            }
        }
    }

    pub(super) fn job_ended(&mut self, name: &UnitName, id: CallId, outcome: Outcome, now: Duration) {
        let Some(unit) = self.units.get_mut(name) else { return };
        if unit.overtaken == Some(id) {
            unit.overtaken = None;
            unit.look_again();
            return;
        }
        let Some(job) = unit.end_job(id) else { return };
        let result = match outcome {
            Outcome::Job(result) => result,
            Outcome::Done(result) => result.map(|()| JobResult::Done),
            other => unreachable!("{} ended with {other:?}", job.step.as_str()),
        };
        match result {
            Ok(result) => unit.job_went(&job, result, now),
            Err(fault) => {
                unit.look_again();
                if job.step == Step::Start {
                    unit.may_have_started();
                }
                unit.fault(job.step, &fault, now);
                match fault {
                    Fault::NoLease => self.tenure.doubt(now),
                    // Nobody knows what was done.
                    Fault::Systemd(SystemdError::Gone(_)) => self.look.want(),
                    _ => {}
                }
            }
        }
    }
}

impl Unit {
    fn take_job(&mut self, id: CallId, step: Step) {
        assert!(self.job.is_none(), "a unit has one job at a time: {:?}", self.job);
        let order = self.order.as_ref().map(|(order, _)| order.clone());
        self.job = Some(Job { id, step, order });
    }

    fn end_job(&mut self, id: CallId) -> Option<Job> {
        self.job.take_if(|job| job.id == id)
    }

    fn was_fetched(&mut self, file: Installed, order: &Order, text: &Arc<str>, now: Duration) {
        if file.hash != order.hash {
            return self.fail(Step::Fetch, format!("the text of {} has another hash", order.hash), now);
        }
        self.text = Some((file, text.clone()));
        self.succeed(Step::Fetch);
    }

    /// A job of systemd or the store has ended as it should, or as systemd thinks it should.
    fn job_went(&mut self, job: &Job, result: JobResult, now: Duration) {
        self.succeed(job.step);
        match job.step {
            Step::Install => {
                let (file, _) = self.text.take().expect("a text is kept while it is installed");
                self.installed(file);
            }
            Step::Uninstall => self.uninstalled(),
            Step::Start => self.was_started(job, result, now),
            Step::Stop => {
                self.stopped = Some(result);
                self.look_again();
            }
            Step::Finish => self.finished = true,
            Step::Release => (self.written, self.maybe_written) = (None, false),
            step => unreachable!("{step:?} is not a job of one unit"),
        }
    }

    fn was_started(&mut self, job: &Job, result: JobResult, now: Duration) {
        assert!(job.order.is_some(), "what is started was ordered");
        self.look_again();
        if result == JobResult::Dependency {
            // It was not even tried: what it requires may come yet.
            self.fail(Step::Start, result_text(result).to_owned(), now);
            return;
        }
        self.started = Some(result);
        self.launched = Some(true);
        self.run = job.order.as_ref().map(|order| order.run);
    }
}
