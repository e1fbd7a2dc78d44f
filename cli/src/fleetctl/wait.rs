//! Waiting until the cluster has done what was asked.
//!
//! What counts is what a fresh look shows, never what an event says: the event stream, where the server has one, only tells when a
//! look is worth while. Without it (fleet 1.0) a look is taken four times a second. Who waits long is told why, in the
//! scheduler's words.

use super::args::Line;
use super::failure::Failure;
use super::session::Session;
use fleet::unit::{Requirements, UnitName};
use http::Method;
use io_real::fleet_client::schema::{Unit, UnitState};
use io_real::fleet_client::{Chunks, escape};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Time from look to look without an event stream.
const LOOK: Duration = Duration::from_millis(250);

/// Time from look to look while an event stream says when to look.
const LOOK_WITH_EVENTS: Duration = Duration::from_secs(2);

/// Events come in swarms: one look for all within this time.
const SWARM: Duration = Duration::from_millis(20);

/// One attempt of `--block-attempts`.
const ATTEMPT: Duration = Duration::from_secs(2);

/// When the reason is asked for the first time, and how often.
const ASK_WHY: Duration = Duration::from_secs(3);

/// From so many units on, one list is cheaper than a call for each.
const LIST_FROM: usize = 16;

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// So long.
    For(Duration),
    /// Until it is done.
    Forever,
}

impl Patience {
    /// What `--no-block` and `--block-attempts` say.
    pub fn read(line: &Line) -> Result<Patience, Failure> {
        if line.switch("no-block")? {
            return Ok(Patience::None);
        }
        match line.text("block-attempts").as_str() {
            "" | "0" | "-1" => Ok(Patience::Forever),
            _ => Ok(Patience::For(
                ATTEMPT * u32::try_from(line.number("block-attempts")?).unwrap_or(u32::MAX / 4),
            )),
        }
    }

    /// One attempt rather than none.
    pub fn at_least_once(self) -> Patience {
        if self == Patience::None { Patience::For(ATTEMPT) } else { self }
    }
}

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The registry has the unit.
    Known,
    /// It has this current state.
    Current(&'static str),
    /// systemd says that it runs: with these contents, or, once a oneshot, that it has run.
    Active {
        /// Hash of the contents.
        hash: String,
        /// Whether it is done when it has run.
        oneshot: bool,
    },
    /// Every copy reports that it has carried out this start.
    Run(u64),
    /// Neither the registry nor any machine has it.
    Absent,
}

/// The goal that a unit runs with the contents that the registry has now.
pub async fn active(session: &Session, name: &str) -> Result<Goal, Failure> {
    let unit = session.unit(name).await?;
    let file = super::resolve::contents(&unit)?;
    let parsed = UnitName::parse(name).ok();
    let requirements = parsed.and_then(|name| Requirements::read(&name, &file).ok());
    let oneshot = requirements.is_some_and(|requirements| requirements.oneshot);
    Ok(Goal::Active { hash: file.hash().to_string(), oneshot })
}

/// What a look has shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Done,
    NotYet,
    Failed(String),
}

/// Waits until every goal is reached, and tells of each as it is.
pub async fn until(session: &Session, goals: Vec<(String, Goal)>, patience: Patience) -> Result<(), Failure> {
    let began = Instant::now();
    let mut pending: VecDeque<(String, Goal)> = goals.into();
    let mut failed = false;
    let mut bell: Option<Bell> = None;
    let mut reasons = Reasons::new(began);
    loop {
        let view = View::take(session, &pending).await?;
        for (name, goal) in std::mem::take(&mut pending) {
            match view.check(&name, &goal) {
                Seen::Done => tell(session, &view, &name, &goal).await,
                Seen::NotYet => pending.push_back((name, goal)),
                Seen::Failed(text) => {
                    eprintln!("{text}");
                    failed = true;
                }
            }
        }
        if pending.is_empty() {
            return if failed { Err(Failure::quiet(1)) } else { Ok(()) };
        }
        if let Patience::For(limit) = patience
            && began.elapsed() >= limit
        {
            return Err(timed_out(&pending));
        }
        reasons.tell(session, &pending).await;
        match &mut bell {
            Some(bell) => bell.wait(patience, began).await,
            // Between the look above and the first event something may happen: look once more at once.
            none => *none = Some(Bell::new(session).await),
        }
    }
}

