//! A store, machines with a flanneld each, and time.

use super::kernel::Machine;
use crate::agent::state::Ports;
use crate::agent::{Agent, FlannelConfig, Line, Log, Status};
use crate::links::{Mac, Tables};
use crate::registry::Registry;
use crate::room::{Process, Room};
use crate::subnet::SubnetKey;
use ::kernel::memory::MapKv;
use ::kernel::{Clock, Probe, Spawn};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const VXLAN: &str = r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}"#;
pub const CONFIG: &str = "/coreos.com/network/config";
pub const SUBNETS: &str = "/coreos.com/network/subnets/";

pub struct World {
    pub room: Room,
    pub kv: MapKv,
    pub probe: Probe,
    _keeper: Arc<Process>,
}

/// A machine whose flanneld can be started and killed.
pub struct Node {
    pub room: Room,
    pub machine: Machine,
    pub line: MapKv,
    pub config: FlannelConfig,
    pub lines: Arc<Mutex<Vec<Line>>>,
    probe: Probe,
    number: u8,
    starts: u64,
    running: Option<(Arc<Process>, Agent)>,
}

impl World {
    pub fn new(config: &str) -> World {
        let world = World::empty();
        world.kv.set(CONFIG, config);
        world
    }

    pub fn empty() -> World {
        let room = Room::default();
        let kv = MapKv::on(Arc::new(room.clone()));
        let keeper = room.process();
        keeper.spawn("store", Box::pin(kv.clone().keep_time()));
        World { room, kv, probe: Probe::counting(), _keeper: keeper }
    }

    /// A machine that is 192.168.0.`number`, whose flanneld does not run yet.
    pub fn off(&self, number: u8) -> Node {
        Node {
            room: self.room.clone(),
            machine: Machine::new(number),
            line: self.kv.client(),
            config: FlannelConfig { masquerade: true, ..FlannelConfig::default() },
            lines: Arc::default(),
            probe: self.probe.clone(),
            number,
            starts: 0,
            running: None,
        }
    }

    pub fn node(&self, number: u8) -> Node {
        let mut node = self.off(number);
        node.start();
        node
    }

    /// Machines that are ready and know each other.
    pub fn nodes(&self, count: u8) -> Vec<Node> {
        let nodes: Vec<Node> = (1..=count).map(|number| self.node(number)).collect();
        self.pass(3_000);
        assert!(nodes.iter().all(|node| node.status().ready), "{:#?}", nodes[0].status());
        nodes
    }

    pub fn pass(&self, millis: u64) {
        self.room.run(Duration::from_millis(millis));
    }

    pub fn reached(&self, point: &str) -> bool {
        self.probe.counts().contains_key(point)
    }
}

impl Node {
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "flanneld runs already");
        let process = self.room.process();
        self.starts += 1;
        let lines = self.lines.clone();
        let log: Log = Arc::new(move |line| lines.lock().unwrap().push(line));
        let ports = Ports {
            clock: Arc::new(self.room.clone()),
            spawn: process.clone(),
            links: Arc::new(self.machine.clone()),
            tun: Arc::new(self.machine.clone()),
            local: Arc::new(self.machine.clone()),
            probe: self.probe.clone(),
            seed: u64::from(self.number) << 32 | self.starts,
        };
        let registry = Registry::new(Arc::new(self.line.clone()), &self.config.prefix);
        let agent = Agent::over(ports, registry, self.config.clone(), log);
        self.running = Some((process, agent));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let (process, _) = self.running.take().expect("it runs");
        self.room.kill(&process);
    }

    /// SIGTERM.
    pub fn stop(&mut self) {
        let (process, agent) = self.running.take().expect("it runs");
        let ended = Arc::new(Mutex::new(false));
        let said = ended.clone();
        process.spawn(
            "stop",
            Box::pin(async move {
                agent.stop().await;
                *said.lock().unwrap() = true;
            }),
        );
        self.room.run(Duration::from_secs(1));
        assert!(*ended.lock().unwrap(), "a stop ends");
        self.room.kill(&process);
    }

    pub fn status(&self) -> Status {
        self.running.as_ref().expect("it runs").1.status()
    }

    pub fn key(&self) -> SubnetKey {
        let lease = self.status().lease.unwrap_or_else(|| panic!("no lease: {:#?}", self.status()));
        lease.subnet.parse().unwrap()
    }

    pub fn base(&self) -> IpAddr {
        self.key().v4.unwrap().network().into()
    }

    pub fn mac(&self) -> Mac {
        self.machine.device("flannel.1").mac.unwrap()
    }

    pub fn tables(&self) -> Tables {
        self.machine.lock().tables.clone()
    }

    /// What the store says of this machine's lease.
    pub fn stored(&self) -> String {
        self.line.dump(&format!("{SUBNETS}{}", self.key())).pop().map(|(_, value)| value).unwrap_or_default()
    }

    /// The lines that were told since it was asked last.
    pub fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap()).into_iter().map(|line| line.text).collect()
    }

    pub fn now(&self) -> Duration {
        self.room.now()
    }
}

/// Whether packets of `from`'s containers get to `to`, by `from`'s vxlan tables.
pub fn reaches(from: &Node, to: &Node) -> bool {
    let tables = from.tables();
    let machine = IpAddr::from([192, 168, 0, to.number]);
    let up = tables.links.iter().any(|link| link.name == "flannel.1" && link.up);
    let route = tables.routes.iter().any(|route| route.destination.addr() == to.base());
    let neighbour = tables.neighbours.iter().find(|entry| entry.address == to.base());
    let forwarding =
        |mac| tables.forwardings.iter().any(|entry| entry.mac == mac && entry.machine == machine);
    up && route && neighbour.is_some_and(|entry| entry.mac == to.mac() && forwarding(entry.mac))
}

pub fn all_reach(nodes: &[Node]) -> bool {
    nodes.iter().all(|from| nodes.iter().all(|to| from.number == to.number || reaches(from, to)))
}
