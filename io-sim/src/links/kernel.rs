//! One machine's tables, and what each operation does to them. Pure: no time, no chance, nobody who listens.
//!
//! What Linux does by itself is done here too, because that is what a daemon gets wrong: an address brings its connected
//! route; a link that goes down takes its routes and neighbours along, and brings back only the connected ones; another MAC
//! empties the neighbours; the last address of IPv4 takes the routes of IPv4; a link takes the VXLAN devices on it.

use flannel::links::*;
use flannel::rules::{Means, RuleSet, Verdict};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Protocol of connected routes.
pub const BY_KERNEL: u8 = 2;
/// The metric that Linux gives connected routes of IPv6.
const CONNECTED_V6: u32 = 256;
/// The metric of routes of IPv6 for which nobody names one.
const USUAL_V6: u32 = 1024;
/// The longest name of a link, in bytes.
const NAME_MOST: usize = 15;

/// The tables.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    pub(super) links: BTreeMap<String, Link>,
    pub(super) addresses: BTreeSet<Address>,
    /// By destination and metric.
    pub(super) routes: BTreeMap<(IpNet, u32), Route>,
    pub(super) neighbours: BTreeMap<(String, IpAddr), Mac>,
    pub(super) forwardings: BTreeMap<(String, Mac), IpAddr>,
    /// Keys and ports of WireGuard devices.
    pub(super) wireguards: BTreeMap<String, WireguardDevice>,
    pub(super) wireguard_peers: BTreeMap<(String, PublicKey), WireguardPeer>,
    pub(super) rules: BTreeMap<(bool, Means), RuleSet>,
}

/// What an operation changed, for those who listen.
pub type Changed = Vec<Hint>;

fn metric(route: &Route) -> u32 {
    match (&route.way, route.destination) {
        (Way::Blackhole, _) => LAST_RESORT,
        (_, IpNet::V4(_)) => 0,
        (_, IpNet::V6(_)) => {
            if route.protocol == BY_KERNEL {
                CONNECTED_V6
            } else {
                USUAL_V6
            }
        }
    }
}

fn link_of(route: &Route) -> Option<&str> {
    match &route.way {
        Way::Out { link, .. } => Some(link),
        Way::Blackhole => None,
    }
}

impl Kernel {
    /// Does one operation. A new link without a MAC gets `mac`.
    pub fn apply(&mut self, operation: &Operation, mac: Mac, changed: &mut Changed) -> LinksResult<()> {
        match operation {
            Operation::AddLink(link) => self.add_link(link, mac, changed),
            Operation::DeleteLink(name) => self.delete_link(name, changed),
            Operation::SetLink(link) => self.set_link(link, changed),
            Operation::AddAddress(address) => self.add_address(address, changed),
            Operation::DeleteAddress(address) => self.delete_address(address, changed),
            Operation::PutRoute(route) => self.put_route(route, changed),
            Operation::DeleteRoute(route) => self.delete_route(route, changed),
            Operation::PutNeighbour(entry) => {
                self.known(&entry.link)?;
                self.neighbours.insert((entry.link.clone(), entry.address), entry.mac);
                changed.push(Hint::Link(entry.link.clone()));
                Ok(())
            }
            Operation::DeleteNeighbour(entry) => {
                let gone = self.neighbours.remove(&(entry.link.clone(), entry.address));
                gone.ok_or_else(|| missing(&format!("neighbour {} on {}", entry.address, entry.link)))?;
                changed.push(Hint::Link(entry.link.clone()));
                Ok(())
            }
            Operation::PutForwarding(entry) => {
                let LinkKind::Vxlan(_) = self.known(&entry.link)?.kind else {
                    return Err(LinksError::Unsupported(format!("forwarding entries of {}", entry.link)));
                };
                self.forwardings.insert((entry.link.clone(), entry.mac), entry.machine);
                changed.push(Hint::Link(entry.link.clone()));
                Ok(())
            }
            Operation::DeleteForwarding(entry) => {
                let key = (entry.link.clone(), entry.mac);
                if self.forwardings.get(&key) != Some(&entry.machine) {
                    return Err(missing(&format!("forwarding entry {} on {}", entry.mac, entry.link)));
                }
                self.forwardings.remove(&key);
                changed.push(Hint::Link(entry.link.clone()));
                Ok(())
            }
            Operation::SetWireguard(device) => {
                self.wireguard(&device.link)?;
                self.wireguards.insert(device.link.clone(), device.clone());
                Ok(())
            }
            Operation::PutWireguardPeer(peer) => self.put_wireguard_peer(peer),
            Operation::DeleteWireguardPeer(peer) => {
                self.wireguard(&peer.link)?;
                self.wireguard_peers.remove(&(peer.link.clone(), peer.key));
                Ok(())
            }
            Operation::PutRules(rules) => {
                let mut all = rules.postrouting.iter().chain(&rules.forward);
                if all.any(|rule| rule.verdict == Verdict::Foreign) {
                    return Err(LinksError::Refused("a rule that says nothing".to_owned()));
                }
                self.rules.insert((rules.v6, rules.means), rules.clone());
                changed.push(Hint::Rules);
                Ok(())
            }
            Operation::DeleteRules(rules) => {
                let gone = self.rules.remove(&(rules.v6, rules.means));
                gone.ok_or_else(|| missing("rules of that family and means"))?;
                changed.push(Hint::Rules);
                Ok(())
            }
        }
    }

