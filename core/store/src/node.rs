//! The one event loop of a member.
//!
//! A turn: wait for an event or the next tick; advance time; apply each event to the state that this loop owns; then carry
//! out what consensus wants (send, write, apply, answer) until it wants nothing more. Nothing here blocks: the log and the
//! B-tree are written by workers which report back as events, and a reply is a channel that the caller waits on.
//!
//! Time comes from the clock at the head of each turn, never from an idle time-out, so a busy member ticks as evenly as an
//! idle one.

use crate::apply::Applier;
use crate::config::{MemberConfig, Observation};
use crate::error::FatalError;
use crate::frame::{Body, LeaseAnswer, LeaseAsk};
use crate::lease::{LeaseCall, Leases};
use crate::peers::{Identity, Links};
use crate::persist::{Persist, Saved, snapshot_record};
use crate::reads::Reads;
use crate::shared::{Shared, Status};
use crate::snapshot;
use bytes::Bytes;
use consensus::{Consensus, Message, Output, Role};
use futures_channel::oneshot;
use kernel::inbox::{Inbox, Outlet, Woken};
use kernel::spawn::run_on;
use kernel::{BoxFuture, Bug, Io, KvError, Worker};
use mvcc::Response;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Events handled in one turn.
const TURN_EVENTS: usize = 1_024;
/// Proposals that may wait for a leader or for room; more are refused as too many.
const WAITING_PROPOSALS: usize = 5_000;
/// How long a stopping leader waits for somebody to take over.
const HAND_OVER_TICKS: u32 = 10;

/// Where the outcome of a proposal goes.
pub type Reply = oneshot::Sender<Result<Response, KvError>>;

/// Everything that can happen to a member.
pub enum Event {
    /// A peer sent something.
    Peer { from: u64, body: Body },
    /// A peer connected.
    PeerUp { id: u64, incarnation: u64, last_index: u64 },
    /// The way to a peer is gone, and what was queued for it with it.
    PeerLost(u64),
    /// Somebody who does not belong here knocked.
    PeerRefused(String),
    /// A request to change the state.
    Propose { request: u64, payload: Bytes, reply: Reply },
    /// A linearizable read wants to know when the state is new enough.
    Read(oneshot::Sender<Result<(), KvError>>),
    /// Something that only the leader knows about a lease.
    Lease(LeaseCall),
    /// A job on the log has ended.
    Saved(Saved),
    /// A job on the state has ended.
    Flushed(Result<(), mvcc::Error>),
    /// A snapshot was sent, or was not.
    SnapshotSent { to: u64, ok: bool },
    /// A snapshot has arrived whole.
    SnapshotArrived(snapshot::Arrived),
    /// Leadership shall go to another member.
    MoveLeader { to: u64, reply: oneshot::Sender<Result<(), KvError>> },
    /// The member shall end.
    Stop(oneshot::Sender<()>),
}

/// A linearizable read, or a lease call that waits for the same confirmation.
pub enum Waiter {
    /// A read.
    Read { until: Duration, reply: oneshot::Sender<Result<(), KvError>> },
    /// A lease call at the leader.
    Lease { until: Duration, call: LeaseCall },
}

struct Pending {
    until: Duration,
    reply: Reply,
}

/// The loop's state.
pub struct Node {
    pub(crate) io: Io,
    pub(crate) config: MemberConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: mvcc::Store,
    pub(crate) consensus: Consensus,
    pub(crate) persist: Persist,
    pub(crate) links: Links,
    pub(crate) identity: Identity,
    pub(crate) events: Inbox<Event>,
    pub(crate) state_worker: Arc<dyn Worker>,
    /// Entries up to here were acknowledged by this member and then lost: silent until they are back.
    pub(crate) quarantine: Option<u64>,
    pub(crate) applier: Applier,
    pub(crate) leases: Leases,
    pub(crate) reads: Reads<Waiter>,
    pub(crate) run: Run,
}

/// What the loop keeps for itself.
#[derive(Default)]
pub struct Run {
    pending: BTreeMap<u64, Pending>,
    /// Proposals that cannot go in yet: no leader is known, or the state's overlay is full.
    waiting: VecDeque<(u64, Bytes)>,
    incarnations: BTreeMap<u64, u64>,
    next_tick: Duration,
    flushing: bool,
    /// The checkpoint before the last: the log is kept back to it.
    previous_checkpoint: u64,
    last_checkpoint: u64,
    release_wanted: Option<u64>,
    /// Snapshots under way: no entry behind them is forgotten.
    sending: BTreeMap<u64, u64>,
    arrived: Option<snapshot::Arrived>,
    moving: Option<(u64, Duration, oneshot::Sender<Result<(), KvError>>)>,
    stopping: Option<(Duration, oneshot::Sender<()>)>,
    role: Option<(Role, u64)>,
}

