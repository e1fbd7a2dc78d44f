//! At what pace copies of a unit are replaced: health gates, and the way back.
//!
//! A group is what is replaced together: the copies of a global unit, the instances of a template, or one unit alone. Each copy has
//! a version it was ordered to run and one it shall run. [`Rollout::step`] looks at all copies and says which to order anew:
//!
//! ```text
//!  waiting ──advance──> on probation ──up for HealthyAfter──> healthy
//!                            └── failed, or not healthy after HealthyWithin ──> the group has failed
//! ```
//!
//! At most `at_once` copies are on probation at a time. Copies that do not run anyway go first: replacing them takes nothing away.
//! A new `Rollout` (a new engine leads) that meets a half-way replacement takes every replaced copy as on probation
//! from then on: it may be slower than it had to be, never faster than it may.

use crate::model::MachineId;
use crate::unit::{UnitHash, UnitName};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a copy runs: a text, and which of the runs asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Hash of the text.
    pub hash: UnitHash,
    /// Counts requests to start again.
    pub run: u64,
}

/// One copy of one unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyId {
    /// The unit.
    pub unit: UnitName,
    /// Where.
    pub machine: MachineId,
}

/// How a copy does, judged by what its machine says of the version that it was ordered to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it shall be.
    Up,
    /// Not (yet) as it shall be.
    Down,
    /// It will not become as it shall be by itself, and why.
    Failed(String),
}

/// A copy as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What it shall run.
    pub wanted: Version,
    /// What it was ordered to run.
    pub ordered: Version,
    /// What its machine says it runs.
    pub reported: Option<Version>,
    /// How it does.
    pub health: Health,
}

/// The rules of one replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Most copies on probation at a time.
    pub at_once: u32,
    /// Up for so long is healthy.
    pub healthy_after: Duration,
    /// Not healthy after so long has failed.
    pub healthy_within: Duration,
    /// A copy that fails only ends its probation: this is the way back, and there is no way back from it.
    pub forced: bool,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Order these to run what they shall.
    pub advance: Vec<CopyId>,
    /// This copy has failed, and why: go no further.
    pub failed: Option<(CopyId, String)>,
    /// Look again then, if nothing happens before.
    pub wake: Option<Duration>,
}

/// The replacement of one group.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    probation: BTreeMap<CopyId, Probation>,
    /// Whether the group has been looked at before.
    begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probation {
    version: Version,
    since: Duration,
    up_since: Option<Duration>,
}

enum Outcome {
    Passed,
    Failed(String),
    Pending(Duration),
}

impl Rollout {
    /// Looks at all copies of the group at `now`, and says what to do. The caller orders what is in [`Turn::advance`] before it asks again.
    pub fn step(&mut self, now: Duration, pace: &Pace, copies: &BTreeMap<CopyId, Copy>) -> Turn {
        self.take_up(now, copies);
        let mut turn = Turn::default();
        let mut passed = Vec::new();
        for (id, probation) in &mut self.probation {
            let copy = &copies[id];
            match probation.judge(now, pace, copy) {
                Outcome::Pending(look) => turn.wake = turn.wake.into_iter().chain([look]).min(),
                Outcome::Failed(_) if pace.forced => passed.push(id.clone()),
                Outcome::Failed(reason) if turn.failed.is_none() => turn.failed = Some((id.clone(), reason)),
                Outcome::Failed(_) => {}
                Outcome::Passed => passed.push(id.clone()),
            }
        }
        self.probation.retain(|id, _| !passed.contains(id));
        if turn.failed.is_some() {
            return turn;
        }
        let room = (pace.at_once as usize).saturating_sub(self.probation.len());
        let mut waiting: Vec<(&CopyId, &Copy)> =
            copies.iter().filter(|(_, copy)| copy.ordered != copy.wanted).collect();
        waiting.sort_by_key(|(id, copy)| (copy.health == Health::Up, *id));
        for (id, copy) in waiting.into_iter().take(room) {
            let probation = Probation { version: copy.wanted, since: now, up_since: None };
            self.probation.insert(id.clone(), probation);
            turn.advance.push(id.clone());
            turn.wake = turn.wake.into_iter().chain([now + pace.healthy_within]).min();
        }
        assert!(
            turn.advance.is_empty() || self.probation.len() <= pace.at_once as usize,
            "more copies than allowed"
        );
        turn
    }

    /// Whether nothing is on probation.
    pub fn is_idle(&self) -> bool {
        self.probation.is_empty()
    }

    /// Forgets copies that went, that shall run something else by now, or whose order was never written or is another since;
    /// at first sight of the group, takes up what another engine began.
    fn take_up(&mut self, now: Duration, copies: &BTreeMap<CopyId, Copy>) {
        let is_under_way = |copy: &Copy, version| copy.wanted == version && copy.ordered == version;
        self.probation
            .retain(|id, probation| copies.get(id).is_some_and(|copy| is_under_way(copy, probation.version)));
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let half_way = copies.values().any(|copy| copy.ordered != copy.wanted);
        for (id, copy) in copies.iter().filter(|(_, copy)| copy.ordered == copy.wanted) {
            let unfinished = copy.reported.is_some_and(|reported| reported != copy.ordered);
            if half_way || unfinished {
                let probation = Probation { version: copy.wanted, since: now, up_since: None };
                self.probation.insert(id.clone(), probation);
            }
        }
    }
}

impl Probation {
    fn judge(&mut self, now: Duration, pace: &Pace, copy: &Copy) -> Outcome {
        let deadline = self.since + pace.healthy_within;
        // What is said of another version says nothing about this one.
        let health = if copy.reported == Some(self.version) { &copy.health } else { &Health::Down };
        match health {
            Health::Failed(reason) => return Outcome::Failed(reason.clone()),
            Health::Down => self.up_since = None,
            Health::Up => {
                let healthy_at = *self.up_since.get_or_insert(now) + pace.healthy_after;
                return if now >= healthy_at { Outcome::Passed } else { Outcome::Pending(healthy_at) };
            }
        }
        if now >= deadline {
            return Outcome::Failed(format!("it was not healthy within {} s", pace.healthy_within.as_secs()));
        }
        Outcome::Pending(deadline)
    }
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
