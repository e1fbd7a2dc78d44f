//! Changes: operations become requests, and many requests are in flight at once.
//!
//! Requests name links by number. So a run of operations that hang on links goes out together, and an operation that
//! makes or removes a link stands alone; after it the names are read anew.

use super::connection::{Other, Route};
use super::failure::failure;
use super::message::Message;
use super::names::Names;
use super::wireguard::{self, Wireguard};
use super::{address, iptables, link, neighbour, nft, read, route};
use flannel::links::{Link, LinkKind, LinksError, LinksResult, Operation, Way};
use flannel::rules::Means;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;

type Request = NetlinkMessage<RouteNetlinkMessage>;

/// Does these, in this order, each on its own.
pub async fn apply(
    kernel: &mut Route,
    rules: &mut LinksResult<Other<Message>>,
    wireguard: &mut Option<Wireguard>,
    operations: &[Operation],
) -> Vec<LinksResult<()>> {
    let mut outcomes = Vec::with_capacity(operations.len());
    let mut names = None;
    while let Some(operation) = operations.get(outcomes.len()) {
        if names.is_none() && !is_rules(operation) && !is_wireguard(operation) {
            match read::names(kernel).await {
                Ok(read) => names = Some(read),
                Err(error) => {
                    outcomes.push(Err(error));
                    continue;
                }
            }
        }
        let known = names.clone().unwrap_or_default();
        match operation {
            Operation::AddLink(link) => outcomes.push(add_link(kernel, &known, link).await),
            Operation::SetLink(link) => outcomes.push(set_link(kernel, &known, link).await),
            Operation::DeleteLink(name) => outcomes.push(delete_link(kernel, &known, name).await),
            operation if is_rules(operation) => outcomes.push(set_rules(rules, operation).await),
            operation if is_wireguard(operation) => {
                let rest = &operations[outcomes.len()..];
                let run: Vec<_> = rest.iter().take_while(|operation| is_wireguard(operation)).collect();
                outcomes.extend(tell_wireguard(wireguard, &run).await);
            }
            _ => {
                let rest = &operations[outcomes.len()..];
                let run = rest.iter().take_while(|operation| hangs_on_link(operation));
                let run: Vec<_> = run.collect();
                assert!(!run.is_empty(), "each turn does something");
                outcomes.extend(apply_run(kernel, &known, &run).await);
            }
        }
        if makes_names(operation) {
            names = None;
        }
    }
    assert_eq!(outcomes.len(), operations.len(), "one outcome each");
    outcomes
}

fn is_rules(operation: &Operation) -> bool {
    matches!(operation, Operation::PutRules(_) | Operation::DeleteRules(_))
}

fn is_wireguard(operation: &Operation) -> bool {
    use Operation::{DeleteWireguardPeer, PutWireguardPeer, SetWireguard};
    matches!(operation, SetWireguard(_) | PutWireguardPeer(_) | DeleteWireguardPeer(_))
}

/// Whether it may go out together with others of its sort over the connection for links.
fn hangs_on_link(operation: &Operation) -> bool {
    !is_rules(operation) && !is_wireguard(operation) && !stands_alone(operation)
}

fn makes_names(operation: &Operation) -> bool {
    matches!(operation, Operation::AddLink(_) | Operation::DeleteLink(_))
}

fn stands_alone(operation: &Operation) -> bool {
    makes_names(operation) || matches!(operation, Operation::SetLink(_))
}

/// A run of operations on WireGuard devices. After a failure the way there is looked for anew: the module may have been loaded anew.
async fn tell_wireguard(wireguard: &mut Option<Wireguard>, run: &[&Operation]) -> Vec<LinksResult<()>> {
    let outcomes = match wireguard::connected(wireguard).await {
        Ok(kernel) => kernel.change(run).await,
        Err(error) => vec![Err(error); run.len()],
    };
    if outcomes.iter().any(Result::is_err) {
        *wireguard = None;
    }
    outcomes
}

/// A run of operations on what hangs on links.
async fn apply_run(kernel: &mut Route, names: &Names, run: &[&Operation]) -> Vec<LinksResult<()>> {
    let made: Vec<_> = run.iter().map(|operation| request(operation, names)).collect();
    let requests: Vec<_> = made.iter().filter_map(|made| made.as_ref().ok()).cloned().collect();
    let mut answers = kernel.ask(requests).await.into_iter();
    let outcome = |(made, operation): (LinksResult<Request>, &&Operation)| {
        made?;
        let answer = answers.next().expect("one answer each")?;
        answer.map(drop).map_err(|refusal| failure(&describe(operation), refusal))
    };
    made.into_iter().zip(run).map(outcome).collect()
}

fn request(operation: &Operation, names: &Names) -> LinksResult<Request> {
    Ok(match operation {
        Operation::AddAddress(address) => address::add(address.net, names.number(&address.link)?),
        Operation::DeleteAddress(address) => address::delete(address.net, names.number(&address.link)?),
        Operation::PutRoute(route) => route::put(route, way(route, names)?),
        Operation::DeleteRoute(route) => route::delete(route, way(route, names)?),
        Operation::PutNeighbour(it) => neighbour::put(it, names.number(&it.link)?),
        Operation::DeleteNeighbour(it) => neighbour::delete(it, names.number(&it.link)?),
        Operation::PutForwarding(it) => neighbour::put_forwarding(it, names.number(&it.link)?),
        Operation::DeleteForwarding(it) => neighbour::delete_forwarding(it, names.number(&it.link)?),
        Operation::AddLink(_) | Operation::DeleteLink(_) | Operation::SetLink(_) => {
            unreachable!("stands alone")
        }
        other => unreachable!("goes by another connection: {other:?}"),
    })
}

