//! The Links port over this machine's kernel: rtnetlink for links, addresses, routes and neighbours, nftables' own messages for
//! the rules, and the iptables programs where those are wished for.
//!
//! [`message`] is netlink's language, and [`socket`] speaks it. [`link`], [`address`], [`route`], [`neighbour`] and [`nft`] turn the
//! port's values into requests and answers into values. [`read`] asks, [`apply`] changes, [`changes`] listens. Beside them,
//! [`iptables`] runs programs, and [`machine`] is the Local port.
//!
//! Requests of one [`NetLinks`] wait for each other; the kernel would make them wait anyhow. All that it does, it does in the
//! network namespace of the thread that opens it.

mod address;
mod apply;
mod changes;
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

pub use machine::LocalMachine;

use flannel::links::{Changes, Firewall, Interface, Links, LinksResult, Operation, Path, Scope, Tables};
use kernel::BoxFuture;
use socket::{NETFILTER, ROUTE, Socket};
use std::net::IpAddr;
use tokio::sync::Mutex;

/// The kernel's tables of this machine.
pub struct NetLinks {
    route: Mutex<Socket>,
    /// A kernel without netfilter has no such socket: then there are no rules, and making some fails.
    rules: Mutex<LinksResult<Socket>>,
}

impl NetLinks {
    /// Opens the connection to the kernel, in the network namespace of the calling thread. Wants a runtime of tokio around it.
    pub fn open() -> LinksResult<NetLinks> {
        Ok(NetLinks {
            route: Mutex::new(Socket::open(ROUTE, 0)?),
            rules: Mutex::new(Socket::open(NETFILTER, 0)),
        })
    }
}

impl Links for NetLinks {
    fn interfaces(&self) -> BoxFuture<'_, LinksResult<Vec<Interface>>> {
        Box::pin(async { read::interfaces(&mut *self.route.lock().await).await })
    }

    fn path(&self, destination: IpAddr) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(async move { read::path(&mut *self.route.lock().await, destination).await })
    }

    fn default_path(&self, v6: bool) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(async move { read::default_path(&mut *self.route.lock().await, v6).await })
    }

    fn tables<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, LinksResult<Tables>> {
        Box::pin(async move {
            let mut tables = read::tables(&mut *self.route.lock().await, scope).await?;
            if scope.rules {
                tables.rules = read::rules(&mut *self.rules.lock().await).await?;
            }
            Ok(tables)
        })
    }

    fn firewall(&self, v6: bool) -> BoxFuture<'_, LinksResult<Firewall>> {
        Box::pin(async move { read::firewall(&mut *self.rules.lock().await, v6).await })
    }

    fn apply<'a>(&'a self, operations: &'a [Operation]) -> BoxFuture<'a, Vec<LinksResult<()>>> {
        Box::pin(async move {
            let mut route = self.route.lock().await;
            let mut rules = self.rules.lock().await;
            apply::apply(&mut route, &mut rules, operations).await
        })
    }

    fn changes(&self) -> BoxFuture<'_, LinksResult<Box<dyn Changes>>> {
        Box::pin(async { Ok(Box::new(changes::NetChanges::open().await?) as Box<dyn Changes>) })
    }
}
