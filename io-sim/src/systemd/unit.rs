//! One unit in systemd's memory.

use super::definition::{Definition, Kind};
use super::port::Answer;
use fleet::model::SystemdState;
use fleet::systemd::JobResult;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What systemd has read of a unit's file.
#[derive(Clone)]
pub(super) enum Loaded {
    /// There was no file.
    NotFound,
    /// The file says nonsense.
    Bad(String),
    /// This.
    Yes(Arc<Definition>),
}

impl Loaded {
    /// Reads the file of `name`, if there is one.
    pub fn of(name: &str, text: Option<&String>) -> Loaded {
        match text.map(|text| Definition::read(name, text)) {
            None => Loaded::NotFound,
            Some(Err(why)) => Loaded::Bad(why),
            Some(Ok(definition)) => Loaded::Yes(Arc::new(definition)),
        }
    }

    pub fn definition(&self) -> Option<&Arc<Definition>> {
        match self {
            Loaded::Yes(definition) => Some(definition),
            Loaded::NotFound | Loaded::Bad(_) => None,
        }
    }
}

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// At rest.
    Dead,
    /// At rest, and remembered as failed.
    Failed,
    /// A oneshot whose process runs, or a start that hangs.
    Starting,
    /// Its process runs, or it is active without one by its kind.
    Active,
    /// Active, its process has ended well.
    Exited,
    /// Told to end, not gone yet.
    Stopping,
    /// Waits to be started again.
    AutoRestart,
}

/// What a job is to bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobKind {
    Start,
    Stop,
}

/// The one job that a unit may have.
pub(super) struct Job {
    pub kind: JobKind,
    /// Tells it from later ones.
    pub id: u64,
    /// Its turn has come.
    pub runs: bool,
    /// A start that has begun to act on the unit, and did not find it going down first.
    pub acts: bool,
    /// Who waits for its end.
    pub waiting: Vec<Answer<JobResult>>,
}

/// A unit.
pub(super) struct Unit {
    pub loaded: Loaded,
    pub phase: Phase,
    /// The number of its last movement: an alarm set before it is void.
    pub turn: u64,
    /// The run of its process in the record.
    pub run: Option<usize>,
    /// When it was started of late, for the start limit.
    pub starts: VecDeque<Duration>,
    pub job: Option<Job>,
}

impl Unit {
    pub fn new(loaded: Loaded) -> Unit {
        Unit { loaded, phase: Phase::Dead, turn: 0, run: None, starts: VecDeque::new(), job: None }
    }

    /// Its state in systemd's words.
    pub fn state(&self) -> SystemdState {
        let load = match self.loaded {
            Loaded::NotFound => "not-found",
            Loaded::Bad(_) => "bad-setting",
            Loaded::Yes(_) => "loaded",
        };
        let (active, sub) = match self.phase {
            Phase::Dead => ("inactive", "dead"),
            Phase::Failed => ("failed", "failed"),
            Phase::Starting => ("activating", "start"),
            Phase::Active => ("active", self.active_word()),
            Phase::Exited => ("active", "exited"),
            Phase::Stopping => ("deactivating", "stop-sigterm"),
            Phase::AutoRestart => ("activating", "auto-restart"),
        };
        SystemdState::new(load, active, sub)
    }

    fn active_word(&self) -> &'static str {
        match self.loaded.definition().map(|definition| definition.kind) {
            Some(Kind::Other(word)) => word,
            _ => "running",
        }
    }

    /// Whether systemd may forget it.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Dead && self.job.is_none()
    }

    /// Counts a start at `now`; whether the start limit allows it.
    pub fn may_start(&mut self, now: Duration, definition: &Definition) -> bool {
        let (interval, burst) = definition.start_limit;
        if interval.is_zero() || burst == 0 {
            return true;
        }
        while self.starts.front().is_some_and(|at| *at + interval <= now) {
            self.starts.pop_front();
        }
        if self.starts.len() >= burst {
            return false;
        }
        self.starts.push_back(now);
        assert!(self.starts.len() <= burst, "no more starts are remembered than count");
        true
    }
}
