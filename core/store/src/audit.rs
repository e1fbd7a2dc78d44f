//! etcd's check for corruption: the digest of all history up to a revision (HashKV), compared with that of the others.
//!
//! It reads everything, so it is off unless asked for: at a start, and then every so often. Unlike the hashes of `marks`, which are
//! folded from what was applied, it is made of what is stored. The member that checks itself hashes at its newest revision,
//! asks the others for theirs at the same one, and is wrong where a majority of all members has another. Who compacted
//! differently, is behind, or does not answer has no say in it.

use crate::event::Event;
use crate::frame::{Body, HashAnswer, HashAsk};
use crate::node::Node;
use kernel::KvError;
use mvcc::HashKv;
use std::collections::BTreeMap;
use std::time::Duration;

/// Election time-outs after a start, or after a check of which nothing came, until the (next) one.
const SETTLE: u32 = 5;

/// A check under way.
pub struct Audit {
    own: HashKv,
    answers: BTreeMap<u64, u32>,
}

/// A digest that was made on a worker.
pub struct Hashed {
    /// Who asked for it: 0 for this member.
    asker: u64,
    outcome: Result<HashKv, KvError>,
}

impl Node {
    /// Begins a check when one is due. Called once a tick.
    pub(crate) fn audit_if_due(&mut self, now: Duration) {
        let every = self.config.corrupt_check;
        if every.is_zero() && !self.config.initial_corrupt_check {
            return;
        }
        let settle = self.config.election_timeout() * SETTLE;
        let due = *self.run.audit_at.get_or_insert(if self.config.initial_corrupt_check {
            now + settle
        } else {
            now + every
        });
        if now < due || self.run.repair.is_some() || self.consensus.leader() == 0 {
            return;
        }
        self.run.audit_at = Some(if every.is_zero() { Duration::MAX } else { now + every });
        self.hash(0, 0);
    }

    /// Hashes history up to `revision` (0: the newest) for `asker`.
    fn hash(&self, asker: u64, revision: i64) {
        let (store, events) = (self.store.clone(), self.events.clone());
        drop(self.state_worker.run(Box::new(move || {
            let outcome = store.hash_kv(revision);
            events.push(Event::Hashed(Hashed { asker, outcome }));
        })));
    }

    /// Another member checks itself.
    pub(crate) fn hash_for(&mut self, asker: u64, ask: HashAsk) {
        if self.run.repair.is_none() && ask.revision > 0 && self.run.hashing.insert(asker) {
            self.hash(asker, ask.revision);
        }
    }

    /// A digest is made.
    pub(crate) fn hashed(&mut self, hashed: Hashed) {
        let Hashed { asker, outcome } = hashed;
        self.run.hashing.remove(&asker);
        // Whoever is behind or has compacted has no say; damage has been noticed where it was met.
        let Ok(found) = outcome else { return };
        if asker != 0 {
            let HashKv { hash, compact_revision, hash_revision } = found;
            let answer = HashAnswer { revision: hash_revision, compacted: compact_revision, hash };
            return self.tell(asker, Body::HashAnswer(answer));
        }
        self.io.probe.sometimes("node: compares its keys with the others");
        let ask = HashAsk { revision: found.hash_revision };
        self.run.audit = Some(Audit { own: found, answers: BTreeMap::new() });
        for peer in self.identity.peers.keys() {
            self.tell(*peer, Body::HashAsk(ask));
        }
    }

    /// Another member's digest.
    pub(crate) fn hash_answered(&mut self, from: u64, answer: HashAnswer) {
        let majority = self.config.members.len() / 2 + 1;
        let Some(audit) = &mut self.run.audit else { return };
        let own = audit.own;
        if (answer.revision, answer.compacted) != (own.hash_revision, own.compact_revision) {
            return;
        }
        audit.answers.insert(from, answer.hash);
        let against = audit.answers.values().filter(|hash| **hash == answer.hash).count();
        if answer.hash != own.hash && against >= majority {
            self.run.audit = None;
            self.is_wrong(format!(
                "its keys up to revision {} are not those of a majority of the members",
                own.hash_revision
            ));
        } else if answer.hash != own.hash {
            self.io.probe.sometimes("node: keys differ from those of another member");
            self.shared.note(format!(
                "the keys of this member up to revision {} are not those of member {from:x}: compare them with etcdctl endpoint hashkv",
                own.hash_revision
            ));
        }
    }
}
