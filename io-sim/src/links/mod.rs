//! A model of the kernel's tables: one for each machine, on the world's calendar, with the faults of real ones.
//!
//! It belongs to the machine and not to the daemon on it: a crash of the daemon leaves it as it is; [`SimLinks::power_loss`] empties it
//! down to what a machine boots with (the loopback, and `eth0` with its address and the default route). [`Kernel`] is the tables
//! themselves, pure; `port` is the way of a program to them, with delays, failures and hints; `foreign` is everybody else who
//! has the right to change them; [`Underlay`] follows a packet through the tables of all machines.

mod faults;
mod foreign;
mod hints;
mod kernel;
mod port;
mod steady;
#[cfg(test)]
mod tests;
mod tun;
mod walk;

pub use faults::LinksFaults;
pub use foreign::Meddling;
pub use kernel::Kernel;
pub use tun::SimTun;
pub use walk::{Lost, Underlay, Walk};

use crate::sched::NodeId;
use crate::world::World;
use faults::Draws;
use flannel::links::*;
use hints::Subscribers;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The link to the other machines.
pub const EXTERNAL: &str = "eth0";
/// The bridge of the machine's containers.
pub const BRIDGE: &str = "cni0";
/// The network that all machines are in.
pub const UNDERLAY: &str = "192.168.0.0/16";
/// The same of IPv6; the group after it says which half.
const UNDERLAY_V6: [u16; 3] = [0xfd00, 0x168, 0];
/// Largest packet of the network between machines.
const MTU: u32 = 1_500;
/// Who made the default route: `dhcp`.
const BY_DHCP: u8 = 16;

/// A handle to one machine's kernel; clones share it.
#[derive(Clone)]
pub struct SimLinks {
    world: World,
    node: NodeId,
    address: Ipv4Addr,
    /// Whether each half of the network is a subnet of its own, behind a router.
    halves: bool,
    state: Arc<Mutex<State>>,
}

struct State {
    kernel: Kernel,
    boot: u32,
    subscribers: Subscribers,
    faults: LinksFaults,
    draws: Draws,
    tuns: tun::Opened,
    /// What a batch of the daemon's own operations did to packets that it need not have done.
    lost: Vec<String>,
}

/// The half of the network in which machines of even numbers are, in its third octet.
const UPPER_HALF: u8 = 0x80;

/// The address of machine number `machine` (from 1) in the network between machines.
pub fn underlay_address(machine: u16) -> Ipv4Addr {
    let [high, low] = machine.to_be_bytes();
    assert!((1..=30_000).contains(&machine), "machines are numbered from 1 to 30000");
    let half = if machine.is_multiple_of(2) { UPPER_HALF } else { 0 };
    Ipv4Addr::new(192, 168, half | high, low)
}

/// Its address of IPv6.
pub fn underlay_address_v6(machine: u16) -> Ipv6Addr {
    v6_of(underlay_address(machine))
}

/// The address of IPv6 that goes with one of IPv4.
fn v6_of(address: Ipv4Addr) -> Ipv6Addr {
    let [_, _, high, low] = address.octets();
    let half = u16::from(high & UPPER_HALF != 0);
    let number = u16::from_be_bytes([high & !UPPER_HALF, low]);
    let [a, b, c] = UNDERLAY_V6;
    Ipv6Addr::new(a, b, c, half, 0, 0, 0, number)
}

/// The machine that has an address in the network between machines, if it can be one of ours.
pub fn machine_of(address: IpAddr) -> Option<u16> {
    let number = match address {
        IpAddr::V4(address) => {
            let [_, _, high, low] = address.octets();
            u16::from_be_bytes([high & !UPPER_HALF, low])
        }
        IpAddr::V6(address) => address.segments()[7],
    };
    let is_its = |machine: u16| match address {
        IpAddr::V4(address) => underlay_address(machine) == address,
        IpAddr::V6(address) => underlay_address_v6(machine) == address,
    };
    (1..=30_000).contains(&number).then_some(number).filter(|machine| is_its(*machine))
}

/// Whether two machines need no router between them, where each half of the network is a subnet of its own.
pub fn same_half(one: u16, other: u16) -> bool {
    one % 2 == other % 2
}

impl SimLinks {
    /// The kernel of `node`, just booted, with this address in the [`UNDERLAY`].
    pub fn new(world: &World, node: NodeId, address: Ipv4Addr) -> SimLinks {
        SimLinks::in_halves(world, node, address, false)
    }

    /// The same; with `halves` only the machines of its own half of the network are on its link, the others behind a router.
    pub fn in_halves(world: &World, node: NodeId, address: Ipv4Addr, halves: bool) -> SimLinks {
        let state = State {
            kernel: Kernel::default(),
            boot: 0,
            subscribers: Subscribers::default(),
            faults: LinksFaults::default(),
            draws: Draws::new(world.seed(), u64::from(node.0)),
            tuns: tun::Opened::default(),
            lost: Vec::new(),
        };
        let links =
            SimLinks { world: world.clone(), node, address, halves, state: Arc::new(Mutex::new(state)) };
        links.boot();
        links
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    async fn pass(&self, time: Duration) {
        self.world.sleep_until(self.world.now() + time).await;
    }

    fn pause(&self, operations: usize) -> Duration {
        let mut state = self.lock();
        state.draws.call(operations) + state.faults.slow
    }

    /// The machine's address in the network between machines.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// What it holds now.
    pub fn kernel(&self) -> Kernel {
        self.lock().kernel.clone()
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut LinksFaults)) {
        change(&mut self.lock().faults);
    }

