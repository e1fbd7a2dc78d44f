//! The Links port: the part of one machine's kernel through which its packets go.
//!
//! Links, their addresses, routes, neighbours, the forwarding entries of vxlan devices, what WireGuard devices know, and
//! the rules. What is read and
//! what is written are the same values, so that the difference of two sets is a list of [`Operation`]s. Nothing here
//! decides, and nothing remembers: what the kernel holds is asked for each time.

mod wireguard;

pub use wireguard::{KEY_LEN, PublicKey, Secret, WireguardDevice, WireguardPeer};

use crate::rules::RuleSet;
use ipnet::IpNet;
use kernel::BoxFuture;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The outcome of a verb.
pub type LinksResult<T> = Result<T, LinksError>;

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinksError {
    /// There is such an entry, or a link of that name, already, and it is another.
    Exists(String),
    /// There is no such entry or link.
    NotFound(String),
    /// The kernel cannot do it now. Trying again may help.
    Busy(String),
    /// Not the right to do it.
    NotPermitted(String),
    /// This kernel has no such thing.
    Unsupported(String),
    /// The kernel refused the request for what it says.
    Refused(String),
    /// The connection to the kernel failed: unknown whether it was done.
    Lost(String),
}

impl fmt::Display for LinksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinksError::Exists(text) => write!(f, "{text}: exists already"),
            LinksError::NotFound(text) => write!(f, "{text}: not found"),
            LinksError::Busy(text) => write!(f, "{text}: the kernel is busy"),
            LinksError::NotPermitted(text) => write!(f, "{text}: not permitted; CAP_NET_ADMIN is needed"),
            LinksError::Unsupported(text) => write!(f, "{text}: this kernel cannot do it"),
            LinksError::Refused(text) => write!(f, "{text}: refused by the kernel"),
            LinksError::Lost(text) => write!(f, "{text}: the kernel did not answer"),
        }
    }
}

impl std::error::Error for LinksError {}

/// The address of a device on its link. Written `02:42:ac:11:00:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a MAC address; write it as 02:42:ac:11:00:02");
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Mac(octets)) }
    }
}

/// What a link is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// A VXLAN device.
    Vxlan(Vxlan),
    /// An IP in IP tunnel with this local address and any remote one.
    Ipip {
        /// The address that packets are sent from.
        local: IpAddr,
    },
    /// A WireGuard device.
    Wireguard,
    /// A TUN device; it exists as long as somebody holds it open.
    Tun,
    /// The loopback.
    Loopback,
    /// Anything else, by the kernel's name for it (`veth`, `bridge`, ...; empty for a plain device).
    Other(String),
}

/// What makes one VXLAN device differ from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vxlan {
    /// The network identifier.
    pub vni: u32,
    /// UDP port.
    pub port: u16,
    /// The link that the outer packets use, by name.
    pub device: String,
    /// The address that outer packets are sent from.
    pub local: IpAddr,
    /// Whether the device learns forwarding entries from what it receives.
    pub learning: bool,
    /// Whether group policy headers are used.
    pub gbp: bool,
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Its MAC; none for a device that has none (TUN, IPIP). In a wish, none means any.
    pub mac: Option<Mac>,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
}

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The link's name.
    pub link: String,
    /// The address, with the length of its prefix.
    pub net: IpNet,
}

/// How fit an address is to be the machine's own: better ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fitness {
    /// Reachable from elsewhere, not only on the link.
    pub global: bool,
    /// Without an end to its life.
    pub permanent: bool,
    /// Not a temporary (privacy) address.
    pub lasting: bool,
}

/// A link as the choice of the external interface sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The link.
    pub link: Link,
    /// Its addresses that are not deprecated, in the kernel's order, and how fit each is.
    pub addresses: Vec<(IpNet, Fitness)>,
}

/// Where packets to a destination go, in the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Packets to this network.
    pub destination: IpNet,
    /// What becomes of them.
    pub way: Way,
    /// Who made it: 3 is `boot`, what flannel's own routes carry; 2 is `kernel`; 4 is `static`.
    pub protocol: u8,
}

/// The metric of a [`Way::Blackhole`]; other routes of ours have none (0; 1024 for IPv6, the kernel's own).
pub const LAST_RESORT: u32 = 1 << 20;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It leaves by a link.
    Out {
        /// The link's name.
        link: String,
        /// The next machine; none if the destination is on the link itself.
        gateway: Option<IpAddr>,
        /// The gateway counts as reachable on the link, whatever the link's addresses say.
        onlink: bool,
    },
    /// It is dropped, unless another route to the same destination takes it: the metric is [`LAST_RESORT`], so the two
    /// stand beside each other, and a bridge that has the destination goes before.
    Blackhole,
}

/// A permanent neighbour entry: who on a link has an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// The link's name.
    pub link: String,
    /// The address.
    pub address: IpAddr,
    /// Who has it.
    pub mac: Mac,
}

/// A permanent forwarding entry of a VXLAN device: which machine has a MAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forwarding {
    /// The device's name.
    pub link: String,
    /// The MAC.
    pub mac: Mac,
    /// The machine.
    pub machine: IpAddr,
}

/// Which part of the kernel's tables is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// These links, whether they exist or not, and their addresses, neighbours, forwarding entries and routes.
    pub links: BTreeSet<String>,
    /// Routes to places inside these networks, whatever their link.
    pub networks: Vec<IpNet>,
    /// Whether the rules are asked for.
    pub rules: bool,
}

