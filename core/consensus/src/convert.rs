//! Our messages to those of the `raft` crate and back, field by field.
//!
//! The crate's types come from an old protobuf library whose parser has a known weakness. That parser sees one thing only:
//! the data of a change of membership when the leader proposes it, which is why [`conf_change_data`] encodes it anew from
//! our own decoded type, whoever sent it. Its field numbers and values are the same as the crate's on purpose.
//! Payloads are reference-counted bytes on both sides, so nothing is copied.

use crate::error::Error;
use crate::messages::*;
use crate::status::{PeerState, Role};
use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb as pb;
use raft::{ProgressState, StateRole};

/// An entry for the crate. Its kind is one that we know: `filter` has seen to it.
pub fn entry_to_raft(entry: Entry) -> pb::Entry {
    let kind =
        if entry.is_conf_change() { pb::EntryType::EntryConfChangeV2 } else { pb::EntryType::EntryNormal };
    pb::Entry {
        entry_type: kind,
        index: entry.index,
        term: entry.term,
        data: entry.data,
        context: entry.context,
        ..Default::default()
    }
}

/// An entry from the crate.
pub fn entry_from_raft(entry: pb::Entry) -> Entry {
    let kind = match entry.entry_type {
        pb::EntryType::EntryNormal => EntryKind::Normal,
        pb::EntryType::EntryConfChange | pb::EntryType::EntryConfChangeV2 => EntryKind::ConfChange,
    };
    Entry {
        index: entry.index,
        term: entry.term,
        kind: kind as i32,
        data: entry.data,
        context: entry.context,
    }
}

/// A message for the crate. An unknown kind is refused.
pub fn message_to_raft(message: Message) -> Result<pb::Message, Error> {
    let kind = kind_to_raft(message.kind)?;
    let entries: Vec<pb::Entry> = message.entries.into_iter().map(entry_to_raft).collect();
    let mut to = pb::Message {
        msg_type: kind,
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: entries.into(),
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
        ..Default::default()
    };
    if let Some(mark) = message.snapshot {
        to.set_snapshot(mark_to_raft(mark));
    }
    Ok(to)
}

/// A message from the crate. `None` for a kind that never leaves a member.
pub fn message_from_raft(mut message: pb::Message) -> Option<Message> {
    let kind = kind_from_raft(message.msg_type)?;
    let snapshot = message.has_snapshot().then(|| mark_from_raft(message.take_snapshot()));
    let entries: Vec<pb::Entry> = message.take_entries().into();
    Some(Message {
        kind: kind as i32,
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: entries.into_iter().map(entry_from_raft).collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
        quiet_ms: 0,
    })
}

fn kind_to_raft(kind: i32) -> Result<pb::MessageType, Error> {
    use pb::MessageType::*;
    let known = MessageKind::try_from(kind).unwrap_or(MessageKind::Unspecified);
    Ok(match known {
        MessageKind::Unspecified => {
            return Err(Error::Refused(format!("message of the unknown kind {kind}")));
        }
        MessageKind::Propose => MsgPropose,
        MessageKind::Append => MsgAppend,
        MessageKind::AppendResponse => MsgAppendResponse,
        MessageKind::RequestVote => MsgRequestVote,
        MessageKind::RequestVoteResponse => MsgRequestVoteResponse,
        MessageKind::RequestPreVote => MsgRequestPreVote,
        MessageKind::RequestPreVoteResponse => MsgRequestPreVoteResponse,
        MessageKind::Snapshot => MsgSnapshot,
        MessageKind::Heartbeat => MsgHeartbeat,
        MessageKind::HeartbeatResponse => MsgHeartbeatResponse,
        MessageKind::TimeoutNow => MsgTimeoutNow,
        MessageKind::ReadIndex => MsgReadIndex,
        MessageKind::ReadIndexResponse => MsgReadIndexResp,
    })
}

fn kind_from_raft(kind: pb::MessageType) -> Option<MessageKind> {
    use pb::MessageType::*;
    match kind {
        MsgPropose => Some(MessageKind::Propose),
        MsgAppend => Some(MessageKind::Append),
        MsgAppendResponse => Some(MessageKind::AppendResponse),
        MsgRequestVote => Some(MessageKind::RequestVote),
        MsgRequestVoteResponse => Some(MessageKind::RequestVoteResponse),
        MsgRequestPreVote => Some(MessageKind::RequestPreVote),
        MsgRequestPreVoteResponse => Some(MessageKind::RequestPreVoteResponse),
        MsgSnapshot => Some(MessageKind::Snapshot),
        MsgHeartbeat => Some(MessageKind::Heartbeat),
        MsgHeartbeatResponse => Some(MessageKind::HeartbeatResponse),
        MsgTimeoutNow => Some(MessageKind::TimeoutNow),
        MsgReadIndex => Some(MessageKind::ReadIndex),
        MsgReadIndexResp => Some(MessageKind::ReadIndexResponse),
        MsgHup | MsgBeat | MsgUnreachable | MsgSnapStatus | MsgCheckQuorum | MsgTransferLeader => None,
    }
}

