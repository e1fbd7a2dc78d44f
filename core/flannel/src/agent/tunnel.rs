//! The TUN device of the udp backend: open while a lease is held, and told who the peers are.

use super::state::{Agent, Tunnel};
use crate::config::Backend;
use crate::desired;
use crate::links::Scope;
use crate::subnet::Lease;
use crate::tun::TunConfig;
use std::collections::BTreeSet;

/// The name of the device; the kernel puts the first free number in.
const NAME: &str = "flannel%d";

impl Agent {
    /// Opens the device if it is wanted and not there, or no longer what the lease says; tells it the peers.
    pub(super) async fn tend_tunnel(&mut self, lease: &Lease) -> Result<(), String> {
        let place = self.place.as_ref().expect("who serves has a place");
        let (Backend::Udp { port }, Some(own), Some(local)) =
            (&place.config.backend, lease.key.v4, place.external.v4)
        else {
            self.tunnel = None;
            return Ok(());
        };
        let (address, port) = (own.network(), *port);
        let mtu = desired::mtu(&place.config, &place.external);
        let config = TunConfig { name: NAME.to_owned(), mtu, port, local, address };
        self.drop_broken_tunnel(&config).await;
        if self.tunnel.is_none() {
            let device = self.ports.tun.open(&config).await.map_err(|error| error.to_string())?;
            self.say(format!("opened {} on {local}:{port}", device.name()));
            self.tunnel = Some(Tunnel { device, address, mtu });
        }
        let desired = self.wish(lease);
        let tunnel = self.tunnel.as_ref().expect("opened above");
        for note in tunnel.device.notes() {
            self.say(note);
        }
        tunnel.device.set_peers(desired.tun_peers);
        Ok(())
    }

    async fn drop_broken_tunnel(&mut self, config: &TunConfig) {
        let Some(tunnel) = &self.tunnel else { return };
        let why = match tunnel.device.failure() {
            Some(why) => why,
            None if (tunnel.address, tunnel.mtu) != (config.address, config.mtu) => {
                "its address or MTU is another now".to_owned()
            }
            None => {
                let name = tunnel.device.name().to_owned();
                let scope = Scope { links: BTreeSet::from([name]), ..Scope::default() };
                match self.ports.links.tables(&scope).await {
                    Ok(tables) if tables.links.is_empty() => "it is gone".to_owned(),
                    _ => return,
                }
            }
        };
        self.ports.probe.sometimes("flannel: a TUN device is opened anew");
        self.say(format!("{}: {why}; it is opened anew", tunnel.device.name()));
        self.tunnel = None;
    }
}
