//! What a peer says is checked before the `raft` crate hears it.
//!
//! The crate trusts its input: an acknowledgement beyond the end of the log, a gap between entries or an empty proposal
//! make it panic or, worse, make its bookkeeping wrong. Here such a message is refused with a sentence that says what is
//! wrong with it. The checks are local: they need the member's term, role and the end of its log, and nothing else.
//!
//! Who may talk: answers, proposals and reads only members of the configuration that this member has applied. Votes, appends
//! and snapshots may come from a stranger, because a member that is behind does not know yet who was added (and one that
//! has just joined knows nobody).

use crate::convert;
use crate::error::Error;
use crate::messages::*;
use crate::status::Role;
use std::collections::BTreeSet;

/// Above any index or term that is ever reached; leaves room for sums.
const ABSURD: u64 = u64::MAX / 4;

/// What the checks know about the member that receives.
pub struct View {
    /// Its id.
    pub id: u64,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The end of its log.
    pub last_index: u64,
    /// Whether the sender is in its configuration.
    pub sender_is_member: bool,
}

/// Checks a message, and replaces in it what may be replaced safely.
pub fn message(message: &mut Message, view: &View) -> Result<(), Error> {
    let kind = MessageKind::try_from(message.kind).unwrap_or(MessageKind::Unspecified);
    let checked = envelope(message, kind, view).and_then(|()| match kind {
        MessageKind::Propose => proposal(message, view),
        MessageKind::ReadIndex => read(message, view),
        MessageKind::Append => append(message),
        MessageKind::AppendResponse => append_response(message, view),
        MessageKind::Snapshot => snapshot(message),
        MessageKind::Heartbeat => {
            // A commit index beyond this log means that the leader believes in entries which were lost here. It is a hint,
            // so it is dropped; the leader learns the truth from the next append.
            if message.commit > view.last_index {
                message.commit = 0;
            }
            Ok(())
        }
        MessageKind::ReadIndexResponse => one_context(message),
        _ => Ok(()),
    });
    checked.map_err(|why| Error::Refused(format!("message of member {:x}: {why}", message.from)))
}

fn envelope(message: &Message, kind: MessageKind, view: &View) -> Result<(), String> {
    if kind == MessageKind::Unspecified {
        return Err(format!("its kind {} is unknown", message.kind));
    }
    if message.to != view.id {
        return Err(format!("it is meant for member {:x}, this is member {:x}", message.to, view.id));
    }
    if message.from == 0 || message.from == view.id {
        return Err("its sender is no peer".to_string());
    }
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ];
    if let Some(number) = numbers.into_iter().find(|number| *number > ABSURD) {
        return Err(format!("it holds the absurd number {number}"));
    }
    let local = matches!(kind, MessageKind::Propose | MessageKind::ReadIndex);
    if local != (message.term == 0) {
        return Err(format!("{kind:?} with term {}", message.term));
    }
    let stranger_may = matches!(
        kind,
        MessageKind::Append
            | MessageKind::Heartbeat
            | MessageKind::Snapshot
            | MessageKind::RequestVote
            | MessageKind::RequestPreVote
            | MessageKind::TimeoutNow
            | MessageKind::ReadIndexResponse
    );
    if !stranger_may && !view.sender_is_member {
        return Err("it is not in the configuration that this member has applied".to_string());
    }
    Ok(())
}

/// A proposal that a follower forwards. Only a leader takes it: passing it on once more could go in circles.
fn proposal(message: &mut Message, view: &View) -> Result<(), String> {
    if view.role != Role::Leader {
        return Err("a proposal, but this member does not lead".to_string());
    }
    if message.entries.is_empty() {
        return Err("a proposal without entries".to_string());
    }
    for entry in &mut message.entries {
        match EntryKind::try_from(entry.kind) {
            Ok(EntryKind::Normal) => {}
            Ok(EntryKind::ConfChange) => {
                let change: ConfChange = prost::Message::decode(entry.data.clone())
                    .map_err(|error| format!("a change of membership that cannot be read: {error}"))?;
                conf_change(&change)?;
                entry.data = convert::conf_change_data(&change);
            }
            Err(_) => return Err(format!("a proposal of the unknown kind {}", entry.kind)),
        }
    }
    Ok(())
}