/// What the kernel holds of a [`Scope`], and what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Links.
    pub links: BTreeSet<Link>,
    /// Their addresses (of IPv6, not the link-local one that the kernel gives each device by itself).
    pub addresses: BTreeSet<Address>,
    /// Routes of the main table; not those of protocol `kernel`, which come and go with addresses.
    pub routes: BTreeSet<Route>,
    /// Permanent neighbours.
    pub neighbours: BTreeSet<Neighbour>,
    /// Permanent forwarding entries.
    pub forwardings: BTreeSet<Forwarding>,
    /// Keys and ports of WireGuard devices; none for a device that has no key yet.
    pub wireguards: BTreeSet<WireguardDevice>,
    /// The machines that WireGuard devices speak with.
    pub wireguard_peers: BTreeSet<WireguardPeer>,
    /// The rules that flannel has made, by whatever means; empty where there are none.
    pub rules: BTreeSet<RuleSet>,
}

/// One change to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes a link. `Exists` if there is one of that name. Not for TUN devices, which the Tun port makes.
    AddLink(Link),
    /// Removes a link, and with it all that hangs on it.
    DeleteLink(String),
    /// Sets what can be changed in place: MTU, and whether it is up; the MAC if it says one.
    SetLink(Link),
    /// Adds an address; fine if it is there.
    AddAddress(Address),
    /// Removes an address.
    DeleteAddress(Address),
    /// Makes the route to a destination, in place of one to the same destination (and of the same metric).
    PutRoute(Route),
    /// Removes a route.
    DeleteRoute(Route),
    /// Makes a permanent neighbour, in place of another MAC.
    PutNeighbour(Neighbour),
    /// Removes a neighbour.
    DeleteNeighbour(Neighbour),
    /// Makes a forwarding entry, in place of another machine.
    PutForwarding(Forwarding),
    /// Removes a forwarding entry.
    DeleteForwarding(Forwarding),
    /// Gives a WireGuard device its key and port; what it had of machines stays.
    SetWireguard(WireguardDevice),
    /// Makes a WireGuard device speak with a machine, in place of what it knew of that key. Networks that were behind another
    /// machine are behind this one then.
    PutWireguardPeer(WireguardPeer),
    /// Makes it speak with a machine no more. Fine if it does not.
    DeleteWireguardPeer(WireguardPeer),
    /// Makes exactly these rules, in one step, in place of what flannel had of that family and means.
    PutRules(RuleSet),
    /// Removes what flannel had of that family and means.
    DeleteRules(RuleSet),
}

/// A hint that something may be another now. May be late, may stand for several changes; [`Hint::Resync`] stands for any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// The link, or its addresses, neighbours, forwarding entries.
    Link(String),
    /// A route to this destination.
    Route(IpNet),
    /// Rules.
    Rules,
    /// Messages were lost: anything may have changed.
    Resync,
}

/// Where the kernel would send a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// By this link.
    pub link: String,
    /// From this address, if the kernel says one.
    pub source: Option<IpAddr>,
    /// By this machine; none if the destination is on the link itself.
    pub gateway: Option<IpAddr>,
}

/// What the machine's firewall is like, for the choice of the means of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// There is a FORWARD chain of iptables whose policy is drop (Docker makes it so). Then only rules made by
    /// [`crate::rules::Means::Iptables`] let packets pass through this machine.
    pub forward_drops: bool,
    /// Whether iptables can draw the ports of a masquerade at random. nftables always can.
    pub random_fully: bool,
}

/// The kernel's tables.
pub trait Links: Send + Sync {
    /// Every link with its addresses.
    fn interfaces(&self) -> BoxFuture<'_, LinksResult<Vec<Interface>>>;

    /// Where packets to `destination` would go. `NotFound` if there is no way.
    fn path(&self, destination: IpAddr) -> BoxFuture<'_, LinksResult<Path>>;

    /// By which link and machine packets go that no other route takes (the default route). `v6` asks for that of IPv6.
    fn default_path(&self, v6: bool) -> BoxFuture<'_, LinksResult<Path>>;

    /// What the kernel holds of `scope`. An entry that cannot be understood is left out; it is not ours then.
    fn tables<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, LinksResult<Tables>>;

    /// What the firewall of that family is like now. Ask again when a hint says that rules have changed.
    fn firewall(&self, _v6: bool) -> BoxFuture<'_, LinksResult<Firewall>> {
        Box::pin(async { Ok(Firewall { forward_drops: false, random_fully: true }) })
    }

    /// Does these, in this order, each on its own: one that fails does not keep the next from being tried. One outcome each.
    fn apply<'a>(&'a self, operations: &'a [Operation]) -> BoxFuture<'a, Vec<LinksResult<()>>>;

    /// Follows what changes from now on, by whomever, this port included.
    fn changes(&self) -> BoxFuture<'_, LinksResult<Box<dyn Changes>>>;
}

/// A stream of hints. Dropping it ends it.
pub trait Changes: Send {
    /// The next hint. An error ends the stream: make another, and look at everything. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, LinksResult<Hint>>;
}

#[cfg(test)]
mod tests {
    use super::Mac;

    #[test]
    fn macs_are_read_as_they_are_written() {
        let mac: Mac = "0e:2a:ff:00:01:a0".parse().unwrap();
        assert_eq!(mac.to_string(), "0e:2a:ff:00:01:a0");
        assert_eq!("0E-2A-FF-00-01-A0".parse::<Mac>(), Ok(mac));
        for wrong in ["", "0e:2a:ff:00:01", "0e:2a:ff:00:01:a0:00", "0e:2a:ff:0:01:a0", "0e:2a:ff:00:01:g0"] {
            assert!(wrong.parse::<Mac>().unwrap_err().contains("not a MAC"), "{wrong}");
        }
    }
}
