//! What clients want of the loop: proposals, linearizable reads and lease calls, from their arrival to their answer or to
//! the moment when they have waited too long.

use crate::event::{Pending, Reply, Waiter};
use crate::frame::{Body, LeaseAnswer, LeaseAsk};
use crate::lease::LeaseCall;
use crate::meter;
use crate::node::Node;
use crate::proposal::Proposal;
use bytes::Bytes;
use consensus::Role;
use futures_channel::oneshot;
use kernel::{Bug, KvError};
use mvcc::Command;
use std::time::Duration;

/// Revokes that may be proposed in a second, as etcd's.
const REVOKES_A_SECOND: u128 = 1_000;

impl Node {
    pub(crate) fn take_proposal(&mut self, request: u64, payload: Bytes, reply: Reply, now: Duration) {
        if self.persist.is_full() || self.run.no_room {
            let _ = reply.send(Err(KvError::no_space()));
            return;
        }
        if self.run.waiting.len() >= self.config.waiting_proposals {
            self.io.probe.sometimes("node: refused a proposal because too many wait");
            let _ = reply.send(Err(KvError::too_many_requests()));
            return;
        }
        if self.run.halted.is_some() {
            let _ = reply.send(Err(KvError::state_damaged()));
            return;
        }
        let until = now + self.config.request_timeout();
        self.run.pending.insert(request, Pending { until, term: 0, reply });
        self.run.waiting.push_back((request, payload));
    }

    /// There is no room for the state: what waits for some and was promised to nobody is refused.
    pub(crate) fn refuse_waiting(&mut self) {
        for (request, _) in std::mem::take(&mut self.run.waiting) {
            if let Some(pending) = self.run.pending.remove(&request) {
                let _ = pending.reply.send(Err(KvError::no_space()));
            }
        }
    }

    /// Hands waiting proposals to consensus, as many as it takes.
    pub(crate) fn admit_waiting(&mut self) {
        while !self.store.overlay_full() {
            let Some((request, payload)) = self.run.waiting.pop_front() else { return };
            if !self.run.pending.contains_key(&request) {
                continue;
            }
            if self.consensus.propose(payload.clone()).is_err() {
                self.run.waiting.push_front((request, payload));
                return;
            }
            let pending = self.run.pending.get_mut(&request).expect("checked above");
            pending.term = self.consensus.term();
            if self.io.planted.is(Bug::ProposeAgain) {
                self.run.proposed.insert(request, payload);
            }
        }
        self.io.probe.sometimes("node: the overlay was full");
    }

    /// An entry of `term` was applied: what was proposed in an older term and has not been applied by now was most likely lost
    /// with its leader, so whoever waits for it is told at once that the outcome is unknown, and can try again.
    pub(crate) fn give_up_lost_proposals(&mut self, term: u64) {
        if term <= self.run.applied_term {
            return;
        }
        self.run.applied_term = term;
        let lost = self.run.pending.extract_if(.., |_, pending| pending.term != 0 && pending.term < term);
        for (_, pending) in lost {
            let _ = pending.reply.send(Err(KvError::timeout_leader_failure()));
        }
    }

    /// The bug: what the last leader was given is given to the next, although it may be in the log.
    pub(crate) fn propose_again(&mut self) {
        for (request, payload) in std::mem::take(&mut self.run.proposed) {
            if let Some(pending) = self.run.pending.get_mut(&request) {
                pending.term = 0;
                self.run.waiting.push_back((request, payload));
            }
        }
    }

    /// The bug: a leader that steps down calls what it had proposed refused.
    pub(crate) fn refuse_lost_proposals(&mut self) {
        if self.io.planted.is(Bug::LostMeansRefused) {
            let lost = self.run.pending.extract_if(.., |_, pending| pending.term != 0);
            lost.for_each(|(_, pending)| drop(pending.reply.send(Err(KvError::too_many_requests()))));
        }
    }

    pub(crate) fn take_read(&mut self, reply: oneshot::Sender<Result<(), KvError>>, now: Duration) {
        if self.io.planted.is(Bug::ReadFromDeposed) && self.consensus.role() == Role::Leader {
            let _ = reply.send(Ok(()));
            return;
        }
        if self.run.halted.is_some() {
            let _ = reply.send(Err(KvError::state_damaged()));
            return;
        }
        let until = now + self.config.request_timeout();
        self.reads.arrive(Waiter::Read { until, reply });
    }

