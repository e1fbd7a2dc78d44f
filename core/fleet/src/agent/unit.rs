//! One unit as the agent sees it: the order, the file, systemd's state, the report, and the job under way.
//!
//! Facts only; what follows from them is [`crate::reconcile`]'s.

use super::config::{RETRY_FIRST, RETRY_MOST, TELLING_PERIOD, TELLINGS};
use super::event::{CallId, Fault};
use crate::model::{DesiredState, Order, Report, SystemdState};
use crate::reconcile::{Activity, Actual, Step, Wish};
use crate::systemd::{JobResult, SystemdError};
use crate::unit::{PartitionPolicy, Requirements, UnitFile, UnitHash, UnitName};
use std::sync::Arc;
use std::time::Duration;

/// One unit on this machine.
#[derive(Debug, Default)]
pub struct Unit {
    /// What the cluster wants, and at which mod revision that was said.
    pub order: Option<(Order, i64)>,
    /// There is an order that cannot be read.
    pub obscure: bool,
    /// The text of an order and what it asks for, once it was fetched and until it is installed.
    pub text: Option<(Installed, Arc<str>)>,
    /// What is in the units directory.
    pub file: Option<Installed>,
    /// systemd has not read its files since this one came, changed or went.
    pub unread: bool,
    /// The reload under way reads it as it is.
    pub reading: bool,
    /// systemd's view.
    pub state: SystemdState,
    /// How old that view is.
    pub sight: Sight,
    /// Whether the agent has started it since it was installed, and has not stopped it since. `None`: it was found, and there
    /// is no report that tells.
    pub launched: Option<bool>,
    /// Whether that is known from an earlier life only, by whose last word it ran.
    pub doubtful: bool,
    /// The order's `run` that was carried out last. `None`: it was found, and there is no report that tells.
    pub run: Option<u64>,
    /// The report that the store holds under the present lease.
    pub written: Option<Report>,
    /// A report may be in the store whose writing was not confirmed.
    pub maybe_written: bool,
    /// What is being done.
    pub job: Option<Job>,
    /// A start that a stop has overtaken, and that has not ended yet.
    pub overtaken: Option<CallId>,
    /// A stop has ended; whether the unit rests is to be seen.
    pub stopped: Option<JobResult>,
    /// How the last start ended, where this process has seen it.
    pub started: Option<JobResult>,
    /// The cluster knows that the oneshot has run.
    pub finished: bool,
    /// What went wrong last, and when it is tried again.
    pub trouble: Option<Trouble>,
    /// The reports written since a moment not long ago.
    pub tellings: (Duration, u32),
    /// When it was last sent SIGKILL.
    pub killed: Option<Duration>,
}

/// A file that is in the units directory, or shall be.
#[derive(Debug)]
pub struct Installed {
    /// Hash of its canonical text.
    pub hash: UnitHash,
    /// What it asks for.
    pub requirements: Requirements,
}

/// How old a state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Something happened since: ask.
    #[default]
    Stale,
    /// It was asked for, and nothing happened since.
    Asked,
    /// As of now, as far as is known.
    Fresh,
}

/// A step that is being carried out.
#[derive(Debug)]
pub struct Job {
    /// The call.
    pub id: CallId,
    /// What is being done.
    pub step: Step,
    /// The order for which it is done.
    pub order: Option<Order>,
}

/// A step that went wrong.
#[derive(Debug)]
pub struct Trouble {
    /// Which.
    pub step: Step,
    /// Why.
    pub error: String,
    /// How often in a row.
    pub times: u32,
    /// When.
    pub since: Duration,
    /// When it is tried again.
    pub until: Duration,
}

impl Installed {
    /// Reads a unit's text as it is (to be) in the units directory. A text that is no unit file has a hash that no order names.
    pub fn read(name: &UnitName, text: &str) -> Installed {
        let file = UnitFile::parse(text);
        let hash = file.as_ref().map_or(UnitHash([0; 20]), UnitFile::hash);
        let requirements = file.ok().and_then(|file| Requirements::read(name, &file).ok());
        Installed { hash, requirements: requirements.unwrap_or_default() }
    }
}

