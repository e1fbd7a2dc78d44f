//! Steps on their way to the store: batched, pipelined, and remembered until the watch has shown them.
//!
//! A unit with a step that is queued, under way, or done but not yet seen in the watch is *pending*: the view is behind
//! what is being done, so nothing new is decided about it. When the step is done the unit is pending until the view has reached its
//! revision; when it was overtaken or its fate is unknown, until something new is heard of the unit or a pause is over.
//! Then the truth is taken from the view.

use crate::registry::{RegistryError, STEPS_MOST, Step, Steps};
use crate::unit::UnitName;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Most transactions under way.
pub(super) const FLIGHTS_MOST: usize = 8;
/// Pause before a unit whose step was not done is looked at again; doubled each time, up to [`PAUSE_MOST`].
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(3);
/// Pause before the store is asked again after it failed.
const STORE_PAUSE: Duration = Duration::from_millis(200);

/// The queue.
#[derive(Default)]
pub(super) struct Writes {
    queue: VecDeque<Step>,
    /// Steps of a batch that was overtaken: each by itself.
    alone: VecDeque<Step>,
    flights: BTreeMap<u64, Vec<Step>>,
    flights_begun: u64,
    not_before: Duration,
    pending: BTreeMap<UnitName, Pending>,
}

#[derive(Default)]
struct Pending {
    /// Steps not yet answered.
    steps: u32,
    /// The view must have reached this revision.
    revision: i64,
    /// Nothing before this moment, unless something is heard of the unit.
    until: Duration,
    failures: u32,
}

/// What an answer means to the engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Go on.
    Settled,
    /// These steps, which belong to no unit, were not done.
    Dropped(Vec<Step>),
    /// Another engine leads.
    Deposed,
}

impl Writes {
    pub(super) fn push(&mut self, step: Step) {
        if let Some(unit) = step.unit() {
            self.pending.entry(unit.clone()).or_default().steps += 1;
        }
        self.queue.push_back(step);
    }

    /// Whether the view may be behind what is being done to the unit.
    pub(super) fn is_pending(&self, unit: &UnitName) -> bool {
        self.pending.contains_key(unit)
    }

    /// A step of a unit that has not left yet.
    pub(super) fn queued(&mut self, unit: &UnitName) -> impl Iterator<Item = &mut Step> {
        self.queue.iter_mut().filter(move |step| step.unit() == Some(unit))
    }

    /// The next transaction to send, if one may be.
    pub(super) fn next(&mut self, now: Duration) -> Option<(u64, Vec<Step>)> {
        if self.flights.len() >= FLIGHTS_MOST || now < self.not_before {
            return None;
        }
        let steps: Vec<Step> = match self.alone.pop_front() {
            Some(step) => vec![step],
            None => self.queue.drain(..self.queue.len().min(STEPS_MOST)).collect(),
        };
        if steps.is_empty() {
            return None;
        }
        self.flights_begun += 1;
        self.flights.insert(self.flights_begun, steps.clone());
        assert!(self.flights.len() <= FLIGHTS_MOST, "{} transactions are under way", self.flights.len());
        Some((self.flights_begun, steps))
    }

    /// The answer to a transaction.
    pub(super) fn answer(&mut self, now: Duration, id: u64, answer: &Result<Steps, RegistryError>) -> Answer {
        let steps = self.flights.remove(&id).expect("a transaction is answered once");
        match answer {
            Ok(Steps::Deposed) => return Answer::Deposed,
            Ok(Steps::Done(revision)) => {
                for unit in steps.iter().filter_map(Step::unit) {
                    let pending = self.answered(unit);
                    pending.revision = pending.revision.max(*revision);
                    pending.failures = 0;
                }
                return Answer::Settled;
            }
            Ok(Steps::Moved) if steps.len() > 1 => {
                self.alone.extend(steps);
                return Answer::Settled;
            }
            Ok(Steps::Moved) => {}
            Err(_) => self.not_before = now + STORE_PAUSE,
        }
        for unit in steps.iter().filter_map(Step::unit) {
            let pending = self.answered(unit);
            let pause = PAUSE.saturating_mul(1 << pending.failures.min(10)).min(PAUSE_MOST);
            pending.failures += 1;
            pending.until = now + pause;
        }
        let dropped: Vec<Step> = steps.into_iter().filter(|step| step.unit().is_none()).collect();
        if dropped.is_empty() { Answer::Settled } else { Answer::Dropped(dropped) }
    }

    fn answered(&mut self, unit: &UnitName) -> &mut Pending {
        let pending = self.pending.get_mut(unit).expect("a unit is pending while it has steps");
        pending.steps = pending.steps.checked_sub(1).expect("each step is answered once");
        pending
    }

    /// Something was heard of a unit: there is no point in waiting longer.
    pub(super) fn heard_of(&mut self, unit: &UnitName) {
        if let Some(pending) = self.pending.get_mut(unit) {
            pending.until = Duration::ZERO;
        }
    }

    /// Units whose truth is in the view again.
    pub(super) fn settled(&mut self, now: Duration, revision: i64) -> Vec<UnitName> {
        let is_settled =
            |pending: &Pending| pending.steps == 0 && pending.revision <= revision && pending.until <= now;
        self.pending.extract_if(.., |_, pending| is_settled(pending)).map(|(unit, _)| unit).collect()
    }

    /// When to look again if nothing happens before.
    pub(super) fn wake(&self) -> Option<Duration> {
        let has_work = !self.queue.is_empty() || !self.alone.is_empty();
        let queue = (has_work && self.flights.len() < FLIGHTS_MOST).then_some(self.not_before);
        let waiting = self.pending.values().filter(|pending| pending.steps == 0 && !pending.until.is_zero());
        queue.into_iter().chain(waiting.map(|pending| pending.until)).min()
    }
}
