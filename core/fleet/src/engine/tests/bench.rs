//! A cluster without systemd: a store, engines, and machines whose agents are a few lines.

use crate::agent::tests::room::{Process, Room};
use crate::engine::{Engine, EngineConfig};
use crate::model::{DesiredState, MachineId, Order, Report, SystemdState};
use crate::registry::*;
use crate::unit::{UnitFile, UnitHash, UnitName};
use futures_util::FutureExt;
use kernel::memory::MapKv;
use kernel::{Clock, Probe, Spawn};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const TICK: Duration = Duration::from_millis(20);
pub const SECOND: Duration = Duration::from_secs(1);
/// An agent's lease ends when a test says so.
const FOR_EVER: i64 = 1_000_000;

pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

pub fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

/// An engine in a process of its own, by a line of its own.
pub struct Running {
    pub engine: Engine,
    pub line: MapKv,
    pub process: Arc<Process>,
}

pub struct Bench {
    pub room: Room,
    pub kv: MapKv,
    pub registry: Registry,
    pub machines: BTreeMap<MachineId, i64>,
    pub probe: Probe,
    /// Machines whose fleetd does not run at present.
    pub stopped: Vec<MachineId>,
    /// Units with this in their command do not come up.
    pub broken: &'static str,
    _keeper: Arc<Process>,
}

impl Bench {
    pub fn new() -> Bench {
        let room = Room::default();
        let kv = MapKv::on(Arc::new(room.clone()));
        let keeper = room.process();
        keeper.spawn("time", kv.clone().keep_time().boxed());
        let registry = Registry::new(Arc::new(kv.client()), DEFAULT_PREFIX);
        let (machines, probe) = (BTreeMap::new(), Probe::counting());
        let stopped = Vec::new();
        Bench { room, kv, registry, machines, probe, stopped, broken: "broken", _keeper: keeper }
    }

    /// With an engine, and machines `a`, `b`, …
    pub fn with(machines: usize) -> (Bench, Running) {
        let mut bench = Bench::new();
        ('a'..).take(machines).for_each(|id| bench.arrive(&id.to_string()));
        let running = bench.engine("e");
        bench.settle();
        (bench, running)
    }

    pub fn engine(&self, id: &str) -> Running {
        let (line, process) = (self.kv.client(), self.room.process());
        let registry = Registry::new(Arc::new(line.clone()), DEFAULT_PREFIX);
        let config = EngineConfig { machine: id.into(), lease_ttl: 3 * SECOND };
        let clock = Arc::new(self.room.clone());
        let seed = id.bytes().map(u64::from).sum();
        let engine = Engine::over(process.clone(), clock, seed, self.probe.clone(), registry, config);
        Running { engine, line, process }
    }

    pub fn arrive(&mut self, id: &str) {
        self.arrive_with(id, &[]);
    }

    pub fn arrive_with(&mut self, id: &str, installed: &[(UnitName, Report)]) {
        let (lease, _) = now(self.registry.grant(FOR_EVER)).unwrap();
        let presence = Presence { id: id.into(), instance: "x".into(), ..Default::default() };
        let announced = now(self.registry.announce(&presence, lease, installed)).unwrap();
        assert!(matches!(announced, Announced::Done(_)), "{announced:?}");
        self.machines.insert(id.into(), lease);
    }

    /// The machine's fleetd is stopped in good order, its units running on; or it is back.
    pub fn leave(&mut self, id: &str, leaving: bool) {
        let lease = self.machines[&MachineId::from(id)];
        let presence = Presence { id: id.into(), instance: "x".into(), leaving, ..Default::default() };
        assert!(matches!(now(self.registry.renew_presence(&presence, lease)), Ok(Written::Done(_))));
        self.stopped.retain(|stopped| stopped.as_str() != id);
        self.stopped.extend(leaving.then(|| MachineId::from(id)));
    }

    /// The machine's lease ends.
    pub fn lose(&mut self, id: &str) {
        let lease = self.machines.remove(&MachineId::from(id)).unwrap();
        now(self.registry.revoke(lease)).unwrap();
    }

    pub fn submit(&self, name: &str, text: &str) -> UnitHash {
        self.submit_as(name, text, DesiredState::Launched)
    }

    pub fn submit_as(&self, name: &str, text: &str, desired: DesiredState) -> UnitHash {
        let file = UnitFile::parse(text).unwrap();
        now(self.registry.put_job(&unit(name), file.hash(), &file.text(), Some(desired))).unwrap();
        file.hash()
    }

    pub fn load(&self) -> Snapshot {
        now(self.registry.load()).unwrap()
    }

    /// Where a unit reports to be.
    pub fn at(&self, name: &str) -> Vec<String> {
        self.load().reports_of(&unit(name)).map(|(machine, _)| machine.to_string()).collect()
    }

    /// Which machines have an order for it.
    pub fn ordered(&self, name: &str) -> Vec<String> {
        self.load().orders_of(&unit(name)).map(|(machine, _)| machine.to_string()).collect()
    }

    /// What a copy was ordered to run.
    pub fn hash(&self, name: &str, machine: &str) -> UnitHash {
        self.load().orders[&(unit(name), machine.into())].value.hash
    }

    /// Lets engines and agents go on until nothing changes any more.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            let before = self.kv.revision();
            self.room.run(TICK);
            self.agents();
            if self.kv.revision() == before {
                return;
            }
        }
        panic!("it does not settle");
    }

    pub fn run(&mut self, time: Duration) {
        let until = self.room.now() + time;
        while self.room.now() < until {
            self.room.run(TICK);
            self.agents();
        }
    }

    /// Runs until nothing has changed for longer than any timer of the tests.
    pub fn rest(&mut self) {
        let mut quiet = 0;
        while quiet < 25 {
            let before = self.kv.revision();
            self.room.run(SECOND / 2);
            (0..3).for_each(|_| {
                self.agents();
                self.room.run(TICK);
            });
            quiet = if self.kv.revision() == before { quiet + 1 } else { 0 };
        }
    }

    /// Every agent does what it is told.
    pub fn agents(&self) {
        let view = self.load();
        for (machine, lease) in self.machines.iter().filter(|(id, _)| !self.stopped.contains(*id)) {
            let (_, orders) = now(self.registry.machine_orders(machine)).unwrap();
            let readable = orders.iter().filter_map(|(unit, order)| Some((unit, order.as_ref()?)));
            for (unit, order) in readable {
                let report = self.report(&view, &order.value);
                match view.reports.get(&(unit.clone(), machine.clone())) {
                    None => {
                        let claim = Claim { unit: unit.clone(), order_revision: order.revision, report };
                        now(self.registry.claim(machine, *lease, &[claim])).unwrap();
                    }
                    Some(old) if old.value != report => {
                        now(self.registry.report(machine, *lease, &[(unit.clone(), report)])).unwrap();
                    }
                    Some(_) => {}
                }
            }
            let held = view.reports.keys().filter(|(unit, at)| at == machine && !orders.contains_key(unit));
            held.for_each(|(unit, _)| {
                now(self.registry.release(machine, unit, false)).unwrap();
            });
        }
    }

    fn report(&self, view: &Snapshot, order: &Order) -> Report {
        let text = view.files.get(&order.hash).map_or("", |text| &text.value);
        let launched = order.state == DesiredState::Launched;
        let state = match launched {
            false => SystemdState::new("loaded", "inactive", "dead"),
            true if text.contains(self.broken) => SystemdState::new("loaded", "failed", "failed"),
            true => SystemdState::new("loaded", "active", "running"),
        };
        Report { state, hash: order.hash, launched, starting: false, run: order.run, error: String::new() }
    }
}
