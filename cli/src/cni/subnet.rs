//! What flanneld wrote to subnet.env, as the plugin needs it.

use super::error::{CniError, Kind};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// One machine's part of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    /// The cluster's networks, those of IPv4 first.
    pub networks: Vec<String>,
    /// This machine's subnets, of IPv4 first, one of a family at most.
    pub subnets: Vec<String>,
    /// Largest packet of a container, in bytes.
    pub mtu: u32,
    /// Whether flanneld masquerades.
    pub masquerade: bool,
}

/// Reads it. That it is not there yet is no mistake: the runtime should try again.
pub fn read(path: &Path) -> Result<Subnet, CniError> {
    let text = fs::read_to_string(path).map_err(|error| {
        let cause = error.to_string();
        let cause = cause.split(" (os error").next().unwrap_or_default().to_lowercase();
        let message = format!("loadFlannelSubnetEnv failed: open {}: {cause}", path.display());
        CniError::new(Kind::TryLater, message)
            .because("flanneld writes it once it holds a subnet: is it running?")
    })?;
    parse(&text).map_err(|wrong| {
        let message = format!("loadFlannelSubnetEnv failed: {}: {wrong}", path.display());
        CniError::new(Kind::Configuration, message)
    })
}

fn parse(text: &str) -> Result<Subnet, String> {
    let (mut v4, mut v6) = ((Vec::new(), None), (Vec::new(), None));
    let (mut mtu, mut masquerade) = (None, None);
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let wrong = |expected: &str| format!("{name}={value}: expected {expected}");
        match name {
            "FLANNEL_NETWORK" => {
                v4.0 = networks(value).ok_or_else(|| wrong("networks such as 10.5.0.0/16"))?
            }
            "FLANNEL_IPV6_NETWORK" => {
                v6.0 = networks(value).ok_or_else(|| wrong("networks such as fd00::/48"))?
            }
            "FLANNEL_SUBNET" => {
                v4.1 = Some(network(value).ok_or_else(|| wrong("a subnet such as 10.5.1.1/24"))?);
            }
            "FLANNEL_IPV6_SUBNET" => {
                v6.1 = Some(network(value).ok_or_else(|| wrong("a subnet such as fd00:1::1/64"))?);
            }
            "FLANNEL_MTU" => mtu = Some(value.parse::<u32>().map_err(|_| wrong("a number of bytes"))?),
            "FLANNEL_IPMASQ" => masquerade = Some(value == "true"),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    let whole = |(networks, subnet): &(Vec<String>, Option<String>)| !networks.is_empty() && subnet.is_some();
    if !whole(&v4) && !whole(&v6) {
        let names = [(v4.0.is_empty(), "FLANNEL_NETWORK"), (v4.1.is_none(), "FLANNEL_SUBNET")];
        missing.extend(names.iter().filter(|(absent, _)| *absent).map(|(_, name)| *name));
    }
    missing.extend(mtu.is_none().then_some("FLANNEL_MTU"));
    missing.extend(masquerade.is_none().then_some("FLANNEL_IPMASQ"));
    match (mtu, masquerade) {
        (Some(mtu), Some(masquerade)) if missing.is_empty() => Ok(Subnet {
            networks: v4.0.into_iter().chain(v6.0).collect(),
            subnets: v4.1.into_iter().chain(v6.1).collect(),
            mtu,
            masquerade,
        }),
        _ => Err(format!("missing {}", missing.join(", "))),
    }
}

/// Networks between commas.
fn networks(text: &str) -> Option<Vec<String>> {
    text.split(',').map(network).collect()
}

/// The network that an address with a prefix is in: 10.5.1.0/24 of 10.5.1.1/24.
fn network(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let masked = match address.parse().ok()? {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    };
    Some(format!("{masked}/{length}"))
}
