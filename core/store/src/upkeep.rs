//! Work that keeps a member small and whole: moving values into the B-tree, giving up old log segments, forgetting entries
//! in memory, sending and installing snapshots, and coming back from a damaged log.

use crate::error::FatalError;
use crate::event::{Arrived, Event};
use crate::membership::Attributes;
use crate::meter;
use crate::node::Node;
use crate::proposal::Proposal;
use crate::snapshot;
use consensus::Message;
use kernel::Bug;
use kernel::spawn::run_on;
use std::time::Duration;

impl Node {
    /// Publishes this member's name and client URLs, until the log has them. Called when time has passed.
    pub(crate) fn publish_attributes(&mut self, now: Duration) {
        let attributes = Attributes::of(&self.config);
        if self.applier.membership().has_published(&attributes) || now < self.run.publish_at {
            return;
        }
        if self.consensus.propose(Proposal::encode_publish(attributes)).is_ok() {
            // It may be lost on the way to the leader.
            self.run.publish_at = now + self.config.election_timeout();
        }
    }

    /// Work that keeps the house small: the state's flushes, the log's old segments, the entries in memory.
    pub(crate) fn maintain(&mut self) {
        let flush = match (&self.run.repair, &self.run.log_damage) {
            _ if self.run.flushing || self.run.state_is_full => None,
            // The file is about to be replaced.
            (Some(_), _) => None,
            (None, Some(damage)) if self.store.checkpointed() < damage.lost_to => self.store.flush_now(),
            _ => self.store.flush_wanted(),
        };
        if let Some(flush) = flush {
            self.run.flushing = true;
            let (events, clock, meter) =
                (self.events.clone(), self.io.clock.clone(), self.shared.meter.clone());
            let checkpoint = move || {
                let begun = clock.now();
                let ended = flush.run();
                if ended.is_ok() {
                    meter.checkpoints.observe(clock.now().saturating_sub(begun));
                }
                events.push(Event::Flushed(ended));
            };
            drop(self.state_worker.run(Box::new(checkpoint)));
        }
        if self.io.planted.is(Bug::ReleaseBeforeCheckpoint) {
            self.run.release_wanted = Some(self.store.applied());
        }
        self.shed_damage();
        self.lend_states();
        if let Some(index) = self.run.release_wanted
            && self.persist.release(index)
        {
            self.run.release_wanted = None;
        }
        if self.consensus.snapshot_wanted() {
            self.applier.offer_snapshot(&self.store, &mut self.consensus);
        }
        self.leave_quarantine();
        self.leave_amnesia();
        self.forget_entries();
    }

    /// A sealed segment is damaged. Nobody needs it once the state holds durably what is in it, so it goes as soon as that is so.
    pub(crate) fn log_damaged(&mut self, damage: wal::Damage) {
        if self.run.log_damage.is_some() {
            return;
        }
        self.io.probe.sometimes("node: the scrub found a damaged segment");
        meter::add(&self.shared.meter.log_damages);
        self.shared.note(format!(
            "CORRUPT: {damage}; the state still has what it holds, so a checkpoint is made and the segment is given up. Check the disk"
        ));
        self.run.log_damage = Some(damage);
    }

    fn shed_damage(&mut self) {
        let checkpointed = self.store.checkpointed();
        if self.run.log_damage.as_ref().is_some_and(|damage| checkpointed >= damage.lost_to)
            && self.persist.release(checkpointed)
        {
            self.io.probe.sometimes("node: a damaged segment was given up");
            self.run.previous_checkpoint = checkpointed;
            self.run.log_damage = None;
        }
    }

    /// Once the log reaches again to where it was acknowledged, the member takes part in elections again.
    pub(crate) fn leave_quarantine(&mut self) {
        let Some(lost) = self.quarantine else { return };
        if self.store.applied() >= lost && self.persist.clear_quarantine() {
            self.io.probe.sometimes("node: a damaged log was repaired from peers");
            self.quarantine = None;
            self.settle_silence();
        }
    }

    /// Takes part in elections, unless there is a reason not to.
    pub(crate) fn settle_silence(&mut self) {
        self.consensus.set_silent(self.quarantine.is_some() || self.amnesia.is_some());
    }

    /// Forgets entries in memory that no follower is likely to need.
    pub(crate) fn forget_entries(&mut self) {
        let status = self.consensus.status();
        let applied = self.store.applied();
        let held = applied.saturating_sub(status.first_index);
        let too_many = held >= 2 * self.config.catch_up_entries;
        if !too_many && status.log_bytes as u64 <= self.config.catch_up_bytes {
            return;
        }
        let keep = if too_many { self.config.catch_up_entries } else { held / 2 };
        let repair = self.run.repair.as_ref().map(|repair| repair.floor);
        let least = self.run.sending.values().copied().chain(repair).min().unwrap_or(u64::MAX);
        let index = applied.saturating_sub(keep).min(least);
        if index >= status.first_index {
            self.applier.offer_snapshot(&self.store, &mut self.consensus);
            self.consensus.compact(index);
        }
    }

    pub(crate) fn flushed(&mut self, result: Result<(), mvcc::Error>) -> Result<(), FatalError> {
        self.run.flushing = false;
        match result {
            Ok(()) => {
                self.run.no_room = false;
                let checkpoint = self.store.checkpointed();
                if checkpoint > self.run.last_checkpoint {
                    self.run.previous_checkpoint = self.run.last_checkpoint;
                    self.run.last_checkpoint = checkpoint;
                    self.run.release_wanted = Some(self.run.previous_checkpoint);
                }
                Ok(())
            }
            Err(mvcc::Error::Full(_)) => {
                self.run.state_is_full = true;
                self.run.no_room = true;
                self.refuse_waiting();
                self.io.probe.sometimes("node: no room for the state");
                Ok(())
            }
            // Mended elsewhere: see `repair`.
            Err(error) if self.store.is_damage(&error) => {
                self.store.condemn(error.to_string());
                self.note_damage()
            }
            Err(error) => Err(FatalError::State(error.to_string())),
        }
    }

    pub(crate) fn send_snapshot(&mut self, message: Message) {
        let to = message.to;
        if self.run.sending.contains_key(&to) {
            return;
        }
        self.io.probe.sometimes("node: a follower needs a snapshot");
        self.run.sending.insert(to, message.snapshot_index());
        snapshot::send(&self.io, &self.identity, &self.store, &self.events, message);
    }

    /// A snapshot is here: consensus decides whether it is wanted.
    pub(crate) fn snapshot_arrived(&mut self, arrived: Arrived) {
        let message = arrived.message.clone();
        self.run.arrived = Some(arrived);
        if let Err(error) = self.consensus.step(message) {
            self.shared.note_refused(error.to_string());
        }
    }

    /// Replaces the state by the snapshot that has arrived. The state is durable before the log says so.
    pub(crate) async fn install(&mut self, index: u64) -> Result<(), FatalError> {
        let arrived = self.run.arrived.take().filter(|arrived| arrived.index() == index);
        let Some(arrived) = arrived else {
            return Err(FatalError::Diverged(format!(
                "told to install a snapshot at index {index} that never arrived"
            )));
        };
        let store = self.store.clone();
        let installed = run_on(&self.state_worker, move || arrived.staged.install(&store)).await;
        match installed {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(FatalError::State(error.to_string())),
            None => return Err(FatalError::State("the state's thread has ended".to_string())),
        }
        self.run.halted = None;
        self.state_replaced();
        Ok(())
    }
}
