//! How a member whose state is damaged gets that of another while it goes on.
//!
//! Damage is found by whoever reads the state's file: a client's read, apply, a checkpoint, the scrub; or by comparing with the
//! others (see `marks`). What needs the file fails from then on, and clients are told to go elsewhere; the log is whole, so the
//! member goes on to vote, to acknowledge, and to apply what needs nothing that is damaged. An entry that does need it *halts*
//! apply: it and all behind it stay in the log in memory.
//!
//! Meanwhile the member asks the others in turn for their state (not by Raft's way, which would stop the member's acknowledgements for
//! as long as it takes). It comes as a snapshot does, is read back whole, and is brought forward by the entries that were
//! applied here after it was taken; then it must have this member's own state hash, and takes the place of the damaged one. What
//! apply had halted before follows. Nobody who reads sees the state go back.
//!
//! A leader hands leadership over first. A member that is alone has nobody to ask, and ends; so does one to whom nobody can send, or
//! that would have to keep too much in memory: its next start sets the damaged file aside and takes part in the cluster as one
//! that lost its state (see `salvage`).

use crate::apply::Applier;
use crate::error::FatalError;
use crate::event::Fetched;
use crate::frame::{Body, StateAsk};
use crate::meter;
use crate::node::Node;
use crate::snapshot;
use consensus::{Entry, Role};
use kernel::spawn::run_on;
use kernel::{Bug, KvError};
use mvcc::Loaded;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Election time-outs after which another member is asked, while nothing comes.
const ASK_AGAIN: u32 = 2;
/// Election time-outs after which a member gives up that knows nobody who could send it a state.
const GIVE_UP: u32 = 5;
/// Repairs after which the pause before the next is no longer doubled.
const DOUBLINGS: u32 = 6;
/// Bytes of log that are kept in memory while a state is fetched.
const HELD_BYTES: usize = 256 << 20;

/// A repair under way.
pub struct Repair {
    /// What is wrong.
    pub why: String,
    since: Duration,
    ask_at: Duration,
    asked: usize,
    /// What is applied here was found to be wrong, not what is stored.
    pub diverged: bool,
    /// States that had another hash than this member at the same index.
    refuted: usize,
    /// No entry behind this index is forgotten: a state that comes is of this index at least.
    pub floor: u64,
    arrived: Option<Fetched>,
}

impl Node {
    /// Begins a repair if something is damaged. Called in each turn.
    pub(crate) fn note_damage(&mut self) -> Result<(), FatalError> {
        if self.run.repair.is_some() {
            return Ok(());
        }
        let Some(why) = self.store.damage() else { return Ok(()) };
        self.io.probe.sometimes("node: the state is damaged");
        meter::add(&self.shared.meter.state_damages);
        let path = format!("{}/state.redb", self.config.dir);
        if self.persist.is_alone() {
            return Err(FatalError::State(format!(
                "the state file {path} is damaged ({why}), and a single member has no second copy of it"
            )));
        }
        self.shared.note(format!(
            "CORRUPT: the state {path} is damaged ({why}): it is fetched from the other members; until then clients are sent \
             elsewhere. Check the disk"
        ));
        let now = self.io.clock.now();
        self.begin_repair(why, false, now);
        Ok(())
    }

    fn begin_repair(&mut self, why: String, diverged: bool, now: Duration) {
        // A disk that goes bad again and again must not keep the others busy with sending.
        let doubled = 2_u32.pow(self.run.repairs.min(DOUBLINGS));
        let pause = if self.run.repairs == 0 { 0 } else { doubled };
        self.run.repair = Some(Repair {
            why,
            since: now,
            ask_at: now + pause * self.config.election_timeout(),
            asked: 0,
            diverged,
            refuted: 0,
            floor: self.store.applied(),
            arrived: None,
        });
    }

    /// A majority has another state than this member.
    pub(crate) fn is_wrong(&mut self, why: String) {
        if self.run.repair.is_some() {
            return;
        }
        self.io.probe.sometimes("node: the state differs from that of a majority");
        self.shared.note(format!(
            "CORRUPT: this member's state is wrong, {why}: it is fetched from the other members. Check the memory of this machine"
        ));
        meter::add(&self.shared.meter.state_damages);
        let now = self.io.clock.now();
        self.store.forsake(why.clone());
        self.begin_repair(why, true, now);
        self.halt(self.store.applied());
        self.hub.cancel_all(KvError::state_damaged());
    }

