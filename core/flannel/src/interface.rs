//! The choice of the external interface: the one by which this machine reaches its peers.
//!
//! Nothing asked for: the interface of the default route. Otherwise, in this order and the first that fits: `-iface` (a name or an
//! address), `-iface-regex` (against addresses, then against names), `-iface-can-reach` (what the kernel's routes say), or
//! the interface that has the given public address. Of several addresses the fittest is taken: global before link-local,
//! permanent before one with an end, lasting before temporary; among equals the kernel's first.
//!
//! What the kernel says is handed in as values, so that the choice is a pure function.

#[cfg(test)]
mod tests;

use crate::links::{Fitness, Interface, Path};
use regex_lite::Regex;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the operator has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `-iface`: names or addresses.
    pub names: Vec<String>,
    /// `-iface-regex`.
    pub patterns: Vec<String>,
    /// `-iface-can-reach`.
    pub can_reach: Option<IpAddr>,
    /// `-public-ip`.
    pub public_ip: Option<Ipv4Addr>,
    /// `-public-ipv6`.
    pub public_ipv6: Option<Ipv6Addr>,
}

/// Which families the cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// What the kernel says about ways out. None: there is no such way, or it was not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// The default route of IPv4.
    pub v4: Option<Path>,
    /// The default route of IPv6.
    pub v6: Option<Path>,
    /// To the address of `-iface-can-reach`.
    pub reach: Option<Path>,
}

/// The external interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Its name.
    pub link: String,
    /// Its largest packet, in bytes; never 0.
    pub mtu: u32,
    /// Its IPv4 address, if the cluster has IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, if the cluster has IPv6.
    pub v6: Option<Ipv6Addr>,
    /// Where peers reach this machine over IPv4.
    pub public_ip: Option<Ipv4Addr>,
    /// Where peers reach this machine over IPv6.
    pub public_ipv6: Option<Ipv6Addr>,
}

impl External {
    /// Whether an address is this machine's own.
    pub fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => [self.v4, self.public_ip].contains(&Some(address)),
            IpAddr::V6(address) => [self.v6, self.public_ipv6].contains(&Some(address)),
        }
    }
}

/// Why there is no external interface. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceError(pub String);

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no external interface: {}", self.0)
    }
}

impl std::error::Error for InterfaceError {}

impl Asked {
    /// Whether nothing says which interface, so that the default route does.
    fn is_default(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty() && self.can_reach.is_none()
    }
}

/// The external interface.
pub fn choose(
    asked: &Asked,
    families: Families,
    interfaces: &[Interface],
    ways: &Ways,
) -> Result<External, InterfaceError> {
    assert!(families.v4 || families.v6, "a cluster without a family of addresses");
    let (interface, said) = if asked.is_default() {
        by_default(asked, families, interfaces, ways)?
    } else {
        by_request(asked, families, interfaces, ways)?
    };
    external(asked, families, interface, said)
}

/// An interface, and the address that was named with it.
type Found<'a> = (&'a Interface, Option<IpAddr>);

fn by_default<'a>(
    asked: &Asked,
    families: Families,
    interfaces: &'a [Interface],
    ways: &Ways,
) -> Result<Found<'a>, InterfaceError> {
    let public = asked.public_ip.map(IpAddr::from).or(asked.public_ipv6.map(IpAddr::from));
    if let Some(public) = public
        && let Some(interface) = with_address(interfaces, public)
    {
        return Ok((interface, Some(public)));
    }
    // Behind address translation no interface has the public address.
    let (v4, v6) = (ways.v4.as_ref(), ways.v6.as_ref());
    let path = match families {
        Families { v4: true, v6: true } => match (v4, v6) {
            (Some(v4), Some(v6)) if v4.link != v6.link => {
                return fail(format!(
                    "the default routes of IPv4 and IPv6 leave by {} and {}; name one with -iface",
                    v4.link, v6.link
                ));
            }
            (Some(path), Some(_)) => Some(path),
            _ => None,
        },
        Families { v4: true, .. } => v4,
        _ => v6,
    };
    let Some(path) = path else {
        return fail(
            "there is no default route in each family of the cluster; name an interface with -iface",
        );
    };
    match named(interfaces, &path.link) {
        Some(interface) => Ok((interface, None)),
        None => fail(format!("the default route leaves by {}, which is gone", path.link)),
    }
}

