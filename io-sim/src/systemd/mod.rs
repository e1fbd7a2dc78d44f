//! A model of systemd: one for each machine, on the world's calendar, with the faults of real ones.
//!
//! It belongs to the machine and not to the fleetd process on it: a crash of fleetd leaves it as it is; [`SimSystemd::power_loss`]
//! empties it, because runtime units and their links live under `/run`. It carries out the verbs of the port
//! ([`fleet::systemd::Systemd`]) in the order in which they were sent, each after the time it takes on a bus. Units have systemd's
//! states, `Type=` simple and oneshot, `Restart=` and start limits; a changed file is what runs only after a reload.
//!
//! What really ran is in [`SimSystemd::runs`]: an onlooker's record, which checkers believe instead of fleet's own reports.
//!
//! Left out: dependencies between units, enabling beyond its refusal, control groups, and `ExecStop`.

mod definition;
mod draws;
mod faults;
mod port;
mod record;
mod signals;
mod state;
#[cfg(test)]
mod tests;
mod unit;

pub use definition::{Definition, Kind, Program, Restart};
pub use faults::SystemdFaults;
pub use record::{Began, Ended, Run};

use crate::sched::NodeId;
use crate::world::World;
use draws::Draws;
use fleet::model::SystemdState;
use fleet::systemd::Change;
use record::Record;
use signals::Subscribers;
use state::State;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use unit::Phase;

/// How soon a call fails while the bus is away.
const REFUSED_AFTER: Duration = Duration::from_millis(1);
/// What systemd needs for one message: keeps them apart, so that they keep their order.
const MESSAGE: Duration = Duration::from_micros(20);
/// The shortest life of a process.
const SHORTEST_RUN: Duration = Duration::from_millis(1);

/// Something to be done, with the state at hand.
type Held = Box<dyn FnOnce(&SimSystemd, &mut State) + Send>;

/// A handle to one machine's systemd; clones share it.
#[derive(Clone)]
pub struct SimSystemd {
    world: World,
    node: NodeId,
    state: Arc<Mutex<State>>,
}

/// The state of a unit that systemd does not know.
fn not_found() -> SystemdState {
    SystemdState::new("not-found", "inactive", "dead")
}

