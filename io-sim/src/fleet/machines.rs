//! The machines of a fleet run: each a node whose process is fleetd, and a systemd that outlives it.
//!
//! Several mishaps may want one machine's fleetd down at a time; holds count them, and it is started again when the last is
//! over. A fleetd that is told to stop ends its process when it says so, or when its supervisor has waited long enough.

use super::kv::SimKv;
use super::plan::{FleetPlan, machine_id};
use crate::cluster::Cluster;
use crate::sched::NodeId;
use crate::systemd::SimSystemd;
use crate::world::World;
use fleet::agent::Ending;
use fleet::daemon::{FleetConfig, Fleetd};
use fleet::model::{Machine, MachineId, Resources};
use fleet::registry::{DEFAULT_PREFIX, Registry};
use futures_util::future::select;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The agent's lease.
pub const TTL: Duration = Duration::from_secs(3);
/// How long a supervisor waits for a fleetd that was told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a machine that goes down in good order waits for its fleetd.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// A handle to all machines; clones share it.
#[derive(Clone)]
pub struct Machines(Arc<Inner>);

struct Inner {
    store: Cluster,
    plan: Arc<FleetPlan>,
    hosts: Vec<Host>,
    /// Whose engine leads, as the operator has heard.
    leading: Mutex<Option<MachineId>>,
}

struct Host {
    node: NodeId,
    systemd: SimSystemd,
    life: Mutex<Life>,
}

/// How a machine is at present.
#[derive(Default)]
struct Life {
    fleetd: Option<Fleetd>,
    /// Mishaps that want fleetd down.
    holds: u32,
    boots: u32,
}

impl Machines {
    /// Adds the plan's machines to the store's world. Nothing runs yet.
    pub fn new(store: &Cluster, plan: Arc<FleetPlan>) -> Machines {
        Machines::called(store, plan, "f")
    }

    /// The same, with names that begin with `prefix`.
    pub fn called(store: &Cluster, plan: Arc<FleetPlan>, prefix: &str) -> Machines {
        let world = store.world();
        let hosts = plan.all_machines().map(|machine| {
            let node = world.add_node(&format!("{prefix}{machine}"));
            Host { node, systemd: SimSystemd::new(world, node), life: Mutex::default() }
        });
        Machines(Arc::new(Inner {
            store: store.clone(),
            hosts: hosts.collect(),
            plan,
            leading: Mutex::default(),
        }))
    }

    /// The world they are in.
    pub fn world(&self) -> &World {
        self.0.store.world()
    }

    /// The store's members.
    pub fn store(&self) -> &Cluster {
        &self.0.store
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<FleetPlan> {
        &self.0.plan
    }

    fn host(&self, machine: u16) -> &Host {
        &self.0.hosts[usize::from(machine) - 1]
    }

    fn life(&self, machine: u16) -> MutexGuard<'_, Life> {
        self.host(machine).life.lock().expect("no holder panics")
    }

    /// The node of a machine.
    pub fn node(&self, machine: u16) -> NodeId {
        self.host(machine).node
    }

    /// The systemd of a machine.
    pub fn systemd(&self, machine: u16) -> &SimSystemd {
        &self.host(machine).systemd
    }

    /// The running fleetd, if there is one.
    pub fn fleetd(&self, machine: u16) -> Option<Fleetd> {
        self.life(machine).fleetd.clone()
    }

    /// A registry as somebody on `node` sees it.
    pub fn registry(&self, node: NodeId) -> Registry {
        Registry::new(Arc::new(self.kv(node)), DEFAULT_PREFIX)
    }

    /// The store as somebody on `node` sees it.
    pub(super) fn kv(&self, node: NodeId) -> SimKv {
        let members = u32::from(self.0.store.plan().members);
        SimKv::new(&self.0.store, node, (node.0 % members + 1) as u8)
    }

    /// The machine whose engine leads, as far as the operator has heard.
    pub fn leading(&self) -> Option<u16> {
        let leading = self.0.leading.lock().expect("no holder panics").clone()?;
        self.0.plan.all_machines().find(|machine| machine_id(*machine) == leading)
    }

