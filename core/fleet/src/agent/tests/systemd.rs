//! A systemd that obeys a script, and writes down every verb that it is given.
//!
//! Far simpler than the model of the simulator: a unit runs from its start to its stop, a oneshot for as long as a start takes.
//! Verbs can be made slow, refused, or lost with the bus.

use super::room::{Process, Room};
use crate::model::SystemdState;
use crate::systemd::*;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use kernel::{BoxFuture, Clock, Spawn};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a verb on files takes.
const FILES: Duration = Duration::from_millis(1);
/// How long reading all files anew takes.
const RELOAD: Duration = Duration::from_millis(20);

/// The scripted systemd. Clones share it.
#[derive(Clone)]
pub struct Script {
    room: Room,
    process: Arc<Process>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, String>,
    read: BTreeSet<String>,
    units: BTreeMap<String, SystemdState>,
    listeners: Vec<mpsc::UnboundedSender<Change>>,
    log: Vec<String>,
    faults: Faults,
    jobs: usize,
    most_jobs: usize,
    /// Counts jobs of a unit: a newer one takes the place of the older.
    newest: BTreeMap<String, u64>,
    check: Option<Check>,
}

type Check = Box<dyn Fn(&str, &str) + Send>;

fn put(set: &mut BTreeSet<String>, name: &str, yes: bool) {
    if yes {
        set.insert(name.to_owned());
    } else {
        set.remove(name);
    }
}

/// What goes wrong.
#[derive(Clone, Default)]
pub struct Faults {
    /// Starting these is refused.
    pub refused: BTreeSet<String>,
    /// How long a start takes; a millisecond otherwise.
    pub start_takes: BTreeMap<String, Duration>,
    /// These do not stop unless they are killed.
    pub stubborn: BTreeSet<String>,
    /// The bus is away.
    pub gone: bool,
    /// The machine is going down.
    pub stopping: bool,
}

