//! The parts of a running fleetd put together: systemd, agent and engine over a store, and the API before them.
//!
//! [`Parts`] can be taken down and put up anew with another configuration while the edge goes on serving ([`Front`]): that is
//! how a reload works, and no unit notices, because a fleetd that comes back finds its units.

use super::config::FleetdConfig;
use super::figures;
use super::machine;
use crate::etcd::Refusal;
use fleet::agent::Ending;
use fleet::api::{Api, ApiConfig, Request, Response, Service};
use fleet::daemon::{FleetConfig, Fleetd};
use fleet::model::{Admission, Machine, MachineId};
use fleet::systemd::Systemd;
use io_real::fleet::figures::Figure;
use io_real::fleet::{HttpPeers, Programs, Tokens};
use io_real::systemd::{Bus, BusConfig};
use kernel::{BoxFuture, Io, Kv};
use serde_json::{Value, json};
use std::sync::{Arc, RwLock};

/// Who this machine is, for as long as the process runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub id: MachineId,
    /// This boot's token.
    pub instance: String,
}

/// The ways out of the process, made before anything is started: what cannot work is known then.
pub struct Ways {
    /// The store.
    pub kv: Arc<dyn Kv>,
    /// This machine's systemd.
    pub systemd: Arc<dyn Systemd>,
}

/// What runs.
#[derive(Clone)]
pub struct Parts {
    /// Agent and engine.
    pub fleetd: Fleetd,
    /// What clients see.
    pub api: Api,
    /// This machine, as it presents itself.
    pub machine: Machine,
}

impl Parts {
    /// Starts agent, engine and API over this store and this systemd.
    pub fn start(
        config: &FleetdConfig,
        identity: &Identity,
        ways: Ways,
        io: Io,
        tokens: Option<Tokens>,
    ) -> Parts {
        let machine = describe(config, identity);
        let fleet = FleetConfig {
            machine: machine.clone(),
            instance: identity.instance.clone(),
            prefix: config.prefix.clone(),
            agent_ttl: config.agent_ttl,
            engine_ttl: config.engine_ttl,
            engine: config.engine,
        };
        let fleetd = Fleetd::start(io, ways.kv, Some(ways.systemd), fleet);
        let peers = HttpPeers {
            authority: config.api.authority.clone(),
            identity: config.api.tls.as_ref().map(|tls| (tls.certificate.clone(), tls.key.clone())),
            tokens,
        };
        let api = ApiConfig { machine: identity.id.clone(), token_limit: config.token_limit };
        let api = Api::new(fleetd.registry().clone(), api)
            .with_local(Arc::new(Programs::new(config.systemd_user)))
            .with_peers(Arc::new(peers));
        Parts { fleetd, api, machine }
    }

    /// What is to be told on `/metrics`.
    pub fn figures(&self) -> Vec<Figure> {
        let (counts, leads_for) = self.fleetd.counts();
        let mut figures = figures::of(&counts, leads_for);
        let Some(agent) = self.fleetd.agent() else { return figures };
        let gauge = |name, help, value: f64| Figure { kind: "gauge", name, help, value };
        figures.extend([
            gauge(
                "fleet_agent_present",
                "1 while this machine is present in the cluster.",
                f64::from(u8::from(agent.present)),
            ),
            gauge("fleet_agent_units", "Units here, or on their way here or away.", agent.units as f64),
            gauge("fleet_agent_jobs", "Units with a job of systemd under way.", agent.jobs.len() as f64),
            gauge(
                "fleet_agent_troubles",
                "Units with which something went wrong.",
                agent.troubles.len() as f64,
            ),
        ]);
        figures
    }

    /// Everything that is known of this fleetd, for people.
    pub fn state(&self, settings: Value) -> Value {
        let machine = &self.machine;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine": {
                "id": machine.id,
                "primaryIP": machine.primary_ip,
                "metadata": machine.metadata,
                "capacity": machine.capacity,
                "api": machine.api,
            },
            "agent": self.fleetd.agent(),
            "settings": settings,
        })
    }
}

/// This machine, as it presents itself to the cluster.
fn describe(config: &FleetdConfig, identity: &Identity) -> Machine {
    let primary_ip = config.public_ip.clone().unwrap_or_else(machine::public_ip);
    Machine {
        id: identity.id.clone(),
        metadata: config.metadata.clone(),
        capacity: config.capacity(machine::resources()),
        admission: Admission::Open,
        leaving: false,
        api: config.api.url(&primary_ip),
        version: env!("CARGO_PKG_VERSION").into(),
        primary_ip,
    }
}

/// Connects to systemd.
pub async fn connect(config: &FleetdConfig) -> Result<Arc<dyn Systemd>, Refusal> {
    let directory = &config.units_directory;
    let bus = match (&config.systemd_bus, config.systemd_user) {
        (Some(address), _) => BusConfig::at(address, directory),
        (None, false) => BusConfig::system(directory),
        (None, true) => BusConfig::user(directory),
    };
    let bus = Bus::connect(bus).await.map_err(|error| {
        let directory = config.units_directory.display();
        Refusal::start(format!("{error} (systemd_bus, systemd_user; units_directory={directory})"))
    })?;
    Ok(Arc::new(bus))
}

/// What the edge serves: the parts of the moment.
pub struct Front(RwLock<Parts>);

impl Front {
    /// Serves these.
    pub fn new(parts: Parts) -> Front {
        Front(RwLock::new(parts))
    }

    /// What is served now.
    pub fn parts(&self) -> Parts {
        self.0.read().expect("no holder panics").clone()
    }

    /// Serves these from now on.
    pub fn replace(&self, parts: Parts) {
        *self.0.write().expect("no holder panics") = parts;
    }

    /// Ends what is served, units left running.
    pub async fn stop(&self) {
        self.parts().fleetd.stop(Ending::Leave).await;
    }
}

impl Service for Front {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        let api = self.parts().api;
        Box::pin(async move { api.handle(request).await })
    }
}
