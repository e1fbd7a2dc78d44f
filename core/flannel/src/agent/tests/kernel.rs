//! A machine of a test: its kernel's tables, its files and commands, its TUN devices. All of it outlives the daemon; a reboot
//! empties the kernel.

use crate::links::*;
use crate::local::{Command, Local, LocalError};
use crate::plan::tests::apply;
use crate::tun::{Tun, TunConfig, TunCounters, TunDevice, TunError};
use ::kernel::BoxFuture;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard};

/// One machine. Clones share it.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<State>>);

pub struct State {
    pub interfaces: Vec<Interface>,
    pub tables: Tables,
    /// All operations that were asked for since the log was taken.
    pub log: Vec<Operation>,
    /// Operations on these destinations or links fail.
    pub failing: BTreeSet<String>,
    /// Whether hints are given.
    pub hints: bool,
    listeners: Vec<UnboundedSender<Hint>>,
    pub firewall: Firewall,
    /// Addresses that need a gateway.
    pub far: BTreeSet<IpAddr>,
    pub env: Option<String>,
    /// What the key file holds.
    pub secret: Secret,
    pub ran: Vec<Command>,
    /// Commands that begin so fail.
    pub broken: Option<String>,
    pub tun_peers: BTreeMap<Ipv4Net, SocketAddrV4>,
    pub tun_failed: bool,
    tuns: u32,
}

impl Machine {
    pub fn new(number: u8) -> Machine {
        let kind = LinkKind::Other(String::new());
        let link = Link { name: "eth0".to_owned(), kind, mac: None, mtu: 1500, up: true };
        let good = Fitness { global: true, permanent: true, lasting: true };
        let address = IpAddr::from(Ipv4Addr::new(192, 168, 0, number));
        let addresses = vec![(ipnet::IpNet::new(address, 24).unwrap(), good)];
        Machine(Arc::new(Mutex::new(State {
            interfaces: vec![Interface { link, addresses }],
            tables: Tables::default(),
            log: Vec::new(),
            failing: BTreeSet::new(),
            hints: true,
            listeners: Vec::new(),
            firewall: Firewall { forward_drops: false, random_fully: true },
            far: BTreeSet::new(),
            env: None,
            secret: Secret([number; 32]),
            ran: Vec::new(),
            broken: None,
            tun_peers: BTreeMap::new(),
            tun_failed: false,
            tuns: 0,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Somebody else changes something.
    pub fn meddle(&self, operation: Operation) {
        let mut state = self.lock();
        apply(&mut state.tables, &operation).unwrap();
        state.hint(&operation);
    }

    pub fn device(&self, name: &str) -> Link {
        let state = self.lock();
        state
            .tables
            .links
            .iter()
            .find(|link| link.name == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// The operations since it was asked last.
    pub fn log(&self) -> Vec<Operation> {
        std::mem::take(&mut self.lock().log)
    }

    pub fn reboot(&self) {
        let mut state = self.lock();
        state.tables = Tables::default();
        (state.env, state.listeners) = (None, Vec::new());
    }
}

/// What an operation is about.
fn subject(operation: &Operation) -> (String, Hint) {
    match operation {
        Operation::AddLink(link) | Operation::SetLink(link) => {
            (link.name.clone(), Hint::Link(link.name.clone()))
        }
        Operation::DeleteLink(name) => (name.clone(), Hint::Link(name.clone())),
        Operation::AddAddress(entry) | Operation::DeleteAddress(entry) => {
            (entry.net.to_string(), Hint::Link(entry.link.clone()))
        }
        Operation::PutRoute(route) | Operation::DeleteRoute(route) => {
            (route.destination.to_string(), Hint::Route(route.destination))
        }
        Operation::PutNeighbour(entry) | Operation::DeleteNeighbour(entry) => {
            (entry.address.to_string(), Hint::Link(entry.link.clone()))
        }
        Operation::PutForwarding(entry) | Operation::DeleteForwarding(entry) => {
            (entry.mac.to_string(), Hint::Link(entry.link.clone()))
        }
        Operation::SetWireguard(device) => (device.link.clone(), Hint::Link(device.link.clone())),
        Operation::PutWireguardPeer(peer) | Operation::DeleteWireguardPeer(peer) => {
            (peer.key.to_string(), Hint::Link(peer.link.clone()))
        }
        Operation::PutRules(_) | Operation::DeleteRules(_) => ("rules".to_owned(), Hint::Rules),
    }
}

impl State {
    fn hint(&mut self, operation: &Operation) {
        let hint = subject(operation).1;
        if self.hints {
            self.listeners.retain(|listener| listener.unbounded_send(hint.clone()).is_ok());
        }
    }

    fn carry_out(&mut self, operation: &Operation) -> LinksResult<()> {
        self.log.push(operation.clone());
        if self.failing.contains(&subject(operation).0) {
            return Err(LinksError::Busy(subject(operation).0));
        }
        // As the kernel does, deleting what is not there is told apart from being refused.
        let outcome = apply(&mut self.tables, operation).map_err(|error| match operation {
            Operation::AddLink(_) => LinksError::Exists(error.to_string()),
            _ => LinksError::NotFound(error.to_string()),
        });
        if outcome.is_ok() {
            // A device that goes down takes its routes along.
            if let Operation::SetLink(link) = operation
                && !link.up
            {
                let leads =
                    |route: &Route| matches!(&route.way, Way::Out { link: by, .. } if *by == link.name);
                self.tables.routes.retain(|route| !leads(route));
            }
            self.hint(operation);
        }
        outcome
    }
}

impl Links for Machine {
    fn interfaces(&self) -> BoxFuture<'_, LinksResult<Vec<Interface>>> {
        Box::pin(async { Ok(self.lock().interfaces.clone()) })
    }

    fn path(&self, destination: IpAddr) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(async move {
            let gateway = self.lock().far.contains(&destination).then(|| "192.168.0.254".parse().unwrap());
            Ok(Path { link: "eth0".to_owned(), source: None, gateway })
        })
    }

    fn default_path(&self, _: bool) -> BoxFuture<'_, LinksResult<Path>> {
        Box::pin(async {
            match self.lock().interfaces.first() {
                Some(first) => Ok(Path { link: first.link.name.clone(), source: None, gateway: None }),
                None => Err(LinksError::NotFound("default".to_owned())),
            }
        })
    }

    fn tables<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, LinksResult<Tables>> {
        Box::pin(async move {
            let state = self.lock();
            let mut tables = state.tables.clone();
            tables.links.retain(|link| scope.links.contains(&link.name));
            tables.addresses.retain(|entry| scope.links.contains(&entry.link));
            tables.neighbours.retain(|entry| scope.links.contains(&entry.link));
            tables.forwardings.retain(|entry| scope.links.contains(&entry.link));
            tables.wireguards.retain(|device| scope.links.contains(&device.link));
            tables.wireguard_peers.retain(|peer| scope.links.contains(&peer.link));
            tables.routes.retain(|route| {
                let ours = matches!(&route.way, Way::Out { link, .. } if scope.links.contains(link));
                ours || scope.networks.iter().any(|network| network.contains(&route.destination))
            });
            if !scope.rules {
                tables.rules.clear();
            }
            Ok(tables)
        })
    }

    fn firewall(&self, _: bool) -> BoxFuture<'_, LinksResult<Firewall>> {
        Box::pin(async { Ok(self.lock().firewall) })
    }

    fn apply<'a>(&'a self, operations: &'a [Operation]) -> BoxFuture<'a, Vec<LinksResult<()>>> {
        Box::pin(async move {
            let mut state = self.lock();
            operations.iter().map(|operation| state.carry_out(operation)).collect()
        })
    }

    fn changes(&self) -> BoxFuture<'_, LinksResult<Box<dyn Changes>>> {
        Box::pin(async {
            let (sender, receiver) = unbounded();
            self.lock().listeners.push(sender);
            Ok(Box::new(Stream(receiver)) as Box<dyn Changes>)
        })
    }
}

struct Stream(UnboundedReceiver<Hint>);

impl Changes for Stream {
    fn next(&mut self) -> BoxFuture<'_, LinksResult<Hint>> {
        Box::pin(async { self.0.next().await.ok_or_else(|| LinksError::Lost("the stream".to_owned())) })
    }
}

impl Local for Machine {
    fn read_env(&self) -> BoxFuture<'_, Result<Option<String>, LocalError>> {
        Box::pin(async { Ok(self.lock().env.clone()) })
    }