/// The number of the link by which a route leaves; none for a blackhole.
fn way(route: &flannel::links::Route, names: &Names) -> LinksResult<Option<u32>> {
    match &route.way {
        Way::Out { link, .. } => names.number(link).map(Some),
        Way::Blackhole => Ok(None),
    }
}

async fn add_link(kernel: &mut Route, names: &Names, wish: &Link) -> LinksResult<()> {
    let what = format!("link {}", wish.name);
    let closed = matches!(&wish.kind, LinkKind::Vxlan(vxlan) if vxlan.local.is_ipv6());
    let request = link::add(wish, wish.up && !closed, names)?;
    kernel.ask_one(request).await?.map_err(|refusal| failure(&what, refusal))?;
    if closed {
        let made = finish(kernel, wish).await;
        if made.is_err() {
            // Half of a link must not be found by the next look and taken for a whole one.
            let names = read::names(kernel).await?;
            delete_link(kernel, &names, &wish.name).await?;
        }
        return made;
    }
    Ok(())
}

/// A device over IPv6 takes no addresses and routes from routers on it: whoever sends on the overlay could be one.
async fn finish(kernel: &mut Route, wish: &Link) -> LinksResult<()> {
    let setting = format!("/proc/sys/net/ipv6/conf/{}/accept_ra", wish.name);
    std::fs::write(&setting, "0").map_err(|error| LinksError::Refused(format!("{setting}: {error}")))?;
    let number = read::names(kernel).await?.number(&wish.name)?;
    let answer = kernel.ask_one(link::set(wish, number)).await?;
    answer.map(drop).map_err(|refusal| failure(&format!("link {}", wish.name), refusal))
}

/// A MAC that is set, if only to what it is, makes the kernel forget all neighbours of the link. So it is set only if it differs.
async fn set_link(kernel: &mut Route, names: &Names, wish: &Link) -> LinksResult<()> {
    let number = names.number(&wish.name)?;
    let held = read::link(kernel, &wish.name).await?;
    let mac = wish.mac.filter(|mac| held.mac != Some(*mac));
    let answer = kernel.ask_one(link::set(&Link { mac, ..wish.clone() }, number)).await?;
    answer.map(drop).map_err(|refusal| failure(&format!("link {}", wish.name), refusal))
}

async fn delete_link(kernel: &mut Route, names: &Names, name: &str) -> LinksResult<()> {
    let answer = kernel.ask_one(link::delete(names.number(name)?)).await?;
    answer.map(drop).map_err(|refusal| failure(&format!("link {name}"), refusal))
}

async fn set_rules(netfilter: &mut LinksResult<Other<Message>>, operation: &Operation) -> LinksResult<()> {
    let (set, put) = match operation {
        Operation::PutRules(set) => (set, true),
        Operation::DeleteRules(set) => (set, false),
        _ => unreachable!("only rules come here"),
    };
    match (set.means, put) {
        (Means::Iptables, true) => iptables::put(set).await,
        (Means::Iptables, false) => iptables::delete(set.v6).await,
        (Means::Nftables, true) => nft::put(netfilter.as_mut().map_err(|error| error.clone())?, set).await,
        (Means::Nftables, false) => {
            nft::delete(netfilter.as_mut().map_err(|error| error.clone())?, set.v6).await
        }
    }
}

/// What an operation is about, for an error.
pub fn describe(operation: &Operation) -> String {
    match operation {
        Operation::AddLink(link) | Operation::SetLink(link) => format!("link {}", link.name),
        Operation::DeleteLink(name) => format!("link {name}"),
        Operation::AddAddress(it) | Operation::DeleteAddress(it) => {
            format!("address {} of {}", it.net, it.link)
        }
        Operation::PutRoute(it) | Operation::DeleteRoute(it) => match &it.way {
            Way::Out { link, gateway: Some(gateway), .. } => {
                format!("route {} via {gateway} by {link}", it.destination)
            }
            Way::Out { link, gateway: None, .. } => format!("route {} by {link}", it.destination),
            Way::Blackhole => format!("route {} to nowhere", it.destination),
        },
        Operation::PutNeighbour(it) | Operation::DeleteNeighbour(it) => {
            format!("neighbour {} of {}", it.address, it.link)
        }
        Operation::PutForwarding(it) | Operation::DeleteForwarding(it) => {
            format!("forwarding of {} to {} by {}", it.mac, it.machine, it.link)
        }
        Operation::SetWireguard(it) => format!("key and port of {}", it.link),
        Operation::PutWireguardPeer(it) | Operation::DeleteWireguardPeer(it) => {
            format!("peer {} of {}", it.key, it.link)
        }
        Operation::PutRules(it) | Operation::DeleteRules(it) => format!("rules by {:?}", it.means),
    }
}
