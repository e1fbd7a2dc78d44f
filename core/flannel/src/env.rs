//! `subnet.env`: what flanneld tells the rest of its machine, as lines of a shell script.
//!
//! Written to the byte as flannel does it. Read by ourselves after a restart, to ask for the subnet of the last time. (The CNI plugin
//! reads it too, and by stricter rules: it must say what is wrong with the file, where a daemon goes on without it.)

#[cfg(test)]
mod tests;

use crate::config::NetworkConfig;
use crate::subnet::SubnetKey;
use ipnet::{Ipv4Net, Ipv6Net};
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The file's content. None: there is no such line, or it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubnetEnv {
    /// FLANNEL_NETWORK: the cluster's network.
    pub network: Option<Ipv4Net>,
    /// FLANNEL_SUBNET: the first host of our subnet, with the subnet's length: 10.5.72.1/24.
    pub subnet: Option<Ipv4Net>,
    /// FLANNEL_IPV6_NETWORK.
    pub v6_network: Option<Ipv6Net>,
    /// FLANNEL_IPV6_SUBNET.
    pub v6_subnet: Option<Ipv6Net>,
    /// FLANNEL_MTU, in bytes.
    pub mtu: Option<u32>,
    /// FLANNEL_IPMASQ: whether flanneld masquerades (so that nobody else should).
    pub ip_masq: Option<bool>,
}

impl SubnetEnv {
    /// What there is to tell of a machine that holds `own`.
    pub fn new(config: &NetworkConfig, own: &SubnetKey, mtu: u32, ip_masq: bool) -> SubnetEnv {
        assert!(own.v4.is_some() || own.v6.is_some(), "a machine holds a subnet of one family at least");
        let subnet = own.v4.map(|subnet| {
            let first = u32::from(subnet.network()) + 1;
            Ipv4Net::new(Ipv4Addr::from(first), subnet.prefix_len()).expect("the length is that of a subnet")
        });
        let v6_subnet = own.v6.map(|subnet| {
            let first = u128::from(subnet.network()) + 1;
            Ipv6Net::new(Ipv6Addr::from(first), subnet.prefix_len()).expect("the length is that of a subnet")
        });
        SubnetEnv {
            network: config.v4.filter(|_| subnet.is_some()).map(|range| range.network),
            subnet,
            v6_network: config.v6.filter(|_| v6_subnet.is_some()).map(|range| range.network),
            v6_subnet,
            mtu: Some(mtu),
            ip_masq: Some(ip_masq),
        }
    }

    /// The text of the file, in flannel's order. Lines that say nothing are left out.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: Option<&dyn std::fmt::Display>| {
            if let Some(value) = value {
                writeln!(text, "FLANNEL_{name}={value}").expect("a String takes any text");
            }
        };
        line("NETWORK", self.network.as_ref().map(|value| value as _));
        line("SUBNET", self.subnet.as_ref().map(|value| value as _));
        line("IPV6_NETWORK", self.v6_network.as_ref().map(|value| value as _));
        line("IPV6_SUBNET", self.v6_subnet.as_ref().map(|value| value as _));
        line("MTU", self.mtu.as_ref().map(|value| value as _));
        line("IPMASQ", self.ip_masq.as_ref().map(|value| value as _));
        text
    }

    /// Reads the file. Never fails: what cannot be read is left out. Of a list with commas, entries that cannot be read are
    /// skipped, and more than one that can counts as none.
    pub fn parse(text: &str) -> SubnetEnv {
        let mut env = SubnetEnv::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().trim_start_matches("export ") {
                "FLANNEL_NETWORK" => env.network = only(value),
                "FLANNEL_SUBNET" => env.subnet = only(value),
                "FLANNEL_IPV6_NETWORK" => env.v6_network = only(value),
                "FLANNEL_IPV6_SUBNET" => env.v6_subnet = only(value),
                "FLANNEL_MTU" => env.mtu = value.parse().ok(),
                "FLANNEL_IPMASQ" => env.ip_masq = value.parse().ok(),
                _ => {}
            }
        }
        env
    }

    /// The subnets that this machine had when the file was written.
    pub fn previous(&self) -> Option<SubnetKey> {
        let key =
            SubnetKey { v4: self.subnet.map(|net| net.trunc()), v6: self.v6_subnet.map(|net| net.trunc()) };
        (key.v4.is_some() || key.v6.is_some()).then_some(key)
    }
}

/// The one entry of a list that can be read, if there is exactly one.
fn only<T: std::str::FromStr>(list: &str) -> Option<T> {
    let mut read = list.split(',').filter_map(|entry| entry.trim().parse().ok());
    let first = read.next();
    if read.next().is_some() { None } else { first }
}
