//! The Tun port over the model: a device is a link, and whom it sends to is a table that a packet walk reads.

use super::SimLinks;
use flannel::links::{Link, LinkKind, Operation};
use flannel::tun::*;
use ipnet::Ipv4Net;
use kernel::BoxFuture;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Devices that are open, by name.
pub(super) type Opened = BTreeMap<String, Device>;

/// What a device was opened with, and whom it sends to.
#[derive(Clone, Debug)]
pub(super) struct Device {
    number: u64,
    port: u16,
    local: Ipv4Addr,
    peers: BTreeMap<Ipv4Net, SocketAddrV4>,
}

/// The Tun port of one machine.
#[derive(Clone)]
pub struct SimTun(pub SimLinks);

struct SimTunDevice {
    links: SimLinks,
    name: String,
    number: u64,
}

impl SimLinks {
    /// Where the open device of that name sends a packet; none if nobody has the destination.
    pub(super) fn tun_peer(&self, name: &str, to: Ipv4Addr) -> Option<SocketAddrV4> {
        let state = self.lock();
        let peers = state.tuns.get(name)?.peers.iter();
        let longest = peers.filter(|(net, _)| net.contains(&to)).max_by_key(|(net, _)| net.prefix_len());
        longest.map(|(_, peer)| *peer)
    }

    /// The open device that receives datagrams for this address and port.
    pub(super) fn tun_at(&self, at: SocketAddrV4) -> Option<String> {
        let state = self.lock();
        let mut opened = state.tuns.iter();
        opened
            .find(|(_, device)| device.local == *at.ip() && device.port == at.port())
            .map(|(name, _)| name.clone())
    }
}

impl Tun for SimTun {
    fn open<'a>(&'a self, config: &'a TunConfig) -> BoxFuture<'a, Result<Box<dyn TunDevice>, TunError>> {
        Box::pin(async move {
            let links = &self.0;
            let pause = links.pause(1);
            links.pass(pause).await;
            let mut state = links.lock();
            let mut names = (0..).map(|number| config.name.replace("%d", &number.to_string()));
            let name = if config.name.contains("%d") {
                names.find(|name| state.kernel.link(name).is_none()).expect("some number is free")
            } else {
                config.name.clone()
            };
            let taken =
                state.tuns.values().any(|other| other.local == config.local && other.port == config.port);
            if taken || config.local != links.address {
                return Err(TunError::Taken(format!("address {}:{}", config.local, config.port)));
            }
            let link =
                Link { name: name.clone(), kind: LinkKind::Tun, mac: None, mtu: config.mtu, up: false };
            links
                .perform(&mut state, &Operation::AddLink(link))
                .map_err(|error| TunError::Taken(error.to_string()))?;
            let number = state.draws.number();
            let device = Device { number, port: config.port, local: config.local, peers: BTreeMap::new() };
            state.tuns.insert(name.clone(), device);
            Ok(Box::new(SimTunDevice { links: links.clone(), name, number }) as Box<dyn TunDevice>)
        })
    }
}

impl TunDevice for SimTunDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn set_peers(&self, peers: BTreeMap<Ipv4Net, SocketAddrV4>) {
        let mut state = self.links.lock();
        let device = state.tuns.get_mut(&self.name).filter(|device| device.number == self.number);
        device.into_iter().for_each(|device| device.peers = peers.clone());
    }

    fn counters(&self) -> TunCounters {
        TunCounters::default()
    }

    fn failure(&self) -> Option<String> {
        let state = self.links.lock();
        let is_there = state.tuns.get(&self.name).is_some_and(|device| device.number == self.number)
            && state.kernel.link(&self.name).is_some();
        (!is_there).then(|| format!("device {} was removed", self.name))
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Drop for SimTunDevice {
    fn drop(&mut self) {
        let mut state = self.links.lock();
        if state.tuns.get(&self.name).is_some_and(|device| device.number == self.number) {
            state.tuns.remove(&self.name);
            // Somebody may have deleted it before.
            let _ = self.links.perform(&mut state, &Operation::DeleteLink(self.name.clone()));
        }
    }
}