    pub(crate) fn take_lease_call(&mut self, call: LeaseCall, now: Duration) {
        let status = self.consensus.status();
        if status.role == Role::Leader {
            if self.io.planted.is(Bug::RenewUnconfirmed) {
                return self.answer_lease_call(call, now);
            }
            let until = now + self.config.request_timeout();
            return self.reads.arrive(Waiter::Lease { until, call });
        }
        match call.into_remote() {
            Ok((peer, request)) => self.answer_lease(peer, LeaseAnswer { request, ttl: 0, not_leader: true }),
            Err(call) => {
                let until = now + self.config.request_timeout();
                if let Some(ask) = self.leases.forward(call, until, now) {
                    self.ask_leader(status.leader, ask);
                }
            }
        }
    }

    pub(crate) fn ask_leader(&self, leader: u64, ask: LeaseAsk) {
        if leader != 0 {
            self.links.send(leader, Body::LeaseAsk(ask));
        }
    }

    pub(crate) fn answer_lease(&self, peer: u64, answer: LeaseAnswer) {
        self.links.send(peer, Body::LeaseAnswer(answer));
    }

    pub(crate) fn retry_lease_calls(&mut self, now: Duration) {
        let status = self.consensus.status();
        if status.role == Role::Leader {
            for call in self.leases.take_forwarded() {
                self.take_lease_call(call, now);
            }
            return;
        }
        for ask in self.leases.overdue(now) {
            self.ask_leader(status.leader, ask);
        }
    }

    /// Streams that asked for a leader end when there has been none for three election timeouts.
    pub(crate) fn note_leaderless(&mut self, now: Duration) {
        if self.consensus.leader() != 0 {
            self.run.leaderless_since = None;
            return;
        }
        let since = *self.run.leaderless_since.get_or_insert(now);
        if now >= since + 3 * self.config.election_timeout() {
            self.hub.cancel_leaderless(KvError::no_leader());
        }
    }

    pub(crate) fn expire_waits(&mut self, now: Duration) {
        let lost = self.consensus.leader() == 0;
        let late = |lost: bool| if lost { KvError::timeout_leader_failure() } else { KvError::timeout() };
        // Requests count up, so the oldest are first; those of one turn share a deadline.
        while let Some(first) = self.run.pending.first_entry() {
            if first.get().until > now {
                break;
            }
            let _ = first.remove().reply.send(Err(late(lost)));
        }
        let over = |waiter: &Waiter| match waiter {
            Waiter::Read { until, reply } => *until <= now || reply.is_canceled(),
            Waiter::Lease { until, .. } => *until <= now,
        };
        for waiter in self.reads.take_if(over) {
            match waiter {
                Waiter::Read { reply, .. } if reply.is_canceled() => {}
                Waiter::Read { reply, .. } => {
                    meter::add(&self.shared.meter.failed_read_indexes);
                    drop(reply.send(Err(late(lost))));
                }
                Waiter::Lease { call, .. } => call.fail(late(lost)),
            }
        }
        self.leases.expire_calls(now, || late(lost));
        if let Some(moving) = self.run.moving.take_if(|moving| moving.until <= now) {
            let _ = moving.reply.send(Err(KvError::timeout()));
        }
    }

    /// Proposes to revoke what has expired. Only a leader's lessor has deadlines.
    pub(crate) fn expire_leases(&mut self, now: Duration) {
        let most = (self.config.tick.as_millis() * REVOKES_A_SECOND / 1_000).max(1) as usize;
        for id in self.leases.lessor.expired(now, most) {
            let request = self.shared.next_request();
            let payload = Proposal::encode(0, request, &Command::lease_revoke(id));
            // A refused proposal is offered again by the lessor.
            let _ = self.consensus.propose(payload);
        }
    }

    pub(crate) fn answer_reads(&mut self, now: Duration) {
        for waiter in self.reads.ready(self.store.applied()) {
            match waiter {
                Waiter::Read { reply, .. } => drop(reply.send(Ok(()))),
                Waiter::Lease { call, .. } => self.answer_lease_call(call, now),
            }
        }
    }

    fn answer_lease_call(&mut self, call: LeaseCall, now: Duration) {
        let leads = self.consensus.role() == Role::Leader;
        if let Some((peer, answer)) = self.leases.answer(call, leads, now) {
            self.answer_lease(peer, answer);
        }
    }

    pub(crate) fn ask_read_index(&mut self) {
        let now = self.io.clock.now();
        let unanswered = self.reads.is_asked();
        let Some(context) = self.reads.ask(now) else { return };
        if unanswered {
            meter::add(&self.shared.meter.slow_read_indexes);
        }
        if self.consensus.read_index(context).is_err() {
            if self.io.planted.is(Bug::ReadBeforeOwnTerm) && self.consensus.role() == Role::Leader {
                return self.reads.confirmed(context, self.consensus.status().commit);
            }
            self.reads.refused();
        }
    }
}
