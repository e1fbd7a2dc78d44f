//! The machines of a flannel run: each a node whose process is flanneld, and a kernel and files that outlive it.
//!
//! Several mishaps may want one machine's flanneld down at a time; holds count them, and it is started again when the last is over.

use super::local::SimLocal;
use super::plan::{FlannelPlan, MishapKind};
use crate::cluster::Cluster;
use crate::fleet::SimKv;
use crate::links::{SimLinks, SimTun, underlay_address};
use crate::sched::NodeId;
use crate::world::World;
use flannel::agent::{FlannelConfig, Log, Status};
use flannel::daemon::Flanneld;
use flannel::subnet::SubnetKey;
use futures_util::future::select;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How long a supervisor waits for a flanneld that was told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// For so long after a machine went on the state it shows may be of before.
const WAKES: Duration = Duration::from_millis(200);

/// The same where the kernel is slow.
const WAKES_SLOWLY: Duration = Duration::from_secs(3);

/// A handle to all machines; clones share it.
#[derive(Clone)]
pub struct Machines(Arc<Inner>);

struct Inner {
    store: Cluster,
    plan: Arc<FlannelPlan>,
    hosts: Vec<Host>,
    links: Vec<SimLinks>,
}

struct Host {
    node: NodeId,
    local: SimLocal,
    kv: SimKv,
    life: Mutex<Life>,
}

/// How a machine is at present.
#[derive(Default)]
struct Life {
    flanneld: Option<Flanneld>,
    /// Mishaps that want flanneld down.
    holds: u32,
    /// Mishaps that want flanneld still.
    stills: u32,
    /// What it shows before this is not believed.
    awake: Duration,
}

impl Machines {
    /// Adds the plan's machines to the store's world. Nothing runs yet.
    pub fn new(store: &Cluster, plan: Arc<FlannelPlan>) -> Machines {
        Machines::called(store, plan, "f")
    }

