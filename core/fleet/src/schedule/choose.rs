//! Which of the machines that fit: the least loaded, or the fullest, moved by what the unit would rather have.
//!
//! A soft weight is worth so many units of load (under Spread) or so many hundredths of fullness (under Pack). A plain unit takes
//! the first machine with room of the list that is kept in order of load, without a look at the rest.

use super::bits::Bits;
use super::explanation::counted;
use super::ids::{MachineIx, UnitIx};
use super::view::View;
use crate::model::Resources;
use crate::unit::PlacementRule;
use std::cmp::Reverse;

/// Up to this share of the machines, it is cheaper to look at each candidate than to walk the list of all machines.
const FEW: usize = 8;

/// A machine, and why that one.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub machine: MachineIx,
    pub reason: String,
}

impl View {
    /// Chooses for these units together (the first one's placement rule counts) among `set`; none if no machine has room.
    pub fn choose(&mut self, units: &[UnitIx], set: &Bits, demand: Resources) -> Option<Choice> {
        let wishes = || units.iter().filter_map(|unit| self.units.at(*unit).wish.as_ref());
        let rule = wishes().next()?.requirements().placement;
        let choosy = wishes().any(|wish| wish.is_choosy());
        let fitting = set.len();
        if fitting == 0 {
            return None;
        }
        let machine = if choosy || rule == PlacementRule::Pack {
            self.best(units, rule, set, demand)?
        } else if fitting * FEW < self.machines.count() {
            self.least_loaded_of(set, demand)?
        } else {
            self.least_loaded(set, demand)?
        };
        assert!(set.contains(machine.0) && self.machines.at(machine).has_room(demand, Resources::default()));
        Some(Choice { machine, reason: self.reason(machine, units, rule, choosy, fitting) })
    }

    fn least_loaded(&mut self, set: &Bits, demand: Resources) -> Option<MachineIx> {
        let mut looked = 0;
        let found = self.machines.by_load().inspect(|_| looked += 1).find(|machine| {
            set.contains(machine.0) && self.machines.at(*machine).has_room(demand, Resources::default())
        });
        self.looked += looked;
        found
    }

    fn least_loaded_of(&mut self, set: &Bits, demand: Resources) -> Option<MachineIx> {
        self.looked += set.len() as u64;
        self.machines.rank();
        set.iter()
            .map(|machine| (machine, self.machines.vitals(machine)))
            .filter(|(_, vitals)| vitals.has_room(demand))
            .min_by_key(|(_, vitals)| (vitals.load, vitals.rank))
            .map(|(machine, _)| MachineIx(machine))
    }

    fn best(
        &mut self,
        units: &[UnitIx],
        rule: PlacementRule,
        set: &Bits,
        demand: Resources,
    ) -> Option<MachineIx> {
        self.looked += set.len() as u64;
        self.machines.rank();
        let likings = self.likings(units);
        set.iter()
            .map(|machine| (machine, self.machines.vitals(machine)))
            .filter(|(_, vitals)| vitals.has_room(demand))
            .max_by_key(|(machine, vitals)| {
                let soft = likings.get(*machine as usize).copied().unwrap_or(0);
                let load = i64::from(vitals.load);
                match rule {
                    PlacementRule::Spread => (soft.saturating_sub(load), 0, Reverse(vitals.rank)),
                    PlacementRule::Pack => {
                        (soft.saturating_mul(10).saturating_add(vitals.fullness), load, Reverse(vitals.rank))
                    }
                }
            })
            .map(|(machine, _)| MachineIx(machine))
    }

    /// By machine: the sum of these units' soft terms there. Empty if they have none.
    fn likings(&self, units: &[UnitIx]) -> Vec<i64> {
        let mut likings = Vec::new();
        let wishes = units.iter().filter_map(|unit| self.units.at(*unit).wish.as_ref());
        for wish in wishes.filter(|wish| wish.is_choosy()) {
            likings.resize(self.machines.width(), 0_i64);
            let mut add = |machine: u32, weight: i64| {
                let liking = &mut likings[machine as usize];
                *liking = liking.saturating_add(weight);
            };
            for (class, weight) in &wish.prefer_metadata {
                self.machines.of_class(*class).iter().for_each(|machine| add(machine, *weight));
            }
            for (pattern, weight) in &wish.prefer_of {
                self.patterns
                    .at(*pattern)
                    .staying
                    .machines()
                    .iter()
                    .for_each(|machine| add(machine, *weight));
            }
            for (pattern, weight) in &wish.avoid_of {
                let counts = self.patterns.at(*pattern).staying.counts();
                counts.for_each(|(machine, count)| add(machine, weight.saturating_mul(-i64::from(count))));
            }
        }
        likings
    }

    /// The sum of a unit's soft terms on a machine: once for preferred company, for each unit of avoided company.
    pub fn liking(&self, unit: UnitIx, machine: MachineIx) -> i64 {
        self.likings(&[unit]).get(machine.0 as usize).copied().unwrap_or(0)
    }

    fn reason(
        &self,
        machine: MachineIx,
        units: &[UnitIx],
        rule: PlacementRule,
        choosy: bool,
        fitting: usize,
    ) -> String {
        let slot = self.machines.at(machine);
        if fitting == 1 {
            return "the only machine that fits".into();
        }
        let of = format!("of {fitting} machines that fit");
        match rule {
            _ if choosy => {
                let soft = self.likings(units).get(machine.0 as usize).copied().unwrap_or(0);
                format!(
                    "the best {of} (preferences {soft:+}, {} there)",
                    counted(slot.load() as usize, "unit")
                )
            }
            PlacementRule::Spread => {
                format!("the least loaded {of} ({} there)", counted(slot.load() as usize, "unit"))
            }
            PlacementRule::Pack => format!("the fullest {of} ({} % taken)", slot.fullness() / 10),
        }
    }
}