fn read(message: &Message, view: &View) -> Result<(), String> {
    if view.role != Role::Leader {
        return Err("a read, but this member does not lead".to_string());
    }
    one_context(message)
}

fn one_context(message: &Message) -> Result<(), String> {
    match message.entries.as_slice() {
        [entry] if entry.data.len() == size_of::<u64>() => Ok(()),
        _ => Err("a read without its context of 8 bytes".to_string()),
    }
}

fn append(message: &Message) -> Result<(), String> {
    if (message.index == 0) != (message.log_term == 0) {
        return Err(format!("an append after index {} of term {}", message.index, message.log_term));
    }
    if let Some(entry) = message.entries.iter().find(|entry| EntryKind::try_from(entry.kind).is_err()) {
        return Err(format!("entry {} has the unknown kind {}", entry.index, entry.kind));
    }
    contiguous(&message.entries, message.index)?;
    let first = message.entries.first().map_or(message.log_term, |entry| entry.term);
    let last = message.entries.last().map_or(message.log_term, |entry| entry.term);
    if first < message.log_term || last > message.term {
        return Err(format!(
            "entries of terms {first} to {last} after term {} in term {}",
            message.log_term, message.term
        ));
    }
    Ok(())
}

/// Whether entries follow index `before` and each other, in terms that never fall.
pub fn contiguous(entries: &[Entry], before: u64) -> Result<(), String> {
    let (mut index, mut term) = (before, 1);
    for entry in entries {
        if entry.index != index + 1 {
            return Err(format!("entry {} follows entry {index}", entry.index));
        }
        if entry.term < term || entry.term > ABSURD {
            return Err(format!("entry {} has term {} after term {term}", entry.index, entry.term));
        }
        (index, term) = (entry.index, entry.term);
    }
    Ok(())
}

fn append_response(message: &Message, view: &View) -> Result<(), String> {
    let mine = view.role == Role::Leader && message.term == view.term;
    if mine && !message.reject && message.index > view.last_index {
        return Err(format!("it has accepted index {}, this log ends at {}", message.index, view.last_index));
    }
    Ok(())
}

fn snapshot(message: &Message) -> Result<(), String> {
    let Some(mark) = &message.snapshot else { return Err("a snapshot without its mark".to_string()) };
    if mark.index == 0 || mark.index > ABSURD || mark.term == 0 || mark.term > message.term {
        return Err(format!(
            "a snapshot at index {} of term {} in term {}",
            mark.index, mark.term, message.term
        ));
    }
    match &mark.conf_state {
        Some(state) => conf_state(state),
        None => Err(format!("the snapshot at index {} has no configuration", mark.index)),
    }
}

/// Checks that a configuration is one that changes of membership can lead to.
pub fn conf_state(state: &ConfState) -> Result<(), String> {
    let set = |name: &str, ids: &[u64]| {
        let set: BTreeSet<u64> = ids.iter().copied().collect();
        if set.len() != ids.len() || set.contains(&0) {
            return Err(format!("{name} {ids:x?} hold a member twice, or member 0"));
        }
        Ok(set)
    };
    let voters = set("voters", &state.voters)?;
    let learners = set("learners", &state.learners)?;
    let outgoing = set("outgoing voters", &state.voters_outgoing)?;
    let next = set("next learners", &state.learners_next)?;
    if voters.is_empty() {
        return Err("a configuration without voters".to_string());
    }
    if !learners.is_disjoint(&voters) || !learners.is_disjoint(&outgoing) {
        return Err(format!("learners {:x?} vote too", state.learners));
    }
    if !next.is_subset(&outgoing) || !next.is_disjoint(&voters) {
        return Err(format!("next learners {:x?} are not leaving voters", state.learners_next));
    }
    if state.auto_leave && outgoing.is_empty() {
        return Err("a configuration that is not joint cannot be left".to_string());
    }
    Ok(())
}

/// Checks that a change of membership says something that is known.
pub fn conf_change(change: &ConfChange) -> Result<(), String> {
    if Transition::try_from(change.transition).is_err() {
        return Err(format!("a change of membership by the unknown transition {}", change.transition));
    }
    match change.changes.iter().find(|one| one.id == 0 || ChangeKind::try_from(one.kind).is_err()) {
        Some(one) => Err(format!("a change of the unknown kind {} for member {:x}", one.kind, one.id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
