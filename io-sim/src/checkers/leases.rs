//! A lease lives as long as it was promised, and not much longer.
//!
//! Verifies, by world time with a bound on how far a member's clock may run fast or slow: a lease that no client
//! revoked does not end before its TTL has passed since it was granted and since its last acknowledged renewal
//! (safety); an answer "no such lease" to a renewal is true; a lease that nobody renews is gone within its TTL plus a
//! bound, counted from the last renewal, the last election and the healing of the last fault (liveness). A renewal
//! promises from the moment at which it was asked for: that is the earliest at which a member can have counted.
//!
//! Does not verify: that the keys of an ended lease are deleted (that is a function of the log:
//! [`replay`](super::replay)); leases of which the history does not hold the grant, such as those of a fleetd on the same
//! cluster, whose renewals are not in it either.

use super::replay::{Replay, Step};
use super::{Checked, ensure};
use crate::history::{Call, History, Operation, Outcome, Reply};
use std::collections::BTreeSet;
use std::time::Duration;

const NAME: &str = "leases";

/// What the check needs to know of the run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How far a member's clock may run fast or slow, in parts per million.
    pub drift_ppm: u32,
    /// The last time at which a leader was elected or a fault healed.
    pub disturbed: Duration,
    /// The time from which on the cluster serves, however the last fault left it.
    pub healthy: Duration,
    /// How much longer than its TTL a lease may stay when nothing is wrong.
    pub slack: Duration,
    /// The end of the run.
    pub end: Duration,
}

impl Terms {
    /// The shortest world time that `ttl` seconds by a member's clock can be.
    fn shortest(&self, ttl: i64) -> Duration {
        self.scaled(ttl, 1_000_000 - u64::from(self.drift_ppm))
    }

    fn longest(&self, ttl: i64) -> Duration {
        self.scaled(ttl, 1_000_000 + u64::from(self.drift_ppm))
    }

    fn scaled(&self, ttl: i64, parts: u64) -> Duration {
        Duration::from_micros(ttl.unsigned_abs().saturating_mul(parts))
    }
}

/// One lease's life in the log.
struct Life<'a> {
    id: i64,
    ttl: i64,
    granted: Duration,
    ended: Option<Duration>,
    operations: Vec<&'a Operation>,
}

/// Checks every lease of the run that a client of the history asked for.
pub fn check(history: &History, replay: &Replay, terms: Terms) -> Checked {
    let asked_for: BTreeSet<i64> = history.operations.iter().filter_map(granted_by).collect();
    for step in &replay.steps {
        let (Call::Grant(request), Ok(_)) = (&step.call, &step.result) else { continue };
        if !asked_for.contains(&request.id) {
            continue;
        }
        let life = Life {
            id: request.id,
            ttl: request.ttl,
            granted: step.at,
            ended: end_of(&replay.steps, request.id).map(|step| step.at),
            operations: history
                .operations
                .iter()
                .filter(|operation| lease_of(operation) == Some(request.id))
                .collect(),
        };
        life.is_not_short(terms)?;
        life.denials_are_true(terms)?;
        life.is_not_long(terms)?;
    }
    Ok(())
}

fn end_of(steps: &[Step], id: i64) -> Option<&Step> {
    steps
        .iter()
        .find(|step| matches!(&step.call, Call::Revoke(revoke) if revoke.id == id) && step.result.is_ok())
}

fn granted_by(operation: &Operation) -> Option<i64> {
    match &operation.call {
        Call::Grant(request) => Some(request.id),
        _ => None,
    }
}

fn lease_of(operation: &Operation) -> Option<i64> {
    match &operation.call {
        Call::KeepAlive(request) => Some(request.id),
        Call::Revoke(request) => Some(request.id),
        _ => None,
    }
}

impl Life<'_> {
    fn client_revoked_by(&self, time: Duration) -> bool {
        self.operations
            .iter()
            .any(|operation| matches!(operation.call, Call::Revoke(_)) && operation.invoked <= time)
    }

    /// Until when the lease was promised to live, by what had been acknowledged at `time`.
    fn promised_until(&self, time: Duration, terms: Terms) -> Duration {
        let renewals = self.operations.iter().filter(|operation| operation.returned <= time);
        let promises = renewals.filter_map(|operation| match &operation.outcome {
            Outcome::Ok(Reply::KeepAlive(reply)) if reply.ttl > 0 => {
                Some(operation.invoked + terms.shortest(reply.ttl))
            }
            _ => None,
        });
        promises.fold(self.granted + terms.shortest(self.ttl), Duration::max)
    }

    fn is_not_short(&self, terms: Terms) -> Checked {
        let Some(ended) = self.ended.filter(|ended| !self.client_revoked_by(*ended)) else { return Ok(()) };
        let until = self.promised_until(ended, terms);
        ensure(ended >= until, NAME, "lives-its-time", || {
            format!(
                "lease {} (ttl {} s, granted at {:?}) expired at {ended:?}, but was promised until {until:?}",
                self.id, self.ttl, self.granted
            )
        })
    }

    fn denials_are_true(&self, terms: Terms) -> Checked {
        for operation in &self.operations {
            let Outcome::Ok(Reply::KeepAlive(reply)) = &operation.outcome else { continue };
            let gone = self.ended.is_some_and(|ended| ended <= operation.returned);
            let early = operation.invoked <= self.granted;
            let due = operation.returned >= self.promised_until(operation.invoked, terms);
            ensure(reply.ttl > 0 || gone || early || due, NAME, "denial-is-true", || {
                format!("at {:?} lease {} was said not to exist, but it did", operation.returned, self.id)
            })?;
        }
        Ok(())
    }

    fn is_not_long(&self, terms: Terms) -> Checked {
        let touched =
            self.operations.iter().map(|operation| operation.returned).max().unwrap_or(Duration::ZERO);
        let since = touched.max(self.granted).max(terms.disturbed);
        let deadline = (since + terms.longest(self.ttl)).max(terms.healthy) + terms.slack;
        let gone = self.ended.is_some_and(|ended| ended <= deadline);
        ensure(gone || terms.end < deadline, NAME, "ends-in-time", || {
            format!(
                "lease {} (ttl {} s), last touched or disturbed at {since:?}, was to end by {deadline:?}, but {}",
                self.id,
                self.ttl,
                self.ended.map_or("still lives".to_string(), |ended| format!("ended at {ended:?}"))
            )
        })
    }
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