    /// Asks the next member, unless something is on its way. Called once a tick.
    pub(crate) fn ask_for_state(&mut self, now: Duration) -> Result<(), FatalError> {
        if self.run.repair.is_none() {
            return Ok(());
        }
        let patience = self.config.election_timeout();
        let able: Vec<u64> =
            self.run.versions.iter().filter(|(_, version)| **version >= 2).map(|(id, _)| *id).collect();
        let held = self.consensus.status().log_bytes;
        let Some(repair) = &mut self.run.repair else { return Ok(()) };
        if held > HELD_BYTES || able.is_empty() && now >= repair.since + GIVE_UP * patience {
            return Err(FatalError::State(format!(
                "{}, and no member could send another while this one ran",
                repair.why
            )));
        }
        if repair.arrived.is_some() && now >= repair.ask_at {
            // The log here does not get there. Perhaps it needs a snapshot to go on, whose way this state is in.
            self.io.probe.sometimes("node: a state that was fetched is too new");
            repair.arrived = None;
            repair.ask_at = now + ASK_AGAIN * patience;
        }
        let receiving = self.receiving.load(Ordering::Acquire);
        if able.is_empty() || repair.arrived.is_some() || receiving || now < repair.ask_at {
            return Ok(());
        }
        let peer = able[repair.asked % able.len()];
        repair.asked += 1;
        repair.ask_at = now + ASK_AGAIN * patience;
        // Nothing older is on its way: what is forgotten in memory from now on is of no use to anybody.
        repair.floor = self.store.applied();
        let ask = StateAsk { at_least: repair.floor };
        self.tell(peer, Body::StateAsk(ask));
        if self.consensus.role() == Role::Leader {
            self.hand_over();
        }
        Ok(())
    }

    /// A leader whose state is damaged lets another lead.
    fn hand_over(&mut self) {
        let peers = self.consensus.status().peers;
        let best = peers.iter().filter(|peer| peer.id != self.config.member_id && peer.active);
        if let Some(best) = best.max_by_key(|peer| peer.matched) {
            self.io.probe.sometimes("node: a leader with a damaged state hands over");
            self.consensus.transfer_leader(best.id);
        }
    }

    /// Sends this member's state to those whose own is damaged, as soon as it is new enough for them.
    pub(crate) fn lend_states(&mut self) {
        if self.run.asked_for.is_empty() || self.run.repair.is_some() {
            return;
        }
        let applied = self.store.applied();
        for (to, _) in self.run.asked_for.extract_if(.., |_, at_least| *at_least <= applied) {
            if self.run.lending.insert(to) {
                snapshot::lend(&self.io, &self.identity, &self.store, &self.events, to);
            }
        }
    }

    /// A state that was asked for is here.
    pub(crate) fn state_arrived(&mut self, fetched: Fetched) {
        if let Some(repair) = &mut self.run.repair {
            repair.arrived = Some(fetched);
        }
    }

    /// Puts the state that has come in the place of the damaged one, once this member's log reaches to it.
    pub(crate) async fn mend(&mut self) -> Result<(), FatalError> {
        let Some(repair) = &mut self.run.repair else { return Ok(()) };
        let commit = self.consensus.status().commit;
        if repair.arrived.as_ref().is_none_or(|fetched| fetched.loaded.store().applied() > commit) {
            return Ok(());
        }
        let fetched = repair.arrived.take().expect("looked at above");
        let (at, applied) = (fetched.loaded.store().applied(), self.store.applied());
        let tail = if at < applied { self.consensus.entries(at + 1, applied + 1) } else { Vec::new() };
        if tail.len() as u64 != applied.saturating_sub(at) {
            self.io.probe.sometimes("node: a state that was fetched is too old");
            return Ok(());
        }
        let hash = (!repair.diverged && at <= applied).then(|| self.store.state_hash());
        let (store, planted) = (self.store.clone(), self.io.planted);
        let tail = if planted.is(Bug::RepairGoesBack) { Vec::new() } else { tail };
        let job = move || {
            take_over(fetched.loaded, &store, tail, hash.filter(|_| !planted.is(Bug::RepairGoesBack)))
        };
        match run_on(&self.state_worker, job).await {
            Some(Ok(())) => self.is_mended(),
            Some(Err(mvcc::Error::BadSnapshot(why))) => {
                self.refute(why);
                Ok(())
            }
            Some(Err(error)) => Err(FatalError::State(error.to_string())),
            None => Err(FatalError::State("the state's thread has ended".to_string())),
        }
    }

