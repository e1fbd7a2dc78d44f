//! What one systemd holds, and how its units move: jobs run, processes begin and end, restarts happen.
//!
//! A unit has one job at a time; a job of the other kind takes the place of one that waits ("replace"). Every movement of a
//! unit ends in [`State::becomes`], which counts the unit's turn, says so in a signal, and lets a waiting job go on. An
//! alarm (a process that ends by itself, a restart) carries the turn it was set in and is void in any other.

use super::definition::{Definition, Kind};
use super::faults::SystemdFaults;
use super::port::Answer;
use super::record::{Began, Ended, Record, Run};
use super::signals::Subscribers;
use super::unit::{Job, JobKind, Loaded, Phase, Unit};
use super::{Held, SimSystemd, draws::Draws};
use fleet::systemd::JobResult;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a start hangs that is to time out.
const HANG: Duration = Duration::from_secs(3);

/// One machine's systemd, files and processes.
pub(super) struct State {
    /// Counts boots: what was set before is void.
    pub boot: u32,
    /// The units directory.
    pub files: BTreeMap<String, String>,
    pub units: BTreeMap<String, Unit>,
    pub record: Record,
    pub subscribers: Subscribers,
    pub faults: SystemdFaults,
    pub draws: Draws,
    /// Counts connections to the bus; odd while the bus is away.
    pub connection: u64,
    /// Nothing arrives before this: systemd does one thing after the other.
    pub busy_until: Duration,
    /// A reload is under way; messages wait for its end.
    pub reloads: bool,
    pub messages: Vec<Held>,
    pub stopping: bool,
    pub frozen: bool,
    pub held: Vec<Held>,
    pub jobs: u64,
    /// Numbers the movements of all units, so that an alarm of a unit that was forgotten and read anew is void.
    pub turns: u64,
}

impl State {
    fn unit(&mut self, name: &str) -> &mut Unit {
        self.units.get_mut(name).expect("a unit that moves is in memory")
    }

    /// Reads the file of a unit that is in memory.
    pub fn read(&mut self, name: &str) {
        let loaded = Loaded::of(name, self.files.get(name));
        self.unit(name).loaded = loaded;
    }

    /// Loads a unit that is not in memory yet, or had no file.
    pub fn read_if_new(&mut self, name: &str) -> Loaded {
        let known = self.units.get(name).map(|unit| unit.loaded.clone());
        match known {
            Some(loaded @ (Loaded::Yes(_) | Loaded::Bad(_))) => loaded,
            _ => {
                let loaded = Loaded::of(name, self.files.get(name));
                if !matches!(loaded, Loaded::NotFound) {
                    self.units
                        .entry(name.to_string())
                        .or_insert_with(|| Unit::new(Loaded::NotFound))
                        .loaded = loaded.clone();
                }
                loaded
            }
        }
    }

    /// Reads all files anew; systemd does nothing else meanwhile.
    pub fn reload(&mut self, host: &SimSystemd, answer: Answer<()>) {
        let takes = self.draws.reload() + self.faults.reload_slow;
        self.reloads = true;
        host.later(self.boot, takes, move |host, state| {
            let names: Vec<String> = state.units.keys().cloned().collect();
            for name in names {
                state.read(&name);
                state.forget_if_idle(&name);
            }
            host.trace(|| "has reloaded".to_string());
            answer.give(state.connection, Ok(()));
            state.reloads = false;
            state.take_messages(host);
        });
    }

    /// Carries out what has waited for the end of a reload, up to the next one.
    fn take_messages(&mut self, host: &SimSystemd) {
        let mut messages = std::mem::take(&mut self.messages).into_iter();
        for message in messages.by_ref() {
            message(host, self);
            if self.reloads {
                break;
            }
        }
        assert!(self.messages.is_empty(), "messages arrive one at a time");
        self.messages = messages.collect();
    }

    /// Drops a unit from memory that rests and has no file.
    pub fn forget_if_idle(&mut self, name: &str) {
        if !self.files.contains_key(name) && self.units.get(name).is_some_and(Unit::is_idle) {
            self.units.remove(name);
        }
    }

