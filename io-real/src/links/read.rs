//! What the kernel holds, as the port's values.

use super::connection::{Other, Route};
use super::failure::failure;
use super::message::Message;
use super::names::Names;
use super::wireguard::{self, Wireguard};
use super::{address, iptables, link, neighbour, nft, route};
use flannel::links::{
    Firewall, Interface, Link, LinkKind, LinksError, LinksResult, Path, Scope, Tables, Way,
};
use flannel::rules::{Means, RuleSet};
use ipnet::IpNet;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

type Request = NetlinkMessage<RouteNetlinkMessage>;

async fn list(kernel: &mut Route, what: &str, request: Request) -> LinksResult<Vec<RouteNetlinkMessage>> {
    kernel.dump(request).await?.map_err(|refusal| failure(what, refusal))
}

/// As [`list`], for a family that this machine may not have: then there is nothing.
async fn list_if_any(
    kernel: &mut Route,
    what: &str,
    request: Request,
) -> LinksResult<Vec<RouteNetlinkMessage>> {
    match list(kernel, what, request).await {
        Err(LinksError::Unsupported(_) | LinksError::NotFound(_)) => Ok(Vec::new()),
        listed => listed,
    }
}

/// Every link, as the kernel tells it, and all names.
async fn links(kernel: &mut Route) -> LinksResult<(Vec<LinkMessage>, Names)> {
    let listed = list(kernel, "links", link::list()).await?;
    let listed: Vec<_> = listed.into_iter().filter_map(as_link).collect();
    let mut names = Names::default();
    for (number, name) in listed.iter().filter_map(link::name) {
        names.insert(number, &name);
    }
    Ok((listed, names))
}

fn as_link(message: RouteNetlinkMessage) -> Option<LinkMessage> {
    if let RouteNetlinkMessage::NewLink(link) = message { Some(link) } else { None }
}

async fn addresses(kernel: &mut Route) -> LinksResult<Vec<AddressMessage>> {
    let listed = list(kernel, "addresses", address::list()).await?;
    let addresses = listed.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewAddress(address) => Some(address),
        _ => None,
    });
    Ok(addresses.collect())
}

async fn routes(kernel: &mut Route, v6: bool) -> LinksResult<Vec<RouteMessage>> {
    let listed = list_if_any(kernel, "routes", route::list(v6)).await?;
    Ok(listed.into_iter().filter_map(as_route).collect())
}

fn as_route(message: RouteNetlinkMessage) -> Option<RouteMessage> {
    if let RouteNetlinkMessage::NewRoute(route) = message { Some(route) } else { None }
}

async fn neighbours(kernel: &mut Route, what: &str, request: Request) -> LinksResult<Vec<NeighbourMessage>> {
    let listed = list_if_any(kernel, what, request).await?;
    let neighbours = listed.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewNeighbour(neighbour) => Some(neighbour),
        _ => None,
    });
    Ok(neighbours.collect())
}

/// The names of all links.
pub async fn names(kernel: &mut Route) -> LinksResult<Names> {
    links(kernel).await.map(|(_, names)| names)
}

/// One link. `NotFound` if there is none of that name.
pub async fn link(kernel: &mut Route, name: &str) -> LinksResult<Link> {
    let (links, names) = links(kernel).await?;
    let mut held = links.iter().filter_map(|message| link::held(message, &names));
    held.find(|link| link.name == name).ok_or_else(|| LinksError::NotFound(format!("link {name}")))
}

/// Every link with its addresses.
pub async fn interfaces(kernel: &mut Route) -> LinksResult<Vec<Interface>> {
    let (links, names) = links(kernel).await?;
    let mut addresses: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (number, net, fitness) in self::addresses(kernel).await?.iter().filter_map(address::found) {
        addresses.entry(number).or_default().push((net, fitness));
    }
    let found = links.iter().filter_map(|message| {
        let (number, _) = link::name(message)?;
        let addresses = addresses.remove(&number).unwrap_or_default();
        Some(Interface { link: link::held(message, &names)?, addresses })
    });
    Ok(found.collect())
}

/// Where the kernel would send a packet.
pub async fn path(kernel: &mut Route, destination: IpAddr) -> LinksResult<Path> {
    let names = names(kernel).await?;
    let what = format!("way to {destination}");
    let none = || LinksError::NotFound(what.clone());
    let answer = kernel.ask_one(route::look(destination)).await?;
    let answer = answer.map_err(|refusal| match refusal.errno {
        rustix::io::Errno::NETUNREACH | rustix::io::Errno::HOSTUNREACH => none(),
        // What a route says that refuses packets: prohibit, blackhole.
        rustix::io::Errno::ACCESS | rustix::io::Errno::INVAL => none(),
        _ => failure(&what, refusal),
    })?;
    let route = answer.into_iter().find_map(as_route);
    route.and_then(|route| route::path(&route, &names)).ok_or_else(none)
}

