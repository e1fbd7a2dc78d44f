//! Questions about leases that only the leader can answer: renew this one, how long does that one live.
//!
//! The leader keeps deadlines in its [`Lessor`], outside of the log. It answers only after a quorum has confirmed that it
//! still leads (the call waits among the linearizable reads), because a renewal that a deposed leader grants is a promise
//! which the new leader does not know. A follower forwards the question and asks again when no answer comes: a renewal may
//! safely happen twice.

use crate::apply::Outcome;
use crate::frame::{LeaseAnswer, LeaseAsk};
use crate::lessor::Lessor;
use futures_channel::oneshot;
use kernel::{KvError, Planted};
use mvcc::Command;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a follower waits before it asks the leader again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The answer, in seconds: of a renewal the full TTL (0: no such lease), of a question what remains (-1: no such lease).
pub type LeaseReply = oneshot::Sender<Result<i64, KvError>>;

/// One question.
pub struct LeaseCall {
    lease: i64,
    renew: bool,
    asker: Asker,
}

enum Asker {
    Here(LeaseReply),
    Member { id: u64, request: u64 },
}

impl LeaseCall {
    /// A question from a client of this member.
    pub fn local(lease: i64, renew: bool, reply: LeaseReply) -> Self {
        LeaseCall { lease, renew, asker: Asker::Here(reply) }
    }

    /// A question that another member forwards.
    pub fn remote(member: u64, request: u64, lease: i64, renew: bool) -> Self {
        LeaseCall { lease, renew, asker: Asker::Member { id: member, request } }
    }

    /// The member and its request, if another member asked; else the call itself.
    pub fn into_remote(self) -> Result<(u64, u64), LeaseCall> {
        match self.asker {
            Asker::Member { id, request } => Ok((id, request)),
            Asker::Here(_) => Err(self),
        }
    }

    /// Ends the call. A member that forwarded it asks again by itself.
    pub fn fail(self, error: KvError) {
        if let Asker::Here(reply) = self.asker {
            let _ = reply.send(Err(error));
        }
    }
}

struct Forwarded {
    call: LeaseCall,
    until: Duration,
    ask_at: Duration,
}

/// The leader's deadlines, and what this member has asked another leader.
pub struct Leases {
    /// Deadlines; empty unless this member leads.
    pub lessor: Lessor,
    forwarded: BTreeMap<u64, Forwarded>,
    next_request: u64,
}

impl Leases {
    /// None yet.
    pub fn new(planted: Planted) -> Self {
        Leases { lessor: Lessor::new(planted), forwarded: BTreeMap::new(), next_request: 1 }
    }

    /// Remembers a local call for the leader; what to ask it now.
    pub fn forward(&mut self, call: LeaseCall, until: Duration, now: Duration) -> Option<LeaseAsk> {
        let request = self.next_request;
        self.next_request += 1;
        let ask = LeaseAsk { request, lease: call.lease, renew: call.renew };
        self.forwarded.insert(request, Forwarded { call, until, ask_at: now + ASK_AGAIN });
        Some(ask)
    }

    /// The leader has answered.
    pub fn answered(&mut self, answer: LeaseAnswer, now: Duration) {
        if answer.not_leader {
            if let Some(forwarded) = self.forwarded.get_mut(&answer.request) {
                forwarded.ask_at = now + ASK_AGAIN / 5;
            }
        } else if let Some(forwarded) = self.forwarded.remove(&answer.request)
            && let Asker::Here(reply) = forwarded.call.asker
        {
            let _ = reply.send(Ok(answer.ttl));
        }
    }

    /// What to ask the leader again.
    pub fn overdue(&mut self, now: Duration) -> Vec<LeaseAsk> {
        let mut asks = Vec::new();
        for (&request, forwarded) in &mut self.forwarded {
            if forwarded.ask_at <= now {
                forwarded.ask_at = now + ASK_AGAIN;
                asks.push(LeaseAsk { request, lease: forwarded.call.lease, renew: forwarded.call.renew });
            }
        }
        asks
    }

    /// Takes back every forwarded call, because this member leads now.
    pub fn take_forwarded(&mut self) -> Vec<LeaseCall> {
        std::mem::take(&mut self.forwarded).into_values().map(|forwarded| forwarded.call).collect()
    }

    /// Ends the forwarded calls that have waited too long.
    pub fn expire_calls(&mut self, now: Duration, error: impl Fn() -> KvError) {
        let late = self.forwarded.extract_if(.., |_, forwarded| forwarded.until <= now);
        late.for_each(|(_, forwarded)| forwarded.call.fail(error()));
    }

    /// Answers a call at the leader, after its leadership was confirmed; what to send where, if a member asked.
    pub fn answer(&mut self, call: LeaseCall, leads: bool, now: Duration) -> Option<(u64, LeaseAnswer)> {
        let ttl = match (leads, call.renew) {
            (false, _) => None,
            (true, true) => Some(self.lessor.renewed(call.lease, now).unwrap_or(0)),
            (true, false) => {
                Some(self.lessor.remaining(call.lease, now).map_or(-1, |left| left.as_secs() as i64))
            }
        };
        match call.asker {
            Asker::Here(reply) => {
                let _ = reply.send(ttl.ok_or_else(KvError::not_primary_lessor));
                None
            }
            Asker::Member { id, request } => {
                Some((id, LeaseAnswer { request, ttl: ttl.unwrap_or(0), not_leader: ttl.is_none() }))
            }
        }
    }

    /// An entry was applied: deadlines begin and end with it.
    pub fn applied(&mut self, outcome: &Outcome, now: Duration) {
        if outcome.result.is_err() {
            return;
        }
        match &outcome.command {
            Some(Command::LeaseGrant(grant)) => self.lessor.granted(grant.id, grant.ttl, now),
            Some(Command::LeaseRevoke(revoke)) => self.lessor.revoked(revoke.id),
            _ => {}
        }
    }
}
