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
        let machines = set.iter().map(MachineIx).map(|ix| (ix, self.machines.at(ix)));
        machines
            .filter(|(_, slot)| slot.has_room(demand, Resources::default()))
            .min_by_key(|(_, slot)| (slot.load(), &slot.id))
            .map(|(ix, _)| ix)
    }

    fn best(
        &mut self,
        units: &[UnitIx],
        rule: PlacementRule,
        set: &Bits,
        demand: Resources,
    ) -> Option<MachineIx> {
        self.looked += set.len() as u64;
        let machines = set.iter().map(MachineIx).map(|ix| (ix, self.machines.at(ix)));
        machines
            .filter(|(_, slot)| slot.has_room(demand, Resources::default()))
            .max_by_key(|(ix, slot)| {
                let load = i64::from(slot.load());
                let soft = units.iter().map(|unit| self.liking(*unit, *ix)).fold(0, i64::saturating_add);
                match rule {
                    PlacementRule::Spread => (soft.saturating_sub(load), 0, Reverse(&slot.id)),
                    PlacementRule::Pack => {
                        let tenths = soft.saturating_mul(10);
                        (tenths.saturating_add(slot.fullness()), load, Reverse(&slot.id))
                    }
                }
            })
            .map(|(ix, _)| ix)
    }

    /// The sum of a unit's soft terms on a machine: once for preferred company, for each unit of avoided company.
    pub fn liking(&self, unit: UnitIx, machine: MachineIx) -> i64 {
        let Some(wish) = &self.units.at(unit).wish else { return 0 };
        let there = |pattern| self.patterns.at(pattern).staying.count(machine.0);
        let metadata = wish
            .prefer_metadata
            .iter()
            .filter(|(class, _)| self.machines.of_class(*class).contains(machine.0));
        let company =
            wish.prefer_of.iter().filter(|(pattern, _)| there(*pattern) > 0).map(|(_, weight)| *weight);
        let avoided =
            wish.avoid_of.iter().map(|(pattern, weight)| -weight.saturating_mul(there(*pattern).into()));
        metadata.map(|(_, weight)| *weight).chain(company).chain(avoided).fold(0, i64::saturating_add)
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
                let soft = units.iter().map(|unit| self.liking(*unit, machine)).fold(0, i64::saturating_add);
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