impl Unit {
    /// What the cluster wants of it.
    pub fn wish(&self) -> Wish {
        self.order.as_ref().map_or(Wish::Absent, |(order, _)| Wish::Ordered(order.clone()))
    }

    /// What is there.
    pub fn actual(&self) -> Actual {
        Actual {
            file: self.file.as_ref().map(|file| file.hash),
            read: !self.unread,
            activity: self.activity(),
            launched: self.launched(),
            run: self.run(),
            reported: self.written.is_some() || self.maybe_written,
            claimed: self.is_claimed(),
            has_text: self.order_text().is_some(),
            finished: self.is_to_finish(),
        }
    }

    /// Whether the store knows that the unit may be running here; if it is to be started, that it may have been.
    fn is_claimed(&self) -> bool {
        self.written
            .as_ref()
            .is_some_and(|written| written.launched || written.starting || !self.is_starting())
    }

    /// Whether it is about to be started, or may be starting.
    fn is_starting(&self) -> bool {
        let ordered = self.order.as_ref().is_some_and(|(order, _)| order.state == DesiredState::Launched);
        let begun = self.overtaken.is_some() || self.job.as_ref().is_some_and(|job| job.step == Step::Start);
        (ordered || begun) && !self.launched()
    }

    /// Whether it runs.
    pub fn activity(&self) -> Activity {
        match self.sight {
            Sight::Stale | Sight::Asked => Activity::Unknown,
            Sight::Fresh if self.state.is_at_rest() => Activity::AtRest,
            Sight::Fresh => Activity::Running,
        }
    }

    /// Whether it ran when it was last seen.
    pub fn was_seen_running(&self) -> bool {
        !self.state.active.is_empty() && !self.state.is_at_rest()
    }

    /// Whether it was on its way to rest when it was last seen.
    fn is_ending(&self) -> bool {
        self.state.active == "deactivating"
    }

    /// Whether it was started. Where nobody remembers, a unit that runs or has failed was; but one that stops when cut off may have
    /// been killed for that, and is started again.
    pub fn launched(&self) -> bool {
        let failed = self.state.active == "failed" && !self.stops_when_cut_off();
        self.launched.unwrap_or(self.was_seen_running() || failed)
    }

    /// What an earlier life of this agent said of it.
    pub fn remember(&mut self, report: Report) {
        self.doubtful = self.launched.is_none() && report.launched && !report.state.is_at_rest();
        // Whether a start that was about to be called was called is to be seen.
        let started = if report.launched || !report.starting { Some(report.launched) } else { None };
        self.launched = self.launched.or(started);
        self.run = self.run.or(Some(report.run));
        if self.state.active.is_empty() {
            self.state = report.state.clone();
        }
        self.written = Some(report);
        self.settle_doubt();
    }

    /// A unit that stops when cut off, ran by the last word of an earlier life, and rests now, was stopped by that life when it could
    /// tell nobody: it is to be started again. A oneshot that has come to its end is not. One that is on its way to rest tells when it
    /// is there.
    fn settle_doubt(&mut self) {
        if self.sight != Sight::Fresh || !self.doubtful || self.is_ending() {
            return;
        }
        self.doubtful = false;
        let oneshot = self.file.as_ref().is_some_and(|file| file.requirements.oneshot);
        let has_ended = oneshot && self.state.active == "inactive";
        if self.stops_when_cut_off() && self.state.is_at_rest() && !has_ended {
            self.launched = Some(false);
        }
    }

    /// The `run` that was carried out. Where nobody remembers, the one that is ordered: nothing restarts for want of a memory.
    fn run(&self) -> u64 {
        self.run.unwrap_or_else(|| self.order.as_ref().map_or(0, |(order, _)| order.run))
    }

    /// The text of its order.
    pub fn order_text(&self) -> Option<Arc<str>> {
        self.fetched().map(|(_, text)| text.clone())
    }