    /// A link that must exist.
    fn known(&self, name: &str) -> LinksResult<&Link> {
        self.links.get(name).ok_or_else(|| missing(&format!("link {name}")))
    }

    /// A WireGuard device that must exist. What it knows changes without a hint.
    fn wireguard(&self, name: &str) -> LinksResult<()> {
        match self.known(name)?.kind {
            LinkKind::Wireguard => Ok(()),
            _ => Err(LinksError::Unsupported(format!("keys and peers of {name}"))),
        }
    }

    /// A network is behind one machine only: who gets it takes it from another.
    fn put_wireguard_peer(&mut self, peer: &WireguardPeer) -> LinksResult<()> {
        self.wireguard(&peer.link)?;
        let others = self.wireguard_peers.values_mut().filter(|other| other.link == peer.link);
        others.for_each(|other| other.allowed.retain(|net| !peer.allowed.contains(net)));
        self.wireguard_peers.insert((peer.link.clone(), peer.key), peer.clone());
        Ok(())
    }

    /// The machine that a WireGuard device sends a packet to: the one with the longest prefix.
    pub fn wireguard_peer(&self, link: &str, to: IpAddr) -> Option<&WireguardPeer> {
        let bits = |peer: &WireguardPeer| {
            peer.allowed.iter().filter(|net| net.contains(&to)).map(|net| net.prefix_len()).max()
        };
        let peers = self.wireguard_peers.values().filter(|peer| peer.link == link);
        let best = peers.filter_map(|peer| Some((bits(peer)?, peer))).max_by_key(|(bits, _)| *bits);
        best.map(|(_, peer)| peer)
    }

    fn add_link(&mut self, link: &Link, mac: Mac, changed: &mut Changed) -> LinksResult<()> {
        if link.name.is_empty() || link.name.len() > NAME_MOST {
            return Err(LinksError::Refused(format!(
                "link {:?}: a name has 1 to {NAME_MOST} bytes",
                link.name
            )));
        }
        if self.links.contains_key(&link.name) {
            return Err(LinksError::Exists(format!("link {}", link.name)));
        }
        if let LinkKind::Vxlan(wish) = &link.kind {
            self.known(&wish.device)?;
            // As Linux 6.18 has it: one device of a network and port for each family of addresses.
            let clashes = |other: &Vxlan| {
                (other.vni, other.port, other.local.is_ipv4()) == (wish.vni, wish.port, wish.local.is_ipv4())
            };
            let same = |other: &&Link| matches!(&other.kind, LinkKind::Vxlan(other) if clashes(other));
            if let Some(other) = self.links.values().find(same) {
                return Err(LinksError::Exists(format!(
                    "VNI {} on port {} as {}",
                    wish.vni, wish.port, other.name
                )));
            }
        }
        let bare = matches!(link.kind, LinkKind::Ipip { .. } | LinkKind::Tun | LinkKind::Wireguard);
        let mac = if bare { None } else { link.mac.or(Some(mac)) };
        self.links.insert(link.name.clone(), Link { mac, ..link.clone() });
        changed.push(Hint::Link(link.name.clone()));
        Ok(())
    }

    fn delete_link(&mut self, name: &str, changed: &mut Changed) -> LinksResult<()> {
        self.known(name)?;
        self.flush_routes(name, |_| true, changed);
        self.links.remove(name);
        self.addresses.retain(|address| address.link != name);
        self.neighbours.retain(|(link, _), _| link != name);
        self.forwardings.retain(|(link, _), _| link != name);
        self.wireguards.remove(name);
        self.wireguard_peers.retain(|(link, _), _| link != name);
        changed.push(Hint::Link(name.to_owned()));
        let on_it = |link: &&Link| matches!(&link.kind, LinkKind::Vxlan(vxlan) if vxlan.device == name);
        let upper: Vec<String> = self.links.values().filter(on_it).map(|link| link.name.clone()).collect();
        upper.iter().try_for_each(|upper| self.delete_link(upper, changed))
    }

