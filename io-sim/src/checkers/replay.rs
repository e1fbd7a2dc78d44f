//! Every answer of every client, checked against the true log: the main checker.
//!
//! The log of applied commands is replayed once on the [`Model`]; then each answer must be the model's answer at the
//! revision (for a write: at the log entry) that it names. Linear in the log, n log n in the history, so every run
//! checks everything.
//!
//! Verifies: a member's revision after each entry is the model's; an acknowledged write is in the log once, was
//! applied before its acknowledgement, and was answered as the API promises; a refused write is not in the log, or
//! failed there with the same error; no write is in the log twice or before it was asked for; every read returns the
//! state at its revision; revisions respect real time, except for reads that asked for a stale answer; no answer is
//! from the future; "compacted" and "future revision" are said only when true.
//!
//! Does not verify: that the log itself is the right one (a bug that corrupts the log everywhere alike hides here,
//! hence the black-box [`wgl`](super::wgl)), lease time ([`leases`](super::leases)), watches
//! ([`watch`](super::watch)).

use super::logs::Applied;
use super::model::{Model, plain};
use super::{Checked, Failure, ensure};
use crate::history::*;
use bytes::Bytes;
use kernel::KvError;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "replay";

/// A command of the log, in the terms of the clients' requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A write that a client (or, for a revoke, the leader) asked for.
    Call(Call),
    /// An entry that changes no key: a new term's first, a change of membership.
    Nothing,
}

/// An entry of the log and what it did.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its index.
    pub index: u64,
    /// World time of its first application.
    pub at: Duration,
    /// What it asked for.
    pub call: Call,
    /// What its caller must be told.
    pub result: Result<Reply, KvError>,
    /// Whether it made a revision.
    pub changed: bool,
}

/// The log, replayed.
#[derive(Debug)]
pub struct Replay {
    /// The model after the whole log.
    pub model: Model,
    /// The entries that carry a command, in order.
    pub steps: Vec<Step>,
    by_tag: BTreeMap<Tag, Vec<usize>>,
    by_revision: BTreeMap<i64, usize>,
}

/// The tag that a write carries into the log.
pub fn tag_of(call: &Call) -> Option<Tag> {
    match call {
        Call::Put(put) if is_of_clients(&put.key) => tag_of_value(&put.value),
        Call::Delete(delete) if is_of_clients(&delete.key) => tag_of_end(&delete.range_end),
        Call::Txn(txn) => tag_of_txn(txn),
        Call::Grant(grant) => Tag::try_from(grant.id).ok(),
        _ => None,
    }
}

impl Replay {
    /// Replays `log`; `decode` turns the bytes of an entry into a command.
    pub fn new(
        log: &[(Duration, Applied)],
        mut decode: impl FnMut(&Bytes) -> Result<Command, String>,
    ) -> Result<Replay, Failure> {
        let mut replay = Replay {
            model: Model::new(),
            steps: Vec::with_capacity(log.len()),
            by_tag: BTreeMap::new(),
            by_revision: BTreeMap::new(),
        };
        for (at, entry) in log {
            let command = decode(&entry.command).map_err(|text| Failure {
                checker: NAME,
                invariant: "readable-log",
                text: format!("index {}: {text}", entry.index),
            })?;
            if let Command::Call(call) = command {
                replay.step(entry.index, *at, call);
            }
            let revision = replay.model.revision();
            ensure(revision == entry.revision, NAME, "revision-of-entry", || {
                format!(
                    "after index {} the members are at revision {}, the model at {revision}",
                    entry.index, entry.revision
                )
            })?;
        }
        Ok(replay)
    }

    fn step(&mut self, index: u64, at: Duration, call: Call) {
        let before = self.model.revision();
        let result = self.model.apply(&call);
        let changed = self.model.revision() > before;
        let position = self.steps.len();
        if let Some(tag) = tag_of(&call) {
            self.by_tag.entry(tag).or_default().push(position);
        }
        if changed {
            self.by_revision.insert(self.model.revision(), position);
        }
        self.steps.push(Step { index, at, call, result, changed });
    }

    /// World time at which `revision` first existed anywhere; `None` when it never did.
    pub fn time_of(&self, revision: i64) -> Option<Duration> {
        if revision == 1 {
            return Some(Duration::ZERO);
        }
        self.by_revision.get(&revision).map(|step| self.steps[*step].at)
    }

