//! The invented world: machines with clocks, disks and networking, and one scheduler that runs them all.
//!
//! A world is driven from outside: put tasks on nodes and closures on the calendar, then [`World::run_until`]. Everything
//! that happens comes from the seed and from the calls made; a [`Stream`] keyed by purpose and entity
//! stands behind each draw, so changing one thing shifts no other.
//!
//! Life of a node: added down, started ([`World::start`] gives the ports of this one process), then ended by
//! [`World::crash`] (the page cache and the machine live on) or [`World::power_loss`] (unsynced sectors end each in its own
//! way), and started again. Ports of an ended process reach nothing.

mod devices;

use crate::clock::{Face, SimClock};
use crate::disk::{Medium, SimDisk};
use crate::net::{Network, SimNet};
use crate::sched::{Ask, Effect, Failure, Kind, NodeId, Owner, Sched, Turn};
use crate::spawn::SimSpawn;
use kernel::rng::{Stream, mix};
use kernel::{BoxFuture, Io, Planted, Probe};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// A node of a world.
struct Node {
    name: String,
    face: Arc<Face>,
    medium: Arc<Mutex<Medium>>,
    boots: Stream,
    lost_power: bool,
    io: Option<Io>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was killed, or a task of it panicked.
    Crash,
    /// The machine lost its power.
    PowerLoss,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// World time.
    pub at: Duration,
    /// Where.
    pub node: NodeId,
    /// How.
    pub end: End,
}

/// Why [`World::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The time is reached.
    Deadline,
    /// The run has failed: see [`World::failures`].
    Failed,
}

/// A handle to a world; clones share it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

type OnDeath = Arc<dyn Fn(&World, Death) + Send + Sync>;

