//! One run, from a plan to a verdict: build the world, let the plan happen, then ask every checker.
//!
//! A run has two phases. Until `calm_ms` the plan's faults come and go; from then on nothing is wrong any more, and
//! after [`SETTLE`] the cluster must serve as if nothing had been. Safety is judged through both: what members are
//! seen to do, at once (the run stops at the first broken invariant); what clients were told, at the end.

use crate::checkers::logs::Logs;
use crate::checkers::replay::{Command, Replay};
use crate::checkers::{Checked, Failure, leases, liveness, watch, wgl};
use crate::client::{Clients, PATIENCE};
use crate::cluster::Cluster;
use crate::history::{Call, History, Outcome};
use crate::plan::{Plan, key_name};
use crate::room::Room;
use crate::storm::Storm;
use crate::trace::{self, Sink};
use crate::world::World;
use bytes::Bytes;
use kernel::{Planted, Probe};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after the last fault the cluster must be healthy again: connections that were cut find out after up to 20
/// s, members start, elect and catch up, and calls made before have been given up.
pub const SETTLE: Duration = Duration::from_secs(14);
/// How long a watcher or a follower may be behind in the calm.
const LAG: Duration = Duration::from_secs(3);
/// How much longer than its TTL a lease may live in the calm: the leader's round, a proposal, an election's extension.
pub const LEASE_SLACK: Duration = Duration::from_secs(4);
/// Steps of the black-box search for one key.
const WGL_STEPS: u64 = 20_000;
/// Keys that are judged as black boxes in each run.
const WGL_KEYS: u8 = 3;

/// How a run is made besides its plan.
#[derive(Default)]
pub struct Options {
    /// The bug to plant.
    pub planted: Planted,
    /// Where the trace goes; nothing is formatted without it.
    pub trace: Option<Sink>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The plan's seed.
    pub seed: u64,
    /// The first broken invariant.
    pub failure: Option<Failure>,
    /// Hash of all events: equal for equal runs.
    pub trace_hash: u64,
    /// Events of the scheduler.
    pub events: u64,
    /// World time that passed.
    pub simulated: Duration,
    /// Time that passed for us.
    pub wall: Duration,
    /// Calls that ended, by outcome.
    pub operations: Counts,
    /// Entries of the log.
    pub entries: u64,
    /// Elections won.
    pub elections: u64,
    /// Faults of the plan, by class.
    pub classes: BTreeMap<&'static str, u64>,
    /// What faults really did, by name.
    pub happened: BTreeMap<&'static str, u64>,
    /// Named rare branches that were reached, and how often.
    pub probes: BTreeMap<&'static str, u64>,
}

/// Calls by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered.
    pub ok: u64,
    /// Certainly without effect.
    pub refused: u64,
    /// Unknown.
    pub unknown: u64,
}

impl Counts {
    /// Those of `history`.
    pub fn of(history: &History) -> Counts {
        let mut counts = Counts::default();
        for operation in &history.operations {
            match operation.outcome {
                Outcome::Ok(_) => counts.ok += 1,
                Outcome::Refused(_) => counts.refused += 1,
                Outcome::Unknown => counts.unknown += 1,
            }
        }
        counts
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.ok + self.refused + self.unknown
    }
}

impl Report {
    /// Whether every invariant held.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some(failure) => writeln!(f, "seed {}: FAILED {failure}", self.seed)?,
            None => writeln!(f, "seed {}: passed", self.seed)?,
        }
        let Counts { ok, refused, unknown } = self.operations;
        write!(
            f,
            "  {} s simulated, {ok} calls answered, {refused} refused, {unknown} unknown, {} entries, {} elections, \
             {} events, trace {:016x}",
            self.simulated.as_secs(),
            self.entries,
            self.elections,
            self.events,
            self.trace_hash
        )?;
        let happened: Vec<_> = self.happened.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if happened.is_empty() { Ok(()) } else { write!(f, "\n  went wrong: {}", happened.join(", ")) }
    }
}

/// Runs `plan` with nothing planted and no trace.
pub fn run(plan: &Plan) -> Report {
    run_with(plan, Options::default())
}

/// Runs `plan`.
pub fn run_with(plan: &Plan, options: Options) -> Report {
    run_scripted(plan, options, |_| ())
}

/// Runs `plan`, after `script` has put what a plan cannot say on the calendar of the cluster's world.
pub fn run_scripted(plan: &Plan, options: Options, script: impl FnOnce(&Cluster) + Send + 'static) -> Report {
    let probe = Probe::counting();
    let room = Room { seed: plan.seed, probe: probe.clone(), planted: options.planted };
    let plan = Arc::new(plan.clone());
    let began = Instant::now();
    let mut report = room.run(move |world| in_world(world, plan, options.trace, script));
    report.wall = began.elapsed();
    report.probes = probe.counts();
    report
}

