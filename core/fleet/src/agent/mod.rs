//! The agent: carries out the orders of one machine, and says what is so.
//!
//! It must never do harm. It keeps units running when the store is away, touches only units that it has installed, and acts on
//! nothing that it cannot justify: an order that was read under the lease that it holds, a state that systemd told.
//!
//! [`mind`] is the whole of it without the waiting: events in, calls out. [`run`] is the loop around it, [`calls`] carries
//! out what it asks for. Within the mind, [`crate::reconcile`] says what one unit needs next, [`tenure`] how far the lease may
//! be trusted, [`lease`] what hangs on it, [`steps`] begins and ends the jobs of units, [`batches`] does what is done for
//! all of them in one go, and [`ending`] takes leave.
//!
//! The life of an agent: look at the units directory; look who holds the machine's presence key. Nobody: get a lease, put the
//! presence under it and with it a report of everything that is installed here. This machine's own fleetd before it was started
//! anew: take that lease over, and remember from its reports what was started. Somebody else: wait. Then read the orders,
//! watch them, and carry them out. When the lease is lost, the same from the top, while units run on.

mod batches;
mod calls;
mod config;
mod ending;
mod event;
mod lease;
mod mind;
mod run;
mod status;
mod steps;
mod tenure;
#[cfg(test)]
pub(crate) mod tests;
mod unit;

pub use config::{AgentConfig, Ending, LEAVE_LIMIT, MAX_JOBS, PURGE_LIMIT, RESTART_GRACE};
pub use status::AgentStatus;
pub use tenure::MARGIN_DIVISOR;

use crate::registry::Registry;
use crate::systemd::Systemd;
use calls::Ports;
use event::Event;
use futures_channel::oneshot;
use kernel::inbox::Inbox;
use kernel::{Io, Probe, Spawn};
use std::sync::{Arc, Mutex};

/// A running agent. Clones share it.
#[derive(Clone)]
pub struct Agent {
    events: Inbox<Event>,
    status: Arc<Mutex<AgentStatus>>,
}

impl Agent {
    /// Starts it. It needs neither the store nor systemd to be there yet.
    pub fn start(io: Io, registry: Registry, systemd: Arc<dyn Systemd>, config: AgentConfig) -> Agent {
        let ports = Ports { clock: io.clock, registry, systemd, config: Arc::new(config) };
        Agent::over(io.spawn, io.probe, ports)
    }

    fn over(spawn: Arc<dyn Spawn>, probe: Probe, ports: Ports) -> Agent {
        let config = &ports.config;
        assert!(!config.instance.is_empty(), "without a token an agent would take any presence for its own");
        assert!(!config.ttl.is_zero(), "a lease of no time cannot be held");
        let status = Arc::new(Mutex::new(AgentStatus::default()));
        let events = run::start(spawn, probe, ports, status.clone());
        Agent { events, status }
    }

    /// Ends it; ready when it has ended. Bounded by [`LEAVE_LIMIT`] or [`PURGE_LIMIT`].
    pub async fn stop(&self, ending: Ending) {
        let (done, ended) = oneshot::channel();
        self.events.push(Event::Stop(ending, done));
        // An agent that has ended already answers by dropping the sender.
        let _ = ended.await;
    }

    /// How it is.
    pub fn status(&self) -> AgentStatus {
        self.status.lock().expect("no holder panics").clone()
    }
}
