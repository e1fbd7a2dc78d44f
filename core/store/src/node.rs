//! The one event loop of a member.
//!
//! A turn: wait for an event or the next tick; advance time; apply each event to the state that this loop owns; then carry
//! out what consensus wants (send, write, apply, answer) until it wants nothing more. Nothing here blocks: the log and the
//! B-tree are written by workers which report back as events, and a reply is a channel that the caller waits on.
//!
//! Time comes from the clock at the head of each turn, never from an idle time-out, so a busy member ticks as evenly as an
//! idle one.

use crate::amnesia::Amnesia;
use crate::apply::{Applier, Refusal};
use crate::audit::Audit;
use crate::config::{MemberConfig, Observation};
use crate::error::FatalError;
use crate::event::{Arrived, Event, Pending, Waiter};
use crate::frame::{Body, LeaseAsk, Standing};
use crate::identity::Identity;
use crate::lease::{LeaseCall, Leases};
use crate::marks::Marks;
use crate::peers::Links;
use crate::persist::{Persist, snapshot_record};
use crate::planted;
use crate::quiet::Quiet;
use crate::reads::Reads;
use crate::repair::Repair;
use crate::scrub::Cold;
use crate::shared::{Shared, Status};
use bytes::Bytes;
use consensus::{Consensus, Message, Output, Role};
use futures_channel::oneshot;
use kernel::inbox::{Inbox, Outlet, Woken};
use kernel::{Bug, Io, KvError, Worker};
use mvcc::watch::Hub;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Events handled in one turn.
const TURN_EVENTS: usize = 1_024;

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
    pub(crate) hub: Hub,
    pub(crate) events: Inbox<Event>,
    pub(crate) state_worker: Arc<dyn Worker>,
    /// Entries up to here were acknowledged by this member and then lost: silent until they are back.
    pub(crate) quarantine: Option<u64>,
    /// What this member may have forgotten: silent until that is known and made up for.
    pub(crate) amnesia: Option<Amnesia>,
    pub(crate) applier: Applier,
    pub(crate) marks: Marks,
    /// Whether a snapshot or a state is coming in.
    pub(crate) receiving: Arc<AtomicBool>,
    /// Held for the scrub, which ends with the loop.
    pub(crate) _cold: Arc<Cold>,
    pub(crate) leases: Leases,
    pub(crate) reads: Reads<Waiter>,
    pub(crate) run: Run,
}

/// A transfer of leadership that somebody waits for.
pub struct Moving {
    /// Who shall lead.
    pub(crate) to: u64,
    /// When to give up.
    pub(crate) until: Duration,
    /// Where the outcome goes.
    pub(crate) reply: oneshot::Sender<Result<(), KvError>>,
}