    fn set_link(&mut self, wish: &Link, changed: &mut Changed) -> LinksResult<()> {
        let name = wish.name.as_str();
        let was = self.known(name)?.clone();
        let mac = wish.mac.or(was.mac);
        self.links.insert(name.to_owned(), Link { mac, mtu: wish.mtu, up: wish.up, ..was.clone() });
        if mac != was.mac || (was.up && !wish.up) {
            self.neighbours.retain(|(link, _), _| link != name);
        }
        if was.up && !wish.up {
            self.flush_routes(name, |_| true, changed);
        } else if wish.up && !was.up {
            let addresses: Vec<Address> = self.addresses_of(name).cloned().collect();
            addresses.iter().for_each(|address| self.connect(address, changed));
        }
        changed.push(Hint::Link(name.to_owned()));
        Ok(())
    }

    /// The addresses of a link.
    pub fn addresses_of<'a>(&'a self, link: &'a str) -> impl Iterator<Item = &'a Address> {
        self.addresses.iter().filter(move |address| address.link == link)
    }

    fn flush_routes(&mut self, name: &str, which: impl Fn(&IpNet) -> bool, changed: &mut Changed) {
        self.routes.retain(|(destination, _), route| {
            let goes = link_of(route) == Some(name) && which(destination);
            if goes {
                changed.push(Hint::Route(*destination));
            }
            !goes
        });
    }

    /// The connected route of an address; one of a single machine needs none.
    fn connect(&mut self, address: &Address, changed: &mut Changed) {
        let destination = address.net.trunc();
        if destination.prefix_len() == destination.max_prefix_len() {
            return;
        }
        let way = Way::Out { link: address.link.clone(), gateway: None, onlink: false };
        let route = Route { destination, way, protocol: BY_KERNEL };
        self.routes.insert((destination, metric(&route)), route);
        changed.push(Hint::Route(destination));
    }

    fn add_address(&mut self, address: &Address, changed: &mut Changed) -> LinksResult<()> {
        let up = self.known(&address.link)?.up;
        if !self.addresses.insert(address.clone()) {
            return Ok(());
        }
        if up {
            self.connect(address, changed);
        }
        changed.push(Hint::Link(address.link.clone()));
        Ok(())
    }

    fn delete_address(&mut self, address: &Address, changed: &mut Changed) -> LinksResult<()> {
        if !self.addresses.remove(address) {
            return Err(missing(&format!("address {} of {}", address.net, address.link)));
        }
        let name = address.link.as_str();
        let destination = address.net.trunc();
        let still = self.addresses_of(name).any(|other| other.net.trunc() == destination);
        let by_kernel = |route: &Route| route.protocol == BY_KERNEL && link_of(route) == Some(name);
        if !still {
            self.routes.retain(|(to, _), route| *to != destination || !by_kernel(route));
            changed.push(Hint::Route(destination));
        }
        let is_v4 = |net: &IpNet| matches!(net, IpNet::V4(_));
        if is_v4(&address.net) && !self.addresses_of(name).any(|other| is_v4(&other.net)) {
            self.flush_routes(name, is_v4, changed);
            self.neighbours.retain(|(link, of), _| link != name || of.is_ipv6());
        }
        changed.push(Hint::Link(address.link.clone()));
        Ok(())
    }

    fn put_route(&mut self, route: &Route, changed: &mut Changed) -> LinksResult<()> {
        let text = || format!("route to {}", route.destination);
        if let Way::Out { link, gateway, onlink } = &route.way {
            if !self.known(link)?.up {
                return Err(LinksError::Refused(format!("{}: link {link} is down", text())));
            }
            let reachable = |gateway: &IpAddr| {
                self.lookup(*gateway).is_some_and(|way| {
                    matches!(&way.way,
                    Way::Out { link: by, gateway: None, .. } if by == link)
                })
            };
            if gateway.as_ref().is_some_and(|gateway| !onlink && !reachable(gateway)) {
                return Err(LinksError::Refused(format!("{}: the gateway is not on link {link}", text())));
            }
            if gateway.is_some_and(|gateway| *onlink && self.lies_elsewhere(gateway, link)) {
                return Err(LinksError::Refused(format!("{}: another route leads to the gateway", text())));
            }
        }
        self.routes.insert((route.destination, metric(route)), route.clone());
        changed.push(Hint::Route(route.destination));
        Ok(())
    }

