//! A plan of a fleet run as data: the store below with its faults, the machines, what the operator does, and what goes wrong.
//!
//! The store's part is a [`Plan`] of its own, in its own text form; fleet's lines stand beside it:
//!
//! ```text
//! plan seed=7 members=3 clients=1 calm=40000ms end=75000ms
//! fault crash at=9000ms for=2000ms on=leader
//! fleet machines=5 zones=2
//! deed put at=1200ms unit=3 version=2 run=forever zone=1 conflicts=4 policy=stop grace=1s
//! mishap power-loss at=8000ms for=6000ms on=2
//! ```
//!
//! As with the store's plans, any part of a plan is a plan: a deed about a unit that is not there does nothing.

mod draw;
#[cfg(test)]
mod tests;
mod text;
mod unit;

pub use unit::{RunKind, UnitSpec, unit_name};

use crate::plan::Plan;
use fleet::agent::RESTART_GRACE;
use fleet::model::{Admission, DesiredState, MachineId};
use std::collections::BTreeMap;

/// The most machines a plan may have.
pub const MAX_MACHINES: u16 = 2_000;

/// How long after the last fault everything must be as wished: connections find out, leases end, retries back off, engines
/// take over, and slow jobs end.
pub const SETTLE_MS: u64 = 25_000;

/// Everything that makes a fleet run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetPlan {
    /// The store: its members and their faults; and the seed, the calm and the end of the run. Its operations are not used.
    pub store: Plan,
    /// Machines with a fleetd: numbered from 1.
    pub machines: u16,
    /// Machine `n` has the metadata `zone=z(n mod zones)`.
    pub zones: u16,
    /// What the operator does, by time.
    pub deeds: Vec<Deed>,
    /// What goes wrong on machines, by time.
    pub mishaps: Vec<Mishap>,
}

/// One request of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// World time in milliseconds.
    pub at_ms: u64,
    /// What is asked.
    pub wish: Wish,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Submit a unit, or replace its text, and say what is wanted of it.
    Put(UnitSpec, DesiredState),
    /// Say what is wanted of a unit.
    State(u16, DesiredState),
    /// Destroy a unit.
    Destroy(u16),
    /// Start a unit again.
    Restart(u16),
    /// Say whether new units may come to a machine.
    Admission(u16, Admission),
    /// Declare a machine gone.
    Gone(u16),
    /// Rebalance, with so many moves at most.
    Rebalance(u64),
}

/// Something that goes wrong on machines for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// World time in milliseconds.
    pub at_ms: u64,
    /// For how long, in milliseconds. The calm ends every mishap.
    pub for_ms: u64,
    /// Where.
    pub site: Site,
    /// What.
    pub kind: MishapKind,
}

/// Where something goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// On the machine whose engine leads at that moment.
    Engine,
    /// On these machines.
    Machines(Vec<u16>),
}

/// What goes wrong on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MishapKind {
    /// fleetd dies, and is started again at the end. systemd and the units live on.
    Crash,
    /// fleetd is told to stop, and is started again at the end.
    Restart,
    /// The machine loses power, and boots at the end.
    PowerLoss,
    /// The machine goes down in good order (systemd says "stopping", fleetd is told to stop), and boots at the end.
    Reboot,
    /// The machine stands still: fleetd, systemd and units.
    Pause,
    /// fleetd stands still, while systemd and units go on.
    Stall,
    /// The machine is cut off from the store's members.
    Partition,
    /// The bus is away.
    Bus,
    /// Jobs take longer, by so many milliseconds.
    SlowJobs(u64),
    /// So many start jobs of a thousand fail.
    FailJobs(u64),
    /// So many start jobs of a thousand hang and time out.
    TimeoutJobs(u64),
    /// So many jobs of a thousand are canceled.
    CancelJobs(u64),
    /// So many installations of a thousand are refused.
    Refuse(u64),
    /// So many writes of unit files of a thousand fail.
    Files(u64),
    /// Signals are late by up to so many milliseconds.
    LateSignals(u64),
    /// A reload takes longer, by so many milliseconds.
    SlowReload(u64),
    /// The process of the n-th running unit (modulo their number) crashes.
    CrashUnit(u64),
    /// Somebody stops the n-th running unit behind the agent's back.
    StopBehind(u64),
    /// fleetd's clock runs fast (above 0) or slow, by so many parts per million.
    Drift(i64),
    /// The store drops its history.
    Compact,
}

