//! Properties against the slow model: after each of a few dozen random events and one decision, nothing is wrong, nothing is missed, and
//! a scheduler that is told the outcome from scratch agrees.

use super::model::Truth;
use super::world::{machine, name};
use crate::model::{Admission, DesiredState, Job, MachineId, Resources};
use crate::schedule::fit::Obstacle;
use crate::schedule::{Decision, Place, Scheduler, Standing};
use crate::unit::{MetadataTerm, MetadataTest, PartitionPolicy, PlacementRule, Requirements, UnitFile};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::collections::BTreeSet;
use std::sync::Arc;

const UNITS: [&str; 7] =
    ["a@1.service", "a@2.service", "b@1.service", "b@2.service", "c.service", "d.service", "e.service"];
const MACHINES: [&str; 4] = ["m1", "m2", "m3", "m4"];
const GLOBS: [&str; 6] = ["a@*.service", "b@?.service", "c.service", "d.service", "[de].service", "*"];

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Machine { index: usize, key: u8, memory: u64, admission: Admission },
    NoMachine(usize),
    Job(usize, Box<Requirements>, DesiredState),
    NoJob(usize),
    Left(usize),
    AllLeft,
    Active(usize, bool),
    Done(usize, bool),
    On(usize, usize),
    Held(usize),
    Freed(usize),
}

fn pick<T: Clone>(g: &mut Gen, choices: &[T]) -> T {
    g.choose(choices).expect("there is a choice").clone()
}

fn sometimes<T: Clone>(g: &mut Gen, one_in: usize, choices: &[T]) -> Option<T> {
    (usize::arbitrary(g) % one_in == 0).then(|| pick(g, choices))
}

fn requirements(g: &mut Gen) -> Requirements {
    let globs =
        |g: &mut Gen, one_in| sometimes(g, one_in, &GLOBS).map(String::from).into_iter().collect::<Vec<_>>();
    let term = |key: u8| MetadataTerm { key: "k".into(), test: MetadataTest::In(vec![key.to_string()]) };
    let global = usize::arbitrary(g) % 6 == 0;
    let memory = sometimes(g, 3, &[1, 2]).unwrap_or(0);
    let machine_of = if global { vec![] } else { globs(g, 3) };
    // A unit that wants to be beside others and drives others away can keep two groups chasing each other; such a pass is cut
    // short, safely, and may leave a unit free that could be placed.
    let replaces = if global || !machine_of.is_empty() { vec![] } else { globs(g, 6) };
    Requirements {
        machine_id: sometimes(g, 16, &MACHINES).map(String::from),
        metadata: sometimes(g, 4, &[1, 2]).map(term).into_iter().collect(),
        machine_of,
        conflicts: globs(g, 4),
        global,
        replaces,
        prefer_metadata: sometimes(g, 6, &[1, 2]).map(|key| (term(key), 3)).into_iter().collect(),
        avoid_machine_of: sometimes(g, 6, &GLOBS).map(|text| (text.into(), 2)).into_iter().collect(),
        resources: Resources { cpu_millis: 0, memory_bytes: memory },
        placement: sometimes(g, 4, &[PlacementRule::Pack]).unwrap_or_default(),
        partition: sometimes(g, 4, &[PartitionPolicy::Hold]).unwrap_or_default(),
        requires: sometimes(g, 5, &UNITS).map(String::from).into_iter().collect(),
        after: sometimes(g, 5, &UNITS).map(String::from).into_iter().collect(),
        ..Requirements::default()
    }
}

impl Arbitrary for Event {
    fn arbitrary(g: &mut Gen) -> Self {
        let unit = usize::arbitrary(g) % UNITS.len();
        let index = usize::arbitrary(g) % MACHINES.len();
        let states =
            [DesiredState::Inactive, DesiredState::Loaded, DesiredState::Launched, DesiredState::Launched];
        match usize::arbitrary(g) % 16 {
            0..=3 => {
                let admissions = [Admission::Open, Admission::Open, Admission::Cordon, Admission::Drain];
                Event::Machine {
                    index,
                    key: pick(g, &[1, 2]),
                    memory: pick(g, &[0, 2, 4]),
                    admission: pick(g, &admissions),
                }
            }
            4 => Event::NoMachine(index),
            5..=8 => Event::Job(unit, Box::new(requirements(g)), pick(g, &states)),
            9 => Event::NoJob(unit),
            10 => Event::Left(unit),
            11 => Event::AllLeft,
            12 => Event::Active(unit, bool::arbitrary(g)),
            13 => Event::Done(unit, bool::arbitrary(g)),
            14 => Event::On(unit, index),
            _ => pick(g, &[Event::Held(unit), Event::Freed(unit)]),
        }
    }
}