struct Inner {
    seed: u64,
    sched: Sched,
    net: Arc<Network>,
    nodes: Mutex<Vec<Node>>,
    probe: Probe,
    planted: Planted,
    on_death: Mutex<Option<OnDeath>>,
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl World {
    /// An empty world at time 0.
    pub fn new(seed: u64, probe: Probe, planted: Planted) -> World {
        let sched = Sched::new(seed);
        let net = Network::new(sched.clone(), seed);
        // Slot 0 is the world itself, which has no machine.
        let nodes = Mutex::new(Vec::new());
        World(Arc::new(Inner { seed, sched, net, nodes, probe, planted, on_death: Mutex::new(None) }))
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.0.nodes.lock().expect("no holder panics")
    }

    fn with_node<T>(&self, node: NodeId, f: impl FnOnce(&mut Node) -> T) -> T {
        assert!(node != NodeId::WORLD, "the world is not a machine");
        f(&mut self.nodes()[node.0 as usize - 1])
    }

    fn medium(&self, node: NodeId) -> Arc<Mutex<Medium>> {
        self.with_node(node, |node| node.medium.clone())
    }

    fn with_medium<T>(&self, node: NodeId, f: impl FnOnce(&mut Medium) -> T) -> T {
        f(&mut self.medium(node).lock().expect("no holder panics"))
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The scheduler, for notes, traces and the digest.
    pub fn sched(&self) -> &Sched {
        &self.0.sched
    }

    /// Where rare branches report.
    pub fn probe(&self) -> &Probe {
        &self.0.probe
    }

    /// World time since the beginning.
    pub fn now(&self) -> Duration {
        self.0.sched.now()
    }

    /// Adds a machine, which is down. `name` is its host name on the network.
    pub fn add_node(&self, name: &str) -> NodeId {
        let id = self.0.sched.add_node();
        let mut boots = Stream::new(self.0.seed, "boot", u64::from(id.0));
        let face = Face::new(0, boots.between(1_000_000_000, 1_000_000_000_000));
        let medium = Medium::new(self.0.sched.clone(), self.0.seed, id.0);
        self.0.net.add_host(name, id);
        self.nodes().push(Node {
            name: name.to_string(),
            face: Arc::new(face),
            medium: Arc::new(Mutex::new(medium)),
            boots,
            lost_power: false,
            io: None,
        });
        id
    }

    /// From now on these nodes are one machine to the network: they see each other over loopback, which nothing cuts.
    pub fn share_machine(&self, nodes: &[NodeId]) {
        self.0.net.share_machine(nodes);
    }

    /// A node's host name.
    pub fn name(&self, node: NodeId) -> String {
        self.with_node(node, |node| node.name.clone())
    }

    /// Starts a process on a machine that is down, and returns its ports.
    pub fn start(&self, node: NodeId) -> Io {
        let owner = self.0.sched.start(node);
        self.0.sched.trace(node, || "process starts".to_string());
        let now = self.0.sched.now_ns();
        let (sched, net) = (self.0.sched.clone(), self.0.net.clone());
        let name_key = Stream::new(self.0.seed, "process", u64::from(node.0)).next_u64();
        let seed = mix(name_key ^ u64::from(owner.incarnation));
        let (probe, planted) = (self.0.probe.clone(), self.0.planted);
        self.with_node(node, |entry| {
            if std::mem::take(&mut entry.lost_power) {
                let since_boot = entry.boots.between(1_000_000_000, 100_000_000_000);
                entry.face.reboot(now, since_boot);
            }
            let medium = entry.medium.clone();
            medium.lock().expect("no holder panics").attach(owner);
            let slow = medium.clone();
            let latency = Arc::new(move |now| slow.lock().expect("no holder panics").delay(now));
            let io = Io {
                clock: Arc::new(SimClock { sched: sched.clone(), owner, face: entry.face.clone() }),
                disk: Arc::new(SimDisk { medium, owner }),
                net: Arc::new(SimNet { net, owner }),
                spawn: Arc::new(SimSpawn { sched, owner, latency }),
                seed,
                probe,
                planted,
            };
            entry.io = Some(io.clone());
            io
        })
    }

    /// The ports of the process that runs on `node`, if one does.
    pub fn io(&self, node: NodeId) -> Option<Io> {
        self.0.sched.owner(node)?;
        self.with_node(node, |node| node.io.clone())
    }

    /// Whether a process runs on `node`.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.0.sched.owner(node).is_some()
    }

    /// Kills the process; nothing when none runs. What it wrote is kept.
    pub fn crash(&self, node: NodeId) {
        if let Some(owner) = self.0.sched.owner(node) {
            self.0.sched.effect(Effect::Crash);
            self.0.net.process_ends(owner);
            self.end(owner, End::Crash);
            self.announce(node, End::Crash);
        }
    }

    /// Cuts the machine's power, whether a process runs or not.
    pub fn power_loss(&self, node: NodeId) {
        self.0.net.power_goes(node);
        let owner = self.0.sched.owner(node);
        if let Some(owner) = owner {
            self.0.sched.effect(Effect::PowerLoss);
            self.end(owner, End::PowerLoss);
        }
        self.with_medium(node, Medium::power_loss);
        self.with_node(node, |node| node.lost_power = true);
        if owner.is_some() {
            self.announce(node, End::PowerLoss);
        }
    }

    fn end(&self, owner: Owner, end: End) {
        let node = owner.node;
        self.0.sched.trace(node, || format!("process ends: {end:?}"));
        // The fence first: destructors of the tasks must not reach the disk.
        self.with_medium(node, Medium::detach);
        let io = self.with_node(node, |node| node.io.take());
        drop(io);
        self.0.sched.kill(owner);
    }

    /// Tells whoever asked that the process on `node` has ended; the node may be started from there.
    fn announce(&self, node: NodeId, end: End) {
        let on_death = self.0.on_death.lock().expect("no holder panics").clone();
        if let Some(on_death) = on_death {
            on_death(self, Death { at: self.now(), node, end });
        }
    }

    /// Called at the end of each process, with the node down. It may start the node again, or put that on the calendar.
    pub fn on_death(&self, call: impl Fn(&World, Death) + Send + Sync + 'static) {
        *self.0.on_death.lock().expect("no holder panics") = Some(Arc::new(call));
    }

    /// Stops polling the node's tasks; frames still reach it and timers come due, to be seen when it goes on.
    pub fn pause(&self, node: NodeId) {
        self.0.sched.trace(node, || "paused".to_string());
        self.0.sched.effect(Effect::Pause);
        self.0.sched.pause(node);
    }

    /// The machine falls asleep: as [`World::pause`], and its monotonic clock stands still.
    pub fn suspend(&self, node: NodeId) {
        self.0.sched.trace(node, || "falls asleep".to_string());
        self.0.sched.effect(Effect::Suspend);
        self.face(node).fall_asleep(self.0.sched.now_ns());
        self.0.sched.pause(node);
    }

    /// The machine wakes.
    pub fn wake(&self, node: NodeId) {
        self.0.sched.trace(node, || "wakes".to_string());
        self.face(node).wake(self.0.sched.now_ns());
        self.nudge(node);
        self.0.sched.resume(node);
    }

    fn face(&self, node: NodeId) -> Arc<Face> {
        self.with_node(node, |node| node.face.clone())
    }

    fn nudge(&self, node: NodeId) {
        if let Some(owner) = self.0.sched.owner(node) {
            self.0.sched.nudge_sleepers(owner);
        }
    }

    /// From now on each step of a task of `node` keeps its processor busy for so long.
    pub fn slow_down(&self, node: NodeId, step: Duration) {
        self.0.sched.set_cost(node, ns(step));
    }

    /// Ends a pause.
    pub fn resume(&self, node: NodeId) {
        self.0.sched.trace(node, || "goes on".to_string());
        self.0.sched.resume(node);
    }

    /// Runs a task beside the others, as part of the process on `node` ([`NodeId::WORLD`]: of none, and never killed).
    /// Dropped at once when the node is down.
    pub fn spawn_on(
        &self,
        node: NodeId,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Some(owner) = self.0.sched.owner(node) {
            self.0.sched.spawn(owner, name, Box::pin(task));
        }
    }

    /// Runs `call` at world time `at`, or now if that is past.
    pub fn at(&self, at: Duration, call: impl FnOnce(&World) + Send + 'static) {
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        let call = move || {
            if let Some(inner) = inner.upgrade() {
                call(&World(inner));
            }
        };
        self.0.sched.call_at(Owner::WORLD, ns(at), Box::new(call));
    }

    /// Runs `call` after `delay` of world time.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&World) + Send + 'static) {
        self.at(self.now() + delay, call);
    }