    fn fetched(&self) -> Option<&(Installed, Arc<str>)> {
        let (order, _) = self.order.as_ref()?;
        self.text.as_ref().filter(|(file, _)| file.hash == order.hash)
    }

    /// What holds when the machine is cut off: what the order's text says, for that is what the engine goes by, or else the file's,
    /// until that text was fetched.
    fn rules(&self) -> Option<&Requirements> {
        let ordered = self.fetched().map(|(file, _)| file);
        ordered.or(self.file.as_ref()).map(|file| &file.requirements)
    }

    /// A oneshot that has run by the present order, which the cluster does not know.
    fn is_to_finish(&self) -> bool {
        let (Some((order, _)), Some(file)) = (&self.order, &self.file) else { return false };
        file.requirements.oneshot
            && !self.finished
            && order.state == DesiredState::Launched
            && file.hash == order.hash
            && self.launched()
            && self.run() == order.run
            && self.activity() == Activity::AtRest
            && self.state.active == "inactive"
            && matches!(self.started, None | Some(JobResult::Done))
    }

    /// Whether it must not run once the lease may have ended.
    pub fn stops_when_cut_off(&self) -> bool {
        self.rules().is_some_and(|rules| rules.partition == PartitionPolicy::Stop)
    }

    /// How long it may take to stop once the lease may have ended.
    pub fn stop_grace(&self) -> Duration {
        self.rules().map(|rules| rules.stop_grace).unwrap_or_default()
    }

    /// What is to be said of it.
    pub fn report(&self) -> Report {
        let ordered = self.order.as_ref().map(|(order, _)| order.hash);
        Report {
            state: self.state.clone(),
            hash: self.file.as_ref().map(|file| file.hash).or(ordered).unwrap_or(UnitHash([0; 20])),
            launched: self.launched(),
            starting: self.is_starting(),
            run: self.run(),
            error: self.error(),
        }
    }

    /// Whether the report in the store is not what is so.
    pub fn has_news(&self) -> bool {
        let releasing = self.job.as_ref().is_some_and(|job| job.step == Step::Release);
        self.written.as_ref().is_some_and(|written| {
            let report = self.report();
            // That it is about to be started is told by the claim.
            let starting = report.starting && written.starting;
            !releasing && *written != Report { starting, ..report }
        })
    }

    /// Whether a report may be written now: a unit that comes and goes many times a second does not write as often.
    pub fn may_tell(&self, now: Duration) -> bool {
        let (since, count) = self.tellings;
        count < TELLINGS || now >= since + TELLING_PERIOD
    }

    /// When it may be told of again, where it had to wait.
    pub fn tells_at(&self) -> Option<Duration> {
        let (since, count) = self.tellings;
        (count >= TELLINGS).then_some(since + TELLING_PERIOD)
    }

    /// A report was written.
    pub fn told(&mut self, now: Duration) {
        assert!(self.written.is_some(), "told of without a report");
        let (since, count) = self.tellings;
        self.tellings = if now >= since + TELLING_PERIOD { (now, 1) } else { (since, count + 1) };
    }

    fn error(&self) -> String {
        match (&self.trouble, self.started) {
            (Some(trouble), _) => format!("{}: {}", trouble.step.as_str(), trouble.error),
            (None, Some(result)) if result != JobResult::Done && self.state.active != "active" => {
                format!("start: {}", result_text(result))
            }
            _ => String::new(),
        }
    }

    /// A step went wrong: it is tried again after a pause that doubles.
    pub fn fail(&mut self, step: Step, error: String, now: Duration) {
        let same = self.trouble.as_ref().filter(|trouble| trouble.step == step);
        let before = same.map_or(0, |trouble| trouble.times);
        let pause = RETRY_FIRST.saturating_mul(1 << before.min(16)).min(RETRY_MOST);
        assert!((RETRY_FIRST..=RETRY_MOST).contains(&pause), "a pause of {pause:?}");
        self.trouble = Some(Trouble { step, error, times: before + 1, since: now, until: now + pause });
    }

