//! flanneld without its edges: the agent of one machine over a store, a kernel and a few things of the machine.

use crate::agent::{Agent, FlannelConfig, Log, Machine, Status};
use crate::links::Links;
use crate::local::Local;
use crate::tun::Tun;
use kernel::{Io, Kv};
use std::sync::Arc;

/// A running flanneld. Clones share it.
#[derive(Clone)]
pub struct Flanneld(Agent);

impl Flanneld {
    /// Starts it. The store need not be there yet, nor the config, nor the interface: what is missing is told and waited for. `log`
    /// takes the lines for the operator.
    pub fn start(
        io: Io,
        kv: Arc<dyn Kv>,
        links: Arc<dyn Links>,
        tun: Arc<dyn Tun>,
        local: Arc<dyn Local>,
        config: FlannelConfig,
        log: Log,
    ) -> Flanneld {
        Flanneld(Agent::start(io, kv, Machine { links, tun, local }, config, log))
    }

    /// Ends it, ready when it has ended. Device, routes, neighbours, rules, lease and subnet.env stay, as flannel leaves them;
    /// a TUN device cannot.
    pub async fn stop(&self) {
        self.0.stop().await;
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Whether the lease is held, device and rules are in place, and subnet.env says so.
    pub fn is_ready(&self) -> bool {
        self.0.status().ready
    }
}