    /// Ready at an instant of world time.
    pub fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.0.sched.sleep(Owner::WORLD, ns(at)))
    }

    /// Runs the world up to `deadline`, or to its first failure.
    pub fn run_until(&self, deadline: Duration) -> Stop {
        let limit = ns(deadline);
        loop {
            let turn = self.0.sched.turn(limit);
            self.tend();
            if self.0.sched.has_failed() {
                return Stop::Failed;
            }
            if turn == Turn::Idle {
                return Stop::Deadline;
            }
        }
    }

    /// Runs the world until `future` is done, at most up to `deadline`; `None` when it was not done by then, or the run
    /// failed; it then goes on when the world is run on. The future belongs to no node.
    pub fn complete<T: Send + 'static>(
        &self,
        deadline: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let slot = Arc::new(Mutex::new(None));
        let filled = slot.clone();
        self.spawn_on(NodeId::WORLD, "awaited by the runner", async move {
            let value = future.await;
            *filled.lock().expect("no holder panics") = Some(value);
        });
        loop {
            let turn = self.0.sched.turn(ns(deadline));
            self.tend();
            let value = slot.lock().expect("no holder panics").take();
            if value.is_some() || turn == Turn::Idle || self.0.sched.has_failed() {
                return value;
            }
        }
    }

    /// Does what the last turn asked for.
    fn tend(&self) {
        for ask in self.0.sched.take_asks() {
            match ask {
                // A panic of the world's own task fails the run, and has no process to end.
                Ask::EndProcess(Owner::WORLD) => {}
                Ask::EndProcess(owner) if self.0.sched.is_current(owner) => self.crash(owner.node),
                Ask::CutPower(owner) if self.0.sched.is_current(owner) => self.power_loss(owner.node),
                Ask::EndProcess(_) | Ask::CutPower(_) => {}
            }
        }
    }

    /// Records that the run is bad, and stops it.
    pub fn fail(&self, node: NodeId, text: impl Into<String>) {
        self.0.sched.fail(node, text.into());
    }

    /// Every failure so far, first one first.
    pub fn failures(&self) -> Vec<Failure> {
        self.0.sched.failures()
    }

    /// What faults really did so far, by name.
    pub fn effects(&self) -> BTreeMap<&'static str, u64> {
        self.0.sched.effects()
    }

    /// Adds a number to the digest: a run's own events, so that they count for equality.
    pub fn note(&self, node: NodeId, detail: u64) {
        self.0.sched.note(Kind::Note, node, detail);
    }

    /// Hash and number of all events so far: equal for equal runs.
    pub fn digest(&self) -> (u64, u64) {
        self.0.sched.digest()
    }

    /// Ends the world: every process is killed without a word, and everything that is left is dropped.
    pub fn shut_down(&self) {
        *self.0.on_death.lock().expect("no holder panics") = None;
        let count = self.nodes().len() as u32;
        for node in (1..=count).map(NodeId) {
            self.0.net.power_goes(node);
            if let Some(owner) = self.0.sched.owner(node) {
                self.end(owner, End::Crash);
            }
        }
        self.0.sched.shut_down();
    }
}
