//! The value itself: what goes in.
//!
//! Three rules of this file are not the `raft` crate's own:
//!
//! - **Who may campaign.** Not a member whose log has a part that is not durable yet (the crate assumes that there is none),
//!   nor one that has taken a snapshot and not yet installed it, nor a silent one. Its election clock is held where
//!   it no longer counts as following a leader, so it still votes for others (unless it is silent), and campaigns with the next
//!   tick after it may.
//! - **Silence.** A member that knows that it lost what it had acknowledged must not help to elect anyone: its vote would
//!   stand for entries that it no longer has. It follows and acknowledges what it is sent again, and nothing else.
//! - **Refusals are answers.** Where the crate drops a request without a word, the caller gets an [`Error`] that says
//!   whether to retry.

use crate::convert;
use crate::error::Error;
use crate::filter::{self, View};
use crate::log::Log;
use crate::messages::*;
use crate::restore::Restored;
use crate::status::{PeerStatus, Role, Status};
use crate::timeout::Timeouts;
use bytes::Bytes;
use raft::eraftpb as pb;
use raft::{RawNode, ReadOnlyOption, StateRole};
use std::collections::VecDeque;

/// A member that sees its leader's connection break campaigns within this many ticks.
const HURRY_TICKS: usize = 3;

/// How a member takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is; not 0.
    pub id: u64,
    /// A follower that hears nothing for this many ticks, up to twice as many, campaigns.
    pub election_tick: usize,
    /// A leader sends heartbeats every so many ticks; fewer than `election_tick`.
    pub heartbeat_tick: usize,
    /// Bytes of entries in one append, at most, unless one entry is larger.
    pub max_size_per_msg: u64,
    /// Appends under way to one peer, at most.
    pub max_inflight_msgs: usize,
    /// Bytes proposed and not yet committed, at most; beyond it proposals are [`Error::Busy`]. At least `max_size_per_msg`.
    pub max_uncommitted_bytes: u64,
    /// Bytes of committed entries in one output, at most, unless one entry is larger.
    pub max_committed_bytes: u64,
    /// Decides the election timeouts, together with `id`.
    pub seed: u64,
}

/// One member's share of the replicated log. See the crate's head for how it is used.
pub struct Consensus {
    pub(crate) raw: RawNode<Log>,
    timeouts: Timeouts,
    silent: bool,
    /// Number of the last output taken, and of the last one known to be durable.
    pub(crate) taken: u64,
    pub(crate) durable: u64,
    /// Numbers of the last outputs that hold a part of the log, and a new term or vote.
    pub(crate) log_written: u64,
    pub(crate) vote_written: u64,
    /// The term and vote in that output.
    pub(crate) written_vote: (u64, u64),
    /// Snapshots taken and not yet durable, as (output, index).
    pub(crate) installing: VecDeque<(u64, u64)>,
    /// What the owner has applied; the crate may not hear of it at once.
    pub(crate) applied: u64,
}

impl Consensus {
    /// A follower with what `restored` says. Fails with [`Error::Invalid`] when that contradicts itself or `config` does.
    pub fn new(config: Config, restored: Restored) -> Result<Self, Error> {
        let applied = restored.applied;
        let log = restored.into_log()?;
        let settings = settings(&config, applied.max(log.first() - 1));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        settings.validate().map_err(|error| Error::Invalid(error.to_string()))?;
        let raw = RawNode::new(&settings, log, &logger).map_err(|error| Error::Invalid(error.to_string()))?;
        let written_vote = (raw.raft.term, raw.raft.vote);
        let mut node = Consensus {
            raw,
            timeouts: Timeouts::new(config.seed, config.id, config.election_tick),
            silent: false,
            taken: 0,
            durable: 0,
            log_written: 0,
            vote_written: 0,
            written_vote,
            installing: VecDeque::new(),
            applied,
        };
        node.settle();
        Ok(node)
    }

    /// One tick of time has passed.
    pub fn tick(&mut self) {
        if self.campaign_is_due() && !self.may_campaign() {
            // It stays due: under load the disk is busy with the last appends of a leader that has just died, for a moment. Meanwhile
            // it must not count as following that leader, whatever timeout it has drawn.
            let raft = &mut self.raw.raft;
            raft.election_elapsed = raft.election_elapsed.max(raft.election_timeout());
            return;
        }
        self.raw.tick();
        self.settle();
    }

