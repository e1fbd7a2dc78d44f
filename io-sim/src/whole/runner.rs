//! One whole run, from a plan to a verdict: that of the store's checkers, of fleet's and of flannel's.

use super::plan::WholePlan;
use crate::checkers::Checked;
use crate::checkers::replay::Command;
use crate::client::Clients;
use crate::cluster::Cluster;
use crate::flannel::runner::Cloud;
use crate::fleet::checkers::Seen;
use crate::fleet::runner::Fleet;
use crate::history::{Call, History};
use crate::room::Room;
use crate::runner::{Counts, Options, Report, decode};
use crate::storm::Storm;
use crate::trace;
use crate::world::World;
use crate::{flannel, fleet, runner};
use ::flannel::registry::Loaded;
use ::fleet::registry::{DEFAULT_PREFIX, Snapshot};
use kernel::Probe;
use kernel::txn::{Op, RequestOp, TxnRequest};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the reading of what fleet and flannel have in the store may take, at the end.
const READING: Duration = Duration::from_secs(10);

/// Runs `plan` with nothing planted and no trace.
pub fn run(plan: &WholePlan) -> Report {
    run_with(plan, Options::default())
}

/// Runs `plan`.
pub fn run_with(plan: &WholePlan, options: Options) -> Report {
    let probe = Probe::counting();
    let room = Room { seed: plan.store().seed, probe: probe.clone(), planted: options.planted };
    let plan = plan.clone();
    let began = Instant::now();
    let mut report = room.run(move |world| in_world(world, &plan, options));
    report.wall = began.elapsed();
    report.probes = probe.counts();
    report
}

/// All of a run.
struct Whole {
    store: Cluster,
    clients: Clients,
    storm: Storm,
    fleet: Fleet,
    cloud: Cloud,
}

fn in_world(world: &World, plan: &WholePlan, options: Options) -> Report {
    let whole = build(world, plan, options);
    whole.store.members().for_each(|member| whole.store.start(member));
    whole.cloud.operator.begin();
    for machine in plan.fleet.all_machines() {
        whole.fleet.machines.start(machine);
        whole.cloud.machines.start(machine);
    }
    whole.fleet.operator.begin();
    whole.cloud.onlooker.begin(&whole.cloud.machines);
    whole.clients.schedule();
    world.run_until(Duration::from_millis(plan.store().end_ms));
    let (snapshot, loaded) = read(world, &whole);
    let history = whole.clients.history();
    let seen = snapshot.map(|snapshot| quiet_of_fleet(&whole, fleet::runner::seen(&whole.fleet, snapshot)));
    let failure = verdict(world, &whole, &history, seen.as_ref(), loaded.as_ref()).err();
    let (trace_hash, events) = world.digest();
    let evidence = whole.store.evidence();
    let report = Report {
        seed: plan.store().seed,
        failure,
        trace_hash,
        events,
        simulated: world.now(),
        wall: Duration::ZERO,
        operations: Counts::of(&history),
        entries: evidence.logs.entries().len() as u64,
        elections: evidence.leaders.elections() as u64,
        classes: classes(plan),
        happened: world.effects(),
        probes: BTreeMap::new(),
    };
    drop(evidence);
    whole.fleet.machines.let_go();
    whole.cloud.machines.let_go();
    report
}

/// Puts everything into the world; nothing runs yet.
fn build(world: &World, plan: &WholePlan, options: Options) -> Whole {
    let apart = plan.apart();
    let store = Cluster::new(world, Arc::new(apart.store().clone()));
    let clients = Clients::new(&store);
    let hosts = fleet::machines::Machines::called(&store, Arc::new(apart.fleet), "u");
    let operator = fleet::operator::Operator::called(&hosts, "op");
    let routers = flannel::machines::Machines::called(&store, Arc::new(apart.flannel), "f");
    let admin = flannel::operator::Operator::called(&routers, "admin");
    for machine in plan.fleet.all_machines() {
        let member = plan.member_on(machine).map(|member| store.node(member));
        let nodes: Vec<_> = member.into_iter().chain([hosts.node(machine), routers.node(machine)]).collect();
        world.share_machine(&nodes);
    }
    if let Some(sink) = options.trace {
        let machines = 2 * u32::from(plan.fleet.machines) + 2;
        trace::attach(
            world,
            u32::from(plan.store().members) + u32::from(plan.store().clients) + machines,
            sink,
        );
    }
    let storm = Storm::gather(&store);
    let mischief = fleet::mischief::Mischief::gather(&hosts, &operator);
    flannel::mischief::Mischief::gather(&routers, &admin);
    let fleet = Fleet { machines: hosts, operator, mischief };
    let cloud = Cloud { machines: routers, operator: admin, onlooker: Default::default() };
    Whole { store, clients, storm, fleet, cloud }
}

fn read(world: &World, whole: &Whole) -> (Option<Snapshot>, Option<Loaded>) {
    if !world.failures().is_empty() {
        return (None, None);
    }
    let (units, leases) = (whole.fleet.operator.registry(), whole.cloud.operator.registry());
    let both = async move { (units.load().await.ok(), leases.load().await.ok()) };
    world.complete(world.now() + READING, both).unwrap_or_default()
}

/// Only what fleet writes counts where fleet must write nothing.
fn quiet_of_fleet(whole: &Whole, mut seen: Seen) -> Seen {
    let evidence = whole.store.evidence();
    let entries = evidence.logs.entries().iter();
    let writes =
        entries.filter(|(_, entry)| decode(&entry.command).is_ok_and(|command| is_of_fleet(&command)));
    seen.writes = writes.map(|(at, _)| *at).collect();
    seen
}

fn is_of_fleet(command: &Command) -> bool {
    let ours = |key: &[u8]| key.starts_with(DEFAULT_PREFIX.as_bytes());
    match command {
        Command::Call(Call::Put(put)) => ours(&put.key),
        Command::Call(Call::Delete(delete)) => ours(&delete.key),
        Command::Call(Call::Txn(txn)) => writes_any(txn, &ours),
        _ => false,
    }
}

fn writes_any(txn: &TxnRequest, ours: &dyn Fn(&[u8]) -> bool) -> bool {
    let operations: [&Vec<RequestOp>; 2] = [&txn.success, &txn.failure];
    operations.into_iter().flatten().any(|operation| match &operation.request {
        Some(Op::RequestPut(put)) => ours(&put.key),
        Some(Op::RequestDeleteRange(delete)) => ours(&delete.key),
        Some(Op::RequestTxn(inner)) => writes_any(inner, ours),
        _ => false,
    })
}

fn verdict(
    world: &World,
    whole: &Whole,
    history: &History,
    seen: Option<&Seen>,
    loaded: Option<&Loaded>,
) -> Checked {
    runner::verdict(world, &whole.store, &whole.storm, history)?;
    fleet::runner::verdict(&whole.fleet, seen)?;
    flannel::runner::verdict(&whole.cloud, loaded)
}

fn classes(plan: &WholePlan) -> BTreeMap<&'static str, u64> {
    let mut classes = BTreeMap::new();
    let faults = plan.store().faults.iter().map(|fault| fault.class.name());
    let units = plan.fleet.mishaps.iter().map(|mishap| mishap.kind.name());
    let nets = plan.flannel.mishaps.iter().map(|mishap| mishap.kind.name());
    let troubles = plan.troubles.iter().map(|trouble| trouble.kind.name());
    faults.chain(units).chain(nets).chain(troubles).for_each(|name| *classes.entry(name).or_default() += 1);
    classes
}