fn in_world(world: &World, plan: Arc<Plan>, trace: Option<Sink>, script: impl FnOnce(&Cluster)) -> Report {
    let cluster = Cluster::new(world, plan.clone());
    let clients = Clients::new(&cluster);
    if let Some(sink) = trace {
        trace::attach(world, u32::from(plan.members) + u32::from(plan.clients), sink);
    }
    let storm = Storm::gather(&cluster);
    script(&cluster);
    cluster.members().for_each(|member| cluster.start(member));
    clients.schedule();
    world.run_until(Duration::from_millis(plan.end_ms));
    let history = clients.history();
    let failure = verdict(world, &cluster, &storm, &history).err();
    let (trace_hash, events) = world.digest();
    let evidence = cluster.evidence();
    let mut classes = BTreeMap::new();
    plan.faults.iter().for_each(|fault| *classes.entry(fault.class.name()).or_default() += 1);
    let report = Report {
        seed: plan.seed,
        failure,
        trace_hash,
        events,
        simulated: world.now(),
        wall: Duration::ZERO,
        operations: Counts::of(&history),
        entries: evidence.logs.entries().len() as u64,
        elections: evidence.leaders.elections() as u64,
        classes,
        happened: world.effects(),
        probes: BTreeMap::new(),
    };
    drop(evidence);
    cluster.let_go();
    report
}

/// What all checkers say.
pub(crate) fn verdict(world: &World, cluster: &Cluster, storm: &Storm, history: &History) -> Checked {
    let evidence = cluster.evidence();
    if let Some(failure) = &evidence.failure {
        return Err(failure.clone());
    }
    if let Some(bad) = world.failures().first() {
        let text = format!("at {:?} on {}: {}", bad.at, bad.node, bad.text);
        return Err(Failure { checker: "world", invariant: "no-panic", text });
    }
    let plan = cluster.plan();
    let (calm, end) = (Duration::from_millis(plan.calm_ms), Duration::from_millis(plan.end_ms));
    let terms = leases::Terms {
        drift_ppm: storm.worst_drift_ppm(),
        disturbed: evidence.elected.max(calm),
        healthy: calm + SETTLE,
        slack: LEASE_SLACK,
        end,
    };
    judge(history, &evidence.logs, plan.members, terms)
}

/// Asks every checker that judges a whole run: of what its clients saw, given the log that `members` members applied.
pub fn judge(history: &History, logs: &Logs, members: u8, terms: leases::Terms) -> Checked {
    let leases::Terms { healthy, end, .. } = terms;
    let replay = Replay::new(logs.entries(), decode)?;
    replay.check(history)?;
    black_box(history)?;
    watch::check(&history.watches, &replay, end.saturating_sub(LAG))?;
    leases::check(history, &replay, terms)?;
    // A call is judged when it had all the time that a client gives it.
    if healthy + PATIENCE < end {
        liveness::calls(history, healthy)?;
        liveness::caught_up(logs, (1..=members).map(u64::from), end.saturating_sub(LAG))?;
    }
    Ok(())
}

fn black_box(history: &History) -> Checked {
    for key in 0..WGL_KEYS {
        let key = Bytes::from(key_name(key));
        let Some(events) = wgl::events_of(history, &key) else { continue };
        if wgl::check(&events, WGL_STEPS) == wgl::Verdict::Violation {
            let text = format!("the operations on {key:?} have no order that explains their answers");
            return Err(Failure { checker: "wgl", invariant: "linearizable", text });
        }
    }
    Ok(())
}

/// Reads a command of the log in the terms of the clients' requests.
pub(crate) fn decode(command: &Bytes) -> Result<Command, String> {
    if command.is_empty() {
        return Ok(Command::Nothing);
    }
    let command = mvcc::Command::decode(command.clone()).map_err(|error| error.to_string())?;
    Ok(Command::Call(match command {
        mvcc::Command::Put(request) => Call::Put(request),
        mvcc::Command::DeleteRange(request) => Call::Delete(request),
        mvcc::Command::Txn(request) => Call::Txn(request),
        mvcc::Command::Compact(request) => Call::Compact(request),
        mvcc::Command::LeaseGrant(request) => Call::Grant(request),
        mvcc::Command::LeaseRevoke(request) => Call::Revoke(request),
    }))
}
