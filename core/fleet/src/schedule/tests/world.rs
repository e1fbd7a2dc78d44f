//! A cluster in a few words: units and machines built from lines as a unit file has them, an engine that carries out every decision, and
//! the trace of it as text.

use crate::model::{Admission, DesiredState, Job, Machine, MachineId, Resources};
use crate::schedule::{Decision, Place, Scheduler};
use crate::unit::{PartitionPolicy, Requirements, UnitFile, UnitName};
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn name(text: &str) -> UnitName {
    UnitName::parse(text).expect("tests use good names")
}

/// A job from the lines of its `[X-Fleet]` section.
pub fn job(unit: &str, lines: &str, desired: DesiredState) -> Job {
    let file = UnitFile::parse(&format!("[Service]\nExecStart=/bin/true\n[X-Fleet]\n{lines}\n"))
        .expect("a good file");
    let name = name(unit);
    let requirements = Arc::new(Requirements::read(&name, &file).expect("good requirements"));
    Job { hash: file.hash(), file: Arc::new(file), requirements, desired, name }
}

/// A machine from words: `ssd=true` is metadata, `cpu:4000` and `memory:100` its capacity, `cordon` and `drain` its admission.
pub fn machine(id: &str, words: &str) -> Machine {
    let mut machine = Machine {
        id: MachineId::from(id),
        primary_ip: String::new(),
        metadata: BTreeMap::new(),
        capacity: Resources::default(),
        admission: Admission::Open,
        leaving: false,
        api: None,
        version: String::new(),
    };
    for word in words.split_whitespace() {
        if let Some((key, value)) = word.split_once('=') {
            machine.metadata.insert(key.into(), value.into());
        } else if let Some(cpu) = word.strip_prefix("cpu:") {
            machine.capacity.cpu_millis = cpu.parse().expect("a number");
        } else if let Some(memory) = word.strip_prefix("memory:") {
            machine.capacity.memory_bytes = memory.parse().expect("a number");
        } else {
            machine.admission = if word == "drain" { Admission::Drain } else { Admission::Cordon };
        }
    }
    machine
}

/// A scheduler and the engine around it.
#[derive(Default)]
pub struct World {
    pub scheduler: Scheduler,
    copies: BTreeMap<UnitName, BTreeMap<MachineId, DesiredState>>,
    leaving: Vec<(UnitName, MachineId)>,
}

impl World {
    /// Machines from `id words` lines.
    pub fn with_machines(lines: &[&str]) -> Self {
        let mut world = World::default();
        for line in lines {
            world.machine(line);
        }
        world
    }

    pub fn machine(&mut self, line: &str) {
        let (id, words) = line.split_once(' ').unwrap_or((line, ""));
        self.scheduler.set_machine(machine(id, words));
    }

    pub fn launch(&mut self, unit: &str, lines: &str) {
        self.scheduler.set_job(job(unit, lines, DesiredState::Launched));
    }

    pub fn stop(&mut self, unit: &str, lines: &str) {
        self.scheduler.set_job(job(unit, lines, DesiredState::Inactive));
    }

    pub fn place(&mut self, unit: &str, machine: &str) {
        let place = Place::On { machine: machine.into(), state: DesiredState::Launched };
        self.scheduler.set_place(&name(unit), place);
    }

    pub fn hold(&mut self, unit: &str, machine: &str) {
        let place = Place::Held { machine: machine.into(), policy: PartitionPolicy::Hold };
        self.scheduler.set_place(&name(unit), place);
    }

    /// Decides once; each decision is a line of the trace without its reason.
    pub fn decide(&mut self) -> Vec<String> {
        let decisions = self.scheduler.decide();
        for decision in &decisions {
            self.note(decision);
        }
        assert_eq!(self.scheduler.decide(), vec![], "a second decision has nothing to do");
        decisions.iter().map(line).collect()
    }

    /// The units that were taken away have stopped. Then decides.
    pub fn left(&mut self) -> Vec<String> {
        for (unit, machine) in std::mem::take(&mut self.leaving) {
            if let Some(copies) = self.copies.get_mut(&unit) {
                copies.remove(&machine);
                self.scheduler.set_copies(&unit, copies.clone());
            }
            self.scheduler.set_place(&unit, Place::Free);
        }
        self.decide()
    }

    fn note(&mut self, decision: &Decision) {
        match decision {
            Decision::Assign { unit, machine, state, .. }
            | Decision::SetState { unit, machine, state, .. } => {
                self.copies.entry(unit.clone()).or_default().insert(machine.clone(), *state);
            }
            Decision::Unassign { unit, machine, .. } => {
                self.copies.entry(unit.clone()).or_default().insert(machine.clone(), DesiredState::Inactive);
                self.leaving.push((unit.clone(), machine.clone()));
            }
        }
    }

    pub fn why(&self, unit: &str) -> String {
        self.scheduler.explain(&name(unit)).text
    }
}

fn line(decision: &Decision) -> String {
    match decision {
        Decision::Assign { unit, machine, state, .. } => format!("{unit} to {machine} {state}"),
        Decision::Unassign { unit, machine, reason } => format!("{unit} from {machine}: {reason}"),
        Decision::SetState { unit, machine, state, .. } => format!("{unit} on {machine} is {state}"),
    }
}