    /// Checks every operation of `history`.
    pub fn check(&self, history: &History) -> Checked {
        let floors = Floors::new(history);
        for operation in &history.operations {
            let floor = floors.before(operation.invoked);
            if operation.is_read() { self.read(operation, floor) } else { self.write(operation, floor) }
                .map_err(|failure| explain(failure, operation))?;
        }
        Ok(())
    }

    fn read(&self, operation: &Operation, floor: i64) -> Checked {
        match &operation.outcome {
            Outcome::Ok(reply) => {
                self.in_time(operation, reply.revision(), floor)?;
                self.content(operation, reply)
            }
            Outcome::Refused(error) => self.refused_read(operation, error, floor),
            Outcome::Unknown => Ok(()),
        }
    }

    /// An answer names a revision that exists by then, and none that an earlier answer has overtaken.
    fn in_time(&self, operation: &Operation, revision: i64, floor: i64) -> Checked {
        let born = self.time_of(revision);
        ensure(born.is_some_and(|born| born <= operation.returned), NAME, "not-from-the-future", || {
            format!("answered at revision {revision}, which nobody had applied by then")
        })?;
        ensure(operation.may_be_stale() || revision >= floor, NAME, "real-time", || {
            format!("answered at revision {revision} although {floor} had been answered before it was asked")
        })
    }

    fn content(&self, operation: &Operation, reply: &Reply) -> Checked {
        let at = reply.revision();
        let expected = match &operation.call {
            Call::Range(request) => {
                ensure(request.revision <= at, NAME, "not-from-the-future", || {
                    format!("a read at revision {} was answered at {at}", request.revision)
                })?;
                Reply::Range(self.model.range_at(request, at))
            }
            Call::Txn(txn) => Reply::Txn(self.model.read_txn_at(txn, at)),
            _ => return Ok(()),
        };
        same_answer(&expected, reply)
    }

    fn refused_read(&self, operation: &Operation, error: &KvError, floor: i64) -> Checked {
        let Call::Range(request) = &operation.call else { return Ok(()) };
        if *error == KvError::compacted() {
            let justified =
                self.compactions().any(|(at, to)| at <= operation.returned && to > request.revision);
            return ensure(justified, NAME, "compacted-is-true", || {
                format!(
                    "revision {} was called compacted, but no compaction went beyond it",
                    request.revision
                )
            });
        }
        if *error == KvError::future_revision() {
            let possible = request.serializable || request.revision > floor;
            return ensure(possible, NAME, "future-is-true", || {
                format!(
                    "revision {} was called future, but {floor} had been answered before",
                    request.revision
                )
            });
        }
        Ok(())
    }

    /// Successful compactions: when they were first applied, and to which revision.
    pub fn compactions(&self) -> impl Iterator<Item = (Duration, i64)> {
        self.steps.iter().filter_map(|step| match (&step.call, &step.result) {
            (Call::Compact(request), Ok(_)) => Some((step.at, request.revision)),
            _ => None,
        })
    }

    fn write(&self, operation: &Operation, floor: i64) -> Checked {
        let found: &[usize] =
            tag_of(&operation.call).and_then(|tag| self.by_tag.get(&tag)).map_or(&[], Vec::as_slice);
        ensure(found.len() <= 1, NAME, "applied-once", || {
            let indexes: Vec<_> = found.iter().map(|step| self.steps[*step].index).collect();
            format!("one request is in the log {} times, at the indexes {indexes:?}", found.len())
        })?;
        let step = found.first().map(|step| &self.steps[*step]);
        if let Some(step) = step {
            ensure(step.at >= operation.invoked, NAME, "not-before-asked", || {
                format!("index {} was applied before it was asked for", step.index)
            })?;
        }
        match &operation.outcome {
            Outcome::Ok(reply) => {
                self.acknowledged(operation, reply, step.or_else(|| self.untagged(operation, reply)), floor)
            }
            Outcome::Refused(error) => refused_write(step, error),
            Outcome::Unknown => Ok(()),
        }
    }