    /// A signal about `name` goes out, and arrives some time later.
    pub fn says(&mut self, host: &SimSystemd, name: &str) {
        let late = self.draws.signal(self.faults.signal_late);
        let (name, connection) = (name.to_string(), self.connection);
        host.later(self.boot, late, move |_, state| {
            if state.connection == connection {
                state.subscribers.say(&fleet::systemd::Change::Unit(name));
            }
        });
    }

    /// A job for a unit in memory; one of the other kind is canceled, one of the same kind is joined.
    pub fn enqueue(
        &mut self,
        host: &SimSystemd,
        name: &str,
        kind: JobKind,
        answer: Option<Answer<JobResult>>,
    ) {
        let connection = self.connection;
        self.jobs += 1;
        let id = self.jobs;
        let unit = self.unit(name);
        match unit.job.take() {
            Some(mut job) if job.kind == kind => {
                job.waiting.extend(answer);
                unit.job = Some(job);
                return;
            }
            Some(job) => {
                job.waiting.into_iter().for_each(|answer| answer.give(connection, Ok(JobResult::Canceled)));
            }
            None => {}
        }
        unit.job = Some(Job { kind, id, runs: false, acts: false, waiting: answer.into_iter().collect() });
        if kind == JobKind::Start {
            self.pull_in(host, name);
        }
        let wait = self.draws.job() + self.faults.job_slow;
        let name = name.to_string();
        host.later(self.boot, wait, move |host, state| state.run_job(host, &name, id));
    }

    /// Starts what a unit requires, before it.
    fn pull_in(&mut self, host: &SimSystemd, name: &str) {
        let requires = self.unit(name).loaded.definition().map_or(Vec::new(), |unit| unit.requires.clone());
        for other in requires {
            if let Loaded::Yes(_) = self.read_if_new(&other) {
                self.enqueue(host, &other, JobKind::Start, None);
            }
        }
    }

    fn job_ends(&mut self, host: &SimSystemd, name: &str, result: JobResult) {
        let connection = self.connection;
        let Some(job) = self.unit(name).job.take() else { return };
        job.waiting.into_iter().for_each(|answer| answer.give(connection, Ok(result)));
        if job.kind == JobKind::Start {
            self.tell_requirers(host, name, result);
        }
    }

    /// The start of `name` has ended: starts that wait for it go on, or end as it did.
    fn tell_requirers(&mut self, host: &SimSystemd, name: &str, result: JobResult) {
        let requires = |unit: &Unit| {
            unit.loaded.definition().is_some_and(|unit| unit.requires.iter().any(|other| other == name))
        };
        let starts = |unit: &Unit| unit.job.as_ref().is_some_and(|job| job.kind == JobKind::Start);
        let waiting = self.units.iter().filter(|(_, unit)| starts(unit) && requires(unit));
        let waiting: Vec<(String, bool)> = waiting
            .map(|(name, unit)| (name.clone(), unit.job.as_ref().is_some_and(|job| job.runs)))
            .collect();
        for (other, runs) in waiting {
            match (result, runs) {
                (JobResult::Done, true) => self.run_start(host, &other),
                (JobResult::Done, false) => {}
                _ => self.job_ends(host, &other, JobResult::Dependency),
            }
        }
    }

    /// Whether something that `name` requires is still to be started.
    fn waits(&self, name: &str) -> bool {
        let definition = self.units.get(name).and_then(|unit| unit.loaded.definition());
        let starting = |other: &String| self.units.get(other).is_some_and(|unit| unit.job.is_some());
        definition.is_some_and(|definition| definition.requires.iter().any(starting))
    }

