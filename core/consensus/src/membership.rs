//! The value itself: who takes part, who leads, and who has come back with less than it had.

use crate::convert;
use crate::error::Error;
use crate::filter;
use crate::messages::{ConfChange, ConfState, Transition};
use crate::node::{Consensus, refused};
use crate::status::Role;
use raft::{Changer, ProgressState};

impl Consensus {
    /// A committed change of membership takes effect. Called for each, in the order of the log; the same on all members, an
    /// error too, which says that the change is impossible in this configuration and was not made.
    pub fn apply_conf_change(&mut self, change: &ConfChange) -> Result<ConfState, Error> {
        filter::conf_change(change).map_err(Error::Refused)?;
        let state = self.raw.apply_conf_change(&convert::conf_change_to_raft(change)).map_err(refused)?;
        if self.role() == Role::Leader && !self.raw.raft.promotable() {
            self.step_down();
        }
        self.settle();
        Ok(convert::conf_state_from_raft(state))
    }

    /// A leader that was removed, or made a learner, asks the voter that is furthest to succeed it, and follows. The crate
    /// would let it go on, and panic when it counts itself.
    fn step_down(&mut self) {
        let raft = &mut self.raw.raft;
        let voters = raft.prs().conf().voters();
        let candidates = raft.prs().iter().filter(|(id, _)| voters.contains(**id));
        let furthest = candidates.map(|(id, peer)| (peer.matched, std::cmp::Reverse(*id))).max();
        if let Some((_, std::cmp::Reverse(successor))) = furthest {
            raft.send_timeout_now(successor);
        }
        let term = raft.term;
        raft.become_follower(term, 0);
    }

    /// Checks a change of membership against what this member knows. A leader knows enough to refuse the impossible.
    pub(crate) fn check_change(&self, change: &ConfChange) -> Result<(), Error> {
        filter::conf_change(change).map_err(Error::Refused)?;
        if self.role() != Role::Leader {
            return Ok(());
        }
        if self.raw.raft.has_pending_conf() {
            return Err(Error::NotReady("an earlier change of membership, which is not applied yet"));
        }
        let leaves = change.changes.is_empty() && change.transition() == Transition::Auto;
        if self.conf_state().is_joint() && !leaves {
            return Err(Error::NotReady("the end of joint consensus"));
        }
        let change = convert::conf_change_to_raft(change);
        let mut changer = Changer::new(self.raw.raft.prs());
        let tried = if change.leave_joint() {
            changer.leave_joint()
        } else if let Some(auto_leave) = change.enter_joint() {
            changer.enter_joint(auto_leave, &change.changes)
        } else {
            changer.simple(&change.changes)
        };
        tried.map(|_| ()).map_err(refused)
    }

    /// Hands leadership to the voter `to`. Proposals are [`Error::NotReady`] until it leads or an election timeout has
    /// passed. False when nothing was begun: this member does not lead, or `to` is no other voter.
    pub fn transfer_leader(&mut self, to: u64) -> bool {
        let raft = &self.raw.raft;
        let fits = to != raft.id && raft.prs().conf().voters().contains(to);
        if self.role() != Role::Leader || !fits {
            return false;
        }
        self.raw.transfer_leader(to);
        self.settle();
        true
    }

    /// Member `id` has started anew and its log ends at `last_index`. If that is less than it had acknowledged, the leader
    /// stops to count on it and probes where its log ends. Messages from its former life must not be stepped after this.
    ///
    /// To believe less of a peer is always safe: it can delay a commit and never make one.
    pub fn peer_restarted(&mut self, id: u64, last_index: u64) {
        self.raw.report_unreachable(id);
        if self.role() != Role::Leader || id == self.raw.raft.id {
            return;
        }
        let end = self.raw.raft.raft_log.last_index();
        let Some(peer) = self.raw.raft.mut_prs().get_mut(id) else { return };
        if peer.matched > last_index {
            peer.matched = 0;
            peer.become_probe();
            peer.next_idx = last_index.min(end) + 1;
        } else if peer.state == ProgressState::Snapshot {
            peer.snapshot_failure();
            peer.become_probe();
        }
        self.settle();
    }
}