impl Script {
    pub fn new(room: &Room) -> Script {
        Script { room: room.clone(), process: room.process(), state: Arc::default() }
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.lock().unwrap().faults);
    }

    /// A unit takes so long to start.
    pub fn slow(&self, name: &str, takes: Duration) {
        self.state.lock().unwrap().faults.start_takes.insert(name.to_owned(), takes);
    }

    /// Starting it is refused, or not any more.
    pub fn refuse(&self, name: &str, yes: bool) {
        put(&mut self.state.lock().unwrap().faults.refused, name, yes);
    }

    /// It does not stop unless it is killed, or does again.
    pub fn stubborn(&self, name: &str, yes: bool) {
        put(&mut self.state.lock().unwrap().faults.stubborn, name, yes);
    }

    /// Every install and start is shown to `check` first.
    pub fn check(&self, check: impl Fn(&str, &str) + Send + 'static) {
        self.state.lock().unwrap().check = Some(Box::new(check));
    }

    /// The files in the units directory, with their texts.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.state.lock().unwrap().files.clone()
    }

    /// The machine is switched off and on: units, and files of `/run`, are gone.
    pub fn power_cycle(&self) {
        let mut state = self.state.lock().unwrap();
        (state.files, state.read, state.units) = Default::default();
        state.newest.values_mut().for_each(|newest| *newest += 1);
        state.listeners.clear();
    }

    fn show(&self, verb: &str, name: &str) {
        if let Some(check) = &self.state.lock().unwrap().check {
            check(verb, name);
        }
    }

    /// The verbs since the last look, one a line.
    pub fn log(&self) -> String {
        std::mem::take(&mut self.state.lock().unwrap().log).join("\n")
    }

    /// Most jobs that were under way at a time.
    pub fn most_jobs(&self) -> usize {
        self.state.lock().unwrap().most_jobs
    }

    /// The units that run.
    pub fn running(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.units.iter().filter(|(_, unit)| !unit.is_at_rest()).map(|(name, _)| name.clone()).collect()
    }

    /// The files in the units directory.
    pub fn files(&self) -> Vec<String> {
        self.state.lock().unwrap().files.keys().cloned().collect()
    }

    /// A unit changes behind everybody's back.
    pub fn set(&self, name: &str, active: &str, sub: &str) {
        self.move_to(name, active, sub);
    }

    /// Somebody deletes a file; systemd says nothing of it.
    pub fn delete_file(&self, name: &str) {
        self.state.lock().unwrap().files.remove(name);
    }

    /// Says that anything may have changed.
    pub fn resync(&self) {
        self.tell(Change::Resync);
    }

    fn tell(&self, change: Change) {
        let mut state = self.state.lock().unwrap();
        if !state.faults.gone {
            state.listeners.retain(|listener| listener.unbounded_send(change.clone()).is_ok());
        }
    }

    fn move_to(&self, name: &str, active: &str, sub: &str) {
        self.state.lock().unwrap().units.insert(name.to_owned(), SystemdState::new("loaded", active, sub));
        self.tell(Change::Unit(name.to_owned()));
    }

    fn note(&self, text: String) {
        let now = self.room.now();
        self.state.lock().unwrap().log.push(format!("{:.3} {text}", now.as_secs_f64()));
    }

    async fn pause(&self, time: Duration) {
        self.room.sleep_until(self.room.now() + time).await;
    }

    fn away(&self) -> SystemdResult<()> {
        match self.state.lock().unwrap().faults.gone {
            true => Err(SystemdError::Gone("the bus is away".to_owned())),
            false => Ok(()),
        }
    }

    /// A job goes on when whoever asked for it has died.
    async fn apart(
        &self,
        job: impl Future<Output = SystemdResult<JobResult>> + Send + 'static,
    ) -> SystemdResult<JobResult> {
        let (sender, receiver) = oneshot::channel();
        let told = async move { drop(sender.send(job.await)) };
        self.process.spawn("job", Box::pin(told));
        receiver.await.expect("a job ends")
    }

    /// Begins a job: its number.
    fn begin(&self, name: &str) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.jobs += 1;
        state.most_jobs = state.most_jobs.max(state.jobs);
        let newest = state.newest.entry(name.to_owned()).or_default();
        *newest += 1;
        *newest
    }

    fn is_newest(&self, name: &str, job: u64) -> bool {
        self.state.lock().unwrap().newest.get(name) == Some(&job)
    }

    fn end(&self) {
        self.state.lock().unwrap().jobs -= 1;
    }

    async fn start_job(&self, name: &str) -> SystemdResult<JobResult> {
        let (text, takes) = {
            let state = self.state.lock().unwrap();
            if state.faults.refused.contains(name) {
                return Err(SystemdError::Refused(format!("{name} is refused")));
            }
            let Some(text) = state.files.get(name).filter(|_| state.read.contains(name)) else {
                return Err(SystemdError::NoSuchUnit(format!("{name} not found")));
            };
            (text.clone(), state.faults.start_takes.get(name).copied().unwrap_or(FILES))
        };
        if self.running().contains(&name.to_owned()) {
            return Ok(JobResult::Done);
        }
        let job = self.begin(name);
        self.move_to(name, "activating", "start");
        let until = self.room.now() + takes;
        while self.room.now() < until && self.is_newest(name, job) {
            self.pause(FILES).await;
        }
        self.end();
        if !self.is_newest(name, job) {
            return Ok(JobResult::Canceled);
        }
        if text.contains("/bin/false") {
            self.move_to(name, "failed", "failed");
            return Ok(JobResult::Failed);
        }
        match text.contains("oneshot") {
            true => self.move_to(name, "inactive", "dead"),
            false => self.move_to(name, "active", "running"),
        }
        Ok(JobResult::Done)
    }

    async fn stop_job(&self, name: &str) -> SystemdResult<JobResult> {
        if !self.running().contains(&name.to_owned()) {
            return Ok(JobResult::Done);
        }
        let job = self.begin(name);
        self.move_to(name, "deactivating", "stop-sigterm");
        loop {
            self.pause(FILES).await;
            let stubborn = self.state.lock().unwrap().faults.stubborn.contains(name);
            let runs = self.running().contains(&name.to_owned());
            if !stubborn || !runs || !self.is_newest(name, job) {
                break;
            }
        }
        self.end();
        if !self.is_newest(name, job) {
            return Ok(JobResult::Canceled);
        }
        self.move_to(name, "inactive", "dead");
        Ok(JobResult::Done)
    }
}

