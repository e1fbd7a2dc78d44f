//! A packet's way through the tables of all machines, step by step, and where it was lost.
//!
//! From a container of one machine: the route there; then, by the kind of the link that the route names, the neighbour and the
//! forwarding entry (VXLAN), the gateway (IPIP, plain routes), the peer behind which the destination is (WireGuard), or the daemon's own peers (TUN); then the device on the other
//! side, which must be up, be told of the same network, and have the MAC that the packet is for; and the route there, until
//! a bridge takes it. Nothing between the machines loses packets.

use super::{BRIDGE, EXTERNAL, Kernel, SimLinks};
use flannel::links::*;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddrV4};

/// Machines that a packet may pass; more is a circle.
const HOPS: usize = 4;

/// The tables of all machines at one moment. Machines are numbered from 0.
pub struct Underlay<'a> {
    hosts: &'a [SimLinks],
    kernels: Vec<Kernel>,
    by_address: BTreeMap<IpAddr, usize>,
}

/// Where a packet went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The machines it passed, the first included.
    pub machines: Vec<usize>,
    /// How it left the last of them but one: the name of the link.
    pub by: Option<String>,
    /// Whether it reached the bridge of the last machine, or where it was lost.
    pub end: Result<(), Lost>,
}

/// Where and why a packet was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The machine.
    pub machine: usize,
    /// What is missing or wrong there.
    pub why: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost at machine {}: {}", self.machine + 1, self.why)
    }
}