    /// Whether Linux takes an address of IPv6 for one that is on another link, whatever one says of it.
    fn lies_elsewhere(&self, gateway: IpAddr, link: &str) -> bool {
        let way = self.lookup(gateway).filter(|way| gateway.is_ipv6() && way.destination.prefix_len() > 0);
        way.and_then(link_of).is_some_and(|by| by != link)
    }

    fn delete_route(&mut self, route: &Route, changed: &mut Changed) -> LinksResult<()> {
        let key = (route.destination, metric(route));
        if self.routes.get(&key) != Some(route) {
            return Err(missing(&format!("route to {}", route.destination)));
        }
        self.routes.remove(&key);
        changed.push(Hint::Route(route.destination));
        Ok(())
    }

    /// The route that a packet takes: the longest prefix, and of those the lowest metric.
    pub fn lookup(&self, to: IpAddr) -> Option<&Route> {
        let most = if to.is_ipv4() { 32 } else { 128 };
        (0..=most).rev().find_map(|len| {
            let net = IpNet::new(to, len).expect("a length up to the family's").trunc();
            self.routes.range((net, 0)..=(net, u32::MAX)).map(|(_, route)| route).next()
        })
    }

    /// The default route of a family.
    pub fn default_route(&self, v6: bool) -> Option<&Route> {
        let net: IpNet = if v6 { "::/0" } else { "0.0.0.0/0" }.parse().expect("a network");
        self.routes.range((net, 0)..=(net, u32::MAX)).map(|(_, route)| route).next()
    }

    /// What it holds of a scope.
    pub fn tables(&self, scope: &Scope) -> Tables {
        let ours = |link: &str| scope.links.contains(link);
        let inside = |net: &IpNet| scope.networks.iter().any(|network| network.contains(net));
        let asked = |route: &&Route| {
            route.protocol != BY_KERNEL && (link_of(route).is_some_and(ours) || inside(&route.destination))
        };
        let neighbour = |((link, address), mac): (&(String, IpAddr), &Mac)| Neighbour {
            link: link.clone(),
            address: *address,
            mac: *mac,
        };
        let forwarding = |((link, mac), machine): (&(String, Mac), &IpAddr)| Forwarding {
            link: link.clone(),
            mac: *mac,
            machine: *machine,
        };
        Tables {
            links: self.links.values().filter(|link| ours(&link.name)).cloned().collect(),
            addresses: self.addresses.iter().filter(|address| ours(&address.link)).cloned().collect(),
            routes: self.routes.values().filter(asked).cloned().collect(),
            neighbours: self.neighbours.iter().filter(|((link, _), _)| ours(link)).map(neighbour).collect(),
            forwardings: self
                .forwardings
                .iter()
                .filter(|((link, _), _)| ours(link))
                .map(forwarding)
                .collect(),
            wireguards: self.wireguards.values().filter(|device| ours(&device.link)).cloned().collect(),
            wireguard_peers: self.wireguard_peers.values().filter(|peer| ours(&peer.link)).cloned().collect(),
            rules: if scope.rules { self.rules.values().cloned().collect() } else { BTreeSet::new() },
        }
    }

    /// A link by its name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.get(name)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Who on a link has an address.
    pub fn neighbour(&self, link: &str, address: IpAddr) -> Option<Mac> {
        self.neighbours.get(&(link.to_owned(), address)).copied()
    }

    /// All whom a link knows.
    pub fn neighbours_on<'a>(&'a self, link: &'a str) -> impl Iterator<Item = (IpAddr, Mac)> {
        let on = self.neighbours.iter().filter(move |((by, _), _)| by == link);
        on.map(|((_, address), mac)| (*address, *mac))
    }

    /// Which machine has a MAC.
    pub fn forwarding(&self, link: &str, mac: Mac) -> Option<IpAddr> {
        self.forwardings.get(&(link.to_owned(), mac)).copied()
    }

    /// The subnets of the containers' bridge.
    pub fn bridge_subnets(&self) -> BTreeSet<IpNet> {
        self.addresses_of(super::BRIDGE).map(|address| address.net.trunc()).collect()
    }
}

fn missing(what: &str) -> LinksError {
    LinksError::NotFound(what.to_owned())
}
