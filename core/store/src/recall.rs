//! How a member whose data directory was empty comes back into elections, and how it helps another to do so. The rule, and
//! why it is enough, stands in `amnesia`.

use crate::amnesia;
use crate::error::FatalError;
use crate::frame::{Body, PastAnswer, PastAsk};
use crate::node::{Event, Node};

/// Election timeouts after which the operator hears for whom this member waits.
const PATIENCE: usize = 3;

impl Node {
    /// Asks those who have not answered. Called once a tick: a question may be lost.
    pub(crate) fn ask_past(&mut self) {
        let Some(amnesia) = &mut self.amnesia else { return };
        let ask = PastAsk { life: amnesia.life() };
        for peer in amnesia.unheard() {
            self.links.send(*peer, Body::PastAsk(ask));
        }
        amnesia.ticks += 1;
        if amnesia.ticks == PATIENCE * self.config.election_ticks && !amnesia.unheard().is_empty() {
            let unheard = amnesia.unheard();
            let absent = self.config.members.iter().filter(|member| unheard.contains(&member.id));
            let names: Vec<_> =
                absent.map(|member| format!("{} ({})", member.name, member.peer_addr)).collect();
            self.shared.note(format!(
                "the data directory was empty at the first start, so this member takes no part in elections until every \
                 other member has answered it once; it still waits for {}",
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
        if amnesia.past().is_some() {
            return;
        }
        amnesia.learn(from, answer);
        let Some((term, index)) = amnesia.past() else { return };
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
            events.push(Event::Proven(ended));
        })));
    }

    pub(crate) fn proven(&mut self, ended: Result<(), String>) -> Result<(), FatalError> {
        ended.map_err(|error| {
            FatalError::Log(format!("cannot remove the mark of a new directory: {error}"))
        })?;
        self.amnesia = None;
        self.end_silence();
        Ok(())
    }
}
