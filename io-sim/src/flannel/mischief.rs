//! The mishaps of a plan, put on the world's calendar. Each begins at its time and ends at its own end or at the calm.

use super::machines::Machines;
use super::operator::Operator;
use super::plan::{Mishap, MishapKind};
use crate::links::LinksFaults;
use crate::sched::Effect;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong in one run; clones share it.
#[derive(Clone)]
pub struct Mischief(Arc<Inner>);

struct Inner {
    machines: Machines,
    operator: Operator,
    /// The faults of kernels that are on, by machine, each with its place in the plan.
    active: Mutex<BTreeMap<u16, BTreeMap<usize, MishapKind>>>,
}

impl Mischief {
    /// Puts the plan's mishaps on the calendar.
    pub fn gather(machines: &Machines, operator: &Operator) -> Mischief {
        let inner =
            Inner { machines: machines.clone(), operator: operator.clone(), active: Mutex::default() };
        let mischief = Mischief(Arc::new(inner));
        let calm_ms = machines.plan().store.calm_ms;
        for (number, mishap) in machines.plan().mishaps.iter().enumerate() {
            if mishap.at_ms < calm_ms {
                mischief.schedule(number, mishap, calm_ms);
            }
        }
        mischief
    }

    fn schedule(&self, number: usize, mishap: &Mishap, calm_ms: u64) {
        let end = Duration::from_millis((mishap.at_ms + mishap.for_ms).min(calm_ms));
        let (mischief, mishap) = (self.clone(), mishap.clone());
        let world = self.0.machines.world();
        world.at(Duration::from_millis(mishap.at_ms), move |world| {
            world.sched().trace(crate::NodeId::WORLD, || format!("begins: {mishap}"));
            mishap.machines.iter().for_each(|machine| mischief.begin(number, *machine, mishap.kind));
            world.at(end, move |world| {
                world.sched().trace(crate::NodeId::WORLD, || format!("ends: {mishap}"));
                mishap.machines.iter().for_each(|machine| mischief.end(number, *machine, mishap.kind));
            });
        });
    }

    fn begin(&self, number: usize, machine: u16, kind: MishapKind) {
        let machines = &self.0.machines;
        match kind {
            MishapKind::Crash => {
                machines.hold(machine);
                machines.crash(machine);
            }
            MishapKind::Restart => {
                machines.hold(machine);
                machines.stop(machine);
            }
            MishapKind::PowerLoss | MishapKind::Gone => {
                machines.hold(machine);
                machines.power_loss(machine);
            }
            MishapKind::Pause => machines.still(machine),
            MishapKind::Partition => {
                machines.world().sched().effect(Effect::Partition);
                self.each_way(machine, crate::World::cut);
            }
            MishapKind::Deaf => machines.deafen(machine, true),
            MishapKind::Drift(ppm) => {
                machines.world().sched().effect(Effect::Drift);
                machines.world().set_drift(machines.node(machine), ppm);
            }
            MishapKind::Revoke
            | MishapKind::DeleteKey
            | MishapKind::Spoil
            | MishapKind::Malformed
            | MishapKind::Stranger
            | MishapKind::Compact => self.0.operator.perform(machine, kind),
            MishapKind::Retune(retuning) => self.0.operator.retune(Some(retuning)),
            MishapKind::Meddle(meddling) => machines.links(machine).meddle(meddling),
            MishapKind::Sever => machines.links(machine).sever(),
            _ => self.change_faults(number, machine, Some(kind)),
        }
    }

    fn end(&self, number: usize, machine: u16, kind: MishapKind) {
        let machines = &self.0.machines;
        match kind {
            MishapKind::Crash | MishapKind::Restart | MishapKind::PowerLoss => machines.release(machine),
            MishapKind::Pause => machines.go_on(machine),
            MishapKind::Partition => self.each_way(machine, crate::World::heal),
            MishapKind::Retune(_) => self.0.operator.retune(None),
            MishapKind::Deaf => machines.deafen(machine, false),
            MishapKind::Drift(_) => machines.world().set_drift(machines.node(machine), 0),
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
        let mut all = LinksFaults::default();
        here.values().for_each(|kind| worsen(&mut all, *kind));
        drop(active);
        self.0.machines.links(machine).faults(|faults| *faults = all);
    }
}

fn worsen(faults: &mut LinksFaults, kind: MishapKind) {
    match kind {
        MishapKind::Exists(permille) => faults.exists_permille = faults.exists_permille.max(permille),
        MishapKind::Busy(permille) => faults.busy_permille = faults.busy_permille.max(permille),
        MishapKind::NoBuffers(permille) => {
            faults.no_buffers_permille = faults.no_buffers_permille.max(permille)
        }
        MishapKind::Lost(permille) => faults.lost_permille = faults.lost_permille.max(permille),
        MishapKind::HintsLost(permille) => {
            faults.hint_lost_permille = faults.hint_lost_permille.max(permille)
        }
        MishapKind::HintsLate(by) => faults.hint_late += Duration::from_millis(by),
        MishapKind::Slow(by) => faults.slow += Duration::from_millis(by),
        _ => {}
    }
}