    /// A message has come from a peer. An error means that it was ignored.
    pub fn step(&mut self, mut message: Message) -> Result<(), Error> {
        let view = self.view(message.from);
        filter::message(&mut message, &view)?;
        match MessageKind::try_from(message.kind).unwrap_or(MessageKind::Unspecified) {
            MessageKind::RequestVote | MessageKind::RequestPreVote | MessageKind::TimeoutNow
                if self.silent =>
            {
                return Err(Error::Refused(
                    "no vote: this member has lost entries that it had acknowledged".to_string(),
                ));
            }
            MessageKind::TimeoutNow if !self.may_campaign() => {
                return Err(Error::NotReady("the disk, before this member may campaign"));
            }
            MessageKind::Propose => {
                self.check_leader_takes_proposals()?;
                for entry in message.entries.iter().filter(|entry| entry.is_conf_change()) {
                    let change = prost::Message::decode(entry.data.clone());
                    self.check_change(&change.expect("the filter has encoded it"))?;
                }
            }
            MessageKind::ReadIndex => self.check_leader_answers_reads()?,
            _ => {}
        }
        self.give(convert::message_to_raft(message)?)
    }

    /// Campaigns at once, without waiting for the election timeout.
    pub fn campaign(&mut self) -> Result<(), Error> {
        if self.silent {
            return Err(Error::Refused("this member has lost entries that it had acknowledged".to_string()));
        }
        if !self.raw.raft.promotable() {
            return Err(Error::Refused("this member is no voter".to_string()));
        }
        if !self.may_campaign() {
            return Err(Error::NotReady("the disk, before this member may campaign"));
        }
        let result = self.raw.campaign().map_err(refused);
        self.settle();
        result
    }

    /// Proposes `data` as the next entry; a follower hands it to its leader. It may be lost without a word on the way there,
    /// or with its leader: it is accepted when it comes back committed, and not before.
    pub fn propose(&mut self, data: Bytes) -> Result<(), Error> {
        if data.is_empty() {
            return Err(Error::Refused("an empty proposal; give it at least one byte".to_string()));
        }
        self.propose_entry(Entry { data, ..Default::default() })
    }

    /// Proposes a change of membership; a follower hands it to its leader, which may drop it. One at a time: the next one is
    /// [`Error::NotReady`] until the one before is applied.
    pub fn propose_conf_change(&mut self, change: ConfChange) -> Result<(), Error> {
        self.check_change(&change)?;
        let data = convert::conf_change_data(&change);
        self.propose_entry(Entry { kind: EntryKind::ConfChange as i32, data, ..Default::default() })
    }

    fn propose_entry(&mut self, entry: Entry) -> Result<(), Error> {
        self.check_leader_known()?;
        self.check_leader_takes_proposals()?;
        let kind = pb::MessageType::MsgPropose;
        self.give(self.local(kind, entry))
    }

    /// Asks at which index a read is linearizable; the answer, with the same `context`, comes in [`crate::Output::reads`].
    /// Contexts are unique among all reads of the cluster that are under way. A follower asks its leader. A question may be
    /// lost (with its leader, or on the way), so ask again with another context when no answer comes.
    pub fn read_index(&mut self, context: u64) -> Result<(), Error> {
        self.check_leader_known()?;
        self.check_leader_answers_reads()?;
        let data = Bytes::copy_from_slice(&context.to_be_bytes());
        let kind = pb::MessageType::MsgReadIndex;
        self.give(self.local(kind, Entry { data, ..Default::default() }))
    }

    /// Nothing reaches `id` at the moment, or a message to it was lost: what was sent to it must be probed anew.
    pub fn report_unreachable(&mut self, id: u64) {
        self.raw.report_unreachable(id);
    }

    /// The connection from `id` has broken, as all of a process's do when it ends. If `id` leads, this member forgets it, so
    /// that it would vote for another, and asks for pre-votes within a few ticks instead of an election timeout. A leader
    /// that lives is known again with its next heartbeat, and wins the pre-vote's refusals meanwhile: nothing but time
    /// depends on the hint being right.
    pub fn leader_lost(&mut self, id: u64) {
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Follower || id == 0 || raft.leader_id != id {
            return;
        }
        raft.leader_id = 0;
        let hurry = 1 + self.timeouts.draw() % HURRY_TICKS;
        let soon = raft.randomized_election_timeout().saturating_sub(hurry);
        raft.election_elapsed = raft.election_elapsed.max(soon).max(1);
    }

