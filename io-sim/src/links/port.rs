//! The Links port over the model. Operations travel in messages of [`BATCH`], and each message takes a while; a daemon that dies between
//! two of them leaves its work half done.

use super::SimLinks;
use super::faults::Luck;
use super::steady::Ways;
use flannel::links::*;
use kernel::BoxFuture;
use std::net::IpAddr;

/// Operations that travel together.
const BATCH: usize = 32;

const FIT: Fitness = Fitness { global: true, permanent: true, lasting: true };

fn path(kernel: &super::Kernel, route: Option<&Route>, to: &str) -> LinksResult<Path> {
    let Some(Route { way: Way::Out { link, gateway, .. }, destination, .. }) = route else {
        return Err(LinksError::NotFound(format!("a way to {to}")));
    };
    let v6 = matches!(destination, ipnet::IpNet::V6(_));
    let source =
        kernel.addresses_of(link).map(|address| address.net.addr()).find(|addr| addr.is_ipv6() == v6);
    Ok(Path { link: link.clone(), source, gateway: *gateway })
}

impl SimLinks {
    /// Asks something of the tables, which takes a while.
    async fn ask<T>(&self, ask: impl FnOnce(&super::Kernel) -> T) -> T {
        let pause = self.pause(1);
        self.pass(pause).await;
        ask(&self.lock().kernel)
    }

    fn try_it(&self, operation: &Operation) -> LinksResult<()> {
        let mut state = self.lock();
        let faults = state.faults.clone();
        let probe = self.world.probe();
        let text = || format!("{operation:?}");
        match state.draws.luck(&faults) {
            Luck::Good => self.perform(&mut state, operation),
            Luck::Exists => {
                probe.sometimes("kernel model: EEXIST");
                if let Some(faster) = of_somebody_faster(operation) {
                    // Where that cannot be done either, nobody was faster.
                    let _ = self.perform(&mut state, &faster);
                }
                Err(LinksError::Exists(text()))
            }
            Luck::Busy => {
                probe.sometimes("kernel model: EBUSY");
                Err(LinksError::Busy(text()))
            }
            Luck::NoBuffers => {
                probe.sometimes("kernel model: ENOBUFS");
                Err(LinksError::Busy(format!("{}: no buffer space", text())))
            }
            Luck::LostBefore => {
                probe.sometimes("kernel model: a request was lost");
                Err(LinksError::Lost(text()))
            }
            Luck::LostAfter => {
                probe.sometimes("kernel model: an answer was lost");
                // Nobody hears how it went.
                let _ = self.perform(&mut state, operation);
                Err(LinksError::Lost(text()))
            }
        }
    }
}

/// What somebody has done a moment before, so that an operation fails with EEXIST: the same address is there, or a link of the same
/// name that is another. What replaces needs nobody for that; there the error comes from nowhere.
fn of_somebody_faster(operation: &Operation) -> Option<Operation> {
    match operation {
        Operation::AddAddress(_) => Some(operation.clone()),
        Operation::AddLink(link) => {
            let kind = LinkKind::Other("dummy".to_owned());
            Some(Operation::AddLink(Link { kind, ..link.clone() }))
        }
        _ => None,
    }
}

impl Links for SimLinks {
    fn interfaces(&self) -> BoxFuture<'_, LinksResult<Vec<Interface>>> {
        Box::pin(self.ask(|kernel| {
            let interface = |link: &Link| Interface {
                link: link.clone(),
                addresses: kernel.addresses_of(&link.name).map(|address| (address.net, FIT)).collect(),
            };
            Ok(kernel.links().map(interface).collect())
        }))
    }

    fn path(&self, destination: IpAddr) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(self.ask(move |kernel| path(kernel, kernel.lookup(destination), &destination.to_string())))
    }

    fn default_path(&self, v6: bool) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(self.ask(move |kernel| path(kernel, kernel.default_route(v6), "everywhere")))
    }

    fn tables<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, LinksResult<Tables>> {
        Box::pin(self.ask(|kernel| Ok(kernel.tables(scope))))
    }

    fn apply<'a>(&'a self, operations: &'a [Operation]) -> BoxFuture<'a, Vec<LinksResult<()>>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(operations.len());
            let mut ways = Ways::before(&self.lock().kernel, operations);
            for batch in operations.chunks(BATCH) {
                let pause = self.pause(batch.len());
                self.pass(pause).await;
                for operation in batch {
                    let outcome = self.try_it(operation);
                    ways.after(&self.lock().kernel, operation, &outcome);
                    outcomes.push(outcome);
                }
            }
            assert_eq!(outcomes.len(), operations.len(), "one outcome for each operation");
            let mut state = self.lock();
            let lost = ways.lost(&state.kernel);
            state.lost.extend(lost);
            outcomes
        })
    }

    fn changes(&self) -> BoxFuture<'_, LinksResult<Box<dyn Changes>>> {
        Box::pin(async move {
            let subscription = self.lock().subscribers.add();
            Ok(Box::new(subscription) as Box<dyn Changes>)
        })
    }
}
