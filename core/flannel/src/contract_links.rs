//! What the Links port promises, as code that runs against any implementation: `io-real` against the kernel, `io-sim` against
//! its model. Where the two differ, one of them is wrong.
//!
//! The comments tell what Linux 6.18 was seen to do. Each case makes its own device and takes it away, so all may run on
//! one machine, one after the other. Nothing here wants a TUN device, IPIP or WireGuard, which not every kernel has.
//!
//! [`entries`] is what hangs on a link, [`lives`] what becomes of it with the link, [`told`] what is told of changes,
//! [`ways`] where packets go, [`ruled`] the rules.

mod entries;
mod lives;
mod ruled;
mod told;
mod ways;

use crate::links::{Address, Forwarding, Link, LinkKind, Links, Mac, Neighbour, Operation, Route, Scope};
use crate::links::{LinksError, LinksResult, Tables, Vxlan, Way};
use ipnet::{IpNet, Ipv4Net};
use kernel::{BoxFuture, Clock};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Where a case plays.
#[derive(Clone)]
pub struct Stage {
    /// A machine's tables.
    pub links: Arc<dyn Links>,
    /// Somebody else on the same machine, for changes that are not ours.
    pub other: Arc<dyn Links>,
    /// For deadlines.
    pub clock: Arc<dyn Clock>,
    /// A link of the machine that is up, with the address below and a MTU of 1,500.
    pub underlay: String,
    /// The machine's address there, with its network: at least a /29.
    pub local: Ipv4Net,
    /// The machine's default route leads by the underlay to this place, inside the network.
    pub gateway: Ipv4Addr,
}

/// A case of this suite.
pub type Case = (&'static str, fn(Stage) -> BoxFuture<'static, ()>);

/// Every case.
pub const CASES: &[Case] = &[
    ("a device is as it was wished", |stage| Box::pin(lives::made(stage))),
    ("a name is taken once", |stage| Box::pin(lives::twice(stage))),
    ("a device is changed in place", |stage| Box::pin(lives::set(stage))),
    ("what is not there is not found", |stage| Box::pin(lives::not_found(stage))),
    ("a deleted device takes its entries", |stage| Box::pin(lives::deleted(stage))),
    ("a device that is down has lost its routes and neighbours", |stage| Box::pin(lives::down(stage))),
    ("an address may be added twice", |stage| Box::pin(entries::addresses(stage))),
    ("a route is replaced by one to the same place", |stage| Box::pin(entries::routes(stage))),
    ("a route to nowhere drops", |stage| Box::pin(entries::blackhole(stage))),
    ("neighbours and forwarding entries are replaced", |stage| Box::pin(entries::replaced(stage))),
    ("one that fails does not keep the next", |stage| Box::pin(entries::order(stage))),
    ("entries of IPv6", |stage| Box::pin(entries::v6(stage))),
    ("a gateway of IPv6 behind another device", |stage| Box::pin(entries::gateway_v6(stage))),
    ("a thousand in one go", |stage| Box::pin(entries::thousand(stage))),
    ("tables hold what was asked for", |stage| Box::pin(ways::scope(stage))),
    ("interfaces, ways, and the default", |stage| Box::pin(ways::paths(stage))),
    ("changes are told, whoever makes them", |stage| Box::pin(told::of_others(stage))),
    ("rules are made whole, replaced and removed", |stage| Box::pin(ruled::whole(stage))),
    ("rules of both families stand side by side", |stage| Box::pin(ruled::families(stage))),
];

/// Runs every case, one after the other, on one machine.
pub async fn suite(stage: Stage) {
    for (_name, case) in CASES {
        case(stage.clone()).await;
    }
}

/// The device that cases make.
const DEVICE: &str = "contract.7";

/// The network that cases use.
const NETWORK: &str = "10.201.0.0/16";

fn mac(last: u8) -> Mac {
    Mac([0x0e, 0xc0, 0, 0, 0, last])
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Stage {
    /// The device as cases wish for it.
    fn device(&self) -> Link {
        let vxlan = Vxlan {
            vni: 7,
            port: 8472,
            device: self.underlay.clone(),
            local: self.local.addr().into(),
            learning: false,
            gbp: false,
        };
        Link {
            name: DEVICE.to_string(),
            kind: LinkKind::Vxlan(vxlan),
            mac: Some(mac(1)),
            mtu: 1450,
            up: true,
        }
    }

    /// What is there of the device and of the network.
    async fn tables(&self) -> Tables {
        let scope = Scope { links: [DEVICE.to_string()].into(), networks: vec![net(NETWORK)], rules: false };
        self.links.tables(&scope).await.expect("tables are told")
    }

    async fn apply(&self, operations: &[Operation]) -> Vec<LinksResult<()>> {
        let outcomes = self.links.apply(operations).await;
        assert_eq!(outcomes.len(), operations.len(), "one outcome each");
        outcomes
    }

    /// Does these, which all go well.
    async fn done(&self, operations: &[Operation]) {
        for (outcome, operation) in self.apply(operations).await.into_iter().zip(operations) {
            assert_eq!(outcome, Ok(()), "{operation:?}");
        }
    }

    async fn one(&self, operation: Operation) -> LinksResult<()> {
        self.apply(&[operation]).await.pop().expect("one outcome")
    }

    /// Makes the device, with an address and the entries for one peer.
    async fn furnish(&self) {
        self.done(&[
            Operation::AddLink(self.device()),
            Operation::AddAddress(Address { link: DEVICE.to_string(), net: net("10.201.1.0/32") }),
            Operation::PutNeighbour(neighbour("10.201.2.0", 2)),
            Operation::PutForwarding(self.forwarding(2, 2)),
            Operation::PutRoute(route("10.201.2.0/24", "10.201.2.0")),
        ])
        .await;
    }

    async fn clear(&self) {
        assert_eq!(self.one(Operation::DeleteLink(DEVICE.to_string())).await, Ok(()));
        assert_eq!(self.tables().await, Tables::default());
    }

    /// Some machine of the underlay's network.
    fn machine(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.local.network()) + number)
    }

    fn forwarding(&self, of: u8, machine: u32) -> Forwarding {
        Forwarding { link: DEVICE.to_string(), mac: mac(of), machine: self.machine(machine).into() }
    }
}

fn neighbour(address: &str, of: u8) -> Neighbour {
    Neighbour { link: DEVICE.to_string(), address: ip(address), mac: mac(of) }
}

/// A route as flannel's vxlan has it.
fn route(destination: &str, gateway: &str) -> Route {
    let way = Way::Out { link: DEVICE.to_string(), gateway: Some(ip(gateway)), onlink: true };
    Route { destination: net(destination), way, protocol: 3 }
}

fn assert_not_found(outcome: LinksResult<()>, what: &str) {
    assert!(matches!(outcome, Err(LinksError::NotFound(_))), "{what}: {outcome:?}");
}