/// Where packets go that no other route takes.
pub async fn default_path(kernel: &mut Route, v6: bool) -> LinksResult<Path> {
    let names = names(kernel).await?;
    let listed = routes(kernel, v6).await?;
    let defaults = listed.iter().filter_map(|message| route::default_path(message, &names));
    let best = defaults.min_by_key(|(priority, _)| *priority);
    let family = if v6 { "IPv6" } else { "IPv4" };
    best.map(|(_, path)| path).ok_or_else(|| LinksError::NotFound(format!("default route of {family}")))
}

/// Adds what the WireGuard devices among the links hold.
pub async fn wireguards(wireguard: &mut Option<Wireguard>, tables: &mut Tables) -> LinksResult<()> {
    let devices = tables.links.iter().filter(|link| link.kind == LinkKind::Wireguard);
    let names: Vec<String> = devices.map(|link| link.name.clone()).collect();
    for name in names {
        let read = wireguard::connected(wireguard).await?.read(&name, tables).await;
        // The device may have gone since it was listed: the next look finds the same.
        if let Err(error) = read {
            *wireguard = None;
            return Err(error);
        }
    }
    Ok(())
}

/// What the kernel holds of `scope`, without the rules and what WireGuard knows.
pub async fn tables(kernel: &mut Route, scope: &Scope) -> LinksResult<Tables> {
    let (links, names) = links(kernel).await?;
    let mut tables = Tables::default();
    let held = links.iter().filter_map(|message| link::held(message, &names));
    tables.links.extend(held.filter(|link| scope.links.contains(&link.name)));
    if !tables.links.is_empty() {
        let listed = addresses(kernel).await?;
        let held = listed.iter().filter_map(|message| address::held(message, &names));
        tables.addresses.extend(held.filter(|address| scope.links.contains(&address.link)));
    }
    for v6 in [false, true] {
        let listed = routes(kernel, v6).await?;
        let held = listed.iter().filter_map(|message| route::held(message, &names));
        tables.routes.extend(held.filter(|route| is_in(scope, route)));
    }
    let present: Vec<_> = tables.links.iter().map(|link| link.name.clone()).collect();
    for name in present {
        hanging_on(kernel, &names, &name, &mut tables).await?;
    }
    Ok(tables)
}

fn is_in(scope: &Scope, route: &flannel::links::Route) -> bool {
    let by_link = matches!(&route.way, Way::Out { link, .. } if scope.links.contains(link));
    by_link || scope.networks.iter().any(|net| contains(net, &route.destination))
}

fn contains(net: &IpNet, inner: &IpNet) -> bool {
    net.addr().is_ipv4() == inner.addr().is_ipv4() && net.contains(inner)
}

/// The neighbours and forwarding entries of one link.
async fn hanging_on(kernel: &mut Route, names: &Names, name: &str, tables: &mut Tables) -> LinksResult<()> {
    let number = names.number(name)?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let listed = neighbours(kernel, "neighbours", neighbour::list(family, number)).await?;
        let held = listed.iter().filter_map(|message| neighbour::held(message, names));
        tables.neighbours.extend(held.filter(|neighbour| neighbour.link == name));
    }
    let listed = neighbours(kernel, "forwarding entries", neighbour::list_forwardings(number)).await?;
    let held = listed.iter().filter_map(|message| neighbour::held_forwarding(message, names));
    tables.forwardings.extend(held.filter(|forwarding| forwarding.link == name));
    Ok(())
}

/// All rules that flannel has made, by either means.
pub async fn rules(netfilter: &mut LinksResult<Other<Message>>) -> LinksResult<BTreeSet<RuleSet>> {
    let mut found = BTreeSet::new();
    for v6 in [false, true] {
        let mut chains = Vec::new();
        if let Ok(netfilter) = netfilter {
            found.extend(nft::read(netfilter, v6).await?);
            chains = nft::other_chains(netfilter, v6).await?;
        }
        // The programs are started only if there is something for them to show.
        let ours = |name: &str| name == iptables::POSTROUTING || name == iptables::FORWARD;
        if chains.iter().any(|chain| ours(&chain.name))
            || iptables::legacy(v6, "nat")
            || iptables::legacy(v6, "filter")
        {
            found.extend(iptables::read(v6).await?);
        }
    }
    assert!(found.iter().filter(|set| set.means == Means::Nftables).count() <= 2, "one table a family");
    Ok(found)
}

/// What the firewall of a family is like.
pub async fn firewall(netfilter: &mut LinksResult<Other<Message>>, v6: bool) -> LinksResult<Firewall> {
    let chains = match netfilter {
        Ok(netfilter) => nft::other_chains(netfilter, v6).await?,
        Err(_) => Vec::new(),
    };
    let here = chains.iter().any(|chain| chain.table == "filter" && chain.name == "FORWARD" && chain.drops);
    let forward_drops = here || (iptables::legacy(v6, "filter") && iptables::forward_drops(v6).await?);
    Ok(Firewall { forward_drops, random_fully: iptables::random_fully(v6).await })
}
