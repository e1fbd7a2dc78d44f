//! fleetd without its edges: the agent of one machine and, where it may lead, the engine, over one registry.
//!
//! Both run beside each other and know nothing of each other: they meet in the store. So a machine without units runs an
//! engine only, and a machine that shall not decide runs an agent only.

use crate::agent::{Agent, AgentConfig, AgentStatus, Ending};
use crate::engine::{Engine, EngineConfig};
use crate::meter::Counts;
use crate::model::Machine;
use crate::registry::Registry;
use crate::systemd::Systemd;
use futures_util::future::{join, select};
use kernel::{Clock, Io, Kv};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// What a fleetd is told at start.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// This machine, as it presents itself.
    pub machine: Machine,
    /// A random text made once a boot: tells this machine's own earlier fleetd from another machine with its id.
    pub instance: String,
    /// Under which prefix the cluster's keys are: `etcd_key_prefix`.
    pub prefix: String,
    /// Time without a keep-alive until the cluster takes the machine for gone. Whole seconds count.
    pub agent_ttl: Duration,
    /// Time without a keep-alive until another engine may lead. Whole seconds count.
    pub engine_ttl: Duration,
    /// Whether this fleetd may lead the cluster.
    pub engine: bool,
}

/// How long an engine may take to resign.
const RESIGN_LIMIT: Duration = Duration::from_secs(5);

/// A running fleetd. Clones share it.
#[derive(Clone)]
pub struct Fleetd(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    registry: Registry,
    agent: Option<Agent>,
    /// Taken when it is stopped.
    engine: Mutex<Option<Engine>>,
}

impl Fleetd {
    /// Starts it. Without a `systemd` there is no agent: the machine takes no units and is not present. Neither the store
    /// nor systemd need to be there yet.
    pub fn start(io: Io, kv: Arc<dyn Kv>, systemd: Option<Arc<dyn Systemd>>, config: FleetConfig) -> Fleetd {
        let registry = Registry::metered(kv, &config.prefix, io.clock.clone()).with(io.planted);
        let engine = EngineConfig { machine: config.machine.id.clone(), lease_ttl: config.engine_ttl };
        let engine = config.engine.then(|| Engine::start(io.clone(), registry.clone(), engine));
        let agent = AgentConfig { machine: config.machine, instance: config.instance, ttl: config.agent_ttl };
        let agent = systemd.map(|systemd| Agent::start(io.clone(), registry.clone(), systemd, agent));
        Fleetd(Arc::new(Inner { clock: io.clock, registry, agent, engine: Mutex::new(engine) }))
    }

    /// Ends it; ready when it has ended. The engine resigns beside the agent's leaving: whoever leads next may take over the
    /// units at once.
    pub async fn stop(&self, ending: Ending) {
        let engine = self.0.engine.lock().expect("no holder panics").take();
        let resign = async {
            let Some(engine) = engine else { return };
            let late = self.0.clock.sleep_until(self.0.clock.now() + RESIGN_LIMIT);
            // Without a store it cannot resign: its lease ends by itself.
            drop(select(Box::pin(engine.stop()), late).await);
        };
        let leave = async {
            if let Some(agent) = &self.0.agent {
                agent.stop(ending).await;
            }
        };
        join(resign, leave).await;
    }

    /// What it reads and writes.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// How its agent is, if there is one.
    pub fn agent(&self) -> Option<AgentStatus> {
        self.0.agent.as_ref().map(Agent::status)
    }

    /// What it has counted, and for how long its engine has led.
    pub fn counts(&self) -> (Counts, Option<Duration>) {
        let counts = self.0.registry.meter.read();
        let leads_for = counts.leads_since.map(|since| self.0.clock.now().saturating_sub(since));
        (counts, leads_for)
    }

    /// Whether its engine leads the cluster, as far as it knows.
    pub fn leads(&self) -> bool {
        self.0.engine.lock().expect("no holder panics").as_ref().is_some_and(Engine::leads)
    }
}