    /// Destinations whose way a daemon's operations broke for a while, though there was one before and after.
    pub fn lost(&self) -> Vec<String> {
        self.lock().lost.clone()
    }

    /// Every stream of hints breaks.
    pub fn sever(&self) {
        self.world.probe().sometimes("kernel model: the stream of netlink messages broke");
        self.lock().subscribers.sever();
    }

    /// What a machine boots with.
    fn boot(&self) {
        let mut state = self.lock();
        let link = |name: &str, kind, mac| Link { name: name.to_owned(), kind, mac, mtu: MTU, up: true };
        let [_, _, high, low] = self.address.octets();
        let own = Mac([0x52, 0x54, 0, 0, high, low]);
        let len = UNDERLAY.parse::<Ipv4Net>().expect("a network").prefix_len() + u8::from(self.halves);
        let net = IpNet::new(self.address.into(), len).expect("a length of IPv4");
        let len = if self.halves { 64 } else { 48 };
        let net_v6 = IpNet::new(v6_of(self.address).into(), len).expect("a length of IPv6");
        for operation in [
            Operation::AddLink(link("lo", LinkKind::Loopback, Some(Mac([0; 6])))),
            Operation::AddLink(link(EXTERNAL, LinkKind::Other(String::new()), Some(own))),
            Operation::AddAddress(Address { link: EXTERNAL.to_owned(), net }),
            Operation::AddAddress(Address { link: EXTERNAL.to_owned(), net: net_v6 }),
            self.default_route(false),
            self.default_route(true),
        ] {
            self.perform(&mut state, &operation).expect("a machine can boot");
        }
    }

    /// The router of our subnet; no machine of ours.
    fn router(&self, v6: bool) -> IpAddr {
        let [a, b, half, _] = self.address.octets();
        let last = if self.halves && half & UPPER_HALF == 0 { 127 } else { 255 };
        if !v6 {
            return Ipv4Addr::new(a, b, last, 254).into();
        }
        let mut groups = v6_of(self.address).segments();
        groups[7] = 0xfffe;
        Ipv6Addr::from(groups).into()
    }

    fn default_route(&self, v6: bool) -> Operation {
        let gateway = Some(self.router(v6));
        let way = Way::Out { link: EXTERNAL.to_owned(), gateway, onlink: false };
        let destination = if v6 { "::/0" } else { "0.0.0.0/0" }.parse().expect("a network");
        Operation::PutRoute(Route { destination, way, protocol: BY_DHCP })
    }

    /// Does an operation now, and tells those who listen.
    fn perform(&self, state: &mut State, operation: &Operation) -> LinksResult<()> {
        let mut changed = Vec::new();
        let mac = state.draws.mac();
        let done = state.kernel.apply(operation, mac, &mut changed);
        self.world.sched().trace(self.node, || format!("links: {operation:?}: {done:?}"));
        self.announce(state, changed);
        done
    }

    /// Sends hints on their way.
    fn announce(&self, state: &mut State, mut changed: Vec<Hint>) {
        changed.dedup();
        if changed.is_empty() || state.subscribers.is_empty() {
            return;
        }
        let (late, permille) = (state.faults.hint_late, state.faults.hint_lost_permille);
        let (delay, lost, boot) = (state.draws.hint(late), state.draws.wrong(permille), state.boot);
        if lost {
            self.world.probe().sometimes("kernel model: netlink messages were lost");
        }
        let links = self.clone();
        self.world.after(delay, move |_| {
            let state = links.lock();
            if state.boot != boot {
                return;
            }
            if lost { state.subscribers.lose() } else { state.subscribers.say(&changed) }
        });
    }

    /// Does an operation as somebody else on the machine, at once. What cannot be done is not.
    pub fn by_somebody(&self, operation: &Operation) -> LinksResult<()> {
        self.perform(&mut self.lock(), operation)
    }

    /// The containers' network is set up anew: the bridge has the first address of `subnet` and no other of its family.
    pub fn set_bridge(&self, subnet: impl Into<IpNet>) {
        let net = nth_address(subnet.into(), 1);
        let mut state = self.lock();
        let bridge = LinkKind::Other("bridge".to_owned());
        if state.kernel.link(BRIDGE).is_none() {
            let link = Link { name: BRIDGE.to_owned(), kind: bridge, mac: None, mtu: MTU, up: true };
            self.perform(&mut state, &Operation::AddLink(link)).expect("there is no such link");
        }
        let wish = Address { link: BRIDGE.to_owned(), net };
        let same_family = |one: &IpNet, other: &IpNet| one.addr().is_ipv4() == other.addr().is_ipv4();
        let others: Vec<Address> = state
            .kernel
            .addresses_of(BRIDGE)
            .filter(|address| **address != wish && same_family(&address.net, &net))
            .cloned()
            .collect();
        for other in others {
            self.perform(&mut state, &Operation::DeleteAddress(other)).expect("it was just read");
        }
        self.perform(&mut state, &Operation::AddAddress(wish)).expect("the bridge exists");
    }

    /// The machine loses its power, and its tables with it; they are what it boots with next.
    pub fn power_loss(&self) {
        let mut state = self.lock();
        state.boot += 1;
        state.kernel = Kernel::default();
        state.tuns = tun::Opened::default();
        state.subscribers = Subscribers::default();
        drop(state);
        self.boot();
    }
}

/// The address of this place in a subnet, with the subnet's length.
pub fn nth_address(subnet: IpNet, place: u8) -> IpNet {
    let address: IpAddr = match subnet.network() {
        IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + u32::from(place)).into(),
        IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) + u128::from(place)).into(),
    };
    IpNet::new(address, subnet.prefix_len()).expect("the length is the subnet's")
}
