//! What the kernel tells of changes, as hints.
//!
//! One socket hears of links, addresses, routes and neighbours, another of rules. Messages about things on a link have its number
//! only, so the names are kept here, and follow what is told about links. When the kernel could not keep all messages, it says so
//! once; that is [`Hint::Resync`].

use super::message::Received;
use super::names::Names;
use super::socket::{NETFILTER, ROUTE, Socket};
use super::{address, link, neighbour, nft, read, route};
use flannel::links::{Changes, Hint, LinksError, LinksResult};
use kernel::BoxFuture;
use std::collections::BTreeSet;

/// Groups of rtnetlink, counted from one: links, neighbours, addresses of IPv4, routes of IPv4, addresses and routes of IPv6.
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];

/// The group of nftables.
const RULES_GROUP: u32 = 7;

/// The stream of hints.
pub struct NetChanges {
    route: Socket,
    /// None where the kernel has no netfilter.
    rules: Option<Socket>,
    names: Names,
    /// Told by the kernel, not yet by us. The same hint twice is the same as once.
    waiting: BTreeSet<Hint>,
}

fn bits(groups: &[u32]) -> u32 {
    groups.iter().fold(0, |bits, group| bits | 1 << (group - 1))
}

impl NetChanges {
    /// Hears of everything from now on.
    pub async fn open() -> LinksResult<NetChanges> {
        let route = Socket::open(ROUTE, bits(&GROUPS))?;
        let rules = Socket::open(NETFILTER, bits(&[RULES_GROUP])).ok();
        // Read when already listening, so no link can come between; by another socket, so that the answer stays apart.
        let names = read::names(&mut Socket::open(ROUTE, 0)?).await?;
        Ok(NetChanges { route, rules, names, waiting: BTreeSet::new() })
    }

    async fn wait(&mut self) -> LinksResult<Hint> {
        loop {
            if let Some(hint) = self.waiting.pop_first() {
                return Ok(hint);
            }
            let rules = async {
                match &mut self.rules {
                    Some(socket) => socket.receive().await,
                    None => std::future::pending().await,
                }
            };
            let told = tokio::select! {
                told = self.route.receive() => told,
                told = rules => told,
            };
            match told {
                Ok(told) => {
                    for message in told {
                        let hint = hint(&mut self.names, &message);
                        self.waiting.extend(hint);
                    }
                }
                Err(LinksError::Busy(_)) => self.lost().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Messages were lost, of links too perhaps.
    async fn lost(&mut self) -> LinksResult<()> {
        self.waiting.insert(Hint::Resync);
        self.names = read::names(&mut Socket::open(ROUTE, 0)?).await?;
        Ok(())
    }
}

impl Changes for NetChanges {
    fn next(&mut self) -> BoxFuture<'_, LinksResult<Hint>> {
        Box::pin(self.wait())
    }
}

/// The hint in a message, if it concerns anything that the port tells of.
fn hint(names: &mut Names, message: &Received) -> Option<Hint> {
    // A link that has no name here was removed, and that was told.
    let of_link = |names: &Names, number| names.name(number).map(|name| Hint::Link(name.to_string()));
    match message.kind {
        link::NEW | link::DELETE => {
            // A port of a bridge tells of itself in the bridge's words too; those have another family.
            let (number, name) = link::name(message).filter(|_| message.byte(0) == 0)?;
            match message.kind {
                link::NEW => names.insert(number, &name),
                _ => names.remove(number),
            }
            Some(Hint::Link(name))
        }
        address::NEW | address::DELETE => of_link(names, address::link(message)),
        neighbour::NEW | neighbour::DELETE => {
            neighbour::counts(message).then(|| of_link(names, neighbour::link(message)))?
        }
        route::NEW | route::DELETE => route::destination(message).map(Hint::Route),
        _ => nft::concerns(message).then_some(Hint::Rules),
    }
}