    /// A step went wrong for a reason that has nothing to do with the unit: it is tried again as soon as may be.
    fn fail_for_now(&mut self, step: Step, error: String, now: Duration) {
        self.trouble = Some(Trouble { step, error, times: 0, since: now, until: now + RETRY_FIRST });
    }

    /// A step went wrong in the store or in systemd.
    pub fn fault(&mut self, step: Step, fault: &Fault, now: Duration) {
        match fault {
            Fault::NoLease | Fault::Moved | Fault::Store(_) | Fault::Systemd(SystemdError::Gone(_)) => {
                self.fail_for_now(step, fault.to_string(), now);
            }
            Fault::Systemd(_) => self.fail(step, fault.to_string(), now),
        }
    }

    /// A step went well: what is known of its troubles is past.
    pub fn succeed(&mut self, step: Step) {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.step == step) {
            self.trouble = None;
        }
    }

    /// Whether `step` is to wait because it went wrong a short time ago.
    pub fn must_wait(&self, step: Step, now: Duration) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.step == step && now < trouble.until)
    }

    /// The cluster has changed its mind: what went wrong may go well now.
    pub fn forgive(&mut self) {
        self.trouble = None;
    }

    /// Whether its state matters for what is done next, or for what is said. Before systemd has read a new file it has nothing
    /// to say about it.
    pub fn is_watched(&self, purging: bool) -> bool {
        let Some(file) = &self.file else { return self.unread };
        let ordered = self.order.as_ref().is_some_and(|(order, _)| order.hash == file.hash);
        !self.unread || !ordered || purging || self.stops_when_cut_off()
    }

    /// `step` went wrong a very short time ago.
    pub fn waits_a_little(&self, step: Step, now: Duration) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.step == step && now < trouble.since + RETRY_FIRST)
    }

    /// Its state has been seen.
    pub fn saw(&mut self, state: &SystemdState, now: Duration) {
        self.state = state.clone();
        if self.sight != Sight::Asked {
            // Something has happened since it was asked for.
            return;
        }
        self.sight = Sight::Fresh;
        self.settle_doubt();
        if self.state.is_at_rest() && self.killed.take().is_some() {
            // It did not fail: it is to be started again once it may run.
            self.launched = Some(false);
        }
        let Some(result) = self.stopped.take() else { return };
        if self.state.is_at_rest() {
            self.launched = Some(false);
        } else {
            self.fail(Step::Stop, format!("it still runs: {}", result_text(result)), now);
        }
    }

    /// Nobody remembers whether it was started: what can be seen must do, once and for all.
    pub fn guess(&mut self) {
        if self.sight == Sight::Fresh {
            // Not by this life: by the one before, perhaps, because it was cut off.
            self.doubtful |= self.launched.is_none() && self.is_ending();
            self.launched = Some(self.launched());
            self.run = Some(self.run());
        }
    }

    /// A start has ended, and nobody knows whether it was one.
    pub fn may_have_started(&mut self) {
        self.launched = self.launched.filter(|launched| *launched);
    }

    /// The state is another now, or may be.
    pub fn look_again(&mut self) {
        self.sight = Sight::Stale;
    }

    /// The file is there, whole. systemd has not read it.
    pub fn installed(&mut self, file: Installed) {
        self.file = Some(file);
        (self.unread, self.reading) = (true, false);
        self.forget_runs();
    }

    /// The file is gone. systemd has not read that.
    pub fn uninstalled(&mut self) {
        self.file = None;
        (self.unread, self.reading) = (true, false);
        self.forget_runs();
        self.look_again();
    }

    fn forget_runs(&mut self) {
        (self.launched, self.run) = (Some(false), Some(0));
        (self.started, self.finished) = (None, false);
    }
}

/// The word for how a job ended, in a report's `error`.
pub fn result_text(result: JobResult) -> &'static str {
    match result {
        JobResult::Done => "done",
        JobResult::Canceled => "another job took its place",
        JobResult::Timeout => "it took longer than the unit allows",
        JobResult::Failed => "the unit failed",
        JobResult::Dependency => "a unit that it requires failed",
        JobResult::Skipped => "there was nothing to do: a condition was not met",
    }
}