fn timed_out(pending: &VecDeque<(String, Goal)>) -> Failure {
    let texts = pending.iter().map(|(name, goal)| match goal {
        Goal::Known => format!("timed out waiting for unit {name} to appear in the registry"),
        Goal::Current(state) => format!("timed out waiting for unit {name} to report state {state}"),
        Goal::Active { .. } => format!("timed out waiting for unit {name} to report active state"),
        Goal::Run(_) => format!("timed out waiting for unit {name} to be restarted"),
        Goal::Absent => format!("timed out waiting for unit {name} to leave its machine"),
    });
    Failure::error(format!("Error waiting for units: {}", texts.collect::<Vec<_>>().join("; ")))
}

/// What fleet prints when a unit is where it should be.
async fn tell(session: &Session, view: &View, name: &str, goal: &Goal) {
    let unit = view.units.get(name).and_then(Option::as_ref);
    match (goal, unit) {
        (Goal::Known | Goal::Current(_), Some(unit)) => {
            let global = super::cells::is_global(unit);
            let current = if unit.current_state.is_empty() || global {
                &unit.desired_state
            } else {
                &unit.current_state
            };
            let document = json!({ "unit": name, "state": current, "machineID": unit.machine_id });
            let mut text = format!("Unit {name} {current}");
            if !unit.machine_id.is_empty() {
                text += &format!(" on {}", session.machine_cell(&unit.machine_id, false).await);
            }
            session.progress(&text, &document);
        }
        (Goal::Run(_), _) => {
            session.progress(&format!("Unit {name} restarted"), &json!({ "unit": name, "restarted": true }));
        }
        (Goal::Absent, _) => {
            session.progress(&format!("Destroyed {name}"), &json!({ "unit": name, "destroyed": true }));
        }
        _ => {}
    }
}

/// One look at what is waited for.
struct View {
    units: BTreeMap<String, Option<Unit>>,
    states: BTreeMap<String, Vec<UnitState>>,
}

impl View {
    async fn take(session: &Session, pending: &VecDeque<(String, Goal)>) -> Result<View, Failure> {
        let mut view = View { units: BTreeMap::new(), states: BTreeMap::new() };
        let with_states =
            pending.iter().any(|(_, goal)| matches!(goal, Goal::Active { .. } | Goal::Run(_) | Goal::Absent));
        let failed = |error| Failure::of("Error waiting for units", &error);
        if pending.len() >= LIST_FROM {
            for unit in session.client.units().await.map_err(failed)? {
                view.units.insert(unit.name.clone(), Some(unit));
            }
            if with_states {
                for state in session.client.states("").await.map_err(failed)? {
                    view.states.entry(state.name.clone()).or_default().push(state);
                }
            }
            return Ok(view);
        }
        for (name, _) in pending {
            view.units.insert(name.clone(), session.client.unit(name).await.map_err(failed)?);
            if with_states {
                view.states.insert(name.clone(), session.client.states(name).await.map_err(failed)?);
            }
        }
        Ok(view)
    }

    fn check(&self, name: &str, goal: &Goal) -> Seen {
        let unit = self.units.get(name).and_then(Option::as_ref);
        let states = self.states.get(name).map(Vec::as_slice).unwrap_or_default();
        let done = |reached: bool| if reached { Seen::Done } else { Seen::NotYet };
        match (goal, unit) {
            (Goal::Absent, unit) => done(unit.is_none() && states.is_empty()),
            (Goal::Known, unit) => done(unit.is_some()),
            (_, None) => Seen::Failed(format!("Unit {name} was destroyed meanwhile")),
            (Goal::Current("launched") | Goal::Active { .. } | Goal::Run(_), Some(unit)) if has_run(unit) => {
                Seen::Done
            }
            (Goal::Current(state), Some(unit)) => done(unit.current_state == *state),
            (Goal::Run(run), Some(_)) => {
                let reported = |state: &UnitState| state.more.get("run").and_then(Value::as_u64).unwrap_or(0);
                done(!states.is_empty() && states.iter().all(|state| reported(state) >= *run))
            }
            (Goal::Active { hash, oneshot }, Some(_)) => running(name, states, hash, *oneshot),
        }
    }
}

