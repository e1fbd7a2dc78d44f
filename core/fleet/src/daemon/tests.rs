//! Whole clusters of fleetd, engine and agent, on one store in memory: who runs what, when machines come and go.

use super::*;
use crate::agent::tests::room::{Process, Room};
use crate::agent::tests::systemd::Script;
use crate::model::{Admission, DesiredState, MachineId, Resources};
use crate::unit::{UnitFile, UnitName};
use futures_util::FutureExt;
use kernel::memory::MapKv;
use kernel::{Connection, Disk, File, Listener, Net, Open, Planted, Probe, Spawn};
use std::any::Any;
use std::collections::BTreeMap;

const SLEEP: &str = "[Service]\nExecStart=/bin/sleep 1000\n";
const STRICT: &str = "[Service]\nExecStart=/bin/sleep 1000\n[X-Fleet]\nPartition=stop\nStopGrace=2\n";

struct Host {
    line: MapKv,
    systemd: Script,
    process: Option<(Arc<Process>, Fleetd)>,
    boots: u64,
}

struct Cluster {
    room: Room,
    store: MapKv,
    registry: Registry,
    hosts: Vec<Host>,
}

impl Cluster {
    fn of(count: usize) -> Cluster {
        let room = Room::default();
        let store = MapKv::on(Arc::new(room.clone()));
        room.process().spawn("leases", Box::pin(store.clone().keep_time()));
        let registry = Registry::new(Arc::new(store.clone()), crate::registry::DEFAULT_PREFIX);
        let host = |_| Host { line: store.client(), systemd: Script::new(&room), process: None, boots: 1 };
        let hosts = (0..count).map(host).collect();
        let mut cluster = Cluster { room, store, registry, hosts };
        (0..count).for_each(|number| cluster.boot(number));
        cluster.wait(3_000);
        cluster
    }

    fn boot(&mut self, number: usize) {
        let process = self.room.process();
        let host = &mut self.hosts[number];
        let io = Io {
            clock: Arc::new(self.room.clone()),
            disk: Arc::new(Nothing),
            net: Arc::new(Nothing),
            spawn: process.clone(),
            seed: 7 + number as u64,
            probe: Probe::default(),
            planted: Planted::none(),
        };
        let machine = Machine {
            id: MachineId::from(format!("{:032x}", number + 1).as_str()),
            primary_ip: format!("10.0.0.{}", number + 1),
            metadata: BTreeMap::new(),
            capacity: Resources::default(),
            admission: Admission::Open,
            leaving: false,
            api: None,
            version: "1.0.0".to_owned(),
        };
        let config = FleetConfig {
            machine,
            instance: format!("{number}-{}", host.boots),
            prefix: crate::registry::DEFAULT_PREFIX.to_owned(),
            agent_ttl: Duration::from_secs(3),
            engine_ttl: Duration::from_secs(3),
            engine: true,
        };
        let fleetd =
            Fleetd::start(io, Arc::new(host.line.clone()), Some(Arc::new(host.systemd.clone())), config);
        host.process = Some((process, fleetd));
    }

    /// The power goes.
    fn lose(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let (process, _) = host.process.take().expect("fleetd runs");
        self.room.kill(&process);
        host.systemd.power_cycle();
        host.boots += 1;
    }

    fn stop(&mut self, number: usize, ending: Ending, millis: u64) {
        let (process, fleetd) = self.hosts[number].process.take().expect("fleetd runs");
        process.spawn("stop", Box::pin(async move { fleetd.stop(ending).await }));
        self.wait(millis);
        self.room.kill(&process);
    }

    fn launch(&self, unit: &str, text: &str) {
        let (name, file) = (UnitName::parse(unit).unwrap(), UnitFile::parse(text).unwrap());
        let text = file.text();
        let put = self.registry.put_job(&name, file.hash(), &text, Some(DesiredState::Launched));
        put.now_or_never().expect("a store in memory answers at once").unwrap();
    }

    fn wait(&self, millis: u64) {
        self.room.run(Duration::from_millis(millis));
    }

    /// Where each unit runs.
    fn places(&self) -> BTreeMap<String, Vec<usize>> {
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, host) in self.hosts.iter().enumerate() {
            host.systemd.running().into_iter().for_each(|unit| places.entry(unit).or_default().push(number));
        }
        places
    }

    fn starts(&self) -> usize {
        let log = |host: &Host| host.systemd.log().lines().filter(|line| line.contains(" start ")).count();
        self.hosts.iter().map(log).sum()
    }
}

