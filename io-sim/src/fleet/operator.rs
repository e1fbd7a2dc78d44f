//! The operator: somebody on a machine of his own who does the deeds of the plan, one after the other.
//!
//! A deed whose outcome is not known is done again, a few times, as a person would; so a write may land twice, or late. What
//! each unit's last word was, and whether anything about it is in doubt, is kept for the checker.

use super::machines::Machines;
use super::plan::{Deed, Wish, machine_id, unit_name};
use crate::sched::NodeId;
use fleet::registry::{Batch, Event, Registry, RegistryError, Scope, Watch, Written};
use kernel::Kv;
use kernel::types::CompactionRequest;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a deed is tried.
const ATTEMPTS: u32 = 6;
/// How long the operator waits before he tries again.
const AGAIN: Duration = Duration::from_millis(500);

/// What came of one deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The deed.
    pub deed: Deed,
    /// World time at which it was begun.
    pub invoked: Duration,
    /// World time of the last answer.
    pub returned: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// An attempt whose outcome stayed unknown: it may land at any later time.
    pub in_doubt: bool,
}

/// How a deed ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged.
    Acknowledged,
    /// There was no such unit, or the machine was there.
    Moot,
    /// It was refused.
    Refused(String),
    /// Nobody knows.
    Unknown,
}

/// The operator of a run; clones share him.
#[derive(Clone)]
pub struct Operator(Arc<Inner>);

struct Inner {
    machines: Machines,
    node: NodeId,
    done: Mutex<Vec<Done>>,
}

impl Operator {
    /// Adds his machine to the world.
    pub fn new(machines: &Machines) -> Operator {
        Operator::called(machines, "op")
    }

    /// The same, with another name.
    pub fn called(machines: &Machines, name: &str) -> Operator {
        let node = machines.world().add_node(name);
        Operator(Arc::new(Inner { machines: machines.clone(), node, done: Mutex::default() }))
    }

    /// His node.
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// Begins with the plan's deeds.
    pub fn begin(&self) {
        let world = self.0.machines.world();
        world.start(self.0.node);
        world.spawn_on(self.0.node, "operator", self.clone().work());
        world.spawn_on(self.0.node, "who leads", self.clone().hear_who_leads());
    }

    async fn hear_who_leads(self) {
        let world = self.0.machines.world().clone();
        let mut watch = self.registry().watch(1, &Scope::Leader);
        loop {
            match watch.next().await {
                Ok(Batch::Changes(changes)) => changes.into_iter().for_each(|change| {
                    if let Event::Leader(leader) = change.event {
                        self.0.machines.set_leading(leader.map(|leader| leader.machine));
                    }
                }),
                Ok(Batch::Resync) => watch = self.see_who_leads().await,
                Err(_) => world.sleep_until(world.now() + AGAIN).await,
            }
        }
    }

    /// Looks who leads now; what comes after that is heard by the watch.
    async fn see_who_leads(&self) -> Watch {
        let (world, registry) = (self.0.machines.world(), self.registry());
        loop {
            if let Ok(seen) = registry.load().await {
                self.0.machines.set_leading(seen.leader.map(|leader| leader.machine));
                return registry.watch(seen.revision + 1, &Scope::Leader);
            }
            world.sleep_until(world.now() + AGAIN).await;
        }
    }

    /// Drops the store's history up to now; tries a few times.
    pub fn compact(&self) {
        let operator = self.clone();
        self.0.machines.world().spawn_on(self.0.node, "compact", async move {
            let (world, kv) = (operator.0.machines.world(), operator.0.machines.kv(operator.0.node));
            for _ in 0..ATTEMPTS {
                if let Ok(seen) = operator.registry().load().await {
                    let request = CompactionRequest { revision: seen.revision, physical: false };
                    if kv.compact(request).await.map_or_else(|error| error.is_definite(), |_| true) {
                        return;
                    }
                }
                world.sleep_until(world.now() + AGAIN).await;
            }
        });
    }

    /// What he did so far.
    pub fn done(&self) -> Vec<Done> {
        self.0.done.lock().expect("no holder panics").clone()
    }

    /// The cluster as he sees it.
    pub fn registry(&self) -> Registry {
        self.0.machines.registry(self.0.node)
    }

    async fn work(self) {
        let (plan, registry) = (self.0.machines.plan().clone(), self.registry());
        let world = self.0.machines.world().clone();
        for deed in &plan.deeds {
            world.sleep_until(Duration::from_millis(deed.at_ms)).await;
            let invoked = world.now();
            let (outcome, in_doubt) = self.try_it(&registry, &deed.wish).await;
            world.sched().trace(self.0.node, || format!("{deed}: {outcome:?}"));
            let done = Done { deed: deed.clone(), invoked, returned: world.now(), outcome, in_doubt };
            self.0.done.lock().expect("no holder panics").push(done);
        }
    }

    async fn try_it(&self, registry: &Registry, wish: &Wish) -> (Outcome, bool) {
        let world = self.0.machines.world().clone();
        let mut in_doubt = false;
        for _ in 0..ATTEMPTS {
            match perform(registry, wish).await {
                Ok(Written::Done(_)) => return (Outcome::Acknowledged, in_doubt),
                Ok(Written::Moved) => return (Outcome::Moot, in_doubt),
                Err(error) if error.is_definite() => return (Outcome::Refused(error.to_string()), in_doubt),
                Err(_) => in_doubt = true,
            }
            world.sleep_until(world.now() + AGAIN).await;
        }
        (Outcome::Unknown, true)
    }
}

async fn perform(registry: &Registry, wish: &Wish) -> Result<Written, RegistryError> {
    let done = Written::Done(0);
    match wish {
        Wish::Put(spec, state) => {
            let (file, name) = (spec.file(), unit_name(spec.unit));
            registry.put_job(&name, file.hash(), &file.text(), Some(*state)).await.map(|_| done)
        }
        Wish::State(unit, state) => registry.set_desired(&unit_name(*unit), *state).await,
        Wish::Destroy(unit) => registry.delete_job(&unit_name(*unit)).await,
        Wish::Restart(unit) => registry.bump_run(&unit_name(*unit)).await,
        Wish::Admission(machine, to) => {
            registry.set_admission(&machine_id(*machine), *to).await.map(|()| done)
        }
        Wish::Gone(machine) => registry.set_gone(&machine_id(*machine)).await,
        Wish::Rebalance(most) => registry.ask_rebalance(*most).await.map(|()| done),
    }
}
