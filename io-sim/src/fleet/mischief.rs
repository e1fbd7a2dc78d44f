//! The mishaps of a plan, put on the world's calendar; and a diary of what was wrong where and when, for the checkers.
//!
//! Each mishap begins at its time and ends at its own end or at the calm. Faults of one systemd are computed from all that are on,
//! so overlapping ones end one by one.

use super::machines::Machines;
use super::operator::Operator;
use super::plan::{Mishap, MishapKind, Site};
use crate::sched::Effect;
use crate::systemd::SystemdFaults;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// One machine's trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where.
    pub machine: u16,
    /// What.
    pub kind: MishapKind,
    /// World time at which it began.
    pub from: Duration,
    /// World time at which it ended.
    pub until: Option<Duration>,
}

/// What goes wrong in one run; clones share it.
#[derive(Clone)]
pub struct Mischief(Arc<Inner>);

struct Inner {
    machines: Machines,
    operator: Operator,
    diary: Mutex<Vec<Trouble>>,
    /// The mishaps that are on, by machine, each with its place in the plan.
    active: Mutex<BTreeMap<u16, BTreeMap<usize, MishapKind>>>,
}

impl Mischief {
    /// Puts the plan's mishaps on the calendar.
    pub fn gather(machines: &Machines, operator: &Operator) -> Mischief {
        let inner = Inner {
            machines: machines.clone(),
            operator: operator.clone(),
            diary: Mutex::default(),
            active: Mutex::default(),
        };
        let mischief = Mischief(Arc::new(inner));
        let calm_ms = machines.plan().store.calm_ms;
        for (number, mishap) in machines.plan().mishaps.iter().enumerate() {
            if mishap.at_ms < calm_ms {
                mischief.schedule(number, mishap, calm_ms);
            }
        }
        mischief
    }

