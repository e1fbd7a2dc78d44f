//! What is known, and what is to be done: everything but the waiting.
//!
//! [`Mind::offered`], [`Mind::watched`] and [`Mind::ended`] take in what happened; [`Mind::turn`] looks at everything and says which calls to make; [`Mind::wake`] says when to
//! look again though nothing was heard. At most one call about our lease is under way, so each rests on the outcome of the one before.

use super::calls::{Call, Outcome, Sought};
use super::keep::Held;
use super::notes::Notes;
use super::view::View;
use super::*;
use crate::choose::{self, Choice, choose};
use crate::registry::{Batch, Loaded};
use kernel::rng::Stream;
use kernel::{Bug, KvError, Planted};

/// Before the first answer of the store.
pub(super) const NO_ANSWER: &str = "the store has not answered yet";

/// The store was read, and nobody has said what for.
const NO_OFFER: &str = "the store was read; what this machine is in the cluster is not known yet";
/// A call is under way, or about to be tried again.
const GETTING: &str = "a subnet is being taken";

/// The holder's state.
pub(super) struct Mind {
    pub(super) config: HolderConfig,
    config_key: String,
    pub(super) probe: Probe,
    pub(super) planted: Planted,
    /// Draws subnets.
    subnets: Stream,
    /// Draws pauses.
    pauses: Stream,
    pub(super) notes: Notes,
    pub(super) view: View,
    reading: Reading,
    /// The watch that counts; what an earlier one says does not.
    round: u64,
    pub(super) offer: Option<Offer>,
    pub(super) phase: Phase,
    standing: Standing,
    out: Vec<Call>,
}

/// Whether what is known of the store can be trusted.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// It is to be read at `at`; so many attempts have failed.
    Due { at: Duration, failed: u32 },
    /// It is being read; so many attempts before have failed.
    Asking { failed: u32 },
    /// It was read, and is followed.
    Done,
}

/// Where our lease is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    /// None. Try at `at`; so many races have been lost.
    Vacant { at: Duration, races: u32 },
    /// An attempt is under way; so many races have been lost before.
    Asking { races: u32 },
    /// Nothing was free as of this revision.
    Full { revision: i64 },
    /// Held.
    Held(Box<Held>),
}

impl Mind {
    pub(super) fn new(config: HolderConfig, config_key: String, seed: u64, probe: Probe) -> Mind {
        Mind {
            config,
            config_key,
            probe,
            planted: Planted::none(),
            subnets: Stream::new(seed, "flannel subnets", 0),
            pauses: Stream::new(seed, "flannel pauses", 0),
            notes: Notes::default(),
            view: View::default(),
            reading: Reading::Due { at: Duration::ZERO, failed: 0 },
            round: 0,
            offer: None,
            phase: Phase::Vacant { at: Duration::ZERO, races: 0 },
            standing: Standing::Waiting(NO_ANSWER.to_owned()),
            out: Vec::new(),
        }
    }

    /// Plants a bug.
    pub(super) fn plant(&mut self, planted: Planted) {
        (self.planted, self.view.planted) = (planted, planted);
    }

    /// The time that our leases are to have, in seconds.
    pub(super) fn ttl(&self) -> i64 {
        i64::try_from(self.config.ttl.as_secs()).unwrap_or(i64::MAX).max(1)
    }

    /// What there is to show.
    pub(super) fn picture(&mut self) -> Picture {
        let standing = match &self.phase {
            Phase::Held(held) => Standing::Held { lease: held.lease.clone(), until: held.until },
            _ => self.standing.clone(),
        };
        Picture {
            config: self.view.config.clone(),
            leases: self.view.leases.clone(),
            revision: self.view.revision,
            standing,
            notes: self.notes.take(),
        }
    }

    /// The agent's words.
    pub(super) fn offered(&mut self, offer: Offer, now: Duration) {
        self.offer = Some(offer);
        if let Phase::Full { .. } = self.phase {
            self.phase = Phase::Vacant { at: now, races: 0 };
        }
    }

