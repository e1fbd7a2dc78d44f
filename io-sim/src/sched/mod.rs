//! The scheduler: one thread, one calendar, one order of everything, all of it drawn from the seed.
//!
//! A turn is either one poll of a ready task or, when none is ready, the next line of the calendar. Ready tasks are polled in
//! an order drawn from the seed; the calendar is ordered by (time, seeded tie-break, sequence). While a task is ready no
//! time passes; when none is, time jumps to the next line, so idle time costs nothing.
//!
//! Every task and timer belongs to a process ([`Owner`]). Killing a process drops its futures and timers at once. Their
//! destructors run here, with no lock held, and may wake, spawn or arm at will: what they start for a dead owner is dropped.
//!
//! The scheduler knows neither disks nor networks. It offers them time, alarms, calls, and a place to ask for the world's
//! attention (`Sched::ask`), which the world looks at after each turn.

mod digest;
mod effects;
mod owner;
mod panics;
mod record;
mod sleep;
mod tasks;
mod timers;

pub use digest::Kind;
pub use effects::Effect;
pub use owner::{NodeId, Owner};
pub(crate) use sleep::WorldSleep;

use digest::Digest;
use effects::Effects;
use kernel::BoxFuture;
use kernel::rng::Stream;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tasks::{Key, Ready, Tasks};
use timers::{Timers, What};

/// Polls that may happen at one instant before the run fails: somebody wakes himself for ever.
const MAX_POLLS_PER_INSTANT: u32 = 1_000_000;

/// Why a run is bad: a panic, a livelock, or what a checker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// World time.
    pub at: Duration,
    /// Where.
    pub node: NodeId,
    /// What, for people.
    pub text: String,
}

/// What something in the machine room wants the world to do after this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A task of this process has panicked: the process ends.
    EndProcess(Owner),
    /// The power of the node fails (a fault armed on its disk).
    CutPower(Owner),
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A poll or an event.
    Ran,
    /// Nothing is ready and nothing is due up to the limit.
    Idle,
}

/// A handle to the scheduler; clones share it.
#[derive(Clone)]
pub struct Sched(Arc<Shared>);

type TraceSink = Box<dyn FnMut(Duration, NodeId, &str) + Send>;
type TimeMover = Box<dyn Fn(Duration) + Send>;

struct Shared {
    state: Mutex<State>,
    ready: Arc<Ready>,
    tracing: AtomicBool,
    sink: Mutex<Option<TraceSink>>,
    asked: AtomicBool,
    asks: Mutex<Vec<Ask>>,
    effects: Effects,
}

struct State {
    now: u64,
    timers: Timers,
    tasks: Tasks,
    order: Stream,
    batch: Vec<Key>,
    nodes: Vec<Node>,
    polls_now: u32,
    digest: Digest,
    failures: Vec<Failure>,
    mover: Option<TimeMover>,
}

#[derive(Default)]
struct Node {
    incarnation: u32,
    up: bool,
    paused: bool,
    held: Vec<Key>,
    /// What each poll costs, in ns.
    cost: u64,
    /// Until when the processor is busy with the last poll.
    busy_until: u64,
    /// Somebody will look after `held` at `busy_until`.
    awaited: bool,
}