/// The truth, and the scheduler that is told of each change.
#[derive(Default)]
struct Pair {
    truth: Truth,
    scheduler: Scheduler,
}

impl Pair {
    fn happen(&mut self, event: &Event) {
        match event {
            Event::Machine { index, key, memory, admission } => {
                let mut machine = machine(MACHINES[*index], &format!("k={key} memory:{memory}"));
                machine.admission = *admission;
                self.truth.machines.insert(machine.id.clone(), machine.clone());
                self.scheduler.set_machine(machine);
            }
            Event::NoMachine(index) => {
                self.truth.machines.remove(&MachineId::from(MACHINES[*index]));
                self.scheduler.remove_machine(&MACHINES[*index].into());
            }
            Event::Job(unit, requirements, desired) => {
                let file = Arc::new(UnitFile::default());
                let (name, requirements) = (name(UNITS[*unit]), Arc::new((**requirements).clone()));
                let job =
                    Job { name: name.clone(), hash: file.hash(), file, requirements, desired: *desired };
                self.truth.jobs.insert(name, job.clone());
                self.scheduler.set_job(job);
            }
            Event::NoJob(unit) => {
                self.truth.jobs.remove(&name(UNITS[*unit]));
                self.scheduler.remove_job(&name(UNITS[*unit]));
            }
            Event::Left(unit) => self.leave(UNITS[*unit]),
            Event::AllLeft => UNITS.iter().for_each(|unit| self.leave(unit)),
            Event::Active(unit, active) => {
                self.truth.active.remove(&name(UNITS[*unit]));
                self.truth.active.extend(active.then(|| name(UNITS[*unit])));
                self.scheduler.set_active(&name(UNITS[*unit]), *active);
            }
            Event::Done(unit, done) => {
                self.truth.done.remove(&name(UNITS[*unit]));
                self.truth.done.extend(done.then(|| name(UNITS[*unit])));
                self.scheduler.set_done(&name(UNITS[*unit]), *done);
            }
            Event::On(unit, index) => {
                self.put(
                    UNITS[*unit],
                    Place::On { machine: MACHINES[*index].into(), state: DesiredState::Launched },
                );
            }
            Event::Held(unit) => {
                if let Some(Place::On { machine, .. }) = self.truth.places.get(&name(UNITS[*unit])).cloned() {
                    self.put(UNITS[*unit], Place::Held { machine, policy: PartitionPolicy::Hold });
                }
            }
            Event::Freed(unit) => self.put(UNITS[*unit], Place::Free),
        }
    }

    fn put(&mut self, unit: &str, place: Place) {
        if let Some((machine, copies)) = place.machine().zip(self.truth.copies.get_mut(&name(unit))) {
            copies.remove(machine);
        }
        self.truth.places.insert(name(unit), place.clone());
        self.truth.places.retain(|_, place| *place != Place::Free);
        self.scheduler.set_place(&name(unit), place);
    }

    fn leave(&mut self, unit: &str) {
        let unit = name(unit);
        self.truth.leave(&unit);
        self.scheduler.set_place(&unit, self.truth.places.get(&unit).cloned().unwrap_or_default());
        self.scheduler.set_copies(&unit, self.truth.copies.get(&unit).cloned().unwrap_or_default());
    }

    /// Decides, carries it out, and checks every rule.
    fn decide(&mut self, seed: usize) {
        let decisions = self.scheduler.decide();
        decisions.iter().for_each(|decision| self.truth.apply(decision));
        self.check_assignments(&decisions);
        assert_eq!(self.scheduler.decide(), vec![], "it is stable");
        assert_eq!(self.truth.violations(), Vec::<String>::new(), "it is safe");
        assert_eq!(self.truth.missed(), Vec::<String>::new(), "nothing is missed");
        self.check_gates();
        assert_eq!(self.truth.tell(seed).decide(), vec![], "told from scratch, nothing is left to do");
        let told: BTreeSet<_> = self.scheduler.orders().into_iter().collect();
        let units = self.truth.jobs.keys().chain(self.truth.places.keys()).chain(self.truth.copies.keys());
        let all = units.collect::<BTreeSet<_>>().into_iter();
        let truth = all.flat_map(|unit| {
            self.truth.orders(unit).into_iter().map(move |(machine, state)| (unit.clone(), machine, state))
        });
        assert_eq!(told, truth.collect(), "its view is the truth");
    }

