//! What a unit declares, made known to everything that counts by it: the class of its metadata, the patterns of its MachineOf,
//! Conflicts, Replaces and preferences, the units that it waits for. What is declared is taken back in the same way, so that
//! patterns and classes live as long as somebody names them.

use super::ids::{MachineIx, PatternIx, UnitIx};
use super::patterns::{beginning, means};
use super::units::Wish;
use super::view::View;
use crate::model::Job;
use crate::unit::Requirements;
use std::collections::BTreeSet;
use std::ops::Bound::{Included, Unbounded};

impl View {
    /// Exchanges what is wanted of a unit, with everything that was counted for it.
    pub fn replace_wish(&mut self, unit: UnitIx, job: Option<Job>) {
        let machines = self.units.at(unit).machines();
        machines.iter().for_each(|machine| self.vacate(unit, *machine));
        let mut replaces = job.as_ref().is_some_and(|job| !job.requirements.replaces.is_empty());
        if let Some(old) = self.units.at_mut(unit).wish.take() {
            replaces |= !old.replaces.is_empty();
            self.undeclare(unit, &old);
        }
        if replaces {
            self.note_replacing();
        }
        if let Some(job) = job {
            let wish = self.declare(unit, job);
            self.units.at_mut(unit).wish = Some(wish);
        }
        machines.iter().for_each(|machine| self.refresh(unit, *machine));
        self.dirty.fills.extend(machines);
    }

    /// Who replaces whom depends on circles, which one unit's change may open or close anywhere.
    fn note_replacing(&mut self) {
        let machines = self.patterns.iter().flat_map(|pattern| pattern.replacing.machines().iter());
        self.dirty.checks.extend(machines.map(MachineIx));
        self.dirty.retry = true;
    }

    fn declare(&mut self, unit: UnitIx, job: Job) -> Wish {
        let requirements = job.requirements.clone();
        let all = |view: &mut View, texts: &[String]| -> Vec<PatternIx> {
            texts.iter().map(|text| view.acquire_pattern(text)).collect()
        };
        let weighted = |view: &mut View, terms: &[(String, i64)]| -> Vec<(PatternIx, i64)> {
            terms.iter().map(|(text, weight)| (view.acquire_pattern(text), *weight)).collect()
        };
        let wish = Wish {
            class: self.machines.acquire_class(&requirements.metadata),
            machine_of: all(self, &requirements.machine_of),
            conflicts: all(self, &requirements.conflicts),
            replaces: all(self, &requirements.replaces),
            prefer_of: weighted(self, &requirements.prefer_machine_of),
            avoid_of: weighted(self, &requirements.avoid_machine_of),
            prefer_metadata: (requirements.prefer_metadata.iter())
                .map(|(term, weight)| (self.machines.acquire_class(std::slice::from_ref(term)), *weight))
                .collect(),
            job,
        };
        for pattern in &wish.machine_of {
            self.patterns.at_mut(*pattern).followers.insert(unit);
        }
        for pattern in &wish.replaces {
            self.patterns.at_mut(*pattern).replacers.insert(unit);
        }
        for name in needed(&requirements) {
            self.units.dependents.entry(name.clone()).or_default().insert(unit);
        }
        wish
    }

    fn undeclare(&mut self, unit: UnitIx, wish: &Wish) {
        for name in needed(wish.requirements()) {
            if let Some(dependents) = self.units.dependents.get_mut(name) {
                dependents.remove(&unit);
                if dependents.is_empty() {
                    self.units.dependents.remove(name);
                }
            }
        }
        for pattern in &wish.machine_of {
            self.patterns.at_mut(*pattern).followers.remove(&unit);
        }
        for pattern in &wish.replaces {
            self.patterns.at_mut(*pattern).replacers.remove(&unit);
        }
        let soft = wish.prefer_of.iter().chain(&wish.avoid_of).map(|(pattern, _)| pattern);
        for pattern in wish.machine_of.iter().chain(&wish.conflicts).chain(&wish.replaces).chain(soft) {
            if let Some(units) = self.patterns.release(*pattern) {
                units
                    .into_iter()
                    .for_each(|other| self.units.at_mut(other).matched_by.retain(|p| p != pattern));
            }
        }
        let soft = wish.prefer_metadata.iter().map(|(class, _)| class);
        soft.chain([&wish.class]).for_each(|class| self.machines.release_class(*class));
    }

    /// One more declaration of a pattern; if it is new, finds its units and where they are.
    fn acquire_pattern(&mut self, text: &str) -> PatternIx {
        let (pattern, is_new) = self.patterns.acquire(text);
        if !is_new {
            return pattern;
        }
        let from = beginning(text);
        let meant: Vec<UnitIx> = (self.units.by_name.range::<str, _>((Included(from), Unbounded)))
            .take_while(|(name, _)| name.as_str().starts_with(from))
            .filter(|(name, _)| means(text, name.as_str()))
            .map(|(_, unit)| *unit)
            .collect();
        for unit in meant {
            let slot = self.units.at_mut(unit);
            let position = slot.matched_by.partition_point(|other| *other < pattern);
            slot.matched_by.insert(position, pattern);
            let tallied = self.patterns.at_mut(pattern);
            tallied.units.insert(unit);
            for machine in slot.machines() {
                let Some(occupant) = self.machines.at(machine).occupants.get(&unit) else { continue };
                tallied.here.add(machine.0);
                if occupant.stays {
                    tallied.staying.add(machine.0);
                }
            }
        }
        pattern
    }
}

/// The units that these requirements name in Requires and After.
fn needed(requirements: &Requirements) -> BTreeSet<&String> {
    requirements.requires.iter().chain(&requirements.after).collect()
}