    fn run_job(&mut self, host: &SimSystemd, name: &str, id: u64) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let Some(job) = unit.job.as_mut().filter(|job| job.id == id) else { return };
        job.runs = true;
        let kind = job.kind;
        host.trace(|| format!("{name}: {kind:?} job runs"));
        if self.draws.wrong(self.faults.job_cancel_permille) {
            self.job_ends(host, name, JobResult::Canceled);
            return self.forget_if_idle(name);
        }
        match kind {
            JobKind::Start => self.run_start(host, name),
            JobKind::Stop => self.run_stop(host, name),
        }
    }

    fn run_start(&mut self, host: &SimSystemd, name: &str) {
        let phase = self.unit(name).phase;
        match phase {
            Phase::Active | Phase::Exited => self.job_ends(host, name, JobResult::Done),
            // The job goes on when the unit has moved.
            Phase::Starting | Phase::Stopping => {}
            _ if self.waits(name) => {}
            Phase::Dead | Phase::Failed | Phase::AutoRestart => {
                self.job_acts(name);
                if self.draws.wrong(self.faults.job_fail_permille) {
                    self.becomes(host, name, Phase::Failed);
                } else if self.draws.wrong(self.faults.job_timeout_permille) {
                    self.hang(host, name);
                } else {
                    self.spawn(host, name, Began::Job);
                }
            }
        }
    }

    fn job_acts(&mut self, name: &str) {
        self.unit(name).job.iter_mut().for_each(|job| job.acts = true);
    }

    fn run_stop(&mut self, host: &SimSystemd, name: &str) {
        match self.unit(name).phase {
            Phase::Dead | Phase::Failed => {
                self.job_ends(host, name, JobResult::Done);
                self.forget_if_idle(name);
            }
            Phase::AutoRestart | Phase::Exited => self.becomes(host, name, Phase::Dead),
            Phase::Stopping => {}
            Phase::Starting | Phase::Active => self.terminate(host, name, Ended::Asked),
        }
    }

    /// Starts the unit's process, if the start limit allows it.
    fn spawn(&mut self, host: &SimSystemd, name: &str, began: Began) {
        let now = host.now();
        let unit = self.unit(name);
        let Some(definition) = unit.loaded.definition().cloned() else {
            return self.becomes(host, name, Phase::Failed);
        };
        if !unit.may_start(now, &definition) {
            host.trace(|| format!("{name}: start limit hit"));
            return self.becomes(host, name, Phase::Failed);
        }
        self.process_begins(host, name, &definition, began);
        let starting = definition.kind == Kind::Oneshot;
        self.becomes(host, name, if starting { Phase::Starting } else { Phase::Active });
        if let (Some(runs_for), false) =
            (definition.program.runs_for, matches!(definition.kind, Kind::Other(_)))
        {
            let exit = definition.program.exit;
            self.alarm(host, name, runs_for.max(super::SHORTEST_RUN), move |host, state, name| {
                state.process_is_gone(host, name, exit == 0, Ended::Itself);
            });
        }
    }

    /// The process begins and never says that it is ready.
    fn hang(&mut self, host: &SimSystemd, name: &str) {
        let Some(definition) = self.unit(name).loaded.definition().cloned() else {
            return self.becomes(host, name, Phase::Failed);
        };
        self.process_begins(host, name, &definition, Began::Job);
        self.becomes(host, name, Phase::Starting);
        self.alarm(host, name, HANG, |host, state, name| {
            state.run_ends(host, name, Ended::TimedOut);
            state.job_ends(host, name, JobResult::Timeout);
            state.becomes(host, name, Phase::Failed);
        });
    }

    fn process_begins(&mut self, host: &SimSystemd, name: &str, definition: &Arc<Definition>, began: Began) {
        host.trace(|| format!("{name}: process begins ({began:?}, {})", definition.hash));
        let run = Run { unit: name.into(), hash: definition.hash, from: host.now(), began, until: None };
        let number = self.record.begins(run);
        let before = self.unit(name).run.replace(number);
        assert!(before.is_none(), "{name} has one process at most");
    }

    fn run_ends(&mut self, host: &SimSystemd, name: &str, why: Ended) {
        if let Some(number) = self.unit(name).run.take() {
            host.trace(|| format!("{name}: process is gone ({why:?})"));
            self.record.ends(number, host.now(), why);
        }
    }

    /// Sends SIGTERM, and SIGKILL after the unit's time.
    pub fn terminate(&mut self, host: &SimSystemd, name: &str, why: Ended) {
        let unit = self.unit(name);
        let Some(definition) = unit.loaded.definition().cloned() else {
            self.becomes(host, name, Phase::Stopping);
            return self.stopped_after(host, name, Duration::ZERO, Phase::Dead, why);
        };
        if let Kind::Other(_) = definition.kind {
            self.run_ends(host, name, why);
            return self.becomes(host, name, Phase::Dead);
        }
        // A oneshot that was ended before it was done has failed.
        let rest = if self.unit(name).phase == Phase::Starting { Phase::Failed } else { Phase::Dead };
        self.becomes(host, name, Phase::Stopping);
        let takes = self.draws.exit();
        match definition.program.stubborn && takes < definition.stop_timeout {
            true => self.stopped_after(host, name, definition.stop_timeout, Phase::Failed, why),
            false => self.stopped_after(host, name, takes, rest, why),
        }
    }

    fn stopped_after(&mut self, host: &SimSystemd, name: &str, after: Duration, then: Phase, why: Ended) {
        self.alarm(host, name, after, move |host, state, name| {
            state.run_ends(host, name, why);
            state.becomes(host, name, then);
        });
    }

    /// SIGKILL to the unit's process.
    pub fn kill(&mut self, host: &SimSystemd, name: &str, why: Ended) {
        let Some(unit) = self.units.get(name).filter(|unit| unit.run.is_some()) else { return };
        let after = self.draws.kill();
        if unit.phase == Phase::Stopping {
            self.next_turn(name);
            return self.stopped_after(host, name, after, Phase::Failed, why);
        }
        self.alarm(host, name, after, move |host, state, name| {
            state.process_is_gone(host, name, false, why);
        });
    }

    /// A process has ended that nobody stopped by a job: what `Restart=` says happens.
    fn process_is_gone(&mut self, host: &SimSystemd, name: &str, well: bool, why: Ended) {
        self.run_ends(host, name, why);
        let unit = self.unit(name);
        let oneshot_starts = unit.phase == Phase::Starting;
        let rest = if well { Phase::Dead } else { Phase::Failed };
        let Some(definition) = unit.loaded.definition().cloned() else {
            return self.becomes(host, name, rest);
        };
        let stays = well && definition.program.remains;
        if oneshot_starts {
            self.job_ends(host, name, if well { JobResult::Done } else { JobResult::Failed });
        }
        if stays {
            return self.becomes(host, name, Phase::Exited);
        }
        // A stop that waits is not to be undone.
        let to_stop = self.unit(name).job.as_ref().is_some_and(|job| job.kind == JobKind::Stop);
        if to_stop || !definition.restart.after(well) || (oneshot_starts && well) {
            return self.becomes(host, name, rest);
        }
        self.becomes(host, name, Phase::AutoRestart);
        self.alarm(host, name, definition.restart_after, |host, state, name| {
            state.spawn(host, name, Began::Restart);
        });
    }

    fn next_turn(&mut self, name: &str) {
        self.turns += 1;
        self.unit(name).turn = self.turns;
    }

    /// Does something to the unit after a while, unless it has moved by then.
    fn alarm(
        &mut self,
        host: &SimSystemd,
        name: &str,
        after: Duration,
        then: impl FnOnce(&SimSystemd, &mut State, &str) + Send + 'static,
    ) {
        let turn = self.unit(name).turn;
        let name = name.to_string();
        host.later(self.boot, after, move |host, state| {
            if state.units.get(&name).is_some_and(|unit| unit.turn == turn) {
                then(host, state, &name);
            }
        });
    }

    /// The unit has moved.
    pub fn becomes(&mut self, host: &SimSystemd, name: &str, phase: Phase) {
        self.next_turn(name);
        let unit = self.unit(name);
        unit.phase = phase;
        let rests = matches!(phase, Phase::Dead | Phase::Failed);
        assert!(!rests || unit.run.is_none(), "{name} is at rest and has a process");
        host.trace(|| format!("{name}: {phase:?}"));
        let job = unit.job.as_ref().filter(|job| job.runs).map(|job| (job.kind, job.acts));
        match (job, phase) {
            // It came to rest before the start began to act on it: now it can.
            (Some((JobKind::Start, false)), Phase::Dead | Phase::Failed) => self.run_start(host, name),
            (Some((JobKind::Start, _)), Phase::Active | Phase::Exited) => {
                self.job_ends(host, name, JobResult::Done)
            }
            (Some((JobKind::Start, true)), Phase::Dead | Phase::Failed) => {
                self.job_ends(host, name, JobResult::Failed);
            }
            (Some((JobKind::Stop, _)), Phase::Dead | Phase::Failed) => {
                self.job_ends(host, name, JobResult::Done)
            }
            (Some((JobKind::Stop, _)), Phase::AutoRestart) => self.becomes(host, name, Phase::Dead),
            _ => {}
        }
        self.says(host, name);
        self.forget_if_idle(name);
    }
}