    fn check_assignments(&self, decisions: &[Decision]) {
        // Whoever takes another's place does not wait for its room.
        let replaced: BTreeSet<_> = (decisions.iter())
            .filter(|decision| decision.reason().ends_with("replaces it"))
            .map(|decision| decision.unit().clone())
            .collect();
        for decision in decisions {
            let Decision::Assign { unit, machine, .. } = decision else { continue };
            let there = self.truth.on(machine, true);
            let machine = &self.truth.machines[machine];
            assert_eq!(machine.admission, Admission::Open, "{decision}");
            let left: BTreeSet<_> = there.difference(&replaced).cloned().collect();
            assert!(self.truth.has_room(unit, machine, &left), "{decision}: no room");
            let foe = there
                .iter()
                .find(|other| self.truth.conflict(unit, other) && !self.truth.replaces(unit, other));
            assert_eq!(foe, None, "{decision}: it conflicts");
        }
    }

    fn check_gates(&self) {
        let may = self.truth.may_be_launched();
        for (unit, job) in &self.truth.jobs {
            for (machine, state) in self.truth.orders(unit) {
                let wanted = job.desired;
                match state {
                    DesiredState::Loaded => {
                        assert!(!may.contains(unit), "{unit} on {machine} may be launched")
                    }
                    _ if !self.truth.machines.contains_key(&machine) => {}
                    _ => assert_eq!(state, wanted, "{unit} on {machine}"),
                }
            }
        }
    }
}

fn holds(events: Vec<Event>) -> bool {
    let mut pair = Pair::default();
    for (index, event) in events.iter().enumerate() {
        pair.happen(event);
        pair.decide(index);
    }
    true
}

#[test]
fn safe_complete_stable_and_the_same_from_scratch_after_every_event() {
    QuickCheck::new().tests(300).quickcheck(holds as fn(Vec<Event>) -> bool);
}

#[test]
fn several_events_at_a_time_are_as_good_as_one_by_one() {
    fn holds(events: Vec<Event>, step: u8) -> bool {
        let mut pair = Pair::default();
        for (index, events) in events.chunks(usize::from(step % 8) + 1).enumerate() {
            events.iter().for_each(|event| pair.happen(event));
            pair.decide(index);
        }
        true
    }
    QuickCheck::new().tests(300).quickcheck(holds as fn(Vec<Event>, u8) -> bool);
}

#[test]
fn what_is_explained_is_so() {
    fn holds(events: Vec<Event>) -> bool {
        let mut pair = Pair::default();
        events.iter().for_each(|event| pair.happen(event));
        pair.decide(0);
        for unit in UNITS.map(name) {
            let answer = pair.scheduler.explain(&unit);
            let excluded: usize = answer.excluded.iter().map(|exclusion| exclusion.count).sum();
            let present = pair.truth.machines.len();
            assert_ne!(answer.standing, Standing::Placeable, "{unit} could be placed after a decision");
            assert!(
                excluded <= present && answer.excluded.iter().all(|exclusion| !exclusion.text.is_empty())
            );
            assert!(!answer.text.is_empty());
            if answer.standing == Standing::Unplaceable && answer.waits_for.is_empty() {
                let alone = pair.truth.jobs[&unit].requirements.machine_of.is_empty();
                assert!(!alone || excluded == present, "{unit}: {}", answer.text);
            }
        }
        true
    }
    QuickCheck::new().tests(300).quickcheck(holds as fn(Vec<Event>) -> bool);
}

#[test]
fn whatever_the_order_of_the_inputs_the_outcome_is_safe() {
    fn holds(events: Vec<Event>) -> bool {
        let mut pair = Pair::default();
        events.iter().for_each(|event| pair.happen(event));
        for order in 0..4 {
            let mut other = Pair { scheduler: pair.truth.tell(order), truth: pair.truth.clone() };
            other.decide(order);
        }
        true
    }
    QuickCheck::new().tests(200).quickcheck(holds as fn(Vec<Event>) -> bool);
}

#[test]
fn all_machines_at_a_time_and_one_by_one_are_the_same() {
    fn holds(events: Vec<Event>) -> bool {
        let mut pair = Pair::default();
        events.iter().for_each(|event| pair.happen(event));
        pair.decide(0);
        let view = &pair.scheduler.view;
        for unit in view.units.by_name.values().filter(|unit| view.units.at(**unit).wish.is_some()) {
            let set = view.candidates(*unit);
            for (machine, slot, _) in
                view.machines.present().filter(|(_, slot, _)| !slot.occupants.contains_key(unit))
            {
                match view.obstacle(*unit, machine, &[]) {
                    Some(Obstacle::MachineOf(_)) => {}
                    None | Some(Obstacle::Cpu | Obstacle::Memory) => assert!(set.contains(machine.0)),
                    Some(other) => assert!(!set.contains(machine.0), "{other:?} on {}", slot.id),
                }
            }
        }
        true
    }
    QuickCheck::new().tests(300).quickcheck(holds as fn(Vec<Event>) -> bool);
}
