//! For how long, at the least, no leader can have confirmed anything: what a new leader may take off the leases that it begins anew.
//!
//! A renewal is answered after a quorum has acknowledged, in a round that began behind it, that the leader still leads. Every quorum
//! shares a member with the quorum that elects the next leader, and a member that has voted acknowledges nothing of the leader
//! before. So what was promised last was asked for before the last moment at which any of the voters heard a leader. Each granted vote
//! therefore says for how long its voter has heard none; the shortest of these times has passed since. When a machine dies with the
//! leader of the store on it, that is the election's time-out, and whatever waits for a lease of that machine waits so much less.
//!
//! Clocks differ: a part of the time is not counted, more than the fastest clock can be wrong. A vote of a member that says nothing
//! (of another version, or just started) counts as no time at all.

use consensus::{Message, MessageKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// What of the time counts: a clock may run a tenth fast.
const COUNTED: (u32, u32) = (4, 5);

/// What a member knows of the silence.
#[derive(Default)]
pub struct Quiet {
    /// When this member last heard a leader, or was one, or began.
    heard: Duration,
    /// Votes granted to this member: of which term, and for how long that voter had heard no leader.
    votes: BTreeMap<u64, (u64, Duration)>,
}

impl Quiet {
    /// A leader was heard, or this member leads, or it has just begun: whatever it acknowledged was before.
    pub fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// A message of a peer has come.
    pub fn receive(&mut self, message: &Message, now: Duration) {
        match MessageKind::try_from(message.kind) {
            Ok(MessageKind::RequestVoteResponse) if !message.reject => {
                let quiet = Duration::from_millis(message.quiet_ms);
                self.votes.insert(message.from, (message.term, quiet));
            }
            Ok(
                MessageKind::RequestVoteResponse
                | MessageKind::RequestVote
                | MessageKind::RequestPreVote
                | MessageKind::RequestPreVoteResponse,
            ) => {}
            // Whatever else a member says, it may be the leader's.
            _ => self.heard(now),
        }
    }

    /// Says on a vote for how long this member has heard no leader.
    pub fn stamp(&self, message: &mut Message, now: Duration) {
        if message.kind == MessageKind::RequestVoteResponse as i32 && !message.reject {
            let quiet = now.saturating_sub(self.heard).as_millis();
            message.quiet_ms = u64::try_from(quiet).unwrap_or(u64::MAX);
        }
    }

    /// This member was elected in `term`: for so long certainly nobody was promised anything.
    pub fn at_election(&mut self, term: u64, now: Duration) -> Duration {
        let votes = std::mem::take(&mut self.votes);
        let of_term = votes.into_values().filter(|(of, _)| *of == term).map(|(_, quiet)| quiet);
        let quiet = of_term.fold(now.saturating_sub(self.heard), Duration::min);
        let counted = quiet * COUNTED.0 / COUNTED.1;
        assert!(counted <= quiet, "no more than has passed is counted");
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn message(kind: MessageKind, from: u64, term: u64, quiet_ms: u64) -> Message {
        Message { kind: kind as i32, from, term, quiet_ms, ..Message::default() }
    }

    #[test]
    fn the_voter_that_heard_last_decides() {
        let mut quiet = Quiet::default();
        quiet.receive(&message(MessageKind::Heartbeat, 1, 4, 0), at(1_000));
        quiet.receive(&message(MessageKind::RequestVoteResponse, 2, 5, 1_000), at(2_400));
        quiet.receive(&message(MessageKind::RequestVoteResponse, 3, 5, 1_300), at(2_400));
        assert_eq!(quiet.at_election(5, at(2_500)), at(800));
        assert_eq!(quiet.at_election(6, at(2_500)), at(1_200), "votes count for one election");
    }

    #[test]
    fn a_vote_of_another_term_or_against_says_nothing() {
        let mut quiet = Quiet::default();
        quiet.heard(at(1_000));
        quiet.receive(&message(MessageKind::RequestVoteResponse, 2, 4, 10), at(1_500));
        let mut against = message(MessageKind::RequestVoteResponse, 3, 5, 20);
        against.reject = true;
        quiet.receive(&against, at(1_600));
        assert_eq!(quiet.at_election(5, at(2_000)), at(800));
    }

    #[test]
    fn a_voter_says_for_how_long_it_has_heard_none() {
        let mut quiet = Quiet::default();
        quiet.receive(&message(MessageKind::Append, 1, 4, 0), at(700));
        quiet.receive(&message(MessageKind::RequestPreVote, 2, 5, 0), at(1_650));
        let mut vote = message(MessageKind::RequestVoteResponse, 3, 5, 0);
        quiet.stamp(&mut vote, at(1_700));
        assert_eq!(vote.quiet_ms, 1_000);
        let mut other = message(MessageKind::AppendResponse, 3, 5, 0);
        quiet.stamp(&mut other, at(1_700));
        assert_eq!(other.quiet_ms, 0);
    }
}
