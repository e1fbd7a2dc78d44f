//! What an onlooker sees on one machine: which unit's process ran from when to when, with which text, and why it began and
//! ended. Checkers read this, and nothing that fleet says about itself.

use fleet::unit::UnitHash;
use std::time::Duration;

/// One life of one unit's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The unit.
    pub unit: String,
    /// The text it was started from.
    pub hash: UnitHash,
    /// World time at which it began.
    pub from: Duration,
    /// Why it began.
    pub began: Began,
    /// World time at which it was gone, and why; `None` while it runs.
    pub until: Option<(Duration, Ended)>,
}

impl Run {
    /// Whether the process existed at world time `at`.
    pub fn is_at(&self, at: Duration) -> bool {
        self.from <= at && self.until.is_none_or(|(until, _)| at < until)
    }
}

/// Why a process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// A start job that was asked for over the bus.
    Job,
    /// `Restart=`.
    Restart,
}

/// Why a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Itself,
    /// It crashed: a fault of the plan.
    Crashed,
    /// A stop job or a kill that was asked for over the bus.
    Asked,
    /// Somebody stopped it behind the agent's back.
    Behind,
    /// A start job that timed out.
    TimedOut,
    /// The machine went down.
    PowerLoss,
}

/// Every run of one machine, in the order in which they began.
#[derive(Default)]
pub(super) struct Record(Vec<Run>);

impl Record {
    /// A process begins; the number names its run.
    pub fn begins(&mut self, run: Run) -> usize {
        assert!(run.until.is_none(), "a run of {} begins without an end", run.unit);
        self.0.push(run);
        self.0.len() - 1
    }

    /// The process of run `number` is gone.
    pub fn ends(&mut self, number: usize, at: Duration, why: Ended) {
        let run = &mut self.0[number];
        assert!(run.until.is_none(), "the process of {} ends once", run.unit);
        assert!(run.from <= at, "{} ends after it began", run.unit);
        run.until = Some((at, why));
    }

    /// All of them.
    pub fn runs(&self) -> &[Run] {
        &self.0
    }
}