/// A snapshot for the crate; it carries the mark only, never the state.
pub fn mark_to_raft(mark: SnapshotMark) -> pb::Snapshot {
    let mut to = pb::Snapshot::default();
    to.mut_metadata().index = mark.index;
    to.mut_metadata().term = mark.term;
    if let Some(state) = mark.conf_state {
        to.mut_metadata().set_conf_state(conf_state_to_raft(state));
    }
    to
}

/// A mark from the crate's snapshot.
pub fn mark_from_raft(mut snapshot: pb::Snapshot) -> SnapshotMark {
    let mut metadata = snapshot.take_metadata();
    let state = metadata.has_conf_state().then(|| conf_state_from_raft(metadata.take_conf_state()));
    SnapshotMark { index: metadata.index, term: metadata.term, conf_state: state }
}

/// A configuration for the crate.
pub fn conf_state_to_raft(state: ConfState) -> pb::ConfState {
    pb::ConfState {
        voters: state.voters,
        learners: state.learners,
        voters_outgoing: state.voters_outgoing,
        learners_next: state.learners_next,
        auto_leave: state.auto_leave,
        ..Default::default()
    }
}

/// A configuration from the crate, whose sets have no order: ours are sorted, so that equal ones are equal bytes.
pub fn conf_state_from_raft(state: pb::ConfState) -> ConfState {
    let sorted = |mut ids: Vec<u64>| {
        ids.sort_unstable();
        ids
    };
    ConfState {
        voters: sorted(state.voters),
        learners: sorted(state.learners),
        voters_outgoing: sorted(state.voters_outgoing),
        learners_next: sorted(state.learners_next),
        auto_leave: state.auto_leave,
    }
}

/// A hard state for the crate.
pub fn hard_state_to_raft(state: HardState) -> pb::HardState {
    pb::HardState { term: state.term, vote: state.vote, commit: state.commit, ..Default::default() }
}

/// A hard state from the crate.
pub fn hard_state_from_raft(state: &pb::HardState) -> HardState {
    HardState { term: state.term, vote: state.vote, commit: state.commit }
}

/// A change of membership for the crate. Its kinds are ones that we know: `filter` has seen to it.
pub fn conf_change_to_raft(change: &ConfChange) -> pb::ConfChangeV2 {
    let transition = match change.transition() {
        Transition::Auto => pb::ConfChangeTransition::Auto,
        Transition::Joint => pb::ConfChangeTransition::Implicit,
        Transition::JointExplicit => pb::ConfChangeTransition::Explicit,
    };
    let changes: Vec<pb::ConfChangeSingle> = change.changes.iter().map(change_to_raft).collect();
    pb::ConfChangeV2 {
        transition,
        changes: changes.into(),
        context: change.context.clone(),
        ..Default::default()
    }
}

fn change_to_raft(change: &Change) -> pb::ConfChangeSingle {
    let change_type = match change.kind() {
        ChangeKind::AddVoter => pb::ConfChangeType::AddNode,
        ChangeKind::Remove => pb::ConfChangeType::RemoveNode,
        ChangeKind::AddLearner => pb::ConfChangeType::AddLearnerNode,
    };
    pb::ConfChangeSingle { change_type, node_id: change.id, ..Default::default() }
}

/// The data of an entry that changes the membership, the one thing that the crate parses by itself.
pub fn conf_change_data(change: &ConfChange) -> Bytes {
    change.encode_to_vec().into()
}

/// A role from the crate.
pub fn role_from_raft(role: StateRole) -> Role {
    match role {
        StateRole::Follower => Role::Follower,
        StateRole::PreCandidate => Role::PreCandidate,
        StateRole::Candidate => Role::Candidate,
        StateRole::Leader => Role::Leader,
    }
}

/// A peer's state from the crate.
pub fn peer_state_from_raft(state: ProgressState) -> PeerState {
    match state {
        ProgressState::Probe => PeerState::Probe,
        ProgressState::Replicate => PeerState::Replicate,
        ProgressState::Snapshot => PeerState::Snapshot,
    }
}

#[cfg(test)]
mod tests;