impl Node {
    /// Runs until the member is stopped or must end.
    pub async fn run(mut self, mut outlet: Outlet<Event>) {
        let outcome = self.turns(&mut outlet).await;
        if let Err(fatal) = outcome {
            self.shared.fail(fatal);
            return;
        }
        self.last_words().await;
    }

    async fn turns(&mut self, outlet: &mut Outlet<Event>) -> Result<(), FatalError> {
        self.run.next_tick = self.io.clock.now() + self.config.tick;
        self.run.last_checkpoint = self.store.checkpointed();
        let mut batch = Vec::new();
        let mut timer = self.io.clock.sleep_until(self.run.next_tick);
        let mut timer_for = self.run.next_tick;
        self.carry_out().await?;
        loop {
            if timer_for != self.run.next_tick {
                timer_for = self.run.next_tick;
                timer = self.io.clock.sleep_until(timer_for);
            }
            let woken = outlet.wait(&mut timer).await;
            if woken == Woken::Timer {
                // A finished timer must not be polled again.
                timer_for = Duration::MAX;
            }
            let now = self.io.clock.now();
            self.advance_time(now);
            outlet.take(TURN_EVENTS, &mut batch);
            for event in batch.drain(..) {
                self.handle(event, now)?;
            }
            self.admit_waiting();
            self.carry_out().await?;
            self.maintain();
            self.publish_status();
            if woken == Woken::Closed || self.may_stop(now) {
                return Ok(());
            }
        }
    }

    /// Ticks as often as the clock says, but after a pause only as often as an election needs: a member that slept does not
    /// know whether it still leads, and finds out with one round, not with a storm.
    fn advance_time(&mut self, now: Duration) {
        let most = self.config.election_ticks as u32;
        let mut ticks = 0;
        while now >= self.run.next_tick && ticks < most {
            self.consensus.tick();
            self.run.next_tick += self.config.tick;
            ticks += 1;
        }
        if ticks == 0 {
            return;
        }
        if now >= self.run.next_tick {
            self.io.probe.sometimes("node: woke after a long pause");
            self.run.next_tick = now + self.config.tick;
        }
        self.persist.retry();
        self.persist.mark_if_idle();
        self.expire_waits(now);
        self.expire_leases(now);
        self.retry_lease_calls(now);
    }

    fn handle(&mut self, event: Event, now: Duration) -> Result<(), FatalError> {
        match event {
            Event::Peer { from, body } => self.hear(from, body, now),
            Event::PeerUp { id, incarnation, last_index } => self.peer_up(id, incarnation, last_index),
            Event::PeerLost(id) => self.consensus.report_unreachable(id),
            Event::PeerRefused(why) => self.shared.note(why),
            Event::Propose { request, payload, reply } => self.take_proposal(request, payload, reply, now),
            Event::Read(reply) => self.take_read(reply, now),
            Event::Lease(call) => self.take_lease_call(call, now),
            Event::Saved(saved) => {
                if let Some(durable) = self.persist.finished(saved).map_err(FatalError::Log)? {
                    self.became_durable(durable);
                }
            }
            Event::Flushed(result) => self.flushed(result)?,
            Event::SnapshotSent { to, ok } => {
                self.run.sending.remove(&to);
                self.consensus.report_snapshot(to, ok);
            }
            Event::SnapshotArrived(arrived) => self.snapshot_arrived(arrived),
            Event::MoveLeader { to, reply } => self.move_leader(to, reply, now),
            Event::Stop(done) => self.begin_stop(done, now),
        }
        Ok(())
    }

    fn hear(&mut self, from: u64, body: Body, now: Duration) {
        match body {
            Body::Raft(message) if message.from == from => {
                if let Err(error) = self.consensus.step(message) {
                    self.shared.note_refused(error.to_string());
                }
            }
            Body::LeaseAsk(LeaseAsk { request, lease, renew }) => {
                let call = LeaseCall::remote(from, request, lease, renew);
                self.take_lease_call(call, now);
            }
            Body::LeaseAnswer(answer) => self.leases.answered(answer, now),
            _ => self.shared.note_refused(format!("member {from:x} sent a frame that does not belong here")),
        }
    }

    fn peer_up(&mut self, id: u64, incarnation: u64, last_index: u64) {
        if self.run.incarnations.insert(id, incarnation) != Some(incarnation) {
            self.consensus.peer_restarted(id, last_index);
        }
    }