    fn write_env<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), LocalError>> {
        Box::pin(async {
            self.lock().env = Some(text.to_owned());
            Ok(())
        })
    }

    fn wireguard_key(&self) -> BoxFuture<'_, Result<Secret, LocalError>> {
        Box::pin(async { Ok(self.lock().secret) })
    }

    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<String, LocalError>> {
        Box::pin(async {
            let mut state = self.lock();
            state.ran.push(command.clone());
            match &state.broken {
                Some(broken) if command.line.starts_with(broken) => {
                    Err(LocalError("exit status 1".to_owned()))
                }
                _ => Ok(format!("{} ran\n", command.line)),
            }
        })
    }
}

/// An open device; it goes when it is dropped.
struct Device {
    name: String,
    machine: Machine,
}

impl Tun for Machine {
    fn open<'a>(&'a self, config: &'a TunConfig) -> BoxFuture<'a, Result<Box<dyn TunDevice>, TunError>> {
        Box::pin(async {
            let mut state = self.lock();
            let name = config.name.replace("%d", &state.tuns.to_string());
            state.tuns += 1;
            state.tun_failed = false;
            let link = Link { name: name.clone(), kind: LinkKind::Tun, mac: None, mtu: 1500, up: false };
            state.tables.links.insert(link);
            Ok(Box::new(Device { name, machine: self.clone() }) as Box<dyn TunDevice>)
        })
    }
}

impl TunDevice for Device {
    fn name(&self) -> &str {
        &self.name
    }

    fn set_peers(&self, peers: BTreeMap<Ipv4Net, SocketAddrV4>) {
        self.machine.lock().tun_peers = peers;
    }

    fn counters(&self) -> TunCounters {
        TunCounters::default()
    }

    fn failure(&self) -> Option<String> {
        self.machine.lock().tun_failed.then(|| "the device was removed".to_owned())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = apply(&mut self.machine.lock().tables, &Operation::DeleteLink(self.name.clone()));
    }
}