    /// The same, with names that begin with `prefix`.
    pub fn called(store: &Cluster, plan: Arc<FlannelPlan>, prefix: &str) -> Machines {
        let world = store.world();
        let mut links = Vec::new();
        let hosts = plan.all_machines().map(|machine| {
            let node = world.add_node(&format!("{prefix}{machine}"));
            let kernel = SimLinks::in_halves(world, node, underlay_address(machine), plan.halves);
            let local = SimLocal::new(world, &kernel);
            links.push(kernel);
            Host { node, local, kv: kv(store, node), life: Mutex::default() }
        });
        let hosts = hosts.collect();
        Machines(Arc::new(Inner { store: store.clone(), hosts, links, plan }))
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
    pub fn plan(&self) -> &Arc<FlannelPlan> {
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

    /// The kernel of a machine.
    pub fn links(&self, machine: u16) -> &SimLinks {
        &self.0.links[usize::from(machine) - 1]
    }

    /// All kernels; that of machine `n` is at place `n - 1`.
    pub fn all_links(&self) -> &[SimLinks] {
        &self.0.links
    }

    /// What subnet.env of a machine says.
    pub fn env(&self, machine: u16) -> Option<String> {
        self.host(machine).local.env()
    }

    /// Requests that a machine has made to the store.
    pub fn requests(&self, machine: u16) -> u64 {
        self.host(machine).kv.calls()
    }

    /// What a running flanneld that is not held still says of itself.
    pub fn status(&self, machine: u16) -> Option<Status> {
        let life = self.life(machine);
        let is_awake = life.stills == 0 && self.world().now() >= life.awake;
        life.flanneld.as_ref().filter(|_| is_awake).map(Flanneld::status)
    }

    /// The subnet that a running flanneld believes to hold, and the store's lease by which.
    pub fn believes(&self, machine: u16) -> Option<(SubnetKey, i64)> {
        let lease = self.status(machine)?.lease?;
        let subnet = SubnetKey::parse(&lease.subnet).expect("a daemon names its lease by its key");
        Some((subnet, i64::from_str_radix(&lease.id, 16).expect("a lease's number is in hexadecimal")))
    }

    /// The machine's watch of the store gets stuck, or goes on.
    pub fn deafen(&self, machine: u16, deaf: bool) {
        self.host(machine).kv.deafen(deaf);
    }

    /// Starts flanneld, unless it runs or something holds it down.
    pub fn start(&self, machine: u16) {
        let host = self.host(machine);
        if self.world().is_up(host.node) || self.life(machine).holds > 0 {
            return;
        }
        let io = self.world().start(host.node);
        let links = self.links(machine);
        let (kernel, tun) = (Arc::new(links.clone()), Arc::new(SimTun(links.clone())));
        let (kv, local) = (Arc::new(host.kv.clone()), Arc::new(host.local.clone()));
        let (world, node) = (self.world().clone(), host.node);
        let log: Log = Arc::new(move |line| world.sched().trace(node, || format!("flanneld: {}", line.text)));
        let flanneld = Flanneld::start(io, kv, kernel, tun, local, self.config(), log);
        self.life(machine).flanneld = Some(flanneld);
    }

    fn config(&self) -> FlannelConfig {
        let ttl = Duration::from_secs(self.0.plan.ttl_s);
        FlannelConfig { ttl, margin: ttl / 2, masquerade: true, ..FlannelConfig::default() }
    }

    /// The flanneld process dies, now.
    pub fn crash(&self, machine: u16) {
        let gone = self.life(machine).flanneld.take();
        self.world().crash(self.node(machine));
        drop(gone);
    }

    /// Tells flanneld to stop, as its supervisor does; it stays down until it is released.
    pub fn stop(&self, machine: u16) {
        let Some(flanneld) = self.life(machine).flanneld.take() else { return };
        let (machines, world) = (self.clone(), self.world().clone());
        let ended = world.sched().owner(self.node(machine));
        world.clone().spawn_on(NodeId::WORLD, "told to stop", async move {
            let stopped = Box::pin(async move { flanneld.stop().await });
            select(stopped, world.sleep_until(world.now() + STOP_TIMEOUT)).await;
            // Not in the middle of a turn of a task.
            world.after(Duration::ZERO, move |world| {
                // Unless the process has died, or even been started again, in the meantime.
                if world.sched().owner(machines.node(machine)) == ended {
                    machines.crash(machine);
                }
                machines.start(machine);
            });
        });
    }

    /// Whether the machine's kernel is slow at times: a daemon that waits for it shows what it believed before.
    pub fn is_slow(&self, machine: u16) -> bool {
        let mut mishaps = self.0.plan.mishaps.iter();
        mishaps.any(|mishap| matches!(mishap.kind, MishapKind::Slow(_)) && mishap.machines.contains(&machine))
    }

    /// Restarts every flanneld that says that it needs it to follow the config.
    pub fn restart_refusers(&self) {
        for machine in self.0.plan.all_machines() {
            let refuses = self.status(machine).is_some_and(|status| status.config_refused.is_some());
            if refuses {
                self.stop(machine);
            }
        }
    }

    /// The machine loses its power.
    pub fn power_loss(&self, machine: u16) {
        let gone = self.life(machine).flanneld.take();
        self.world().power_loss(self.node(machine));
        self.links(machine).power_loss();
        self.host(machine).local.power_loss();
        drop(gone);
    }

    /// From now on flanneld is not started.
    pub fn hold(&self, machine: u16) {
        self.life(machine).holds += 1;
    }

    /// Takes one hold away, and starts flanneld after the last.
    pub fn release(&self, machine: u16) {
        let mut life = self.life(machine);
        assert!(life.holds > 0, "machine {machine} is released as often as it is held");
        life.holds -= 1;
        drop(life);
        self.start(machine);
    }

    /// flanneld stands still.
    pub fn still(&self, machine: u16) {
        self.life(machine).stills += 1;
        self.world().pause(self.node(machine));
    }

    /// Takes one such wish away; flanneld goes on after the last.
    pub fn go_on(&self, machine: u16) {
        let mut life = self.life(machine);
        assert!(life.stills > 0, "machine {machine} goes on as often as it stood still");
        life.stills -= 1;
        life.awake = self.world().now() + if self.is_slow(machine) { WAKES_SLOWLY } else { WAKES };
        if life.stills == 0 {
            drop(life);
            self.world().resume(self.node(machine));
        }
    }

    /// Lets go of everything, so that nothing is held in a circle.
    pub fn let_go(&self) {
        for machine in self.0.plan.all_machines() {
            let gone = self.life(machine).flanneld.take();
            drop(gone);
        }
        self.0.store.let_go();
    }
}

/// The store as somebody on `node` has it.
pub fn kv(store: &Cluster, node: NodeId) -> SimKv {
    let members = u32::from(store.plan().members);
    SimKv::new(store, node, (node.0 % members + 1) as u8)
}
