//! What the kernel should hold, as a pure function of the config, our lease, the external interface and the peers' leases.
//!
//! One file a backend says what it puts into the tables for each family of addresses and each peer. A peer that cannot be
//! served (another backend, no address, a subnet that is not the cluster's) is left out and named with the reason;
//! it keeps no other from being served.

mod backends;
mod families;
mod host_gw;
mod ipip;
mod peers;
mod rules;
#[cfg(test)]
mod tests;
mod udp;
mod vxlan;
mod wireguard;

pub use backends::{announce, check, devices, mtu};
pub use families::{Family, public};
pub use rules::MARK;

use crate::config::{Backend, NetworkConfig};
use crate::interface::External;
use crate::links::{Link, Mac, Route, Secret, Tables, Way};
use crate::plan::{BOOT, Ours};
use crate::rules::Means;
use crate::subnet::{Lease, SubnetKey};
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;

/// All that the kernel's tables follow from.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The cluster's config.
    pub config: &'a NetworkConfig,
    /// Our lease.
    pub own: &'a Lease,
    /// The interface by which peers are reached.
    pub external: &'a External,
    /// MACs of our devices.
    pub macs: Macs,
    /// The private key of our WireGuard devices, if the backend has any.
    pub secret: Option<Secret>,
    /// The name of the TUN device, if the backend has one and it is open.
    pub tun: Option<&'a str>,
    /// Everybody else's leases.
    pub peers: &'a BTreeMap<SubnetKey, Arc<Lease>>,
    /// Public addresses of peers to which packets go without a gateway: DirectRouting reaches them by plain routes.
    pub direct: &'a BTreeSet<IpAddr>,
    /// Which rules, and how.
    pub options: Options,
}

/// MACs of our devices, one a family. None where the backend's devices have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macs {
    /// Of the IPv4 device.
    pub v4: Option<Mac>,
    /// Of the IPv6 device.
    pub v6: Option<Mac>,
}

impl Macs {
    /// That of one family.
    pub fn of(&self, v6: bool) -> Option<Mac> {
        if v6 { self.v6 } else { self.v4 }
    }

    /// Sets that of one family.
    pub fn set(&mut self, v6: bool, mac: Mac) {
        *(if v6 { &mut self.v6 } else { &mut self.v4 }) = Some(mac);
    }
}

/// What the operator has chosen for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Masquerade what leaves the cluster's network: `--ip-masq`.
    pub masquerade: bool,
    /// Let pass what is forwarded for the cluster's network: `--iptables-forward-rules`.
    pub forward: bool,
    /// Drop packets to parts of our subnet that nobody has: `--ip-blackhole-route`.
    pub blackhole: bool,
    /// How rules of IPv4 are made.
    pub v4: How,
    /// How rules of IPv6 are made.
    pub v6: How,
}

/// How rules of one family are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// By which means.
    pub means: Means,
    /// Whether the ports of a masquerade are drawn at random: where it can be done, unless `--ip-masq-fully-random-disable`.
    pub random_fully: bool,
}

/// What the kernel should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The tables.
    pub tables: Tables,
    /// What of the kernel's tables is ours to change.
    pub ours: Ours,
    /// Largest packet of a container, in bytes: FLANNEL_MTU.
    pub mtu: u32,
    /// To whom the TUN device sends.
    pub tun_peers: BTreeMap<Ipv4Net, SocketAddrV4>,
    /// Peers that are served.
    pub served: BTreeSet<SubnetKey>,
    /// Peers that cannot be served, and why.
    pub skipped: BTreeMap<SubnetKey, String>,
}

/// What the kernel should hold for this wish.
pub fn desired(wish: &Wish<'_>) -> Desired {
    let families = families::families(wish.config, &wish.own.key, wish.external);
    assert!(!families.is_empty(), "a lease of no family: {:?}", wish.own);
    let mut desired = Desired { mtu: mtu(wish.config, wish.external), ..Desired::default() };
    desired.ours.networks = families.iter().map(|family| family.network).collect();
    desired.ours.own = families.iter().map(|family| family.own).collect();
    desired.ours.rules = true;
    let (peers, skipped) = peers::usable(wish, &families);
    desired.skipped = skipped;
    for family in &families {
        rules::add(family, &wish.options, &mut desired.tables);
        if wish.options.blackhole {
            let blackhole = Route { destination: family.own, way: Way::Blackhole, protocol: BOOT };
            desired.tables.routes.insert(blackhole);
        }
        match &wish.config.backend {
            Backend::Vxlan { direct_routing, .. } => {
                vxlan::add(wish, family, &peers, *direct_routing, &mut desired);
            }
            Backend::HostGw => host_gw::add(wish, family, &peers, &mut desired),
            Backend::Ipip { direct_routing } => {
                ipip::add(wish, family, &peers, *direct_routing, &mut desired)
            }
            Backend::Udp { port } => udp::add(wish, family, &peers, *port, &mut desired),
            Backend::Wireguard { .. } | Backend::Alloc | Backend::Extension { .. } => {}
        }
    }
    // One tunnel may carry both families, so these are not taken one by one.
    if let Backend::Wireguard { .. } = wish.config.backend {
        wireguard::add(wish, &families, &peers, &mut desired);
    }
    let skipped = &desired.skipped;
    desired.served = peers.iter().map(|peer| peer.key).filter(|key| !skipped.contains_key(key)).collect();
    desired
}

/// What a machine that holds no lease any more should have: its devices are down, so that nothing of a subnet that may be
/// another's leaves it, and routes to peers are gone. Rules stay; they concern the containers that still run here.
pub fn quiet(present: &Tables, ours: &Ours) -> (Tables, Ours) {
    let mut tables = Tables::default();
    for link in present.links.iter().filter(|link| ours.links.contains(&link.name)) {
        tables.links.insert(Link { up: false, ..link.clone() });
        tables.addresses.extend(present.addresses.iter().filter(|entry| entry.link == link.name).cloned());
    }
    (tables, Ours { rules: false, ..ours.clone() })
}