impl Sched {
    /// An empty calendar at time 0.
    pub fn new(seed: u64) -> Sched {
        let state = State {
            now: 0,
            timers: Timers::new(seed),
            tasks: Tasks::default(),
            order: Stream::new(seed, "sched order", 0),
            batch: Vec::new(),
            nodes: vec![Node { up: true, ..Node::default() }],
            polls_now: 0,
            digest: Digest::default(),
            failures: Vec::new(),
            mover: None,
        };
        Sched(Arc::new(Shared {
            state: Mutex::new(state),
            ready: Arc::default(),
            tracing: AtomicBool::new(false),
            sink: Mutex::new(None),
            asked: AtomicBool::new(false),
            asks: Mutex::new(Vec::new()),
            effects: Effects::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder panics")
    }

    /// World time in nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        self.lock().now
    }

    /// World time since the beginning of the run.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns())
    }

    /// Called with every step of time, so that another clock can follow.
    pub(crate) fn set_mover(&self, mover: TimeMover) {
        self.lock().mover = Some(mover);
    }

    /// A new node, down.
    pub(crate) fn add_node(&self) -> NodeId {
        let mut state = self.lock();
        state.nodes.push(Node::default());
        NodeId((state.nodes.len() - 1) as u32)
    }

    /// Starts a process on a node that is down.
    pub(crate) fn start(&self, node: NodeId) -> Owner {
        let mut state = self.lock();
        let entry = &mut state.nodes[node.0 as usize];
        assert!(!entry.up, "{node} is started while it is up");
        entry.up = true;
        entry.paused = false;
        entry.busy_until = 0;
        entry.incarnation += 1;
        let owner = Owner { node, incarnation: entry.incarnation };
        let now = state.now;
        state.digest.note(now, Kind::Start, node.0, u64::from(owner.incarnation));
        owner
    }

    /// The process that runs on `node`, if one does.
    pub fn owner(&self, node: NodeId) -> Option<Owner> {
        let state = self.lock();
        let entry = &state.nodes[node.0 as usize];
        entry.up.then_some(Owner { node, incarnation: entry.incarnation })
    }

    /// Whether `owner` is the process that runs on its node now.
    pub fn is_current(&self, owner: Owner) -> bool {
        self.lock().is_current(owner)
    }

    /// Ends a process: from here on it owns nothing, then its futures and timers are dropped. Returns false when it was
    /// not running.
    pub(crate) fn kill(&self, owner: Owner) -> bool {
        let mut state = self.lock();
        if !state.is_current(owner) || owner == Owner::WORLD {
            return false;
        }
        let entry = &mut state.nodes[owner.node.0 as usize];
        entry.up = false;
        entry.paused = false;
        entry.held.clear();
        let now = state.now;
        state.digest.note(now, Kind::Kill, owner.node.0, u64::from(owner.incarnation));
        let futures = state.tasks.kill(owner);
        let entries = state.timers.kill(owner);
        drop(state);
        for future in futures {
            self.drop_guarded(owner.node, future);
        }
        for entry in entries {
            self.drop_guarded(owner.node, entry);
        }
        true
    }

    fn drop_guarded<T>(&self, node: NodeId, value: T) {
        if let Err(text) = panics::catch(move || drop(value)) {
            self.fail(node, format!("a destructor {text}"));
        }
    }

    /// Stops polling the tasks of `node`; its timers still come due, what they wake waits.
    pub(crate) fn pause(&self, node: NodeId) {
        assert!(node != NodeId::WORLD, "the world cannot be paused");
        self.lock().nodes[node.0 as usize].paused = true;
    }

    /// Ends a pause.
    pub(crate) fn resume(&self, node: NodeId) {
        let mut state = self.lock();
        let entry = &mut state.nodes[node.0 as usize];
        entry.paused = false;
        let held = std::mem::take(&mut entry.held);
        drop(state);
        for key in held {
            self.0.ready.push(key);
        }
    }

    /// From now on each poll of a task of `node` keeps its processor busy for so many ns.
    pub(crate) fn set_cost(&self, node: NodeId, cost: u64) {
        self.lock().nodes[node.0 as usize].cost = cost;
    }

    /// The processor of `node` has done what it was busy with.
    fn is_free(&self, node: NodeId) {
        let mut state = self.lock();
        let entry = &mut state.nodes[node.0 as usize];
        entry.awaited = false;
        if entry.paused {
            return;
        }
        let held = std::mem::take(&mut entry.held);
        drop(state);
        for key in held {
            self.0.ready.push(key);
        }
    }

    /// Counts what a fault really did.
    pub(crate) fn effect(&self, effect: Effect) {
        self.0.effects.add(effect, 1);
    }

    /// As [`Sched::effect`], so many times.
    pub(crate) fn effects_add(&self, effect: Effect, times: u64) {
        self.0.effects.add(effect, times);
    }

    /// What faults really did so far, by name.
    pub fn effects(&self) -> BTreeMap<&'static str, u64> {
        self.0.effects.counts()
    }

    /// Starts a task of `owner`; dropped at once when the owner is dead.
    pub fn spawn(&self, owner: Owner, name: &'static str, future: BoxFuture<'static, ()>) {
        let mut state = self.lock();
        if !state.is_current(owner) {
            drop(state);
            drop(future);
            return;
        }
        let key = state.tasks.add(owner, name, future, &self.0.ready);
        let now = state.now;
        state.digest.note(now, Kind::Spawn, owner.node.0, u64::from(key.slot));
        drop(state);
        self.0.ready.push(key);
    }

    /// Runs `call` at world time `at` (now, if that is past), unless `owner` has died by then.
    pub(crate) fn call_at(&self, owner: Owner, at: u64, call: Box<dyn FnOnce() + Send>) {
        let mut state = self.lock();
        if !state.is_current(owner) {
            drop(state);
            drop(call);
            return;
        }
        let at = at.max(state.now);
        state.timers.push(at, owner, What::Call(call));
    }

    /// Ready at world time `at`. Pending for ever when `owner` dies.
    pub(crate) fn sleep(&self, owner: Owner, at: u64) -> WorldSleep {
        WorldSleep::new(self.clone(), owner, at)
    }

    /// Wakes every sleeper of `owner`, so that it looks at its clock again.
    pub(crate) fn nudge_sleepers(&self, owner: Owner) {
        let alarms = self.lock().timers.alarms_of(owner);
        for alarm in alarms {
            alarm.nudge();
        }
    }

