//! The Links port over this machine's kernel: rtnetlink for links, addresses, routes and neighbours, nftables' own messages for
//! the rules, and the iptables programs where those are wished for.
//!
//! [`connection`] sends requests over rtnetlink's connection and brings the answers, [`socket`] hears what the kernel tells.
//! [`link`], [`address`], [`route`], [`neighbour`] and [`nft`] turn the port's values into requests and answers into values; for
//! nftables no crate has the words that are needed, so [`message`] has a small codec for those. [`read`] asks, [`apply`] changes,
//! [`changes`] listens. [`wireguard`] speaks generic netlink. Beside them, [`iptables`] runs programs, and [`machine`] is the Local port.
//!
//! Requests of one [`NetLinks`] wait for each other; the kernel would make them wait anyhow. All that it does, it does in the
//! network namespace of the thread that opens it.

mod address;
mod apply;
mod changes;
mod connection;
mod failure;
mod iptables;
mod link;
mod machine;
mod message;
mod names;
mod neighbour;
mod nft;
mod read;
mod route;
mod socket;
mod wireguard;

pub use machine::LocalMachine;

use connection::{Other, Route};
use flannel::links::{Changes, Firewall, Interface, Links, LinksResult, Operation, Path, Scope, Tables};
use kernel::BoxFuture;
use message::Message;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use std::net::IpAddr;
use tokio::sync::{Mutex, MutexGuard};
use wireguard::Wireguard;

/// The kernel's tables of this machine.
pub struct NetLinks {
    route: Mutex<Route>,
    /// A kernel without netfilter has no such socket: then there are no rules, and making some fails.
    rules: Mutex<LinksResult<Other<Message>>>,
    /// None before the first WireGuard device.
    wireguard: Mutex<Option<Wireguard>>,
}

impl NetLinks {
    /// Opens the connection to the kernel, in the network namespace of the calling thread. Wants a runtime of tokio around it.
    pub fn open() -> LinksResult<NetLinks> {
        Ok(NetLinks {
            route: Mutex::new(Route::open()?),
            rules: Mutex::new(Other::open(NETLINK_NETFILTER)),
            wireguard: Mutex::new(None),
        })
    }

    /// The connection for all but rules. If it broke, another.
    async fn route(&self) -> LinksResult<MutexGuard<'_, Route>> {
        let mut route = self.route.lock().await;
        if route.is_broken() {
            *route = Route::open()?;
        }
        Ok(route)
    }

    /// The connection for rules. If it broke, another.
    async fn rules(&self) -> MutexGuard<'_, LinksResult<Other<Message>>> {
        let mut rules = self.rules.lock().await;
        if rules.as_ref().is_ok_and(Other::is_broken) {
            *rules = Other::open(NETLINK_NETFILTER);
        }
        rules
    }
}

impl Links for NetLinks {
    fn interfaces(&self) -> BoxFuture<'_, LinksResult<Vec<Interface>>> {
        Box::pin(async { read::interfaces(&mut *self.route().await?).await })
    }

    fn path(&self, destination: IpAddr) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(async move { read::path(&mut *self.route().await?, destination).await })
    }

    fn default_path(&self, v6: bool) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(async move { read::default_path(&mut *self.route().await?, v6).await })
    }

    fn tables<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, LinksResult<Tables>> {
        Box::pin(async move {
            let mut tables = read::tables(&mut *self.route().await?, scope).await?;
            read::wireguards(&mut *self.wireguard.lock().await, &mut tables).await?;
            if scope.rules {
                tables.rules = read::rules(&mut *self.rules().await).await?;
            }
            Ok(tables)
        })
    }

    fn firewall(&self, v6: bool) -> BoxFuture<'_, LinksResult<Firewall>> {
        Box::pin(async move { read::firewall(&mut *self.rules().await, v6).await })
    }

    fn apply<'a>(&'a self, operations: &'a [Operation]) -> BoxFuture<'a, Vec<LinksResult<()>>> {
        Box::pin(async move {
            let mut route = match self.route().await {
                Ok(route) => route,
                Err(error) => return vec![Err(error); operations.len()],
            };
            let mut rules = self.rules().await;
            let mut wireguard = self.wireguard.lock().await;
            apply::apply(&mut route, &mut rules, &mut wireguard, operations).await
        })
    }

    fn changes(&self) -> BoxFuture<'_, LinksResult<Box<dyn Changes>>> {
        Box::pin(async { Ok(Box::new(changes::NetChanges::open().await?) as Box<dyn Changes>) })
    }
}