    /// A state that came was refused. If as many as make a majority of the others have another hash than this member, it is this
    /// member's own that is wrong.
    fn refute(&mut self, why: String) {
        self.io.probe.sometimes("node: a state that was fetched was refused");
        self.shared.note(format!("a state that was fetched from another member was refused: {why}"));
        let Some(repair) = &mut self.run.repair else { return };
        repair.refuted += 1;
        repair.ask_at = Duration::ZERO;
        if repair.refuted > self.identity.peers.len() / 2 && !repair.diverged {
            repair.diverged = true;
            let why = repair.why.clone();
            self.store.forsake(why);
            self.halt(self.run.halted.unwrap_or(self.store.applied()));
            self.hub.cancel_all(KvError::state_damaged());
        }
    }

    fn is_mended(&mut self) -> Result<(), FatalError> {
        self.io.probe.sometimes("node: the state was repaired from a peer");
        meter::add(&self.shared.meter.state_repairs);
        self.run.repairs += 1;
        self.shared.note(format!(
            "the damaged state was replaced by that of another member, at index {}",
            self.store.applied()
        ));
        self.state_replaced();
        let now = self.io.clock.now();
        if self.consensus.role() == Role::Leader {
            // This leader itself may have renewed any of them a moment ago.
            self.leases.lessor.promote(now, Duration::ZERO, self.store.leases());
        }
        let handed = self.run.halted.take().unwrap_or(0);
        self.consensus.advance_applied(self.store.applied());
        let next = self.store.applied() + 1;
        if handed >= next {
            let entries = self.consensus.entries(next, handed + 1);
            if entries.len() as u64 != handed + 1 - next {
                return Err(FatalError::State(format!(
                    "entries {next} to {handed} are not in memory any more"
                )));
            }
            self.io.probe.sometimes("node: apply goes on after a repair");
            self.apply(entries)?;
        }
        self.answer_reads(now);
        Ok(())
    }

    /// What follows from another state in the place of this one, however it came.
    pub(crate) fn state_replaced(&mut self) {
        let diverged = self.run.repair.take().is_some_and(|repair| repair.diverged);
        self.marks.forget();
        self.applier.installed(&self.store);
        if diverged {
            self.hub.begin_anew(self.store.revision(), KvError::state_damaged());
        } else {
            self.hub.reset(self.store.revision());
        }
        self.run.last_checkpoint = self.store.checkpointed();
        self.run.previous_checkpoint = self.run.last_checkpoint;
    }

    /// Apply cannot go on at `index`: what it needs is damaged. Whoever waits for more to be applied is told to go elsewhere.
    pub(crate) fn halt(&mut self, index: u64) {
        self.io.probe.sometimes("node: apply halts at damage");
        self.run.halted = Some(index);
        for waiter in self.reads.take_if(|_| true) {
            waiter.fail(KvError::state_damaged());
        }
    }
}

/// Brings a state forward by `tail`, holds it to `hash`, and puts it in the place of `store`'s.
fn take_over(
    loaded: Loaded,
    store: &mvcc::Store,
    tail: Vec<Entry>,
    hash: Option<u64>,
) -> Result<(), mvcc::Error> {
    let refused = |why: String| mvcc::Error::BadSnapshot(why);
    let mut applier = Applier::of(loaded.store()).map_err(refused)?;
    for entry in tail {
        applier.repeat(loaded.store(), entry).map_err(refused)?;
    }
    if hash.is_some_and(|hash| hash != loaded.store().state_hash()) {
        let index = loaded.store().applied();
        return Err(refused(format!(
            "at index {index} it is not what this member had applied: one of the two is wrong"
        )));
    }
    loaded.take_over(store)
}
