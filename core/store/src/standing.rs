//! What members tell each other about themselves once a second: a digest of their state, and what is wrong with them.
//!
//! The digest is compared with this member's own (see `marks`). The rest is for operators: whoever asks one member hears of the
//! alarms of all. Nobody acts on them, and they are not in the log: a member that is down, or of a version that does not tell,
//! has none.

use crate::frame::{Body, Standing};
use crate::marks::{Marks, Verdict};
use crate::node::Node;
use std::time::Duration;

/// Ticks between two tellings.
const TELL_TICKS: u32 = 10;
/// How long two members may seem to differ before that is said.
const PATIENCE: Duration = Duration::from_secs(3);

impl Node {
    /// Sends `body` to `peer`, if it speaks a version of the protocol that has such a thing.
    pub(crate) fn tell(&self, peer: u64, body: Body) {
        if self.run.versions.get(&peer).is_some_and(|version| *version >= body.since()) {
            self.links.send(peer, body);
        }
    }

    /// Tells the others how this member stands, now and then and when something was found. Called once a tick.
    pub(crate) fn tell_standing(&mut self) {
        let corrupt = !self.corruption().is_empty();
        self.run.standing_ticks += 1;
        if self.run.standing_ticks < TELL_TICKS && corrupt == self.run.told_corrupt {
            return;
        }
        (self.run.standing_ticks, self.run.told_corrupt) = (0, corrupt);
        let (index, state_hash) = self.marks.newest();
        let standing = Standing { index, state_hash, corrupt, no_space: self.has_no_space() };
        for peer in self.identity.peers.keys() {
            self.tell(*peer, Body::Standing(standing));
        }
    }

    /// What is damaged here, or wrong, and not mended yet; empty for nothing.
    pub(crate) fn corruption(&self) -> String {
        if let Some(repair) = &self.run.repair {
            return format!("the state is damaged: {}", repair.why);
        }
        if let Some(damage) = &self.run.log_damage {
            return damage.to_string();
        }
        if let Some(lost) = self.quarantine {
            return format!(
                "entries up to {lost} that this member had acknowledged are damaged or missing in its log"
            );
        }
        self.run.differs.clone()
    }

    pub(crate) fn has_no_space(&self) -> bool {
        self.persist.is_full() || self.run.no_room
    }

    /// A peer tells how it stands.
    pub(crate) fn hear_standing(&mut self, peer: u64, standing: Standing) {
        self.run.standings.insert(peer, standing);
        let verdict = self.marks.hear(peer, standing.index, standing.state_hash);
        self.weigh(verdict);
    }

    /// Takes note of the state after an entry was applied.
    pub(crate) fn mark_applied(&mut self, index: u64) {
        if Marks::wants(index) {
            let verdict = self.marks.note(index, self.store.state_hash());
            self.weigh(verdict);
        }
    }

    fn weigh(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Nothing => {}
            Verdict::Agrees => {
                self.run.differing = None;
                self.run.differs.clear();
            }
            Verdict::Wrong { index } => {
                self.is_wrong(format!(
                    "its state hash at index {index} is not that of a majority of the members"
                ));
            }
            Verdict::Differs { peer, index } => {
                let now = self.io.clock.now();
                let since = *self.run.differing.get_or_insert(now);
                // The others may only be late to tell.
                if now >= since + PATIENCE && self.run.differs.is_empty() {
                    self.they_differ(peer, index);
                }
            }
        }
    }

    fn they_differ(&mut self, peer: u64, index: u64) {
        self.io.probe.sometimes("node: two members differ");
        self.run.differs = format!(
            "at index {index} this member and member {peer:x} have different states, and no majority says which is right"
        );
        self.shared.note(format!(
            "CORRUPT: {}. Compare them by hand (etcdctl endpoint hashkv), and empty the data directory of the one that is wrong",
            self.run.differs
        ));
    }

    /// An operator takes back what this member says of a difference that nobody could decide; whether there was one. What is being
    /// repaired is not taken back.
    pub(crate) fn disarm(&mut self) -> bool {
        let differed = !std::mem::take(&mut self.run.differs).is_empty();
        if differed {
            self.run.differing = None;
            self.marks.forget();
        }
        differed
    }
}