    /// The watch of some round saw this.
    pub(super) fn watched(&mut self, round: u64, batch: Batch, now: Duration) {
        if round != self.round {
            return;
        }
        match batch {
            Batch::Events(revision, events) => self.view.apply(revision, events, &mut self.notes),
            Batch::Resync => {
                self.probe.sometimes("holder: the watch lost its place");
                self.reread(now);
            }
        }
    }

    /// A call has ended.
    pub(super) fn ended(&mut self, outcome: Outcome, now: Duration) {
        match outcome {
            Outcome::Loaded(result) => self.loaded(result, now),
            Outcome::Sought(result) => self.sought(result, now),
            Outcome::Dropped(result) => {
                let races = self.races();
                self.phase = Phase::Vacant { at: now, races };
                result.err().into_iter().for_each(|error| self.failed("deleting a lease of ours", &error));
                self.reread(now);
            }
            Outcome::Renewed { lease, sent, ttl, stray } => self.renewed(lease, sent, ttl, stray, now),
            Outcome::Put(result) => self.was_put(result, now),
        }
    }

    /// What is to be done now.
    pub(super) fn turn(&mut self, now: Duration) -> Vec<Call> {
        // First what can make the others due.
        self.tend_held(now);
        self.tend_reading(now);
        self.tend_vacancy(now);
        std::mem::take(&mut self.out)
    }

    fn tend_reading(&mut self, now: Duration) {
        if let Reading::Due { at, failed } = self.reading
            && at <= now
        {
            self.reading = Reading::Asking { failed };
            self.out.push(Call::Load);
        }
    }

    /// When to take a turn though nothing was heard; always later than `now`.
    pub(super) fn wake(&self, now: Duration) -> Option<Duration> {
        let reading = match self.reading {
            Reading::Due { at, .. } => Some(at),
            _ => None,
        };
        let (phase, edge) = match &self.phase {
            Phase::Vacant { at, .. } => (Some(*at), None),
            Phase::Held(held) => (held.wake(now), Some(held.until)),
            _ => (None, None),
        };
        [reading, phase, edge].into_iter().flatten().filter(|time| *time > now).min()
    }

    /// Asks for a call.
    pub(super) fn ask(&mut self, call: Call) {
        self.out.push(call);
    }

    /// What is known may not be so any more.
    pub(super) fn reread(&mut self, now: Duration) {
        if self.reading == Reading::Done {
            self.reading = Reading::Due { at: now, failed: 0 };
        }
    }

    /// Says that something failed, once.
    pub(super) fn failed(&mut self, what: &'static str, error: &KvError) {
        self.probe.sometimes("holder: a call failed");
        self.notes.trouble(what, error);
    }

    fn loaded(&mut self, result: Result<Loaded, KvError>, now: Duration) {
        let Reading::Asking { failed } = self.reading else { return };
        match result {
            Ok(loaded) => {
                assert!(loaded.revision > 0, "a store that was read has a revision");
                self.round += 1;
                self.out.push(Call::Watch { from: loaded.revision + 1, round: self.round });
                self.view.load(loaded, &mut self.notes);
                self.reading = Reading::Done;
                self.notes.calm();
            }
            Err(error) => {
                self.failed("reading the store", &error);
                let pause = RETRY_FIRST.saturating_mul(1 << failed.min(8)).min(RETRY_MOST);
                self.reading = Reading::Due { at: now + drawn(&mut self.pauses, pause), failed: failed + 1 };
            }
        }
    }

    fn races(&self) -> u32 {
        match self.phase {
            Phase::Vacant { races, .. } | Phase::Asking { races } => races,
            _ => 0,
        }
    }

