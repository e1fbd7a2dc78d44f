//! The families of addresses, one by one, so that no backend says everything twice.

use crate::config::NetworkConfig;
use crate::interface::External;
use crate::links::{Route, Way};
use crate::plan::BOOT;
use crate::subnet::{Lease, SubnetKey};
use ipnet::IpNet;
use std::net::IpAddr;

/// What our side of the cluster is in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Whether it is IPv6.
    pub v6: bool,
    /// The cluster's network.
    pub network: IpNet,
    /// Our subnet.
    pub own: IpNet,
    /// The external interface's address, where packets between machines are sent from.
    pub local: IpAddr,
}

/// The families in which we hold a subnet.
pub(super) fn families(config: &NetworkConfig, own: &SubnetKey, external: &External) -> Vec<Family> {
    let v4 = config.v4.zip(own.v4).zip(external.v4).map(|((range, own), local)| Family {
        v6: false,
        network: range.network.into(),
        own: own.trunc().into(),
        local: local.into(),
    });
    let v6 = config.v6.zip(own.v6).zip(external.v6).map(|((range, own), local)| Family {
        v6: true,
        network: range.network.into(),
        own: own.trunc().into(),
        local: local.into(),
    });
    v4.into_iter().chain(v6).collect()
}

impl Family {
    /// Our subnet's first address, alone: what our device is called.
    pub(super) fn address(&self) -> IpNet {
        IpNet::from(self.own.network())
    }

    /// A peer's subnet in this family.
    pub(super) fn subnet(&self, key: &SubnetKey) -> Option<IpNet> {
        if self.v6 { key.v6.map(|net| net.trunc().into()) } else { key.v4.map(|net| net.trunc().into()) }
    }
}

/// The public address of a lease's machine in a family; none if it says none.
pub fn public(lease: &Lease, v6: bool) -> Option<IpAddr> {
    let address =
        if v6 { lease.value.public_ipv6.map(IpAddr::from) } else { Some(lease.value.public_ip.into()) };
    address.filter(|address| !address.is_unspecified())
}

/// A route of ours.
pub(super) fn route(destination: IpNet, link: &str, gateway: Option<IpAddr>, onlink: bool) -> Route {
    assert!(!onlink || gateway.is_some(), "only a gateway can count as on the link");
    Route { destination, way: Way::Out { link: link.to_owned(), gateway, onlink }, protocol: BOOT }
}