impl MishapKind {
    /// The names of all kinds, as they stand in the text form.
    pub const NAMES: [&str; 20] = [
        "crash",
        "restart",
        "power-loss",
        "reboot",
        "pause",
        "stall",
        "partition",
        "bus",
        "slow-jobs",
        "fail-jobs",
        "timeout-jobs",
        "cancel-jobs",
        "refuse",
        "files",
        "late-signals",
        "slow-reload",
        "crash-unit",
        "stop-behind",
        "drift",
        "compact",
    ];

    /// How many of the names, from the first, the swarm draws from; the others have streams of their own.
    pub(super) const OF_THE_SWARM: usize = 19;

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            MishapKind::Crash => "crash",
            MishapKind::Restart => "restart",
            MishapKind::PowerLoss => "power-loss",
            MishapKind::Reboot => "reboot",
            MishapKind::Pause => "pause",
            MishapKind::Stall => "stall",
            MishapKind::Partition => "partition",
            MishapKind::Bus => "bus",
            MishapKind::SlowJobs(_) => "slow-jobs",
            MishapKind::FailJobs(_) => "fail-jobs",
            MishapKind::TimeoutJobs(_) => "timeout-jobs",
            MishapKind::CancelJobs(_) => "cancel-jobs",
            MishapKind::Refuse(_) => "refuse",
            MishapKind::Files(_) => "files",
            MishapKind::LateSignals(_) => "late-signals",
            MishapKind::SlowReload(_) => "slow-reload",
            MishapKind::CrashUnit(_) => "crash-unit",
            MishapKind::StopBehind(_) => "stop-behind",
            MishapKind::Drift(_) => "drift",
            MishapKind::Compact => "compact",
        }
    }
}

/// Whether a wish names no machine beyond the first `machines`.
pub(crate) fn fits(wish: &Wish, machines: u16) -> bool {
    match wish {
        Wish::Put(spec, _) => spec.machine.is_none_or(|machine| machine <= machines),
        Wish::Admission(machine, _) | Wish::Gone(machine) => *machine <= machines,
        _ => true,
    }
}

/// The id of machine number `machine`.
pub fn machine_id(machine: u16) -> MachineId {
    MachineId::from(format!("{machine:08x}{machine:024x}").as_str())
}

impl FleetPlan {
    /// All machines.
    pub fn all_machines(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.machines
    }

    /// The zone of a machine.
    pub fn zone(&self, machine: u16) -> u16 {
        machine % self.zones.max(1)
    }

    /// A machine's configured metadata.
    pub fn metadata(&self, machine: u16) -> BTreeMap<String, String> {
        BTreeMap::from([("zone".to_string(), format!("z{}", self.zone(machine)))])
    }

    /// World time in milliseconds from which on everything must be as wished and stand still. A machine that boots after its
    /// fleetd was told to stop waits for what that left behind: the presence that shall bridge a restart.
    pub fn settled_ms(&self) -> u64 {
        let ends = |mishap: &Mishap| (mishap.at_ms + mishap.for_ms).min(self.store.calm_ms);
        let leaves = |mishap: &&Mishap| matches!(mishap.kind, MishapKind::Restart | MishapKind::Reboot);
        let left =
            self.mishaps.iter().filter(leaves).map(|mishap| ends(mishap) + RESTART_GRACE.as_millis() as u64);
        left.fold(self.store.calm_ms, u64::max) + SETTLE_MS
    }

    /// Every text that any unit has at any time, by hash.
    pub fn specs(&self) -> BTreeMap<fleet::unit::UnitHash, &UnitSpec> {
        let puts = self.deeds.iter().filter_map(|deed| match &deed.wish {
            Wish::Put(spec, _) => Some((spec.file().hash(), spec)),
            _ => None,
        });
        puts.collect()
    }
}