impl<'a> Underlay<'a> {
    /// The tables as they are now.
    pub fn new(hosts: &'a [SimLinks]) -> Underlay<'a> {
        let kernels: Vec<Kernel> = hosts.iter().map(SimLinks::kernel).collect();
        let mut by_address = BTreeMap::new();
        for (machine, kernel) in kernels.iter().enumerate() {
            by_address.extend(kernel.addresses_of(EXTERNAL).map(|address| (address.net.addr(), machine)));
        }
        Underlay { hosts, kernels, by_address }
    }

    /// The tables of one machine.
    pub fn kernel(&self, machine: usize) -> &Kernel {
        &self.kernels[machine]
    }

    /// Sends a packet from a container of `machine`.
    pub fn walk(&self, machine: usize, to: IpAddr) -> Walk {
        let mut walk = Walk { machines: vec![machine], by: None, end: Ok(()) };
        loop {
            let here = *walk.machines.last().expect("it began somewhere");
            match self.step(here, to) {
                Ok(None) => return walk,
                Ok(Some((next, by))) => {
                    walk.machines.push(next);
                    walk.by = Some(by);
                }
                Err(why) => walk.end = Err(why),
            }
            if walk.end.is_ok() && walk.machines.len() > HOPS {
                walk.end = Err(Lost { machine: here, why: format!("{to} goes in a circle") });
            }
            if walk.end.is_err() {
                return walk;
            }
        }
    }

    /// One machine: `None` when the packet has reached the bridge, else the next machine.
    fn step(&self, here: usize, to: IpAddr) -> Result<Option<(usize, String)>, Lost> {
        let kernel = &self.kernels[here];
        let lost = |why: String| Lost { machine: here, why };
        let route = kernel.lookup(to).ok_or_else(|| lost(format!("no route to {to}")))?;
        let Way::Out { link, gateway, .. } = &route.way else {
            return Err(lost(format!("the route to {} drops it", route.destination)));
        };
        let device = kernel.link(link).expect("a route goes by a link that exists");
        if !device.up {
            return Err(lost(format!("{link} is down")));
        }
        if link == BRIDGE {
            return Ok(None);
        }
        let next = gateway.unwrap_or(to);
        let there = match &device.kind {
            LinkKind::Vxlan(vxlan) => self.by_vxlan(here, device, vxlan, next)?,
            LinkKind::Ipip { .. } => self.by_ipip(here, link, next)?,
            LinkKind::Tun => self.by_tun(here, link, to)?,
            LinkKind::Wireguard => self.by_wireguard(here, link, to)?,
            LinkKind::Loopback => return Err(lost(format!("{link} leads nowhere"))),
            LinkKind::Other(_) => self.machine_at(here, next)?,
        };
        if there == here {
            return Err(lost(format!("{to} comes back to the machine by {link}")));
        }
        Ok(Some((there, link.clone())))
    }

    /// The machine with this address between machines; its link and ours must be up.
    fn machine_at(&self, here: usize, address: IpAddr) -> Result<usize, Lost> {
        let up = |machine: usize| self.kernels[machine].link(EXTERNAL).is_some_and(|link| link.up);
        let Some(there) = self.by_address.get(&address).copied() else {
            return Err(Lost { machine: here, why: format!("it leaves to {address}, which is no machine") });
        };
        match [here, there].into_iter().find(|machine| !up(*machine)) {
            Some(machine) => Err(Lost { machine, why: format!("{EXTERNAL} is down") }),
            None => Ok(there),
        }
    }

    fn by_vxlan(&self, here: usize, device: &Link, vxlan: &Vxlan, next: IpAddr) -> Result<usize, Lost> {
        let kernel = &self.kernels[here];
        let (name, lost) = (&device.name, |machine, why| Lost { machine, why });
        let mac = kernel
            .neighbour(name, next)
            .ok_or_else(|| lost(here, format!("no neighbour {next} on {name}")))?;
        let machine = kernel.forwarding(name, mac);
        let machine =
            machine.ok_or_else(|| lost(here, format!("no forwarding entry for {mac} on {name}")))?;
        let there = self.machine_at(here, machine)?;
        let same = |link: &&Link| {
            matches!(&link.kind, LinkKind::Vxlan(other)
                if other.vni == vxlan.vni && other.port == vxlan.port && other.local == machine)
        };
        let Some(other) = self.kernels[there].links().find(same) else {
            return Err(lost(there, format!("no device of VNI {} on port {}", vxlan.vni, vxlan.port)));
        };
        if !other.up {
            return Err(lost(there, format!("{} is down", other.name)));
        }
        if other.mac != Some(mac) {
            return Err(lost(there, format!("the frame is for {mac}, {} has {:?}", other.name, other.mac)));
        }
        Ok(there)
    }

    fn by_ipip(&self, here: usize, link: &str, next: IpAddr) -> Result<usize, Lost> {
        let there = self.machine_at(here, next)?;
        let fits = |link: &Link| matches!(link.kind, LinkKind::Ipip { local } if local == next) && link.up;
        if !self.kernels[there].links().any(fits) {
            let why = format!("no tunnel with the address {next} is up; it came by {link}");
            return Err(Lost { machine: there, why });
        }
        Ok(there)
    }

    /// Both ends must know each other: by their keys, by the key that they share, and the far one by where the packet is from.
    fn by_wireguard(&self, here: usize, link: &str, to: IpAddr) -> Result<usize, Lost> {
        let lost = |machine, why: &str| Lost { machine, why: format!("{link}: {why}") };
        let near = &self.kernels[here];
        let own = near.wireguards.get(link).ok_or_else(|| lost(here, "it has no key"))?;
        let peer =
            near.wireguard_peer(link, to).ok_or_else(|| lost(here, &format!("{to} is behind no peer")))?;
        let endpoint = peer.endpoint.ok_or_else(|| lost(here, "the peer was not heard of yet"))?;
        let there = self.machine_at(here, endpoint.ip())?;
        let far = &self.kernels[there];
        let up = |device: &&WireguardDevice| far.link(&device.link).is_some_and(|link| link.up);
        let mut listening =
            far.wireguards.values().filter(|device| device.port == endpoint.port()).filter(up);
        let device = listening.next().ok_or_else(|| lost(there, &format!("nobody listens on {endpoint}")))?;
        if device.secret.public() != peer.key {
            return Err(lost(there, "the packet is for another key"));
        }
        let known = far.wireguard_peers.get(&(device.link.clone(), own.secret.public()));
        let known = known.ok_or_else(|| lost(there, "the sender's key is unknown"))?;
        if known.psk != peer.psk {
            return Err(lost(there, "the key that both share differs"));
        }
        let subnets = near.bridge_subnets();
        let from = subnets.iter().map(|subnet| subnet.network()).find(IpAddr::is_ipv4);
        let source = from.and_then(|from| far.wireguard_peer(&device.link, from));
        if to.is_ipv4() && source.map(|source| source.key) != Some(known.key) {
            return Err(lost(there, "the sender may not send from its subnet"));
        }
        Ok(there)
    }

    fn by_tun(&self, here: usize, link: &str, to: IpAddr) -> Result<usize, Lost> {
        let lost = |machine, why| Lost { machine, why };
        let IpAddr::V4(to) = to else { return Err(lost(here, format!("{link} carries IPv4 only"))) };
        let peer: Option<SocketAddrV4> = self.hosts[here].tun_peer(link, to);
        let peer = peer.ok_or_else(|| lost(here, format!("no peer behind {link} has {to}")))?;
        let there = self.machine_at(here, (*peer.ip()).into())?;
        let device = self.hosts[there].tun_at(peer);
        let up = |name: &String| self.kernels[there].link(name).is_some_and(|link| link.up);
        if !device.as_ref().is_some_and(up) {
            return Err(lost(there, format!("no device listens on {peer}, or it is down")));
        }
        Ok(there)
    }
}
