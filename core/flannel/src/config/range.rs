//! A network, and the subnets that machines may get of it, for both families of addresses by one arithmetic.
//!
//! The subnets from `min` to `max` are counted from 0, so that a choice among them is a choice of a number.

use crate::fields::{FieldError, Fields};
use ipnet::{Ipv4Net, Ipv6Net};
use std::fmt::{Debug, Display};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What IPv4 and IPv6 networks have in common: addresses are numbers (IPv4's are the low 32 bits).
pub trait Prefix: Copy + Ord + Debug + Display + FromStr {
    /// An address of the family.
    type Address: FromStr + Display + Copy;
    /// Bits of an address.
    const BITS: u8;
    /// Where subnets of this length fit, they are the default.
    const USUAL_LEN: u8;
    /// What the names of the config's fields begin with.
    const FIELD_PREFIX: &'static str;
    /// How a network is written, for errors.
    const FORM: &'static str;

    /// The network of this length that holds the address.
    fn of(address: u128, len: u8) -> Self;
    /// An address as a number.
    fn number(address: Self::Address) -> u128;
    /// Its first address, as a number.
    fn first(&self) -> u128;
    /// The length of the prefix.
    fn length(&self) -> u8;

    /// Its last address, as a number.
    fn last(&self) -> u128 {
        self.first() | host_bits::<Self>(self.length())
    }
}

/// The bits of an address beyond a prefix of this length, all set.
fn host_bits<N: Prefix>(len: u8) -> u128 {
    assert!(len <= N::BITS, "a prefix of {len} bits is longer than an address");
    u128::MAX.checked_shr(u32::from(128 - (N::BITS - len))).unwrap_or(0)
}

impl Prefix for Ipv4Net {
    type Address = Ipv4Addr;
    const BITS: u8 = 32;
    const USUAL_LEN: u8 = 24;
    const FIELD_PREFIX: &'static str = "";
    const FORM: &'static str = "\"10.5.0.0/16\"";

    fn of(address: u128, len: u8) -> Self {
        let address = u32::try_from(address).expect("an IPv4 address has 32 bits");
        Ipv4Net::new(address.into(), len).expect("the length is checked").trunc()
    }

    fn number(address: Ipv4Addr) -> u128 {
        u32::from(address).into()
    }

    fn first(&self) -> u128 {
        u32::from(self.network()).into()
    }

    fn length(&self) -> u8 {
        self.prefix_len()
    }
}

impl Prefix for Ipv6Net {
    type Address = Ipv6Addr;
    const BITS: u8 = 128;
    const USUAL_LEN: u8 = 64;
    const FIELD_PREFIX: &'static str = "IPv6";
    const FORM: &'static str = "\"fd00:5::/48\"";

    fn of(address: u128, len: u8) -> Self {
        Ipv6Net::new(address.into(), len).expect("the length is checked").trunc()
    }

    fn number(address: Ipv6Addr) -> u128 {
        address.into()
    }

    fn first(&self) -> u128 {
        self.network().into()
    }

    fn length(&self) -> u8 {
        self.prefix_len()
    }
}

/// A network and its division. `min` and `max` lie in `network`, have `subnet_len` bits, and `min <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<N> {
    /// The whole network, host bits masked off.
    pub network: N,
    /// The prefix length of each machine's subnet.
    pub subnet_len: u8,
    /// The first subnet that may be given.
    pub min: N,
    /// The last one.
    pub max: N,
}

/// Of IPv4.
pub type Range4 = Range<Ipv4Net>;
/// Of IPv6.
pub type Range6 = Range<Ipv6Net>;

impl<N: Prefix> Range<N> {
    /// How many subnets there are.
    pub fn count(&self) -> u128 {
        assert!(self.min <= self.max, "the range {} to {} is empty", self.min, self.max);
        self.index(self.max.first()) + 1
    }

    /// The subnet with this number, counted from 0.
    pub fn nth(&self, index: u128) -> N {
        assert!(index < self.count(), "there are only {} subnets, not one with number {index}", self.count());
        N::of(self.min.first() + (index << (N::BITS - self.subnet_len)), self.subnet_len)
    }