    /// The entry of a write without a tag: the one that made its revision, or that did its one possible deed.
    fn untagged(&self, operation: &Operation, reply: &Reply) -> Option<&Step> {
        if tag_of(&operation.call).is_some() {
            return None;
        }
        if let Call::Compact(_) | Call::Revoke(_) = operation.call {
            return self
                .steps
                .iter()
                .find(|step| same_deed(&step.call, &operation.call) && step.result.is_ok());
        }
        // A delete that found nothing made no revision; an equal one may have made the one that it names.
        if matches!(reply, Reply::Delete(answer) if answer.deleted == 0) {
            return None;
        }
        let step = &self.steps[*self.by_revision.get(&reply.revision())?];
        (step.call == operation.call).then_some(step)
    }

    fn acknowledged(&self, operation: &Operation, reply: &Reply, step: Option<&Step>, floor: i64) -> Checked {
        let Some(step) = step else { return self.without_effect(operation, reply, floor) };
        ensure(step.at <= operation.returned, NAME, "applied-before-acknowledged", || {
            format!("acknowledged before anybody applied index {}", step.index)
        })?;
        let expected = step.result.as_ref().map_err(|error| Failure {
            checker: NAME,
            invariant: "same-answer",
            text: format!("acknowledged, but index {} fails with {error}", step.index),
        })?;
        same_answer(expected, reply)?;
        let revision = reply.revision();
        ensure(revision > floor || (!step.changed && revision == floor), NAME, "real-time", || {
            format!("wrote revision {revision} although {floor} had been answered before it was asked")
        })
    }

    /// An acknowledged write that is not in the log is lost, unless it is a delete that says it found nothing.
    fn without_effect(&self, operation: &Operation, reply: &Reply, floor: i64) -> Checked {
        let Call::Delete(delete) = &operation.call else { return Err(lost()) };
        let Reply::Delete(answer) = reply else { return Err(lost()) };
        if tag_of(&operation.call).is_some() || answer.deleted != 0 {
            return Err(lost());
        }
        self.in_time(operation, reply.revision(), floor)?;
        let range = kernel::types::RangeRequest {
            key: delete.key.clone(),
            range_end: delete.range_end.clone(),
            ..Default::default()
        };
        let count = self.model.range_at(&range, reply.revision()).count;
        ensure(count == 0, NAME, "same-answer", || format!("deleted nothing where {count} keys were"))
    }
}

fn lost() -> Failure {
    let text = "acknowledged, but not in the log".to_string();
    Failure { checker: NAME, invariant: "acknowledged-write-lost", text }
}

fn same_deed(a: &Call, b: &Call) -> bool {
    match (a, b) {
        (Call::Compact(a), Call::Compact(b)) => a.revision == b.revision,
        (Call::Revoke(a), Call::Revoke(b)) => a.id == b.id,
        _ => false,
    }
}

fn refused_write(step: Option<&Step>, error: &KvError) -> Checked {
    let Some(step) = step else { return Ok(()) };
    let same = step.result.as_ref().is_err_and(|expected| expected == error);
    ensure(same, NAME, "refused-has-no-effect", || match &step.result {
        Ok(_) => format!("refused with '{error}', but index {} did it", step.index),
        Err(expected) => format!("refused with '{error}' where index {} says '{expected}'", step.index),
    })
}

fn same_answer(expected: &Reply, got: &Reply) -> Checked {
    let (expected, got) = (plain(expected), plain(got));
    ensure(expected == got, NAME, "same-answer", || format!("expected {expected:?}, got {got:?}"))
}

fn explain(mut failure: Failure, operation: &Operation) -> Failure {
    failure.text = format!(
        "operation {} of client {} on member {} ({:?} to {:?}): {}; the call was {:?}",
        operation.tag,
        operation.client,
        operation.member,
        operation.invoked,
        operation.returned,
        failure.text,
        operation.call
    );
    failure
}

/// The highest revision that had been answered before a given time.
struct Floors(Vec<(Duration, i64)>);

impl Floors {
    fn new(history: &History) -> Self {
        let answered = history.operations.iter().filter_map(|operation| match &operation.outcome {
            Outcome::Ok(reply) => Some((operation.returned, reply.revision())),
            _ => None,
        });
        let mut floors: Vec<_> = answered.collect();
        floors.sort();
        let mut highest = 1;
        for (_, revision) in &mut floors {
            highest = highest.max(*revision);
            *revision = highest;
        }
        Floors(floors)
    }

    fn before(&self, time: Duration) -> i64 {
        let earlier = self.0.partition_point(|(returned, _)| *returned < time);
        self.0[..earlier].last().map_or(1, |(_, revision)| *revision)
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