    /// The outcome of a snapshot sent to `id`. Until this is called, `id` is sent nothing else.
    pub fn report_snapshot(&mut self, id: u64, ok: bool) {
        let outcome = if ok { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.raw.report_snapshot(id, outcome);
    }

    /// Everything up to `index` is applied. Call [`Consensus::apply_conf_change`] for the changes among it first.
    pub fn advance_applied(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        self.settle();
    }

    /// Forgets entries up to and including `index` in memory. Entries that are not applied stay.
    pub fn compact(&mut self, index: u64) {
        let index = index.min(self.raw.raft.raft_log.applied);
        if index >= self.raw.store().first() {
            self.raw.mut_store().compact(index);
        }
    }

    /// From now on a follower that is behind the log is told to fetch the state at `mark`. It should be as new as possible,
    /// and its entries' successors still in the log.
    pub fn offer_snapshot(&mut self, mark: SnapshotMark) {
        assert!(mark.index <= self.applied, "the state at {} is not applied here", mark.index);
        let state = mark.conf_state.as_ref().expect("an offered snapshot has a configuration");
        assert_eq!(filter::conf_state(state), Ok(()), "an offered snapshot has a possible configuration");
        self.raw.mut_store().offer(mark);
    }

    /// Whether a follower needs a snapshot and none that fits is on offer: none at all, one from below the log, or one from
    /// before the follower was added. Offer a new one then.
    pub fn snapshot_wanted(&self) -> bool {
        self.raw.store().snapshot_wanted()
    }

    /// While silent, a member does not campaign and does not vote: for one whose log has lost entries that it had
    /// acknowledged, until it has them again. A leader that becomes silent steps down.
    pub fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
        if silent && self.raw.raft.state != StateRole::Follower {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
            self.settle();
        }
    }

    /// From now on this member grants nobody its vote in any term up to `term`: for one that may have voted in them and has
    /// forgotten it. Only while silent. Holds through a restart once [`Consensus::vote_is_durable`].
    ///
    /// A vote for itself is what Raft already understands as "has voted, and for no one who asks".
    pub fn abstain(&mut self, term: u64) {
        assert!(self.silent, "a member that takes part in elections knows its own votes");
        let raft = &mut self.raw.raft;
        if raft.term < term {
            raft.become_follower(term, 0);
        }
        if raft.term == term && raft.vote == 0 {
            raft.vote = raft.id;
        }
        self.settle();
    }

    /// Whether the term and the vote of this moment are on the disk.
    pub fn vote_is_durable(&self) -> bool {
        let raft = &self.raw.raft;
        self.written_vote == (raft.term, raft.vote) && self.vote_written <= self.durable
    }

