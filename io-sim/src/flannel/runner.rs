//! One flannel run, from a plan to a verdict.
//!
//! As with the store's runs: faults until the calm, then a while to settle ([`FlannelPlan::settled_ms`]), after which every
//! container must reach every other, and nothing stale may be left.

use super::checkers::exclusive::Onlooker;
use super::checkers::{entries, ledger, promise, reach, steady};
use super::machines::Machines;
use super::mischief::Mischief;
use super::operator::Operator;
use super::plan::FlannelPlan;
use crate::checkers::replay::Replay;
use crate::checkers::{Checked, Failure};
use crate::cluster::Cluster;
use crate::room::Room;
use crate::runner::{Counts, Options, Report, decode};
use crate::storm::Storm;
use crate::trace;
use crate::world::World;
use flannel::registry::Loaded;
use kernel::Probe;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the reading of the leases at the end may take.
const READING: Duration = Duration::from_secs(10);

/// A cluster in its world, for scripts.
pub struct Cloud {
    /// The machines.
    pub machines: Machines,
    /// Who writes the config.
    pub operator: Operator,
    /// Who looks on.
    pub onlooker: Onlooker,
}

/// Runs `plan` with nothing planted and no trace.
pub fn run(plan: &FlannelPlan) -> Report {
    run_with(plan, Options::default())
}

/// Runs `plan`.
pub fn run_with(plan: &FlannelPlan, options: Options) -> Report {
    run_scripted(plan, options, |_| (), |_, _| ()).0
}

/// Runs `plan`, after `script` has put what a plan cannot say on the calendar; `look` sees the machines and the leases at the end.
pub fn run_scripted<T: Send + 'static>(
    plan: &FlannelPlan,
    options: Options,
    script: impl FnOnce(&Cloud) + Send + 'static,
    look: impl FnOnce(&Cloud, &Loaded) -> T + Send + 'static,
) -> (Report, Option<T>) {
    let probe = Probe::counting();
    let room = Room { seed: plan.store.seed, probe: probe.clone(), planted: options.planted };
    let plan = Arc::new(plan.clone());
    let began = Instant::now();
    let (mut report, looked) = room.run(move |world| in_world(world, plan, options, script, look));
    report.wall = began.elapsed();
    report.probes = probe.counts();
    (report, looked)
}

fn in_world<T>(
    world: &World,
    plan: Arc<FlannelPlan>,
    options: Options,
    script: impl FnOnce(&Cloud),
    look: impl FnOnce(&Cloud, &Loaded) -> T,
) -> (Report, Option<T>) {
    let store = Cluster::new(world, Arc::new(plan.store.clone()));
    let machines = Machines::new(&store, plan.clone());
    let operator = Operator::new(&machines);
    if let Some(sink) = options.trace {
        trace::attach(world, u32::from(plan.store.members) + u32::from(plan.machines) + 1, sink);
    }
    let _storm = Storm::gather(&store);
    let _mischief = Mischief::gather(&machines, &operator);
    let cloud = Cloud { machines, operator, onlooker: Onlooker::default() };
    script(&cloud);
    store.members().for_each(|member| store.start(member));
    cloud.operator.begin();
    plan.all_machines().for_each(|machine| cloud.machines.start(machine));
    cloud.onlooker.begin(&cloud.machines);
    world.run_until(Duration::from_millis(plan.store.end_ms));
    let registry = cloud.operator.registry();
    let loaded = if world.failures().is_empty() {
        world.complete(world.now() + READING, async move { registry.load().await.ok() }).flatten()
    } else {
        None
    };
    let failure = verdict(&cloud, loaded.as_ref()).err();
    let report = report(&cloud, failure);
    let looked = loaded.as_ref().map(|loaded| look(&cloud, loaded));
    cloud.machines.let_go();
    (report, looked)
}

/// What all checkers say.
pub(crate) fn verdict(cloud: &Cloud, loaded: Option<&Loaded>) -> Checked {
    let (machines, plan) = (&cloud.machines, cloud.machines.plan());
    if let Some(failure) = &machines.store().evidence().failure {
        return Err(failure.clone());
    }
    if let Some(bad) = machines.world().failures().first() {
        let text = format!("at {:?} on {}: {}", bad.at, bad.node, bad.text);
        return Err(Failure { checker: "world", invariant: "no-panic", text });
    }
    let Some(loaded) = loaded else {
        let text = "the leases cannot be read at the end".to_string();
        return Err(Failure { checker: "flannel-reach", invariant: "calm-is-served", text });
    };
    cloud.onlooker.verdict()?;
    steady::check(machines)?;
    let replay = Replay::new(machines.store().evidence().logs.entries(), decode)?;
    ledger::check(machines, &cloud.onlooker, &replay)?;
    promise::check(machines, &cloud.onlooker)?;
    if plan.settled_ms() < plan.store.end_ms {
        reach::check(machines, loaded)?;
        entries::check(machines, loaded)?;
    }
    Ok(())
}

fn report(cloud: &Cloud, failure: Option<Failure>) -> Report {
    let (world, plan) = (cloud.machines.world(), cloud.machines.plan());
    let mut classes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mishaps = plan.mishaps.iter().map(|mishap| mishap.kind.name());
    let faults = plan.store.faults.iter().map(|fault| fault.class.name());
    mishaps.chain(faults).chain(plan.traits()).for_each(|name| *classes.entry(name).or_default() += 1);
    let (trace_hash, events) = world.digest();
    let evidence = cloud.machines.store().evidence();
    let requests = plan.all_machines().map(|machine| cloud.machines.requests(machine)).sum();
    Report {
        seed: plan.store.seed,
        failure,
        trace_hash,
        events,
        simulated: world.now(),
        wall: Duration::ZERO,
        operations: Counts { ok: requests, ..Counts::default() },
        entries: evidence.logs.entries().len() as u64,
        elections: evidence.leaders.elections() as u64,
        classes,
        happened: world.effects(),
        probes: BTreeMap::new(),
    }
}