impl SimSystemd {
    /// The systemd of `node`, just booted.
    pub fn new(world: &World, node: NodeId) -> SimSystemd {
        let state = State {
            boot: 0,
            files: BTreeMap::new(),
            units: BTreeMap::new(),
            record: Record::default(),
            subscribers: Subscribers::default(),
            faults: SystemdFaults::default(),
            draws: Draws::new(world.seed(), u64::from(node.0)),
            connection: 0,
            busy_until: Duration::ZERO,
            reloads: false,
            messages: Vec::new(),
            stopping: false,
            frozen: false,
            held: Vec::new(),
            jobs: 0,
            turns: 0,
        };
        SimSystemd { world: world.clone(), node, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn now(&self) -> Duration {
        self.world.now()
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        self.world.sched().trace(self.node, || format!("systemd: {}", line()));
    }

    async fn pass(&self, time: Duration) {
        self.world.sleep_until(self.now() + time).await;
    }

    /// The number of the connection to the bus; `None` while it is away.
    fn connection(&self) -> Option<u64> {
        let state = self.lock();
        state.connection.is_multiple_of(2).then_some(state.connection)
    }

    /// Does something after a while, unless the machine boots before; a frozen machine does it when it thaws.
    fn later(&self, boot: u32, after: Duration, then: impl FnOnce(&SimSystemd, &mut State) + Send + 'static) {
        let host = self.clone();
        self.world.after(after, move |_| {
            let mut state = host.lock();
            if state.boot != boot {
                return;
            }
            if state.frozen {
                state.held.push(Box::new(then));
            } else {
                then(&host, &mut state);
            }
        });
    }

    /// A message arrives, behind those before it.
    fn arrives(&self, verb: impl FnOnce(&SimSystemd, &mut State) + Send + 'static) {
        let mut state = self.lock();
        let now = self.now();
        let at = (now + state.draws.call()).max(state.busy_until);
        state.busy_until = at + MESSAGE;
        let boot = state.boot;
        drop(state);
        self.later(boot, at - now, move |host, state| {
            if state.reloads { state.messages.push(Box::new(verb)) } else { verb(host, state) }
        });
    }

    // What an onlooker sees.

    /// Every process so far, in the order in which they began.
    pub fn runs(&self) -> Vec<Run> {
        self.lock().record.runs().to_vec()
    }

    /// Whether a process of the unit exists now (for a unit of a kind without one: whether it is active).
    pub fn running(&self, unit: &str) -> bool {
        self.lock().units.get(unit).is_some_and(|unit| unit.run.is_some())
    }

    /// The units that have a process now.
    pub fn running_units(&self) -> Vec<String> {
        let state = self.lock();
        state.units.iter().filter(|(_, unit)| unit.run.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// The unit's state, as systemd itself knows it.
    pub fn state_of(&self, unit: &str) -> SystemdState {
        self.lock().units.get(unit).map_or_else(not_found, unit::Unit::state)
    }

    /// The states of all units in systemd's memory.
    pub fn states(&self) -> Vec<(String, SystemdState)> {
        self.lock().units.iter().map(|(name, unit)| (name.clone(), unit.state())).collect()
    }

    /// The names in the units directory.
    pub fn files(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    // What goes wrong.

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut SystemdFaults)) {
        change(&mut self.lock().faults);
    }

    /// The process of a unit crashes; nothing when there is none.
    pub fn crash_unit(&self, unit: &str) {
        self.lock().kill(self, unit, Ended::Crashed);
    }

    /// Somebody says `systemctl stop` on the machine; nothing when the unit has no process or a job.
    pub fn stop_behind(&self, unit: &str) {
        let mut state = self.lock();
        let running = |unit: &unit::Unit| matches!(unit.phase, Phase::Active | Phase::Starting);
        if state.units.get(unit).is_some_and(|unit| running(unit) && unit.job.is_none()) {
            state.terminate(self, unit, Ended::Behind);
        }
    }

    /// The bus goes away: calls under way are lost (done or not), and so are signals.
    pub fn drop_bus(&self) {
        let mut state = self.lock();
        if state.connection % 2 == 1 {
            return;
        }
        self.trace(|| "the bus is away".to_string());
        state.connection += 1;
        state.subscribers.lose();
        // Their callers learn that the connection has broken.
        for unit in state.units.values_mut() {
            unit.job.iter_mut().for_each(|job| job.waiting.clear());
        }
    }

    /// The bus is back: everybody is told to look at everything.
    pub fn restore_bus(&self) {
        let mut state = self.lock();
        if state.connection % 2 == 1 {
            self.trace(|| "the bus is back".to_string());
            state.connection += 1;
            state.subscribers.say(&Change::Resync);
        }
    }

    /// The machine stands still: nothing begins, ends or arrives.
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// It goes on: what was due meanwhile happens now, in order.
    pub fn thaw(&self) {
        let mut state = self.lock();
        state.frozen = false;
        for then in std::mem::take(&mut state.held) {
            then(self, &mut state);
        }
    }

    /// The machine begins to go down in good order: SystemState is "stopping" from here on.
    pub fn go_down(&self) {
        self.lock().stopping = true;
    }

    /// The machine loses its power, or has gone down: every process is gone, and all of `/run`.
    pub fn power_loss(&self) {
        let mut state = self.lock();
        self.trace(|| "everything is gone".to_string());
        state.boot += 1;
        state.connection = (state.connection + 2) & !1;
        state.files.clear();
        state.stopping = false;
        state.frozen = false;
        state.reloads = false;
        state.busy_until = Duration::ZERO;
        let (units, held) = (std::mem::take(&mut state.units), std::mem::take(&mut state.held));
        let messages = std::mem::take(&mut state.messages);
        for number in units.values().filter_map(|unit| unit.run) {
            state.record.ends(number, self.now(), Ended::PowerLoss);
        }
        state.subscribers.lose();
        drop(state);
        // Their answers are dropped with no lock held.
        drop((units, held, messages));
    }
}
