//! Apply: one committed entry, one change of the state. The same on every member, because it depends on nothing else.

use crate::config::{Observation, Observer};
use crate::membership::Membership;
use crate::proposal::Proposal;
use bytes::Bytes;
use consensus::{ConfChange, Consensus, Entry, SnapshotMark};
use kernel::KvError;
use kernel::watch::Event;
use mvcc::{Command, Response, Store};
use prost::Message as _;
use std::sync::Arc;

/// Applies entries for one member.
pub struct Applier {
    member_id: u64,
    observer: Option<Arc<dyn Observer>>,
    last_term: u64,
    membership: Membership,
}

/// Why an entry was not applied.
#[derive(Debug)]
pub enum Refusal {
    /// This member cannot follow the log and must stop.
    Diverged(String),
    /// What the entry needs of the state is damaged. Nothing has changed.
    Damaged,
}

impl From<String> for Refusal {
    fn from(why: String) -> Refusal {
        Refusal::Diverged(why)
    }
}

/// What came of an entry.
pub struct Outcome {
    /// The command, for whoever follows the leases.
    pub command: Option<Command>,
    /// The request of this member that the entry answers.
    pub own_request: Option<u64>,
    /// The answer.
    pub result: Result<Response, KvError>,
    /// The store's revision afterwards.
    pub revision: i64,
    /// What changed, for the watchers.
    pub events: Vec<Event>,
}

impl Outcome {
    fn nothing(revision: i64) -> Self {
        Outcome { command: None, own_request: None, result: Ok(Response::None), revision, events: Vec::new() }
    }
}

impl Applier {
    /// For `member_id`, whose state holds `membership` and has applied an entry of `term` last.
    pub fn new(
        member_id: u64,
        observer: Option<Arc<dyn Observer>>,
        term: u64,
        membership: Membership,
    ) -> Self {
        Applier { member_id, observer, last_term: term, membership }
    }

    /// For the state of `store`, of which nobody is told: to bring forward a state that was fetched.
    pub fn of(store: &Store) -> Result<Self, String> {
        let stored = store.conf_state().ok_or("it does not say who the members are")?;
        Ok(Applier::new(0, None, store.applied_term(), Membership::from_bytes(stored)?))
    }

    /// Applies `entry`.
    pub fn apply(
        &mut self,
        store: &Store,
        consensus: &mut Consensus,
        entry: Entry,
    ) -> Result<Outcome, Refusal> {
        if let Some(observer) = &self.observer {
            observer.applying(entry.index);
        }
        if entry.is_conf_change() {
            assert!(entry.index > 0 && entry.term >= self.last_term, "entries come in order");
            self.last_term = entry.term;
            return Ok(self.change_conf(store, consensus, entry)?);
        }
        self.apply_plain(store, entry)
    }

    /// Passes over `entry`, which the state holds already; consensus still has to hear of a change of the members.
    pub fn skip(&mut self, consensus: &mut Consensus, entry: Entry) -> Result<(), String> {
        if entry.is_conf_change() {
            let change = ConfChange::decode(entry.data.clone())
                .map_err(|error| format!("unreadable change: {error}"))?;
            consensus.apply_conf_change(&change).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Applies `entry` to a state that was fetched; this member has applied it before.
    pub fn repeat(&mut self, store: &Store, entry: Entry) -> Result<(), String> {
        if entry.is_conf_change() {
            return Err(format!("entry {} changes the members", entry.index));
        }
        let index = entry.index;
        match self.apply_plain(store, entry) {
            Ok(_) => Ok(()),
            Err(Refusal::Diverged(why)) => Err(why),
            Err(Refusal::Damaged) => Err(format!("entry {index} cannot be applied to it")),
        }
    }

    fn apply_plain(&mut self, store: &Store, entry: Entry) -> Result<Outcome, Refusal> {
        assert!(entry.index > 0 && entry.term >= self.last_term, "entries come in order");
        if entry.data.is_empty() {
            self.last_term = entry.term;
            store.note_applied(entry.index, entry.term, None);
            self.observe_applied(store, &entry, Bytes::new());
            return Ok(Outcome::nothing(store.revision()));
        }
        let proposal = Proposal::decode(entry.data.clone())?;
        if let Some(published) = proposal.publish {
            self.last_term = entry.term;
            self.membership.publish(published);
            return Ok(self.note_membership(store, &entry));
        }
        let command = proposal.to_command()?;
        let applied = match store.apply(entry.index, entry.term, &command) {
            Ok(applied) => applied,
            Err(error) if store.is_damage(&error) => return Err(Refusal::Damaged),
            Err(error) => return Err(Refusal::Diverged(error.to_string())),
        };
        self.last_term = entry.term;
        self.observe_applied(store, &entry, proposal.command);
        let own_request = (proposal.member == self.member_id).then_some(proposal.request);
        Ok(Outcome {
            command: Some(command),
            own_request,
            result: applied.result,
            revision: applied.revision,
            events: applied.events,
        })
    }

    fn change_conf(
        &mut self,
        store: &Store,
        consensus: &mut Consensus,
        entry: Entry,
    ) -> Result<Outcome, String> {
        let change =
            ConfChange::decode(entry.data.clone()).map_err(|error| format!("unreadable change: {error}"))?;
        let conf_state = consensus.apply_conf_change(&change).map_err(|error| error.to_string())?;
        self.membership.conf_state = Some(conf_state);
        Ok(self.note_membership(store, &entry))
    }

    /// The members have changed: the state keeps them with the applied index.
    fn note_membership(&self, store: &Store, entry: &Entry) -> Outcome {
        store.note_applied(entry.index, entry.term, Some(self.membership.to_bytes()));
        self.observe_applied(store, entry, Bytes::new());
        Outcome::nothing(store.revision())
    }

    /// The members now.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    fn observe_applied(&self, store: &Store, entry: &Entry, command: Bytes) {
        if self.observer.is_some() {
            self.observe(Observation::Applied {
                index: entry.index,
                term: entry.term,
                command,
                state_hash: store.state_hash(),
                revision: store.revision(),
            });
        }
    }

    /// Tells the observer.
    pub fn observe(&self, what: Observation) {
        if let Some(observer) = &self.observer {
            observer.observe(what);
        }
    }

    /// The state was replaced by a snapshot.
    pub fn installed(&mut self, store: &Store) {
        self.last_term = store.applied_term();
        if let Some(membership) = store.conf_state().and_then(|bytes| Membership::from_bytes(bytes).ok()) {
            self.membership = membership;
        }
        self.observe(Observation::Installed { index: store.applied(), state_hash: store.state_hash() });
    }

    /// Offers the present state to followers whose log ends before this member's begins.
    pub fn offer_snapshot(&self, store: &Store, consensus: &mut Consensus) {
        consensus.offer_snapshot(SnapshotMark {
            index: store.applied(),
            term: self.last_term,
            conf_state: self.membership.conf_state.clone(),
        });
    }
}
