//! The value itself: what comes out, and when it is durable.
//!
//! Which message may leave beside the disk write? The `raft` crate lets everything go that a leader says. That is not quite
//! safe: a member that elects itself alone (one voter, and learners) leads before its vote is durable. Were its appends to
//! leave at once and a crash to follow, it would lead the same term again with other entries at the same indexes. So a
//! leader's messages leave at once only when the term and vote in which it leads are durable. The other way round, some
//! messages of a follower promise nothing and need not wait for an unrelated write: what it passes on to the leader, and
//! the answer to a heartbeat, which says no more than that it knows the term.

use crate::convert;
use crate::messages::{Message, MessageKind};
use crate::node::Consensus;
use crate::output::{Output, ReadState};
use crate::status::Role;
use raft::Ready;

impl Consensus {
    /// What is to be done next, or `None` when nothing is. Every output that is taken must be carried out.
    pub fn take_output(&mut self) -> Option<Output> {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            let mut output =
                Output { number: ready.number(), must_sync: ready.must_sync(), ..Default::default() };
            self.taken = output.number;
            self.take_writes(&mut ready, &mut output);
            let messages = ready.take_messages().into_iter().chain(ready.take_persisted_messages());
            self.sort_messages(messages.filter_map(convert::message_from_raft), &mut output);
            output.committed =
                ready.take_committed_entries().into_iter().map(convert::entry_from_raft).collect();
            output.reads = ready.take_read_states().iter().map(read_state).collect();
            self.raw.advance_append_async(ready);
            // A new role alone is no work for anyone.
            if !is_empty(&output) {
                return Some(output);
            }
        }
        None
    }

    /// Moves what is to be written into `output`, and into the log in memory, where the crate looks for it from now on.
    fn take_writes(&mut self, ready: &mut Ready, output: &mut Output) {
        if !ready.snapshot().is_empty() {
            let mark = convert::mark_from_raft(ready.snapshot().clone());
            self.raw.mut_store().restart_after(&mark);
            self.installing.push_back((output.number, mark.index));
            self.log_written = output.number;
            output.snapshot = Some(mark);
        }
        if !ready.entries().is_empty() {
            let entries = ready.take_entries();
            output.entries = entries.iter().cloned().map(convert::entry_from_raft).collect();
            self.raw.mut_store().append(entries);
            self.log_written = output.number;
        }
        if let Some(state) = ready.hs() {
            let state = convert::hard_state_from_raft(state);
            if (state.term, state.vote) != self.written_vote {
                self.written_vote = (state.term, state.vote);
                self.vote_written = output.number;
            }
            output.hard_state = Some(state);
        }
    }

    fn sort_messages(&self, messages: impl Iterator<Item = Message>, output: &mut Output) {
        let vote_is_durable = self.vote_written <= self.durable;
        let leads = self.role() == Role::Leader;
        for message in messages {
            let of_this_term = vote_is_durable && message.term == self.raw.raft.term;
            let at_once = match MessageKind::try_from(message.kind).unwrap_or(MessageKind::Unspecified) {
                MessageKind::Propose | MessageKind::ReadIndex => true,
                MessageKind::HeartbeatResponse => of_this_term,
                MessageKind::Append
                | MessageKind::Heartbeat
                | MessageKind::Snapshot
                | MessageKind::TimeoutNow
                | MessageKind::ReadIndexResponse => of_this_term && leads,
                _ => false,
            };
            let queue = if at_once { &mut output.send_now } else { &mut output.send_after_persist };
            queue.push(message);
        }
    }

    /// Output `number`, and all before it, are durable. What follows from that (commits, messages) is in the next outputs.
    pub fn persisted(&mut self, number: u64) {
        assert!(number <= self.taken, "output {number} was never taken, the last one is {}", self.taken);
        if number <= self.durable {
            return;
        }
        self.durable = number;
        self.raw.on_persist_ready(number);
        while let Some((_, index)) = self.installing.pop_front_if(|(output, _)| *output <= number) {
            self.applied = self.applied.max(index);
        }
        self.settle();
    }
}

fn read_state(read: &raft::ReadState) -> ReadState {
    let context =
        read.request_ctx.as_slice().try_into().expect("the filter lets only contexts of 8 bytes pass");
    ReadState { context: u64::from_be_bytes(context), index: read.index }
}

fn is_empty(output: &Output) -> bool {
    let nothing_to_send = output.send_now.is_empty() && output.send_after_persist.is_empty();
    !output.has_writes() && nothing_to_send && output.committed.is_empty() && output.reads.is_empty()
}