    /// What this member can say about itself.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        Status {
            id: raft.id,
            role: self.role(),
            leader: raft.leader_id,
            term: raft.term,
            vote: raft.vote,
            commit: raft.raft_log.committed,
            applied: raft.raft_log.applied,
            first_index: raft.raft_log.first_index(),
            last_index: raft.raft_log.last_index(),
            log_bytes: self.raw.store().bytes(),
            voter: raft.promotable(),
            transferee: raft.lead_transferee.unwrap_or(0),
            peers: if self.role() == Role::Leader { self.peers() } else { Vec::new() },
        }
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let progress = self.raw.raft.prs();
        let voters = progress.conf().voters();
        let peer = |(&id, peer): (&u64, &raft::Progress)| PeerStatus {
            id,
            learner: !voters.contains(id),
            matched: peer.matched,
            next: peer.next_idx,
            state: convert::peer_state_from_raft(peer.state),
            active: peer.recent_active || id == self.raw.raft.id,
        };
        let mut peers: Vec<PeerStatus> = progress.iter().map(peer).collect();
        peers.sort_unstable_by_key(|peer| peer.id);
        peers
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// The leader that it knows, 0 for none.
    pub fn leader(&self) -> u64 {
        self.raw.raft.leader_id
    }

    /// This member's part; cheaper than [`Consensus::status`].
    pub fn role(&self) -> Role {
        convert::role_from_raft(self.raw.raft.state)
    }

    /// The configuration that this member has applied.
    pub fn conf_state(&self) -> ConfState {
        convert::conf_state_from_raft(self.raw.raft.prs().conf().to_conf_state())
    }

    /// The term of an entry, if the log still knows it.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        let log = &self.raw.raft.raft_log;
        let known = index + 1 >= log.first_index() && index <= log.last_index();
        known.then(|| log.term(index).ok()).flatten()
    }

    /// Entries in memory from `low` up to and without `high`, as far as their outputs were taken.
    pub fn entries(&self, low: u64, high: u64) -> Vec<Entry> {
        self.raw.store().range(low, high, u64::MAX).into_iter().map(convert::entry_from_raft).collect()
    }

    fn give(&mut self, message: pb::Message) -> Result<(), Error> {
        let result = self.raw.step(message).map_err(|error| match error {
            // Everything else that drops a proposal was checked before.
            raft::Error::ProposalDropped => Error::Busy,
            error => refused(error),
        });
        self.settle();
        result
    }

    fn local(&self, kind: pb::MessageType, entry: Entry) -> pb::Message {
        let entries = vec![convert::entry_to_raft(entry)];
        pb::Message { msg_type: kind, from: self.raw.raft.id, entries: entries.into(), ..Default::default() }
    }

    fn view(&self, sender: u64) -> View {
        let raft = &self.raw.raft;
        View {
            id: raft.id,
            role: self.role(),
            term: raft.term,
            last_index: raft.raft_log.last_index(),
            sender_is_member: raft.prs().get(sender).is_some(),
        }
    }

    fn check_leader_known(&self) -> Result<(), Error> {
        let raft = &self.raw.raft;
        let known = raft.leader_id != 0 && matches!(raft.state, StateRole::Follower | StateRole::Leader);
        if known { Ok(()) } else { Err(Error::NoLeader) }
    }

    fn check_leader_takes_proposals(&self) -> Result<(), Error> {
        match self.raw.raft.lead_transferee {
            Some(_) => Err(Error::NotReady("the end of a transfer of leadership")),
            None => Ok(()),
        }
    }

    fn check_leader_answers_reads(&self) -> Result<(), Error> {
        let raft = &self.raw.raft;
        if raft.state == StateRole::Leader && !raft.commit_to_current_term() {
            return Err(Error::NotReady("the first committed entry of the new leader's term"));
        }
        Ok(())
    }

    /// Whether a campaign of this member would be sound. See the head of this file.
    fn may_campaign(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let in_flight = !log.unstable.entries.is_empty() || log.unstable.snapshot.is_some();
        let log_is_durable =
            !in_flight && self.log_written <= self.durable && log.persisted == log.last_index();
        !self.silent && log_is_durable && log.applied + 1 >= log.first_index()
    }

    fn campaign_is_due(&self) -> bool {
        let raft = &self.raw.raft;
        let due = raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        due && raft.promotable() && raft.state != StateRole::Leader
    }

    /// After every call that may change something: tells the crate what it may now know to be applied, and replaces the
    /// election timeout that it may have drawn. See `timeout`.
    pub(crate) fn settle(&mut self) {
        let log = &self.raw.raft.raft_log;
        let applied = self.applied.min(log.committed).min(log.persisted);
        if applied > log.applied {
            self.raw.advance_apply_to(applied);
        }
        if self.raw.raft.election_elapsed == 0 {
            let ticks = self.timeouts.draw();
            self.raw.raft.set_randomized_election_timeout(ticks);
        }
    }
}

fn settings(config: &Config, applied: u64) -> raft::Config {
    raft::Config {
        id: config.id,
        election_tick: config.election_tick,
        heartbeat_tick: config.heartbeat_tick,
        applied,
        max_size_per_msg: config.max_size_per_msg,
        max_inflight_msgs: config.max_inflight_msgs,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        batch_append: true,
        max_uncommitted_size: config.max_uncommitted_bytes,
        max_committed_size_per_ready: config.max_committed_bytes,
        ..Default::default()
    }
}

pub(crate) fn refused(error: raft::Error) -> Error {
    Error::Refused(error.to_string())
}