/// `count` units are there, each on one machine.
fn once_each(cluster: &Cluster, count: usize) {
    let places = cluster.places();
    assert_eq!(places.len(), count, "{places:?}");
    assert!(places.values().all(|machines| machines.len() == 1), "{places:?}");
}

fn six_units_on_three_machines() -> Cluster {
    let cluster = Cluster::of(3);
    (0..6).for_each(|number| cluster.launch(&format!("u{number}.service"), SLEEP));
    cluster.wait(2_000);
    once_each(&cluster, 6);
    for number in 0..3 {
        assert_eq!(cluster.hosts[number].systemd.running().len(), 2, "{:?}", cluster.places());
    }
    assert_eq!(cluster.starts(), 6);
    cluster
}

#[test]
fn a_machine_that_dies_is_made_up_for_within_five_seconds() {
    for dead in 0..3 {
        let mut cluster = six_units_on_three_machines();
        cluster.lose(dead);
        cluster.wait(5_000);
        once_each(&cluster, 6);
        assert_eq!(cluster.starts(), 2, "only what was lost is started");
        cluster.boot(dead);
        cluster.wait(20_000);
        once_each(&cluster, 6);
        assert_eq!(cluster.starts(), 0, "nothing moves for balance");
    }
}

#[test]
fn an_upgrade_of_every_fleetd_disturbs_no_unit() {
    let mut cluster = six_units_on_three_machines();
    for number in 0..3 {
        cluster.stop(number, Ending::Leave, 1_000);
        cluster.wait(10_000);
        cluster.boot(number);
        cluster.wait(5_000);
    }
    once_each(&cluster, 6);
    assert_eq!(cluster.starts(), 0);
}

#[test]
fn units_of_a_purged_machine_go_elsewhere_at_once() {
    for number in 0..3 {
        let mut cluster = six_units_on_three_machines();
        cluster.stop(number, Ending::Purge, 2_000);
        cluster.wait(4_000);
        once_each(&cluster, 6);
        assert!(cluster.hosts[number].systemd.files().is_empty());
    }
}

#[test]
fn a_destroyed_unit_leaves_nothing() {
    let cluster = six_units_on_three_machines();
    let name = UnitName::parse("u3.service").unwrap();
    cluster.registry.delete_job(&name).now_or_never().expect("at once").unwrap();
    cluster.wait(3_000);
    once_each(&cluster, 5);
    let left: Vec<_> =
        cluster.store.dump("/").into_iter().filter(|(key, _)| key.contains("u3.service")).collect();
    assert_eq!(left, [], "keys");
}

#[test]
fn a_strict_unit_never_has_two_copies() {
    let cluster = Cluster::of(3);
    cluster.launch("a.service", STRICT);
    cluster.wait(2_000);
    for _ in 0..3 {
        let home = cluster.places()["a.service"][0];
        cluster.hosts[home].line.cut();
        for _ in 0..150 {
            cluster.wait(100);
            assert!(cluster.places().values().all(|machines| machines.len() == 1), "{:?}", cluster.places());
        }
        assert_ne!(cluster.places()["a.service"], [home], "it went elsewhere");
        cluster.hosts[home].line.mend();
        cluster.wait(5_000);
        once_each(&cluster, 1);
    }
}

/// No disk, no net: fleetd uses neither.
struct Nothing;

impl Disk for Nothing {
    fn open(&self, path: &str, _how: Open) -> std::io::Result<Arc<dyn File>> {
        panic!("{path} is opened")
    }
    fn list(&self, dir: &str) -> std::io::Result<Vec<String>> {
        panic!("{dir} is listed")
    }
    fn create_dir(&self, dir: &str) -> std::io::Result<()> {
        panic!("{dir} is made")
    }
    fn rename(&self, from: &str, _to: &str) -> std::io::Result<()> {
        panic!("{from} is renamed")
    }
    fn remove(&self, path: &str) -> std::io::Result<()> {
        panic!("{path} is removed")
    }
    fn sync_dir(&self, dir: &str) -> std::io::Result<()> {
        panic!("{dir} is synced")
    }
    fn lock(&self, path: &str) -> std::io::Result<Box<dyn Any + Send + Sync>> {
        panic!("{path} is locked")
    }
}

impl Net for Nothing {
    fn listen(&self, addr: &str) -> kernel::BoxFuture<'static, std::io::Result<Box<dyn Listener>>> {
        panic!("{addr} is listened on")
    }
    fn connect(&self, addr: &str) -> kernel::BoxFuture<'static, std::io::Result<Connection>> {
        panic!("{addr} is connected to")
    }
}