    /// Who leads has changed.
    pub(super) fn set_leading(&self, machine: Option<MachineId>) {
        *self.0.leading.lock().expect("no holder panics") = machine;
    }

    /// Starts fleetd, unless it runs or something holds it down.
    pub fn start(&self, machine: u16) {
        let host = self.host(machine);
        if self.world().is_up(host.node) || self.life(machine).holds > 0 {
            return;
        }
        let io = self.world().start(host.node);
        let instance = format!("boot {} of machine {machine}", self.life(machine).boots);
        let systemd = Arc::new(host.systemd.clone());
        let kv = Arc::new(self.kv(host.node));
        let fleetd = Fleetd::start(io, kv, Some(systemd), self.config(machine, instance));
        self.life(machine).fleetd = Some(fleetd);
    }

    fn config(&self, machine: u16, instance: String) -> FleetConfig {
        FleetConfig {
            machine: Machine {
                id: machine_id(machine),
                primary_ip: format!("10.0.{}.{}", machine / 250, machine % 250 + 1),
                metadata: self.0.plan.metadata(machine),
                capacity: Resources::default(),
                admission: Default::default(),
                leaving: false,
                api: None,
                version: "sim".to_string(),
            },
            instance,
            prefix: DEFAULT_PREFIX.to_string(),
            agent_ttl: TTL,
            engine_ttl: fleet::engine::LEASE_TTL,
            engine: true,
        }
    }

    /// The fleetd process dies, now.
    pub fn crash(&self, machine: u16) {
        let gone = self.life(machine).fleetd.take();
        self.world().crash(self.node(machine));
        drop(gone);
    }

    /// Tells fleetd to stop. Its process ends when it has stopped, or after `limit`; `then` is called with the process gone.
    fn stop(&self, machine: u16, limit: Duration, then: impl FnOnce(&Machines) + Send + 'static) {
        let Some(fleetd) = self.life(machine).fleetd.take() else {
            return then(self);
        };
        let (machines, world) = (self.clone(), self.world().clone());
        let ended = world.sched().owner(self.node(machine));
        let finish = move |machines: &Machines| {
            // Unless the process has died, or even been started again, in the meantime.
            if machines.world().sched().owner(machines.node(machine)) == ended {
                machines.crash(machine);
            }
            then(machines);
        };
        world.clone().spawn_on(NodeId::WORLD, "told to stop", async move {
            let stopped = Box::pin(async move { fleetd.stop(Ending::Leave).await });
            select(stopped, world.sleep_until(world.now() + limit)).await;
            // Not in the middle of a turn of a task.
            world.after(Duration::ZERO, move |_| finish(&machines));
        });
    }

    /// Tells fleetd to stop, as its supervisor does; it stays down until it is released.
    pub fn stop_fleetd(&self, machine: u16) {
        self.stop(machine, STOP_TIMEOUT, move |machines| machines.start(machine));
    }

    /// The machine goes down in good order, and stays down until it is released.
    pub fn shut_down(&self, machine: u16) {
        self.systemd(machine).go_down();
        let boots = self.life(machine).boots;
        self.stop(machine, SHUTDOWN, move |machines| {
            if machines.life(machine).boots == boots {
                machines.power_loss(machine);
            }
            machines.start(machine);
        });
    }

    /// The machine loses its power.
    pub fn power_loss(&self, machine: u16) {
        let gone = self.life(machine).fleetd.take();
        self.world().power_loss(self.node(machine));
        self.systemd(machine).power_loss();
        self.life(machine).boots += 1;
        drop(gone);
    }

    /// From now on fleetd is not started.
    pub fn hold(&self, machine: u16) {
        self.life(machine).holds += 1;
    }

    /// Takes one hold away, and starts fleetd after the last.
    pub fn release(&self, machine: u16) {
        let mut life = self.life(machine);
        assert!(life.holds > 0, "machine {machine} is released as often as it is held");
        life.holds -= 1;
        drop(life);
        self.start(machine);
    }

    /// Lets go of everything, so that nothing is held in a circle.
    pub fn let_go(&self) {
        for machine in self.0.plan.all_machines() {
            let gone = self.life(machine).fleetd.take();
            drop(gone);
        }
        self.0.store.let_go();
    }
}
