//! Leaving in good order: leadership is handed over, whoever still waits is told, and a checkpoint is written.

use crate::event::Waiter;
use crate::node::{Moving, Node};
use consensus::Role;
use futures_channel::oneshot;
use kernel::KvError;
use kernel::spawn::run_on;
use std::time::Duration;

/// How long a stopping leader waits for somebody to take over, in ticks.
const HAND_OVER_TICKS: u32 = 10;

impl Node {
    pub(crate) fn move_leader(
        &mut self,
        to: u64,
        reply: oneshot::Sender<Result<(), KvError>>,
        now: Duration,
    ) {
        let status = self.consensus.status();
        if status.role != Role::Leader {
            let _ = reply.send(Err(KvError::not_leader()));
        } else if to == self.config.member_id {
            let _ = reply.send(Ok(()));
        } else if !self.config.members.iter().any(|member| member.id == to) {
            let _ = reply.send(Err(KvError::bad_leader_transferee()));
        } else {
            self.consensus.transfer_leader(to);
            let until = now + 2 * self.config.election_timeout();
            if let Some(earlier) = self.run.moving.replace(Moving { to, until, reply }) {
                let _ = earlier.reply.send(Err(KvError::bad_leader_transferee()));
            }
        }
    }

    pub(crate) fn begin_stop(&mut self, done: oneshot::Sender<()>, now: Duration) {
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

    pub(crate) fn may_stop(&mut self, now: Duration) -> bool {
        let leads = self.consensus.role() == Role::Leader;
        self.run.stopping.as_ref().is_some_and(|(until, _)| (now >= *until || !leads) && !self.run.flushing)
    }

    /// An orderly end: what is applied goes into a durable checkpoint, so that the next start has nothing to repeat.
    pub(crate) async fn last_words(&mut self) {
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
}