    fn take_proposal(&mut self, request: u64, payload: Bytes, reply: Reply, now: Duration) {
        if self.persist.is_full() {
            let _ = reply.send(Err(KvError::no_space()));
            return;
        }
        if self.run.waiting.len() >= WAITING_PROPOSALS {
            self.io.probe.sometimes("node: refused a proposal because too many wait");
            let _ = reply.send(Err(KvError::too_many_requests()));
            return;
        }
        let until = now + self.config.request_timeout();
        self.run.pending.insert(request, Pending { until, reply });
        self.run.waiting.push_back((request, payload));
    }

    /// Hands waiting proposals to consensus, as many as it takes.
    fn admit_waiting(&mut self) {
        while !self.store.overlay_full() {
            let Some((request, payload)) = self.run.waiting.pop_front() else { return };
            if !self.run.pending.contains_key(&request) {
                continue;
            }
            if self.consensus.propose(payload.clone()).is_err() {
                self.run.waiting.push_front((request, payload));
                return;
            }
        }
        self.io.probe.sometimes("node: the overlay was full");
    }

    fn take_read(&mut self, reply: oneshot::Sender<Result<(), KvError>>, now: Duration) {
        if self.io.planted.is(Bug::ReadFromDeposed) && self.consensus.status().role == Role::Leader {
            let _ = reply.send(Ok(()));
            return;
        }
        let until = now + self.config.request_timeout();
        self.reads.arrive(Waiter::Read { until, reply });
    }

    fn take_lease_call(&mut self, call: LeaseCall, now: Duration) {
        let status = self.consensus.status();
        if status.role == Role::Leader {
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

    fn ask_leader(&self, leader: u64, ask: LeaseAsk) {
        if leader != 0 {
            self.links.send(leader, Body::LeaseAsk(ask));
        }
    }

    fn answer_lease(&self, peer: u64, answer: LeaseAnswer) {
        self.links.send(peer, Body::LeaseAnswer(answer));
    }

    fn retry_lease_calls(&mut self, now: Duration) {
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

    fn expire_waits(&mut self, now: Duration) {
        let lost = self.consensus.status().leader == 0;
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
                Waiter::Read { reply, .. } => drop(reply.send(Err(late(lost)))),
                Waiter::Lease { call, .. } => call.fail(late(lost)),
            }
        }
        self.leases.expire_calls(now, || late(lost));
        let given_up = |moving: &(u64, Duration, _)| moving.1 <= now;
        if let Some((_, _, reply)) = self.run.moving.take_if(|moving| given_up(moving)) {
            let _ = reply.send(Err(KvError::timeout()));
        }
    }

    /// Proposes to revoke what has expired. Only a leader's lessor has deadlines.
    fn expire_leases(&mut self, now: Duration) {
        for id in self.leases.lessor.expired(now, mvcc_revokes_a_tick(self.config.tick)) {
            let request = self.shared.next_request();
            let payload = crate::proposal::Proposal::encode(0, request, &mvcc::Command::lease_revoke(id));
            // A refused proposal is offered again by the lessor.
            let _ = self.consensus.propose(payload);
        }
    }

    fn became_durable(&mut self, durable: crate::persist::Durable) {
        self.consensus.persisted(durable.number);
        self.send(durable.messages);
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to;
            if message.is_snapshot() {
                self.send_snapshot(message);
            } else if !self.links.send(to, Body::Raft(message)) {
                self.io.probe.sometimes("node: a peer's queue was full");
                self.consensus.report_unreachable(to);
            }
        }
    }

    /// Carries out what consensus wants, until it wants nothing more.
    async fn carry_out(&mut self) -> Result<(), FatalError> {
        self.ask_read_index();
        loop {
            while let Some(mut output) = self.consensus.take_output() {
                self.carry_out_one(&mut output).await?;
            }
            match self.persist.start() {
                Some(durable) => self.became_durable(durable),
                None => break,
            }
        }
        if self.note_role() {
            self.ask_read_index();
        }
        Ok(())
    }

    async fn carry_out_one(&mut self, output: &mut Output) -> Result<(), FatalError> {
        self.send(std::mem::take(&mut output.send_now));
        let mark = match output.snapshot.take() {
            Some(snapshot) => {
                self.install(snapshot.index).await?;
                Some(snapshot_record(snapshot.index, snapshot.term))
            }
            None => None,
        };
        let early = self.io.planted.is(Bug::AckBeforeSync).then_some(output.number);
        self.persist.add(output, mark);
        for read in output.reads.drain(..) {
            self.reads.confirmed(read.context, read.index);
        }
        self.apply(std::mem::take(&mut output.committed))?;
        let _ = early;
        Ok(())
    }