    /// One poll of a ready task, or else one event at or before `limit` (ns); when there is neither, time moves to `limit`.
    pub(crate) fn turn(&self, limit: u64) -> Turn {
        let mut state = self.lock();
        self.0.ready.drain_into(&mut state.batch);
        if !state.batch.is_empty() {
            let key = state.pick();
            self.poll(state, key);
            return Turn::Ran;
        }
        let Some(entry) = state.timers.pop(limit) else {
            state.move_to(limit);
            return Turn::Idle;
        };
        assert!(entry.at >= state.now, "the calendar holds nothing of the past");
        state.move_to(entry.at);
        let now = state.now;
        let kind = if matches!(entry.what, What::Wake(_)) { Kind::Timer } else { Kind::Call };
        state.digest.note(now, kind, entry.owner.node.0, 0);
        drop(state);
        match entry.what {
            What::Wake(alarm) => alarm.fire(),
            What::Call(call) => {
                if let Err(text) = panics::catch(call) {
                    self.fail(entry.owner.node, text);
                }
            }
        }
        Turn::Ran
    }

    fn poll(&self, mut state: MutexGuard<'_, State>, key: Key) {
        let Some((owner, name)) = state.tasks.who(key) else { return };
        let node = &mut state.nodes[owner.node.0 as usize];
        if node.paused {
            node.held.push(key);
            return;
        }
        if node.cost > 0 && !self.may_poll(&mut state, owner.node, key) {
            return;
        }
        state.polls_now += 1;
        if state.polls_now == MAX_POLLS_PER_INSTANT {
            let text = format!("task {name:?} is polled for ever and no time passes");
            state.fail(owner.node, text);
        }
        let Some(mut taken) = state.tasks.take(key) else { return };
        let now = state.now;
        state.digest.note(now, Kind::Poll, owner.node.0, u64::from(key.slot));
        drop(state);
        let polled = panics::catch(|| {
            let mut context = Context::from_waker(&taken.waker);
            taken.future.as_mut().poll(&mut context)
        });
        let mut state = self.lock();
        let over = match polled {
            Ok(Poll::Pending) => state.tasks.put_back(key, taken.future),
            Ok(Poll::Ready(())) => {
                state.tasks.remove(key);
                Some(taken.future)
            }
            Err(text) => {
                state.tasks.remove(key);
                state.fail(owner.node, format!("task {name:?} {text}"));
                self.ask(Ask::EndProcess(owner));
                Some(taken.future)
            }
        };
        drop(state);
        if let Some(over) = over {
            self.drop_guarded(owner.node, over);
        }
    }

    /// Whether a slow processor is free for a task; if so it is busy from here on, else the task waits.
    fn may_poll(&self, state: &mut State, node: NodeId, key: Key) -> bool {
        let now = state.now;
        let entry = &mut state.nodes[node.0 as usize];
        if now >= entry.busy_until {
            entry.busy_until = now + entry.cost;
            return true;
        }
        self.0.effects.add(Effect::SlowCpu, 1);
        entry.held.push(key);
        let at = entry.busy_until;
        if !std::mem::replace(&mut entry.awaited, true) {
            let sched = self.clone();
            state.timers.push(at, Owner::WORLD, What::Call(Box::new(move || sched.is_free(node))));
        }
        false
    }

    /// Asks the world for something that must not happen in the middle of a turn.
    pub(crate) fn ask(&self, ask: Ask) {
        self.0.asks.lock().expect("no holder panics").push(ask);
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// What was asked since the last call.
    pub(crate) fn take_asks(&self) -> Vec<Ask> {
        if !self.0.asked.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        std::mem::take(&mut self.0.asks.lock().expect("no holder panics"))
    }

    /// Tasks that live now.
    pub fn tasks(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Drops everything that is left. The handles inside of tasks keep the scheduler alive in a circle; this breaks it.
    pub(crate) fn shut_down(&self) {
        let mut state = self.lock();
        let futures = state.tasks.kill(Owner::WORLD);
        let entries = state.timers.take_all();
        state.mover = None;
        drop(state);
        for future in futures {
            self.drop_guarded(NodeId::WORLD, future);
        }
        drop(entries);
        self.set_trace(None);
    }
}

impl State {
    fn is_current(&self, owner: Owner) -> bool {
        let node = &self.nodes[owner.node.0 as usize];
        node.up && node.incarnation == owner.incarnation
    }

    fn pick(&mut self) -> Key {
        let index = match self.batch.len() {
            1 => 0,
            several => self.order.below(several as u64) as usize,
        };
        self.batch.swap_remove(index)
    }

    fn move_to(&mut self, at: u64) {
        if at > self.now {
            if let Some(mover) = &self.mover {
                mover(Duration::from_nanos(at - self.now));
            }
            self.now = at;
            self.polls_now = 0;
        }
    }

    fn fail(&mut self, node: NodeId, text: String) {
        self.failures.push(Failure { at: Duration::from_nanos(self.now), node, text });
    }
}