    /// Tries to get a lease, if none is held and one can be chosen.
    fn tend_vacancy(&mut self, now: Duration) {
        let due = match self.phase {
            Phase::Vacant { at, .. } => at <= now,
            Phase::Full { revision } => self.view.revision > revision,
            _ => false,
        };
        if !due || self.reading != Reading::Done {
            return;
        }
        assert!(self.view.revision > 0, "nothing is chosen before the store was read");
        let Some(offer) = self.offer.clone() else { return self.wait_for_offer() };
        let leases: Vec<&Lease> = self.view.leases.values().map(Arc::as_ref).collect();
        let blocked: Vec<SubnetKey> = self.view.spoilt.keys().copied().collect();
        let previous = self.config.previous.as_ref();
        let choice = match self.unchecked(&offer, &leases) {
            Some(key) => Choice::Take { key, stale: Vec::new() },
            None => choose(&offer.config, &leases, &blocked, &offer.me, previous, &mut self.subnets),
        };
        let races = self.races();
        let seen = self.view.revision;
        let call = match choice {
            Choice::Reuse(lease) => Call::Adopt { lease, value: offer.value },
            Choice::Take { key, stale } => Call::Take { key, value: offer.value, seen, stale },
            Choice::Drop(stale) => Call::Drop(stale),
            Choice::Full(text) => return self.full(text),
        };
        self.phase = Phase::Asking { races };
        self.wait_for(GETTING.to_owned());
        self.out.push(call);
    }

    /// A planted bug: the subnet of the last time, whoever has it now.
    fn unchecked(&self, offer: &Offer, leases: &[&Lease]) -> Option<SubnetKey> {
        let previous = self.config.previous.filter(|_| self.planted.is(Bug::PreviousUnchecked))?;
        let own = choose::own(&offer.config, leases, &offer.me, Some(&previous));
        (own.is_none() && choose::fits(&offer.config, &previous)).then_some(previous)
    }

    fn wait_for_offer(&mut self) {
        let example = r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}"#;
        self.wait_for(match self.view.config {
            Some(_) => NO_OFFER.to_owned(),
            None => format!(
                "there is no network config in the store that can be used; put one at {}, for example {example}",
                self.config_key
            ),
        });
    }

    /// Says what is waited for; that a lease was lost stays said until there is another.
    fn wait_for(&mut self, text: String) {
        if matches!(self.standing, Standing::Waiting(_)) {
            self.standing = Standing::Waiting(text);
        }
    }

    fn full(&mut self, text: String) {
        self.probe.sometimes("holder: no subnet is free");
        self.phase = Phase::Full { revision: self.view.revision };
        self.standing = Standing::Waiting(text);
    }

    fn sought(&mut self, result: Result<Sought, KvError>, now: Duration) {
        let races = self.races();
        match result {
            Ok(Sought::Got { lease, ttl, sent }) => {
                self.notes.calm();
                assert!(lease.mod_revision > 0, "a lease that is in the store has a revision");
                self.config.previous = Some(lease.key);
                self.phase = Phase::Held(Box::new(Held::new(lease, ttl, sent, &self.config, self.planted)));
            }
            Ok(Sought::Raced) => {
                self.probe.sometimes("holder: lost the race for a subnet");
                let most = RACE_FIRST.saturating_mul(1 << races.min(8)).min(RACE_MOST);
                let pause = drawn(&mut self.pauses, most);
                self.phase = Phase::Vacant { at: now + pause, races: races.saturating_add(1) };
            }
            Ok(Sought::Moved) => {
                self.probe.sometimes("holder: the lease to adopt was gone");
                self.phase = Phase::Vacant { at: now, races };
                self.reread(now);
            }
            Err(error) => {
                self.failed("getting a subnet", &error);
                let most = RETRY_FIRST.saturating_mul(1 << races.min(8)).min(RETRY_MOST);
                let pause = drawn(&mut self.pauses, most);
                self.phase = Phase::Vacant { at: now + pause, races: races.saturating_add(1) };
                // It may have been done all the same.
                self.reread(now);
            }
        }
    }

    /// The lease is no more: says so, and begins again.
    pub(super) fn lose(&mut self, reason: String, now: Duration) {
        assert!(matches!(self.phase, Phase::Held(_)), "only a lease that is held can be lost");
        self.probe.sometimes("holder: lost its lease");
        self.notes.say(format!("{reason}; getting another"));
        self.standing = Standing::Lost(reason);
        self.phase = Phase::Vacant { at: now, races: 0 };
        self.reread(now);
    }
}

/// From half of this pause to all of it.
pub(super) fn drawn(pauses: &mut Stream, pause: Duration) -> Duration {
    let most = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(pauses.between(most / 2, most))
}