    fn apply(&mut self, committed: Vec<consensus::Entry>) -> Result<(), FatalError> {
        let now = self.io.clock.now();
        let last = committed.last().map(|entry| entry.index);
        for entry in committed {
            let outcome = self.applier.apply(&self.store, &mut self.consensus, entry).map_err(FatalError::Diverged)?;
            self.leases.applied(&outcome, now);
            if let Some(pending) = outcome.own_request.and_then(|request| self.run.pending.remove(&request)) {
                let _ = pending.reply.send(outcome.result);
            }
        }
        if let Some(last) = last {
            self.consensus.advance_applied(last);
        }
        self.answer_reads(now);
        Ok(())
    }

    fn answer_reads(&mut self, now: Duration) {
        for waiter in self.reads.ready(self.store.applied()) {
            match waiter {
                Waiter::Read { reply, .. } => drop(reply.send(Ok(()))),
                Waiter::Lease { call, .. } => {
                    let leads = self.consensus.status().role == Role::Leader;
                    if let Some((peer, answer)) = self.leases.answer(call, leads, now) {
                        self.answer_lease(peer, answer);
                    }
                }
            }
        }
    }

    fn ask_read_index(&mut self) {
        let now = self.io.clock.now();
        if let Some(context) = self.reads.ask(now)
            && self.consensus.read_index(context).is_err()
        {
            self.reads.refused();
        }
    }

    /// Notices a change of role or leader; true when there was one.
    fn note_role(&mut self) -> bool {
        let status = self.consensus.status();
        let role = (status.role, status.term);
        let known = self.run.role.replace(role);
        if known == Some(role) {
            return false;
        }
        let now = self.io.clock.now();
        if status.role == Role::Leader {
            self.applier.observe(Observation::BecameLeader { term: status.term });
            self.leases.lessor.promote(now, self.store.leases(), self.config.election_timeout());
        } else if known.is_some_and(|(role, _)| role == Role::Leader) {
            self.leases.lessor.demote();
        }
        self.shared.leader_changed();
        true
    }

    /// Work that keeps the house small: the state's flushes, the log's old segments, the entries in memory.
    fn maintain(&mut self) {
        if !self.run.flushing
            && let Some(flush) = self.store.flush_wanted()
        {
            self.run.flushing = true;
            let done = run_on(&self.state_worker, move || flush.run());
            let events = self.events.clone();
            let report = async move {
                let gone = || Err(mvcc::Error::Stopped);
                events.push(Event::Flushed(done.await.unwrap_or_else(gone)));
            };
            self.io.spawn.spawn("state", Box::pin(report));
        }
        if let Some(index) = self.run.release_wanted
            && self.persist.release(index)
        {
            self.run.release_wanted = None;
        }
        self.leave_quarantine();
        self.forget_entries();
    }

    /// Once the log reaches again to where it was acknowledged, the member takes part in elections again.
    fn leave_quarantine(&mut self) {
        let Some(lost) = self.quarantine else { return };
        if self.store.applied() >= lost && self.persist.clear_quarantine() {
            self.io.probe.sometimes("node: a damaged log was repaired from peers");
            self.quarantine = None;
            self.consensus.set_silent(false);
        }
    }

    /// Forgets entries in memory that no follower is likely to need.
    fn forget_entries(&mut self) {
        let status = self.consensus.status();
        let applied = self.store.applied();
        let held = applied.saturating_sub(status.first_index);
        let too_many = held >= 2 * self.config.catch_up_entries;
        if !too_many && status.log_bytes <= self.config.catch_up_bytes {
            return;
        }
        let keep = if too_many { self.config.catch_up_entries } else { held / 2 };
        let least = self.run.sending.values().copied().min().unwrap_or(u64::MAX);
        let index = applied.saturating_sub(keep).min(least);
        if index >= status.first_index {
            self.applier.offer_snapshot(&self.store, &mut self.consensus);
            self.consensus.compact(index);
        }
    }

    fn flushed(&mut self, result: Result<(), mvcc::Error>) -> Result<(), FatalError> {
        self.run.flushing = false;
        match result {
            Ok(()) => {
                let checkpoint = self.store.checkpointed();
                if checkpoint > self.run.last_checkpoint {
                    self.run.previous_checkpoint = self.run.last_checkpoint;
                    self.run.last_checkpoint = checkpoint;
                    self.run.release_wanted = Some(self.run.previous_checkpoint);
                }
                Ok(())
            }
            Err(mvcc::Error::Full(_)) => {
                self.io.probe.sometimes("node: no room for the state");
                Ok(())
            }
            Err(error) => Err(FatalError::State(error.to_string())),
        }
    }