/// What the loop keeps for itself.
#[derive(Default)]
pub struct Run {
    pub(crate) pending: BTreeMap<u64, Pending>,
    /// Proposals that cannot go in yet: no leader is known, or the state's overlay is full.
    pub(crate) waiting: VecDeque<(u64, Bytes)>,
    /// What was handed to consensus, for the bug that hands it over again; otherwise empty.
    pub(crate) proposed: BTreeMap<u64, Bytes>,
    pub(crate) incarnations: BTreeMap<u64, u64>,
    pub(crate) next_tick: Duration,
    pub(crate) flushing: bool,
    /// The last flush found no room; the next is tried with the next tick.
    pub(crate) state_is_full: bool,
    /// The same, until a flush has found room: writes are refused meanwhile.
    pub(crate) no_room: bool,
    /// The checkpoint before the last: the log is kept back to it.
    pub(crate) previous_checkpoint: u64,
    pub(crate) last_checkpoint: u64,
    pub(crate) release_wanted: Option<u64>,
    /// Snapshots under way: no entry behind them is forgotten.
    pub(crate) sending: BTreeMap<u64, u64>,
    pub(crate) arrived: Option<Arrived>,
    /// The state is damaged, and that of another member is on its way.
    pub(crate) repair: Option<Repair>,
    /// How many have ended well.
    pub(crate) repairs: u32,
    /// Apply waits for the repair; the last entry that was handed out to be applied.
    pub(crate) halted: Option<u64>,
    /// The sealed segment of the log that is damaged.
    pub(crate) log_damage: Option<wal::Damage>,
    /// A comparison of all keys with those of the others.
    pub(crate) audit: Option<Audit>,
    /// When the next one is due.
    pub(crate) audit_at: Option<Duration>,
    /// Members for which a digest is being made.
    pub(crate) hashing: BTreeSet<u64>,
    /// Since when this member and another seem to differ.
    pub(crate) differing: Option<Duration>,
    /// How this member and another differ, where nobody can tell who is wrong.
    pub(crate) differs: String,
    /// Members that have asked for this one's state, each with the index that it must have reached.
    pub(crate) asked_for: BTreeMap<u64, u64>,
    /// Members that it is sent to.
    pub(crate) lending: BTreeSet<u64>,
    /// The version of the protocol that is spoken with each other member, once it has been heard.
    pub(crate) versions: BTreeMap<u64, u32>,
    /// What the others told of themselves last.
    pub(crate) standings: BTreeMap<u64, Standing>,
    pub(crate) standing_ticks: u32,
    pub(crate) told_corrupt: bool,
    pub(crate) moving: Option<Moving>,
    pub(crate) stopping: Option<(Duration, oneshot::Sender<()>)>,
    pub(crate) role: Option<(Role, u64)>,
    /// For how long no leader was heard.
    pub(crate) quiet: Quiet,
    /// The term of the last entry applied.
    pub(crate) applied_term: u64,
    /// Since when no leader is known.
    pub(crate) leaderless_since: Option<Duration>,
    /// When this member may publish its attributes again.
    pub(crate) publish_at: Duration,
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
        self.run.quiet.heard(self.io.clock.now());
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
            if woken == Woken::Events && self.persist.may_inline(self.events.len()) {
                // Whoever else is ready gets its request in first, so that a busy member still writes in groups.
                yield_once().await;
            }
            let now = self.io.clock.now();
            self.advance_time(now)?;
            outlet.take(TURN_EVENTS, &mut batch);
            for event in batch.drain(..) {
                self.handle(event, now)?;
            }
            self.admit_waiting();
            self.carry_out().await?;
            self.mend().await?;
            // A snapshot that consensus did not want by now, it does not want.
            self.run.arrived = None;
            self.note_damage()?;
            self.maintain();
            self.publish_status();
            if woken == Woken::Closed || self.may_stop(now) {
                return Ok(());
            }
        }
    }

    /// Ticks as often as the clock says, but after a pause only as often as an election needs: a member that slept does not
    /// know whether it still leads, and finds out with one round, not with a storm.
    fn advance_time(&mut self, now: Duration) -> Result<(), FatalError> {
        let most = self.config.election_ticks as u32;
        let mut ticks = 0;
        while now >= self.run.next_tick && ticks < most {
            self.consensus.tick();
            self.run.next_tick += self.config.tick;
            ticks += 1;
        }
        if ticks == 0 {
            return Ok(());
        }
        if now >= self.run.next_tick {
            self.io.probe.sometimes("node: woke after a long pause");
            self.run.next_tick = now + self.config.tick;
        }
        self.run.state_is_full = false;
        self.persist.retry();
        self.persist.mark_if_idle();
        self.ask_past();
        self.note_leaderless(now);
        self.publish_attributes(now);
        self.expire_waits(now);
        self.expire_leases(now);
        self.retry_lease_calls(now);
        self.tell_standing();
        self.audit_if_due(now);
        self.ask_for_state(now)
    }

    fn handle(&mut self, event: Event, now: Duration) -> Result<(), FatalError> {
        match event {
            Event::Peer { from, body } => self.hear(from, body, now),
            Event::PeerUp { id, incarnation, last_index, version } => {
                self.run.versions.insert(id, version);
                self.peer_up(id, incarnation, last_index);
            }
            Event::PeerLost(id) => self.consensus.report_unreachable(id),
            Event::PeerGone(id) => {
                self.run.standings.remove(&id);
                self.run.asked_for.remove(&id);
                self.consensus.leader_lost(id);
            }
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
            Event::Marked(result) => self.marked(result)?,
            Event::SnapshotSent { to, ok } => {
                self.run.sending.remove(&to);
                self.consensus.report_snapshot(to, ok);
            }
            Event::SnapshotArrived(arrived) => self.snapshot_arrived(arrived),
            Event::StateLent(to) => drop(self.run.lending.remove(&to)),
            Event::StateArrived(fetched) => self.state_arrived(fetched),
            Event::LogDamaged(damage) => self.log_damaged(damage),
            Event::Hashed(hashed) => self.hashed(hashed),
            Event::Disarm(reply) => drop(reply.send(self.disarm())),
            Event::MoveLeader { to, reply } => self.move_leader(to, reply, now),
            Event::Stop(done) => self.begin_stop(done, now),
        }
        Ok(())
    }

    fn hear(&mut self, from: u64, body: Body, now: Duration) {
        match body {
            Body::Raft(message) if message.from == from => {
                let message = planted::understood(self.io.planted, message);
                self.run.quiet.receive(&message, now);
                if let Err(error) = self.consensus.step(message) {
                    self.shared.note_refused(error.to_string());
                }
            }
            Body::LeaseAsk(LeaseAsk { request, lease, renew }) => {
                let call = LeaseCall::remote(from, request, lease, renew);
                self.take_lease_call(call, now);
            }
            Body::LeaseAnswer(answer) => self.leases.answered(answer, now),
            Body::PastAsk(ask) => self.answer_past(from, ask),
            Body::PastAnswer(answer) => self.learn_past(from, answer),
            Body::Reminder(reminder) => self.reminded(from, reminder),
            Body::StateAsk(ask) => drop(self.run.asked_for.insert(from, ask.at_least)),
            Body::Standing(standing) => self.hear_standing(from, standing),
            Body::HashAsk(ask) => self.hash_for(from, ask),
            Body::HashAnswer(answer) => self.hash_answered(from, answer),
            _ => self.shared.note_refused(format!("member {from:x} sent a frame that does not belong here")),
        }
    }

    fn peer_up(&mut self, id: u64, incarnation: u64, last_index: u64) {
        let known = self.run.incarnations.insert(id, incarnation);
        if known != Some(incarnation) {
            if known.is_some() {
                self.links.redial(id);
            }
            self.remind(id, last_index);
            self.consensus.peer_restarted(id, last_index);
        }
    }

    fn became_durable(&mut self, durable: crate::persist::Durable) {
        self.consensus.persisted(durable.number);
        self.send(durable.messages);
    }

    /// Whether this member led until now, as far as it has noticed.
    fn leads(&self) -> bool {
        matches!(self.run.role, Some((Role::Leader, _)))
    }

    fn send(&mut self, messages: Vec<Message>) {
        let now = self.io.clock.now();
        if self.leads() {
            self.run.quiet.heard(now);
        }
        for mut message in messages {
            let to = message.to;
            self.run.quiet.stamp(&mut message, now);
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
            self.publish_attributes(self.io.clock.now());
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
        if self.io.planted.is(Bug::PromiseBeforePersist) {
            self.send(std::mem::take(&mut output.send_after_persist));
        }
        self.persist.add(output, mark);
        if self.io.planted.is(Bug::CountUnsynced) && self.consensus.role() == Role::Leader {
            self.consensus.persisted(output.number);
        }
        for read in output.reads.drain(..) {
            self.reads.confirmed(read.context, read.index);
        }
        let replied = self.apply(std::mem::take(&mut output.committed))?;
        if replied && self.persist.is_alone() {
            // A lone member's answers leave before it cleans up after them.
            yield_once().await;
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, committed: Vec<consensus::Entry>) -> Result<bool, FatalError> {
        let now = self.io.clock.now();
        let mut replied = false;
        let some = !committed.is_empty();
        let term = committed.last().map_or(0, |entry| entry.term);
        let mut begun = now;
        for entry in committed {
            let index = entry.index;
            if self.run.halted.is_some() {
                self.run.halted = Some(index);
                continue;
            }
            if index <= self.store.applied() {
                // A state that was fetched had it already. Whoever waits for its outcome waits in vain.
                self.skip(entry)?;
                continue;
            }
            let outcome = match self.applier.apply(&self.store, &mut self.consensus, entry) {
                Ok(outcome) => outcome,
                Err(Refusal::Diverged(why)) => return Err(FatalError::Diverged(why)),
                Err(Refusal::Damaged) => {
                    self.halt(index);
                    continue;
                }
            };
            self.mark_applied(index);
            self.leases.applied(&outcome, now);
            if !outcome.events.is_empty() {
                self.hub.publish(outcome.revision, &outcome.events);
            }
            if let Some(pending) = outcome.own_request.and_then(|request| self.run.pending.remove(&request)) {
                replied = true;
                let _ = pending.reply.send(outcome.result);
            }
            let ended = self.io.clock.now();
            self.shared.meter.applied(ended.saturating_sub(begun));
            begun = ended;
        }
        if some {
            self.consensus.advance_applied(self.store.applied());
        }
        self.give_up_lost_proposals(term);
        self.answer_reads(now);
        Ok(replied)
    }

    /// Passes over an entry that the state holds already.
    fn skip(&mut self, entry: consensus::Entry) -> Result<(), FatalError> {
        self.io.probe.sometimes("node: an entry was skipped, a fetched state has it");
        self.applier.skip(&mut self.consensus, entry).map_err(FatalError::Diverged)
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
            let quiet = self.run.quiet.at_election(status.term, now);
            self.leases.lessor.promote(now, quiet, self.store.leases());
        } else if known.is_some_and(|(role, _)| role == Role::Leader) {
            self.run.quiet.heard(now);
            self.leases.lessor.demote();
            self.refuse_lost_proposals();
        }
        self.propose_again();
        self.shared.leader_changed();
        true
    }

    fn publish_status(&mut self) {
        let raft = self.consensus.status();
        if let Some(moving) = self.run.moving.take_if(|moving| moving.to == raft.leader) {
            let _ = moving.reply.send(Ok(()));
        }
        let of_those = |is: fn(&Standing) -> bool| {
            self.run.standings.iter().filter(|(_, standing)| is(standing)).map(|(peer, _)| *peer).collect()
        };
        self.shared.publish(Status {
            corrupt_peers: of_those(|standing| standing.corrupt),
            full_peers: of_those(|standing| standing.no_space),
            ..Status::of(&raft, &self.store, self.has_no_space(), self.corruption())
        });
    }
}

/// Lets every other task that is ready run once.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await
}