    /// The number of the subnet that holds an address which is not before `min`.
    fn index(&self, address: u128) -> u128 {
        (address - self.min.first()) >> (N::BITS - self.subnet_len)
    }

    /// Whether `subnet` is one of them.
    pub fn contains(&self, subnet: &N) -> bool {
        subnet.length() == self.subnet_len && (self.min.first()..=self.max.first()).contains(&subnet.first())
    }

    /// The numbers, first and last, of the subnets that have an address in common with `other`, which may be of any length.
    pub fn overlapped(&self, other: &N) -> Option<(u128, u128)> {
        let first = other.first().max(self.min.first());
        let last = other.last().min(self.max.last());
        (first <= last).then(|| (self.index(first), self.index(last)))
    }

    /// Reads this family's fields of the network config.
    pub(super) fn read(fields: &Fields) -> Result<Range<N>, FieldError> {
        let name = |field: &str| format!("{}{field}", N::FIELD_PREFIX);
        let network: N = fields.parsed(&name("Network"), N::FORM)?.ok_or_else(|| {
            FieldError::new(&name("Network"), "", format!("is missing; write it as {}", N::FORM))
        })?;
        let network = N::of(network.first(), network.length());
        let subnet_len = subnet_len(fields, &name("SubnetLen"), &network)?;
        let hosts = host_bits::<N>(subnet_len);
        // The first subnet is left out: its first address is the network's own.
        let min = bound(fields, &name("SubnetMin"), &network, subnet_len, network.first() + hosts + 1)?;
        let max = bound(fields, &name("SubnetMax"), &network, subnet_len, network.last() - hosts)?;
        if min > max {
            let message = format!("is before {} {}; swap the two", name("SubnetMin"), min);
            return Err(FieldError::new(&name("SubnetMax"), max, message));
        }
        assert!(
            network.first() <= min.first() && max.last() <= network.last(),
            "{min} to {max} is not in {network}"
        );
        assert!(min.length() == subnet_len && max.length() == subnet_len, "the bounds are subnets");
        Ok(Range { network, subnet_len, min, max })
    }
}

/// The length of a subnet as written, or the usual one, or a quarter of a network that is too small for it.
fn subnet_len<N: Prefix>(fields: &Fields, name: &str, network: &N) -> Result<u8, FieldError> {
    // A subnet needs an address for the device, one for the bridge, and a host.
    let longest = N::BITS - 2;
    let least = network.length() + 2;
    if fields.get(name).is_some() {
        let len = fields.number(name, 0, u32::from(N::BITS), 0)? as u8;
        if len > longest {
            let message = format!("must be {longest} or less, so that a subnet has room for hosts");
            return Err(FieldError::new(name, len, message));
        }
        if len > 0 && len < least {
            let message =
                format!("must be {least} or more: network {network} must hold at least four subnets");
            return Err(FieldError::new(name, len, message));
        }
        if len > 0 {
            return Ok(len);
        }
    }
    if least > longest {
        let field = format!("{}Network", N::FIELD_PREFIX);
        let message = format!("is too small for four subnets; use a /{} or larger", longest - 2);
        return Err(FieldError::new(&field, network, message));
    }
    Ok(least.max(N::USUAL_LEN))
}

/// SubnetMin or SubnetMax: as written, or `default`. The unspecified address counts as not written.
fn bound<N: Prefix>(
    fields: &Fields,
    name: &str,
    network: &N,
    len: u8,
    default: u128,
) -> Result<N, FieldError> {
    let form = format!("an address in {network}, the first of a /{len}");
    let written: Option<N::Address> = fields.parsed(name, &form)?;
    let Some((address, number)) =
        written.map(|address| (address, N::number(address))).filter(|(_, n)| *n != 0)
    else {
        return Ok(N::of(default, len));
    };
    if !(network.first()..=network.last()).contains(&number) {
        return Err(FieldError::new(name, address, format!("is not in the network {network}; use {form}")));
    }
    let subnet = N::of(number, len);
    if subnet.first() != number {
        let message = format!("is not the first address of a /{len}; the one before it is {subnet}");
        return Err(FieldError::new(name, address, message));
    }
    Ok(subnet)
}
