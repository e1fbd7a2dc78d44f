//! How a member whose data directory was empty comes back into elections, and how it helps another to do so. The rule, and
//! why it is enough, stands in `amnesia`.
//!
//! A member whose disk lost synced writes may be in the same position without knowing it, when what is left looks like an
//! orderly end. If a leader still remembers what that member had acknowledged, it says so, and the same rule applies.

use crate::amnesia::{self, Amnesia, FIRST_DAY};
use crate::error::FatalError;
use crate::event::Event;
use crate::frame::{Body, PastAnswer, PastAsk, Reminder};
use crate::node::Node;

impl Node {
    /// Asks those who have not answered. Called once a tick: a question may be lost.
    pub(crate) fn ask_past(&mut self) {
        let Some(amnesia) = &mut self.amnesia else { return };
        let ask = PastAsk { life: amnesia.life() };
        for peer in amnesia.unheard() {
            self.links.send(*peer, Body::PastAsk(ask));
        }
        amnesia.ticks += 1;
        if amnesia.ticks != FIRST_DAY * self.config.election_ticks || amnesia.past().is_some() {
            return;
        }
        amnesia.patience_over = true;
        if amnesia.past().is_some() {
            self.io.probe.sometimes("node: a majority of newborns begins");
            self.past_is_known();
        } else {
            let unheard = amnesia.unheard();
            let absent = self.config.members.iter().filter(|member| unheard.contains(&member.id));
            let names: Vec<_> =
                absent.map(|member| format!("{} ({})", member.name, member.peer_addr)).collect();
            self.shared.note(format!(
                "the data directory was empty at the first start, and the other members know of a past or too few of them \
                 answer, so this member takes no part in elections until every other member has answered it once (or, \
                 on the first day of the cluster, a majority); it still waits for {}",
                names.join(", ")
            ));
        }
    }

    /// Tells a member that may have forgotten its past how far the cluster has come. What is not durable here yet counts too:
    /// too high an answer makes the other wait longer, too low a one would be wrong.
    pub(crate) fn answer_past(&mut self, to: u64, ask: PastAsk) {
        let status = self.consensus.status();
        let last_index = status.last_index.max(self.quarantine.unwrap_or(0));
        let answer = PastAnswer { life: ask.life, term: status.term, last_index };
        self.links.send(to, Body::PastAnswer(answer));
    }

    pub(crate) fn learn_past(&mut self, from: u64, answer: PastAnswer) {
        let Some(amnesia) = &mut self.amnesia else { return };
        if !amnesia.ending && amnesia.learn(from, answer) {
            self.past_is_known();
        }
    }

    /// Gives up the votes of the past once that is known.
    fn past_is_known(&mut self) {
        let Some((term, index)) = self.amnesia.as_ref().and_then(Amnesia::past) else { return };
        self.consensus.abstain(term);
        if index > self.store.applied() {
            self.io.probe.sometimes("node: an empty directory in a living cluster");
            self.shared.note(format!(
                "the data directory was empty at the first start, but the cluster is at term {term} and index {index}: if \
                 this member had acknowledged anything, that is lost here. It takes no part in elections until it has applied \
                 index {index}, or an entry of a later term"
            ));
        }
    }

    /// Begins to take the mark away once nothing can be missing any more.
    pub(crate) fn leave_amnesia(&mut self) {
        let Some(amnesia) = &mut self.amnesia else { return };
        let (applied, term) = (self.store.applied(), self.store.applied_term());
        if amnesia.ending || !amnesia.is_made_up_for(applied, term) || !self.consensus.vote_is_durable() {
            return;
        }
        amnesia.ending = true;
        let (disk, dir, events) = (self.io.disk.clone(), self.config.dir.clone(), self.events.clone());
        drop(self.state_worker.run(Box::new(move || {
            let ended = amnesia::end(&disk, &dir).map_err(|error| error.to_string());
            events.push(Event::Marked(ended.map(|()| false)));
        })));
    }

    pub(crate) fn marked(&mut self, outcome: Result<bool, String>) -> Result<(), FatalError> {
        let there = outcome.map_err(|error| {
            FatalError::Log(format!("cannot make or remove the mark of an unproven directory: {error}"))
        })?;
        if !there {
            let past = self.amnesia.take().and_then(|amnesia| amnesia.past());
            if past.is_some_and(|(_, index)| index > 1) {
                self.shared.note("this member has everything again and takes part in elections".to_string());
            }
            self.settle_silence();
        }
        Ok(())
    }

    /// A peer has begun a new life with a log that ends at `last_index`. Where this leader counts on more, the peer's disk lost
    /// what it had called durable, and the peer need not know: it is told.
    pub(crate) fn remind(&mut self, peer: u64, last_index: u64) {
        let peers = self.consensus.status().peers;
        let acknowledged = peers.iter().find(|known| known.id == peer).map_or(0, |known| known.matched);
        if acknowledged > last_index {
            self.io.probe.sometimes("node: a peer came back with less than it had acknowledged");
            self.links.send(peer, Body::Reminder(Reminder { acknowledged }));
        }
    }

    /// The leader says that this member has lost what it acknowledged, so it may have lost votes as well: from here on it is
    /// as if its directory had been empty. Nothing to do if it knows.
    pub(crate) fn reminded(&mut self, by: u64, reminder: Reminder) {
        let acknowledged = reminder.acknowledged;
        if self.amnesia.is_some() || self.quarantine.is_some_and(|lost| lost >= acknowledged) {
            return;
        }
        self.io.probe.sometimes("node: reminded of what the disk has lost");
        self.shared.note(format!(
            "this member had acknowledged entries up to index {acknowledged}, as the leader {by:x} remembers, but they were not \
             in its log at the start: its disk loses writes that it called durable, replace it. The member takes no part in \
             elections until it has everything again"
        ));
        let peers = self.identity.peers.keys().copied();
        self.amnesia = Some(Amnesia::new(self.identity.hello.incarnation, peers, false));
        self.settle_silence();
        let (disk, dir, events) = (self.io.disk.clone(), self.config.dir.clone(), self.events.clone());
        drop(self.state_worker.run(Box::new(move || {
            let begun = amnesia::begin(&disk, &dir, false).map_err(|error| error.to_string());
            events.push(Event::Marked(begun));
        })));
    }
}
