//! What each backend is: whether it can work here, its devices, its MTU, and what our lease says about it.

use super::{Macs, wireguard};
use crate::config::{Backend, NetworkConfig};
use crate::interface::External;
use crate::links::{Link, LinkKind, Mac, Secret, Vxlan};
use crate::subnet::{LeaseValue, VxlanData};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes that VXLAN adds: the inner Ethernet header, VXLAN, UDP, and an outer header of IPv4.
const VXLAN_OVERHEAD: u32 = 50;
/// The same with an outer header of IPv6.
const VXLAN_OVERHEAD_V6: u32 = 70;
/// Bytes that IP and UDP headers add.
pub(super) const UDP_OVERHEAD: u32 = 28;
/// Bytes that another IP header adds.
const IPIP_OVERHEAD: u32 = 20;
/// Bytes that WireGuard adds over IPv6.
pub(super) const WIREGUARD_OVERHEAD: u32 = 80;
/// An IPv4 network takes no smaller packets than this.
const MTU_LEAST: u32 = 68;

/// Whether the backend can work on this machine; if not, the reason and the remedy.
pub fn check(config: &NetworkConfig, external: &External) -> Result<(), String> {
    let name = config.backend.name();
    if mtu(config, external) < MTU_LEAST {
        return Err(format!("MTU {} of {} leaves no room for backend {name}", external.mtu, external.link));
    }
    match &config.backend {
        Backend::HostGw => {
            let same = |own: Option<IpAddr>, public: Option<IpAddr>| own == public || public.is_none();
            let v4 = same(external.v4.map(IpAddr::from), external.public_ip.map(IpAddr::from));
            let v6 = same(external.v6.map(IpAddr::from), external.public_ipv6.map(IpAddr::from));
            if v4 && v6 {
                return Ok(());
            }
            Err(format!(
                "backend host-gw: the public address is not an address of {}; peers behind address translation \
                 cannot be gateways, use vxlan",
                external.link
            ))
        }
        Backend::Wireguard { .. } => wireguard::check(config, external),
        _ => Ok(()),
    }
}

/// Largest packet of a container, in bytes: it must fit by the narrowest of our devices.
pub fn mtu(config: &NetworkConfig, external: &External) -> u32 {
    let (base, overhead) = match &config.backend {
        Backend::Vxlan { mtu, .. } => {
            (*mtu, if config.v6.is_some() { VXLAN_OVERHEAD_V6 } else { VXLAN_OVERHEAD })
        }
        Backend::Wireguard { mtu, .. } => (*mtu, WIREGUARD_OVERHEAD),
        Backend::Udp { .. } => (0, UDP_OVERHEAD),
        Backend::Ipip { .. } => (0, IPIP_OVERHEAD),
        Backend::HostGw | Backend::Alloc | Backend::Extension { .. } => (0, 0),
    };
    let base = if base == 0 { external.mtu } else { base };
    base.saturating_sub(overhead)
}

/// The devices that the backend makes through the Links port, and whether each is of IPv6.
pub fn devices(config: &NetworkConfig, external: &External) -> Vec<(bool, Link)> {
    match (&config.backend, external.v4) {
        (Backend::Vxlan { .. }, _) => {
            let families = [false, true].into_iter();
            families.filter_map(|v6| Some((v6, vxlan_device(config, external, v6, None)?))).collect()
        }
        (Backend::Wireguard { .. }, _) => wireguard::devices(config, external),
        (Backend::Ipip { .. }, Some(local)) => vec![(false, ipip_device(external, local.into()))],
        _ => Vec::new(),
    }
}

/// The vxlan device of a family; none if the backend is another, or the family is not enabled.
pub(super) fn vxlan_device(
    config: &NetworkConfig,
    external: &External,
    v6: bool,
    mac: Option<Mac>,
) -> Option<Link> {
    let Backend::Vxlan { vni, port, mtu, gbp, learning, .. } = config.backend else { return None };
    let local: IpAddr =
        if v6 { config.v6.and(external.v6)?.into() } else { config.v4.and(external.v4)?.into() };
    let device = external.link.clone();
    let base = if mtu == 0 { external.mtu } else { mtu };
    Some(Link {
        name: if v6 { format!("flannel-v6.{vni}") } else { format!("flannel.{vni}") },
        kind: LinkKind::Vxlan(Vxlan { vni, port, device, local, learning, gbp }),
        mac,
        mtu: base.saturating_sub(if v6 { VXLAN_OVERHEAD_V6 } else { VXLAN_OVERHEAD }),
        up: true,
    })
}

/// The tunnel of the ipip backend.
pub(super) fn ipip_device(external: &External, local: IpAddr) -> Link {
    Link {
        name: "flannel.ipip".to_owned(),
        kind: LinkKind::Ipip { local },
        mac: None,
        mtu: external.mtu.saturating_sub(IPIP_OVERHEAD),
        up: true,
    }
}

/// What our lease says to the peers. `secret` is the key of our WireGuard devices, `told` what the extension's first command
/// printed.
pub fn announce(
    config: &NetworkConfig,
    external: &External,
    macs: &Macs,
    secret: Option<&Secret>,
    told: Option<&str>,
) -> LeaseValue {
    let mut value = LeaseValue {
        public_ip: external.public_ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
        public_ipv6: external.public_ipv6,
        backend_type: config.backend.lease_type().map(str::to_owned),
        data: None,
        data_v6: None,
    };
    match &config.backend {
        Backend::Vxlan { vni, .. } => {
            let data = |mac: Mac| VxlanData { vni: Some(*vni), mac }.to_value();
            value.data = config.v4.and(macs.v4).map(data);
            value.data_v6 = config.v6.and(macs.v6).map(data);
        }
        Backend::Wireguard { .. } => {
            let data = |v6| Some(wireguard::data(config, v6, secret?).to_value());
            value.data = config.v4.and_then(|_| data(false));
            value.data_v6 = config.v6.and_then(|_| data(true));
        }
        Backend::Extension { .. } => value.data = told.map(Value::from),
        _ => {}
    }
    value
}
