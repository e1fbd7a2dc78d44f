//! The agent: makes this machine's kernel what the cluster's leases say, and keeps it so.
//!
//! The holder ([`crate::holder`]) follows the store and keeps the lease; the kernel hints at what changes; the agent looks at both and
//! makes the one follow the other. It remembers nothing that it could look up.
//!
//! [`run`] is the loop. [`prepare`] finds this machine's place before there is a lease (config, interface, MACs), [`tables`]
//! does the rest: look, wish, plan, carry out. [`tunnel`] opens the device of the udp backend, [`commands`] runs those of the extension,
//! [`listen`] listens to the kernel, [`show`] says how it is.
//!
//! The life of an agent: wait for a config that can be read; choose the interface; offer the holder a lease's value; when it
//! holds one, make device, addresses, rules and the peers' entries, in this order; write subnet.env; be ready. From then on, whatever
//! happens, look again. When the lease is lost, devices go down before anything else.

mod commands;
mod config;
mod listen;
mod prepare;
mod retry;
mod run;
mod show;
mod state;
mod status;
mod tables;
#[cfg(test)]
mod tests;
mod tunnel;

pub use config::*;
pub use status::*;

use crate::links::Links;
use crate::local::Local;
use crate::registry::Registry;
use crate::tun::Tun;
use futures_channel::oneshot;
use kernel::inbox::{Inbox, inbox};
use kernel::{Io, Kv};
use state::{Event, Ports};
use std::sync::{Arc, Mutex};

/// The machine's side of an agent.
#[derive(Clone)]
pub struct Machine {
    /// The kernel's tables.
    pub links: Arc<dyn Links>,
    /// TUN devices.
    pub tun: Arc<dyn Tun>,
    /// subnet.env and commands.
    pub local: Arc<dyn Local>,
}

/// A running agent. Clones share it.
#[derive(Clone)]
pub struct Agent {
    events: Inbox<Event>,
    shown: Arc<Mutex<Status>>,
}

impl Agent {
    /// Starts it. The store need not be there yet.
    pub fn start(io: Io, kv: Arc<dyn Kv>, machine: Machine, config: FlannelConfig, log: Log) -> Agent {
        let registry = Registry::new(kv, &config.prefix).with(io.planted);
        let Machine { links, tun, local } = machine;
        let Io { clock, spawn, probe, seed, .. } = io;
        let ports = Ports { clock, spawn, links, tun, local, probe, seed };
        Agent::over(ports, registry, config, log)
    }

    fn over(ports: Ports, registry: Registry, config: FlannelConfig, log: Log) -> Agent {
        let (events, outlet) = inbox(INBOX);
        let shown = Arc::new(Mutex::new(Status::default()));
        let spawn = ports.spawn.clone();
        let start = run::Start { ports, registry, config, log, shown: shown.clone(), events: events.clone() };
        spawn.spawn("flannel", Box::pin(run::run(start, outlet)));
        Agent { events, shown }
    }

    /// Ends it, ready when it has ended. What the kernel holds stays, and so do the lease and subnet.env: packets go on, and the next
    /// flanneld takes it all up again. A TUN device goes with its routes.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.events.push(Event::Stop(done));
        // An agent that has ended already answers by dropping the sender.
        let _ = ended.await;
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.shown.lock().expect("no holder panics").clone()
    }
}