/// Whether it is a oneshot that has run to its end, and may have left its machine since.
fn has_run(unit: &Unit) -> bool {
    unit.more.get("done").and_then(Value::as_bool).unwrap_or(false)
}

/// What systemd says of a unit that was started.
pub(super) fn running(name: &str, states: &[UnitState], hash: &str, oneshot: bool) -> Seen {
    for state in states.iter().filter(|state| state.hash.is_empty() || state.hash == *hash) {
        match (state.systemd_load_state.as_str(), state.systemd_active_state.as_str()) {
            ("loaded", "active") => return Seen::Done,
            ("loaded", "inactive") if oneshot && state.systemd_sub_state == "dead" => return Seen::Done,
            ("loaded", "failed") => {
                return Seen::Failed(format!(
                    "Unit {name} failed on {}: see fleetctl status {name} and fleetctl journal {name}",
                    super::cells::id(&state.machine_id, false)
                ));
            }
            (load @ ("bad-setting" | "error" | "masked"), "inactive" | "failed") => {
                let machine = super::cells::id(&state.machine_id, false);
                let text =
                    format!("Unit {name} cannot be started on {machine}: systemd says {load} of its file");
                return Seen::Failed(text);
            }
            _ => {}
        }
    }
    Seen::NotYet
}

/// What says when to look again.
pub struct Bell {
    events: Option<Box<dyn Chunks>>,
}

impl Bell {
    /// A bell rung by the server's events, if it has them, and by the clock.
    pub async fn new(session: &Session) -> Bell {
        let opened = session.client.call(Method::GET, "events", None::<Value>).await;
        Bell { events: opened.ok().map(|answer| answer.body) }
    }

    /// Waits until a look is worth while, and no longer than patience lasts.
    async fn wait(&mut self, patience: Patience, began: Instant) {
        let mut next = Instant::now() + if self.events.is_some() { LOOK_WITH_EVENTS } else { LOOK };
        if let Patience::For(limit) = patience {
            next = next.min(began + limit);
        }
        self.rings_before(next).await;
    }

    /// Waits until something has happened, or that time.
    pub async fn rings_before(&mut self, next: Instant) {
        let Some(events) = &mut self.events else {
            return tokio::time::sleep_until(next).await;
        };
        match tokio::time::timeout_at(next, events.next()).await {
            Ok(Some(Ok(_))) => tokio::time::sleep(SWARM).await,
            // The stream has ended: from now on by the clock alone.
            Ok(None | Some(Err(_))) => self.events = None,
            Err(_) => {}
        }
    }
}

/// What was said of units that do not come.
struct Reasons {
    next: Instant,
    said: BTreeMap<String, String>,
}

impl Reasons {
    fn new(began: Instant) -> Reasons {
        Reasons { next: began + ASK_WHY, said: BTreeMap::new() }
    }

    /// Tells what keeps the first of those that are waited for, once for each reason.
    async fn tell(&mut self, session: &Session, pending: &VecDeque<(String, Goal)>) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + ASK_WHY;
        let Some((name, goal)) = pending.front() else { return };
        let text = reason(session, name, goal).await;
        if !text.is_empty() && self.said.insert(name.clone(), text.clone()).as_ref() != Some(&text) {
            eprintln!("Waiting for {name}: {text}");
        }
    }
}

/// What a machine says of the unit; of one that is on no machine, what the scheduler says.
async fn reason(session: &Session, name: &str, goal: &Goal) -> String {
    let states = session.client.states(name).await.unwrap_or_default();
    if let Some(state) = states.first() {
        let error = state.more.get("error").and_then(Value::as_str).unwrap_or_default();
        let machine = session.machine_cell(&state.machine_id, false).await;
        let (active, sub) = (&state.systemd_active_state, &state.systemd_sub_state);
        let comma = if error.is_empty() { "" } else { ", " };
        return format!("{active} ({sub}) on {machine}{comma}{error}");
    }
    if !matches!(goal, Goal::Current("launched" | "loaded")) {
        return String::new();
    }
    why(session, name).await
}

/// What the scheduler says of a unit; empty if nobody can be asked.
pub async fn why(session: &Session, name: &str) -> String {
    let path = format!("units/{}/why", escape(name));
    let why = session.client.json::<Value>(Method::GET, &path, None).await.unwrap_or_default();
    why.get("text").and_then(Value::as_str).unwrap_or_default().to_string()
}