fn by_request<'a>(
    asked: &Asked,
    families: Families,
    interfaces: &'a [Interface],
    ways: &Ways,
) -> Result<Found<'a>, InterfaceError> {
    let fits = |found: &Found<'a>| external(asked, families, found.0, found.1).is_ok();
    for name in &asked.names {
        let found = match name.parse::<IpAddr>() {
            Ok(address) => with_address(interfaces, address).map(|interface| (interface, Some(address))),
            Err(_) => named(interfaces, name).map(|interface| (interface, None)),
        };
        if let Some(found) = found.filter(fits) {
            return Ok(found);
        }
    }
    for pattern in &asked.patterns {
        let regex = Regex::new(pattern)
            .map_err(|error| InterfaceError(format!("-iface-regex {pattern:?} cannot be read: {error}")))?;
        if let Some(found) = matching(&regex, families, interfaces).filter(fits) {
            return Ok(found);
        }
    }
    let reach = ways.reach.as_ref().filter(|_| asked.can_reach.is_some());
    let found = reach.and_then(|path| Some((named(interfaces, &path.link)?, path.source)));
    found.filter(fits).ok_or_else(|| InterfaceError(nothing_fits(asked, interfaces)))
}

fn nothing_fits(asked: &Asked, interfaces: &[Interface]) -> String {
    let names: Vec<&str> = interfaces.iter().map(|interface| interface.link.name.as_str()).collect();
    let mut tried = Vec::new();
    tried.extend(asked.names.iter().map(|name| format!("-iface {name}")));
    tried.extend(asked.patterns.iter().map(|pattern| format!("-iface-regex {pattern}")));
    tried.extend(asked.can_reach.iter().map(|address| format!("-iface-can-reach {address}")));
    format!(
        "none of {} fits and has an address of each family of the cluster; there are {}",
        tried.join(", "),
        names.join(", ")
    )
}

fn named<'a>(interfaces: &'a [Interface], name: &str) -> Option<&'a Interface> {
    interfaces.iter().find(|interface| interface.link.name == name)
}

fn with_address(interfaces: &[Interface], address: IpAddr) -> Option<&Interface> {
    let has = |interface: &&Interface| interface.addresses.iter().any(|(net, _)| net.addr() == address);
    interfaces.iter().find(has)
}

/// The first interface with an address that matches, else the first whose name does.
fn matching<'a>(regex: &Regex, families: Families, interfaces: &'a [Interface]) -> Option<Found<'a>> {
    let wanted = |address: &IpAddr| if address.is_ipv4() { families.v4 } else { families.v6 };
    let by_address = interfaces.iter().find_map(|interface| {
        let mut addresses = interface.addresses.iter().map(|(net, _)| net.addr()).filter(wanted);
        addresses
            .find(|address| regex.is_match(&address.to_string()))
            .map(|address| (interface, Some(address)))
    });
    let by_name = || interfaces.iter().find(|interface| regex.is_match(&interface.link.name));
    by_address.or_else(|| by_name().map(|interface| (interface, None)))
}

/// The fittest address of a family.
fn fittest(interface: &Interface, v6: bool) -> Option<IpAddr> {
    let mut best: Option<(IpAddr, Fitness)> = None;
    for (net, fitness) in &interface.addresses {
        if net.addr().is_ipv6() == v6 && best.as_ref().is_none_or(|(_, held)| fitness > held) {
            best = Some((net.addr(), *fitness));
        }
    }
    best.map(|(address, _)| address)
}

/// What is known of an interface, with the address that was named for it.
fn external(
    asked: &Asked,
    families: Families,
    interface: &Interface,
    said: Option<IpAddr>,
) -> Result<External, InterfaceError> {
    let link = &interface.link;
    let address = |v6: bool| said.filter(|said| said.is_ipv6() == v6).or_else(|| fittest(interface, v6));
    let v4 = address(false)
        .and_then(|address| if let IpAddr::V4(address) = address { Some(address) } else { None });
    let v6 = address(true)
        .and_then(|address| if let IpAddr::V6(address) = address { Some(address) } else { None });
    for (wanted, found, name) in [(families.v4, v4.is_some(), "IPv4"), (families.v6, v6.is_some(), "IPv6")] {
        if wanted && !found {
            return fail(format!(
                "{} has no {name} address; give it one, or name another with -iface",
                link.name
            ));
        }
    }
    if link.mtu == 0 {
        return fail(format!("{} says no MTU; set it with ip link set mtu", link.name));
    }
    Ok(External {
        link: link.name.clone(),
        mtu: link.mtu,
        v4: v4.filter(|_| families.v4),
        v6: v6.filter(|_| families.v6),
        public_ip: asked.public_ip.or(v4).filter(|_| families.v4),
        public_ipv6: asked.public_ipv6.or(v6).filter(|_| families.v6),
    })
}

fn fail<T>(text: impl Into<String>) -> Result<T, InterfaceError> {
    Err(InterfaceError(text.into()))
}