    fn send_snapshot(&mut self, message: Message) {
        let to = message.to;
        if self.run.sending.contains_key(&to) {
            return;
        }
        self.io.probe.sometimes("node: a follower needs a snapshot");
        self.run.sending.insert(to, message.snapshot_index());
        snapshot::send(&self.io, &self.identity, &self.store, &self.events, message);
    }

    /// A snapshot is here: consensus decides whether it is wanted.
    fn snapshot_arrived(&mut self, arrived: snapshot::Arrived) {
        let message = arrived.message.clone();
        self.run.arrived = Some(arrived);
        if let Err(error) = self.consensus.step(message) {
            self.shared.note_refused(error.to_string());
        }
    }

    /// Replaces the state by the snapshot that has arrived. The state is durable before the log says so.
    async fn install(&mut self, index: u64) -> Result<(), FatalError> {
        let arrived = self.run.arrived.take().filter(|arrived| arrived.index() == index);
        let Some(arrived) = arrived else {
            return Err(FatalError::Diverged(format!("told to install a snapshot at index {index} that never arrived")));
        };
        let store = self.store.clone();
        let installed = run_on(&self.state_worker, move || arrived.staged.install(&store)).await;
        match installed {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(FatalError::State(error.to_string())),
            None => return Err(FatalError::State("the state's thread has ended".to_string())),
        }
        self.applier.installed(&self.store);
        self.run.last_checkpoint = self.store.checkpointed();
        self.run.previous_checkpoint = self.run.last_checkpoint;
        Ok(())
    }

    fn move_leader(&mut self, to: u64, reply: oneshot::Sender<Result<(), KvError>>, now: Duration) {
        let status = self.consensus.status();
        if status.role != Role::Leader {
            let _ = reply.send(Err(KvError::not_leader()));
        } else if to == self.config.member_id || !self.config.members.iter().any(|member| member.id == to) {
            let _ = reply.send(Err(KvError::bad_leader_transferee()));
        } else {
            self.consensus.transfer_leader(to);
            self.run.moving = Some((to, now + 2 * self.config.election_timeout(), reply));
        }
    }

    fn begin_stop(&mut self, done: oneshot::Sender<()>, now: Duration) {
        let status = self.consensus.status();
        let mut wait = Duration::ZERO;
        if status.role == Role::Leader {
            let best = status.peers.iter().filter(|peer| peer.id != self.config.member_id);
            if let Some(best) = best.max_by_key(|peer| peer.matched) {
                self.consensus.transfer_leader(best.id);
                wait = self.config.tick * HAND_OVER_TICKS;
            }
        }
        self.run.stopping = Some((now + wait, done));
    }

    fn may_stop(&mut self, now: Duration) -> bool {
        let leads = self.consensus.status().role == Role::Leader;
        self.run.stopping.as_ref().is_some_and(|(until, _)| (now >= *until || !leads) && !self.run.flushing)
    }

    /// An orderly end: what is applied goes into a durable checkpoint, so that the next start has nothing to repeat.
    async fn last_words(&mut self) {
        for (_, pending) in std::mem::take(&mut self.run.pending) {
            let _ = pending.reply.send(Err(KvError::stopped()));
        }
        for waiter in self.reads.take_if(|_| true) {
            if let Waiter::Read { reply, .. } = waiter {
                let _ = reply.send(Err(KvError::stopped()));
            }
        }
        let store = self.store.clone();
        if let Some(Err(error)) = run_on(&self.state_worker, move || store.checkpoint()).await {
            self.shared.note(format!("the last checkpoint failed, the log will be read instead: {error}"));
        }
        if let Some((_, done)) = self.run.stopping.take() {
            let _ = done.send(());
        }
    }

    fn publish_status(&mut self) {
        let raft = self.consensus.status();
        if let Some((to, _, _)) = &self.run.moving
            && raft.leader == *to
            && let Some((_, _, reply)) = self.run.moving.take()
        {
            let _ = reply.send(Ok(()));
        }
        self.shared.publish(Status::of(&raft, &self.store, self.persist.is_full()));
    }
}

/// Revokes that may be proposed in one tick: 1,000 a second, as etcd's.
fn mvcc_revokes_a_tick(tick: Duration) -> usize {
    (tick.as_millis() as usize).max(1)
}

/// A timer that never goes off.
pub fn never() -> BoxFuture<'static, ()> {
    Box::pin(std::future::pending())
}
