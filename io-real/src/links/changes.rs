//! What the kernel tells of changes, as hints.
//!
//! One socket hears of links, addresses, routes and neighbours, another of rules. Messages about things on a link have its number
//! only, so the names are kept here, and follow what is told about links. When the kernel could not keep all messages, it says so
//! once; that is [`Hint::Resync`].

use super::connection::Route;
use super::message::Message;
use super::names::Names;
use super::socket::Events;
use super::{link, neighbour, nft, read, route};
use flannel::links::{Changes, Hint, LinksError, LinksResult};
use kernel::BoxFuture;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::{AddressFamily, link::LinkMessage};
use rtnetlink::sys::protocols;
use std::collections::BTreeSet;

/// What is heard of rtnetlink.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];

/// The group of nftables.
const RULES_GROUP: u32 = 7;

/// The stream of hints.
pub struct NetChanges {
    route: Events<RouteNetlinkMessage>,
    /// None where the kernel has no netfilter.
    rules: Option<Events<Message>>,
    names: Names,
    /// Told by the kernel, not yet by us. The same hint twice is the same as once.
    waiting: BTreeSet<Hint>,
}

impl NetChanges {
    /// Hears of everything from now on.
    pub async fn open() -> LinksResult<NetChanges> {
        let route = Events::open(protocols::NETLINK_ROUTE, &GROUPS.map(|group| group as u32))?;
        let rules = Events::open(protocols::NETLINK_NETFILTER, &[RULES_GROUP]).ok();
        // Read when already listening, so no link can come between.
        let names = read::names(&mut Route::open()?).await?;
        Ok(NetChanges { route, rules, names, waiting: BTreeSet::new() })
    }

    async fn wait(&mut self) -> LinksResult<Hint> {
        loop {
            if let Some(hint) = self.waiting.pop_first() {
                return Ok(hint);
            }
            let rules = async {
                match &mut self.rules {
                    Some(events) => events.next().await,
                    None => std::future::pending().await,
                }
            };
            let told = tokio::select! {
                told = self.route.next() => told.map(|message| hint(&mut self.names, &message)),
                told = rules => told.map(|message| nft::concerns(&message).then_some(Hint::Rules)),
            };
            match told {
                Ok(hint) => self.waiting.extend(hint),
                Err(LinksError::Busy(_)) => self.lost().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Messages were lost, of links too perhaps.
    async fn lost(&mut self) -> LinksResult<()> {
        self.waiting.insert(Hint::Resync);
        self.names = read::names(&mut Route::open()?).await?;
        Ok(())
    }
}

impl Changes for NetChanges {
    fn next(&mut self) -> BoxFuture<'_, LinksResult<Hint>> {
        Box::pin(self.wait())
    }
}

/// The hint in a message, if it concerns anything that the port tells of.
fn hint(names: &mut Names, message: &RouteNetlinkMessage) -> Option<Hint> {
    use RouteNetlinkMessage::{DelAddress, DelLink, DelNeighbour, DelRoute};
    use RouteNetlinkMessage::{NewAddress, NewLink, NewNeighbour, NewRoute};
    // A link that has no name here was removed, and that was told.
    let of_link = |names: &Names, number| names.name(number).map(|name| Hint::Link(name.to_string()));
    match message {
        NewLink(message) => {
            let (number, name) = named(message)?;
            names.insert(number, &name);
            Some(Hint::Link(name))
        }
        DelLink(message) => {
            let (number, name) = named(message)?;
            names.remove(number);
            Some(Hint::Link(name))
        }
        NewAddress(message) | DelAddress(message) => of_link(names, message.header.index),
        NewNeighbour(message) if !neighbour::counts(message) => None,
        NewNeighbour(message) | DelNeighbour(message) => of_link(names, message.header.ifindex),
        NewRoute(message) | DelRoute(message) => route::destination(message).map(Hint::Route),
        _ => None,
    }
}

/// The link that a message is about. A port of a bridge tells of itself in the bridge's words too; those have another family.
fn named(message: &LinkMessage) -> Option<(u32, String)> {
    (message.header.interface_family == AddressFamily::Unspec).then(|| link::name(message))?
}
