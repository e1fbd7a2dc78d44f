//! One fleet run, from a plan to a verdict.
//!
//! As with the store's runs: faults until the calm, then a while to settle ([`FleetPlan::settled_ms`]), after which everything
//! must be as wished and stand still.

use super::checkers::{Seen, copies, effects, placement, quiet, reports, wishes};
use super::machines::Machines;
use super::mischief::Mischief;
use super::operator::{Operator, Outcome};
use super::plan::{FleetPlan, unit_name};
use crate::checkers::{Checked, Failure};
use crate::cluster::Cluster;
use crate::room::Room;
use crate::runner::{Counts, Options, Report};
use crate::storm::Storm;
use crate::trace;
use crate::world::World;
use fleet::model::SystemdState;
use fleet::registry::Snapshot;
use kernel::Probe;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the reading of the registry at the end may take.
const READING: Duration = Duration::from_secs(10);

/// A fleet in its world, for scripts.
pub struct Fleet {
    /// The machines.
    pub machines: Machines,
    /// The operator.
    pub operator: Operator,
    /// What goes wrong.
    pub mischief: Mischief,
}

/// Runs `plan` with nothing planted and no trace.
pub fn run(plan: &FleetPlan) -> Report {
    run_with(plan, Options::default())
}

/// Runs `plan`.
pub fn run_with(plan: &FleetPlan, options: Options) -> Report {
    run_scripted(plan, options, |_| (), |_, _| ()).0
}

/// Runs `plan`, after `script` has put what a plan cannot say on the calendar; `look` sees the fleet at the end.
pub fn run_scripted<T: Send + 'static>(
    plan: &FleetPlan,
    options: Options,
    script: impl FnOnce(&Fleet) + Send + 'static,
    look: impl FnOnce(&Fleet, &Seen) -> T + Send + 'static,
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
    plan: Arc<FleetPlan>,
    options: Options,
    script: impl FnOnce(&Fleet),
    look: impl FnOnce(&Fleet, &Seen) -> T,
) -> (Report, Option<T>) {
    let store = Cluster::new(world, Arc::new(plan.store.clone()));
    let machines = Machines::new(&store, plan.clone());
    let operator = Operator::new(&machines);
    if let Some(sink) = options.trace {
        trace::attach(world, u32::from(plan.store.members) + u32::from(plan.machines) + 1, sink);
    }
    let _storm = Storm::gather(&store);
    let mischief = Mischief::gather(&machines, &operator);
    let fleet = Fleet { machines, operator, mischief };
    script(&fleet);
    store.members().for_each(|member| store.start(member));
    plan.all_machines().for_each(|machine| fleet.machines.start(machine));
    fleet.operator.begin();
    world.run_until(Duration::from_millis(plan.store.end_ms));
    let registry = fleet.operator.registry();
    let snapshot = if world.failures().is_empty() {
        world.complete(world.now() + READING, async move { registry.load().await.ok() }).flatten()
    } else {
        None
    };
    let seen = snapshot.map(|snapshot| seen(&fleet, snapshot));
    let failure = verdict(&fleet, seen.as_ref()).err();
    let report = report(&fleet, failure);
    let looked = seen.as_ref().map(|seen| look(&fleet, seen));
    fleet.machines.let_go();
    (report, looked)
}

/// What the checkers look at, at the end.
pub(crate) fn seen(fleet: &Fleet, registry: Snapshot) -> Seen {
    let machines = &fleet.machines;
    let plan = machines.plan();
    let ms = Duration::from_millis;
    let runs = plan.all_machines().map(|machine| (machine, machines.systemd(machine).runs()));
    let faults = plan.store.faults.iter();
    let store_troubles = faults.map(|fault| (ms(fault.at_ms), ms(fault.at_ms + fault.for_ms)));
    let evidence = machines.store().evidence();
    Seen {
        specs: plan.specs().into_iter().map(|(hash, spec)| (hash, spec.clone())).collect(),
        plan: (**plan).clone(),
        registry,
        runs: runs.collect(),
        states: states(machines),
        troubles: fleet.mischief.troubles(),
        store_troubles: store_troubles.collect(),
        done: fleet.operator.done(),
        writes: evidence.logs.entries().iter().map(|(at, _)| *at).collect(),
        settled: ms(plan.settled_ms()),
        end: ms(plan.store.end_ms),
        index: Default::default(),
    }
    .indexed()
}

fn states(machines: &Machines) -> BTreeMap<(u16, u16), SystemdState> {
    let units: BTreeSet<u16> = machines.plan().specs().values().map(|spec| spec.unit).collect();
    let mut states = BTreeMap::new();
    for machine in machines.plan().all_machines() {
        for (name, state) in machines.systemd(machine).states() {
            let unit = units.iter().find(|unit| unit_name(**unit).as_str() == name);
            states.extend(unit.map(|unit| ((machine, *unit), state)));
        }
    }
    states
}

/// What all checkers say.
pub(crate) fn verdict(fleet: &Fleet, seen: Option<&Seen>) -> Checked {
    if let Some(failure) = &fleet.machines.store().evidence().failure {
        return Err(failure.clone());
    }
    if let Some(bad) = fleet.machines.world().failures().first() {
        let text = format!("at {:?} on {}: {}", bad.at, bad.node, bad.text);
        return Err(Failure { checker: "world", invariant: "no-panic", text });
    }
    let Some(seen) = seen else {
        let text = "the registry cannot be read at the end".to_string();
        return Err(Failure { checker: "fleet-effects", invariant: "calm-is-served", text });
    };
    copies::check(seen)?;
    if seen.settled < seen.end {
        effects::check(seen)?;
        placement::check(seen)?;
        wishes::check(seen)?;
        reports::check(seen)?;
        quiet::check(seen)?;
    }
    Ok(())
}

fn report(fleet: &Fleet, failure: Option<Failure>) -> Report {
    let (world, plan) = (fleet.machines.world(), fleet.machines.plan());
    let mut operations = Counts::default();
    for done in fleet.operator.done() {
        match done.outcome {
            Outcome::Acknowledged => operations.ok += 1,
            Outcome::Moot | Outcome::Refused(_) => operations.refused += 1,
            Outcome::Unknown => operations.unknown += 1,
        }
    }
    let mut classes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mishaps = plan.mishaps.iter().map(|mishap| mishap.kind.name());
    let faults = plan.store.faults.iter().map(|fault| fault.class.name());
    mishaps.chain(faults).for_each(|name| *classes.entry(name).or_default() += 1);
    let (trace_hash, events) = world.digest();
    let evidence = fleet.machines.store().evidence();
    Report {
        seed: plan.store.seed,
        failure,
        trace_hash,
        events,
        simulated: world.now(),
        wall: Duration::ZERO,
        operations,
        entries: evidence.logs.entries().len() as u64,
        elections: evidence.leaders.elections() as u64,
        classes,
        happened: world.effects(),
        probes: BTreeMap::new(),
    }
}
