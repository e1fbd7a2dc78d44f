//! fleetd without its edges: the agent of one machine and, where it may lead, the engine, over one registry.
//!
//! Both run beside each other and know nothing of each other: they meet in the store. So a machine without units runs an
//! engine only, and a machine that shall not decide runs an agent only.

use crate::agent::{Agent, AgentConfig, AgentStatus, Ending};
use crate::model::Machine;
use crate::registry::Registry;
use crate::systemd::Systemd;
use kernel::{Io, Kv};
use std::sync::Arc;
use std::time::Duration;

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

/// A running fleetd. Clones share it.
#[derive(Clone)]
pub struct Fleetd {
    registry: Registry,
    agent: Option<Agent>,
}

impl Fleetd {
    /// Starts it. Without a `systemd` there is no agent: the machine takes no units and is not present. Neither the store
    /// nor systemd need to be there yet.
    pub fn start(io: Io, kv: Arc<dyn Kv>, systemd: Option<Arc<dyn Systemd>>, config: FleetConfig) -> Fleetd {
        let registry = Registry::new(kv, &config.prefix);
        let agent_config =
            AgentConfig { machine: config.machine, instance: config.instance, ttl: config.agent_ttl };
        let agent = systemd.map(|systemd| Agent::start(io.clone(), registry.clone(), systemd, agent_config));
        Fleetd { registry, agent }
    }

    /// Ends it: the engine first, so that nothing new is placed here meanwhile. Ready when it has ended.
    pub async fn stop(&self, ending: Ending) {
        if let Some(agent) = &self.agent {
            agent.stop(ending).await;
        }
    }

    /// What it reads and writes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How its agent is, if there is one.
    pub fn agent(&self) -> Option<AgentStatus> {
        self.agent.as_ref().map(Agent::status)
    }
}