impl Systemd for Script {
    fn install<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            self.note(format!("install {name}"));
            self.show("install", name);
            self.away()?;
            self.pause(FILES).await;
            let mut state = self.state.lock().unwrap();
            state.files.insert(name.to_owned(), text.to_owned());
            state.read.remove(name);
            Ok(())
        })
    }

    fn uninstall<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            self.note(format!("uninstall {name}"));
            self.away()?;
            self.pause(FILES).await;
            assert!(!self.running().contains(&name.to_owned()), "{name} was uninstalled while it ran");
            self.state.lock().unwrap().files.remove(name);
            Ok(())
        })
    }

    fn reload(&self) -> BoxFuture<'_, SystemdResult<()>> {
        Box::pin(async move {
            self.note("reload".to_owned());
            self.away()?;
            let seen: BTreeSet<String> = self.state.lock().unwrap().files.keys().cloned().collect();
            self.pause(RELOAD).await;
            self.state.lock().unwrap().read = seen;
            Ok(())
        })
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>> {
        Box::pin(async move {
            self.note(format!("start {name}"));
            self.show("start", name);
            self.away()?;
            let (script, unit) = (self.clone(), name.to_owned());
            self.apart(async move { script.start_job(&unit).await }).await
        })
    }

    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>> {
        Box::pin(async move {
            self.note(format!("stop {name}"));
            self.away()?;
            let (script, unit) = (self.clone(), name.to_owned());
            self.apart(async move { script.stop_job(&unit).await }).await
        })
    }

    fn kill<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            self.note(format!("kill {name}"));
            self.away()?;
            if self.running().contains(&name.to_owned()) {
                self.move_to(name, "failed", "failed");
            }
            Ok(())
        })
    }

    fn reset_failed<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            self.away()?;
            let failed = |unit: &SystemdState| unit.active == "failed";
            if self.state.lock().unwrap().units.get(name).is_some_and(failed) {
                self.move_to(name, "inactive", "dead");
            }
            Ok(())
        })
    }

    fn installed(&self) -> BoxFuture<'_, SystemdResult<BTreeMap<String, String>>> {
        Box::pin(async move {
            self.away()?;
            self.pause(FILES).await;
            Ok(self.state.lock().unwrap().files.clone())
        })
    }

    fn states<'a>(
        &'a self,
        names: &'a [String],
    ) -> BoxFuture<'a, SystemdResult<BTreeMap<String, SystemdState>>> {
        Box::pin(async move {
            self.away()?;
            self.pause(FILES).await;
            let state = self.state.lock().unwrap();
            let unknown = |name: &String| match state.read.contains(name) {
                true => SystemdState::new("loaded", "inactive", "dead"),
                false => SystemdState::new("not-found", "inactive", "dead"),
            };
            let of = |name: &String| state.units.get(name).cloned().unwrap_or_else(|| unknown(name));
            Ok(names.iter().map(|name| (name.clone(), of(name))).collect())
        })
    }

    fn stopping(&self) -> BoxFuture<'_, SystemdResult<bool>> {
        Box::pin(async move {
            self.away()?;
            Ok(self.state.lock().unwrap().faults.stopping)
        })
    }

    fn changes(&self) -> Box<dyn Changes> {
        let (sender, receiver) = mpsc::unbounded();
        self.state.lock().unwrap().listeners.push(sender);
        Box::new(Listener(receiver))
    }
}

struct Listener(mpsc::UnboundedReceiver<Change>);

impl Changes for Listener {
    fn next(&mut self) -> BoxFuture<'_, Change> {
        Box::pin(async move {
            match self.0.next().await {
                Some(change) => change,
                None => std::future::pending().await,
            }
        })
    }
}
