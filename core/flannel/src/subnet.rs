//! Leases as the store holds them: keys and values that are flannel's to the byte.
//!
//! A key is `10.5.1.0-24`, with IPv6 `10.5.1.0-24&fd00:1::-64`, and with IPv6 alone `0.0.0.0-0&fd00:1::-64`: flannel writes the
//! IPv4 part in any case, and reads no key without it.

#[cfg(test)]
mod tests;
mod value;

pub use value::{LeaseValue, VxlanData, WireguardData};

use ipnet::{Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What a machine holds: a subnet of each family that is enabled, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubnetKey {
    /// Of IPv4.
    pub v4: Option<Ipv4Net>,
    /// Of IPv6.
    pub v6: Option<Ipv6Net>,
}

/// A lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The subnets.
    pub key: SubnetKey,
    /// Whose they are, and how to reach them.
    pub value: LeaseValue,
    /// The store's lease that the key hangs on; 0 for a reservation, which has no end.
    pub lease: i64,
    /// The store's revision of the key's last change.
    pub mod_revision: i64,
}

impl Lease {
    /// Whether it stays until somebody deletes it.
    pub fn is_reservation(&self) -> bool {
        self.lease == 0
    }
}

impl SubnetKey {
    /// Of IPv4 only.
    pub fn v4(subnet: Ipv4Net) -> SubnetKey {
        SubnetKey { v4: Some(subnet.trunc()), v6: None }
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &SubnetKey) -> bool {
        let v4 = self.v4.zip(other.v4).is_some_and(|(a, b)| a.contains(&b) || b.contains(&a));
        v4 || self.v6.zip(other.v6).is_some_and(|(a, b)| a.contains(&b) || b.contains(&a))
    }

    /// Whether the address is in one of the subnets.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.is_some_and(|subnet| subnet.contains(&address)),
            IpAddr::V6(address) => self.v6.is_some_and(|subnet| subnet.contains(&address)),
        }
    }

    /// Reads the last part of a lease's key.
    pub fn parse(text: &str) -> Result<SubnetKey, String> {
        let wrong =
            || format!("{text:?} names no subnet; write it as 10.5.1.0-24 or 10.5.1.0-24&fd00:1::-64");
        let (first, second) = match text.split_once('&') {
            Some((first, second)) => (first, Some(second)),
            None => (text, None),
        };
        let (address, len) = split(first, 32).ok_or_else(wrong)?;
        let v4 = Ipv4Net::new(address, len).map_err(|_| wrong())?;
        let v6 = match second {
            Some(second) => {
                let (address, len) = split::<Ipv6Addr>(second, 128).ok_or_else(wrong)?;
                Some(Ipv6Net::new(address, len).map_err(|_| wrong())?)
            }
            None => None,
        };
        let is_absent = v4.addr() == Ipv4Addr::UNSPECIFIED && v4.prefix_len() == 0;
        let key = SubnetKey { v4: (!is_absent).then_some(v4), v6 };
        if key.v4.is_none() && key.v6.is_none() {
            return Err(wrong());
        }
        // Two texts for one subnet would be two leases of it.
        if key.to_string() != text {
            return Err(format!(
                "{text:?} is not how the subnet is written; the right key is {key:?}",
                key = key.to_string()
            ));
        }
        Ok(key)
    }
}

/// `address-len`, with a length that flannel takes: less than that of an address.
fn split<A: FromStr>(text: &str, max: u8) -> Option<(A, u8)> {
    let (address, len) = text.rsplit_once('-')?;
    let len = len.parse().ok().filter(|len| *len < max)?;
    Some((address.parse().ok()?, len))
}

impl FromStr for SubnetKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        SubnetKey::parse(text)
    }
}

impl fmt::Display for SubnetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(self.v4.is_some() || self.v6.is_some(), "a key without a subnet");
        match self.v4 {
            Some(subnet) => write!(f, "{}-{}", subnet.network(), subnet.prefix_len())?,
            None => f.write_str("0.0.0.0-0")?,
        }
        match self.v6 {
            Some(subnet) => write!(f, "&{}-{}", subnet.network(), subnet.prefix_len()),
            None => Ok(()),
        }
    }
}