    fn diary(&self) -> MutexGuard<'_, Vec<Trouble>> {
        self.0.diary.lock().expect("no holder panics")
    }

    /// What was wrong so far, in the order in which it began.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.diary().clone()
    }

    fn schedule(&self, number: usize, mishap: &Mishap, calm_ms: u64) {
        let end = Duration::from_millis((mishap.at_ms + mishap.for_ms).min(calm_ms));
        let (mischief, mishap) = (self.clone(), mishap.clone());
        let world = self.0.machines.world();
        world.at(Duration::from_millis(mishap.at_ms), move |world| {
            let machines = mischief.aim(&mishap.site);
            world.sched().trace(crate::NodeId::WORLD, || format!("begins: {mishap} (machines {machines:?})"));
            let kind = mishap.kind;
            for machine in machines.iter().copied() {
                mischief.begin(number, machine, kind);
            }
            world.at(end, move |world| {
                world.sched().trace(crate::NodeId::WORLD, || format!("ends: {mishap}"));
                machines.iter().for_each(|machine| mischief.end(number, *machine, kind));
            });
        });
    }

    fn aim(&self, site: &Site) -> Vec<u16> {
        match site {
            Site::Machines(list) => list.clone(),
            Site::Engine => self.0.machines.leading().into_iter().collect(),
        }
    }

    fn begin(&self, number: usize, machine: u16, kind: MishapKind) {
        let machines = &self.0.machines;
        let (world, node, systemd) =
            (machines.world(), machines.node(machine), machines.systemd(machine).clone());
        let from = world.now();
        self.diary().push(Trouble { machine, kind, from, until: None });
        match kind {
            MishapKind::Crash => {
                machines.hold(machine);
                machines.crash(machine);
            }
            MishapKind::Restart => {
                machines.hold(machine);
                machines.stop_fleetd(machine);
            }
            MishapKind::PowerLoss => {
                machines.hold(machine);
                machines.power_loss(machine);
            }
            MishapKind::Reboot => {
                machines.hold(machine);
                machines.shut_down(machine);
            }
            MishapKind::Pause => {
                world.pause(node);
                systemd.freeze();
            }
            MishapKind::Stall => world.pause(node),
            MishapKind::Partition => {
                world.sched().effect(Effect::Partition);
                self.each_way(machine, crate::World::cut);
            }
            MishapKind::Bus => systemd.drop_bus(),
            MishapKind::Drift(ppm) => {
                world.sched().effect(Effect::Drift);
                world.set_drift(node, ppm);
            }
            MishapKind::CrashUnit(nth) => {
                nth_of(&systemd.running_units(), nth).into_iter().for_each(|unit| systemd.crash_unit(unit));
            }
            MishapKind::StopBehind(nth) => {
                nth_of(&systemd.running_units(), nth).into_iter().for_each(|unit| systemd.stop_behind(unit));
            }
            MishapKind::Compact => self.0.operator.compact(),
            _ => self.change_faults(number, machine, Some(kind)),
        }
    }

    fn end(&self, number: usize, machine: u16, kind: MishapKind) {
        let machines = &self.0.machines;
        let (world, node, systemd) =
            (machines.world(), machines.node(machine), machines.systemd(machine).clone());
        let now = world.now();
        let mut diary = self.diary();
        let ends = diary
            .iter_mut()
            .find(|trouble| trouble.machine == machine && trouble.kind == kind && trouble.until.is_none());
        ends.into_iter().for_each(|trouble| trouble.until = Some(now));
        drop(diary);
        match kind {
            MishapKind::Crash | MishapKind::Restart | MishapKind::PowerLoss | MishapKind::Reboot => {
                machines.release(machine);
            }
            MishapKind::Pause => {
                systemd.thaw();
                world.resume(node);
            }
            MishapKind::Stall => world.resume(node),
            MishapKind::Partition => self.each_way(machine, crate::World::heal),
            MishapKind::Bus => systemd.restore_bus(),
            MishapKind::Drift(_) => world.set_drift(node, 0),
            MishapKind::CrashUnit(_) | MishapKind::StopBehind(_) | MishapKind::Compact => {}
            _ => self.change_faults(number, machine, None),
        }
    }

    /// Does something to every way between a machine and the store's members.
    fn each_way(&self, machine: u16, act: impl Fn(&crate::World, crate::NodeId, crate::NodeId)) {
        let machines = &self.0.machines;
        let here = machines.node(machine);
        for member in machines.store().members() {
            let there = machines.store().node(member);
            act(machines.world(), here, there);
            act(machines.world(), there, here);
        }
    }

    fn change_faults(&self, number: usize, machine: u16, kind: Option<MishapKind>) {
        let mut active = self.0.active.lock().expect("no holder panics");
        let here = active.entry(machine).or_default();
        match kind {
            Some(kind) => drop(here.insert(number, kind)),
            None => drop(here.remove(&number)),
        }
        let mut all = SystemdFaults::default();
        here.values().for_each(|kind| worsen(&mut all, *kind));
        drop(active);
        self.0.machines.systemd(machine).faults(|faults| *faults = all);
    }
}

fn nth_of(units: &[String], nth: u64) -> Option<&str> {
    let count = units.len() as u64;
    (count > 0).then(|| units[(nth % count) as usize].as_str())
}

fn worsen(faults: &mut SystemdFaults, kind: MishapKind) {
    let most = |one: u64, other: u64| one.max(other).min(1_000);
    match kind {
        MishapKind::SlowJobs(by) => faults.job_slow += Duration::from_millis(by),
        MishapKind::FailJobs(permille) => faults.job_fail_permille = most(faults.job_fail_permille, permille),
        MishapKind::TimeoutJobs(permille) => {
            faults.job_timeout_permille = most(faults.job_timeout_permille, permille);
        }
        MishapKind::CancelJobs(permille) => {
            faults.job_cancel_permille = most(faults.job_cancel_permille, permille)
        }
        MishapKind::Refuse(permille) => faults.refuse_permille = most(faults.refuse_permille, permille),
        MishapKind::Files(permille) => faults.files_permille = most(faults.files_permille, permille),
        MishapKind::LateSignals(by) => faults.signal_late += Duration::from_millis(by),
        MishapKind::SlowReload(by) => faults.reload_slow += Duration::from_millis(by),
        _ => {}
    }
}
