//! The machines: what they are, who is on them, and which has the fewest units.
//!
//! A slot also stands for a machine that is away but was named by a place. Metadata constraints are answered from *classes*: one
//! for each distinct list of terms in use, with the set of present machines that meet it, kept up to date.

use super::bits::Bits;
use super::ids::{Arena, ClassIx, MachineIx, UnitIx};
use crate::model::{Machine, MachineId, Resources};
use crate::unit::MetadataTerm;
use std::collections::{BTreeMap, BTreeSet};

/// One unit on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occupant {
    /// False while it is leaving, or is held on a machine that is cut off.
    pub stays: bool,
    /// What it takes of the machine.
    pub demand: Resources,
}

/// One machine.
#[derive(Clone, Debug)]
pub(super) struct MachineSlot {
    /// Its id.
    pub id: MachineId,
    /// What it is; none while it is away.
    pub machine: Option<Machine>,
    /// Who is there.
    pub occupants: BTreeMap<UnitIx, Occupant>,
    /// The sum of their demands.
    pub used: Resources,
}

impl MachineSlot {
    /// How many units are there: its load.
    pub fn load(&self) -> u32 {
        self.occupants.len() as u32
    }

    /// Whether there is room for this much, apart from `spare`, which counts as free. A machine that does not say what it has
    /// takes only what asks for nothing.
    pub fn has_room(&self, demand: Resources, spare: Resources) -> bool {
        let capacity = self.machine.as_ref().map(|machine| machine.capacity).unwrap_or_default();
        let fits = |demand: u64, used: u64, spare: u64, capacity: u64| {
            demand == 0 || used.saturating_sub(spare).saturating_add(demand) <= capacity
        };
        fits(demand.cpu_millis, self.used.cpu_millis, spare.cpu_millis, capacity.cpu_millis)
            && fits(demand.memory_bytes, self.used.memory_bytes, spare.memory_bytes, capacity.memory_bytes)
    }

    /// How full it is, in thousandths: the mean over what it says it has; 0 if it says nothing.
    pub fn fullness(&self) -> i64 {
        let capacity = self.machine.as_ref().map(|machine| machine.capacity).unwrap_or_default();
        let pairs =
            [(self.used.cpu_millis, capacity.cpu_millis), (self.used.memory_bytes, capacity.memory_bytes)];
        let known = pairs.into_iter().filter(|(_, capacity)| *capacity > 0);
        let (mut sum, mut count) = (0, 0);
        for (used, capacity) in known {
            sum += (u128::from(used) * 1000 / u128::from(capacity)) as i64;
            count += 1;
        }
        if count == 0 { 0 } else { sum / count }
    }
}

/// What choosing among many machines asks of each, side by side in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vitals {
    /// How many units are there.
    pub load: u32,
    /// Its place in the order of ids, as of the last [`Machines::rank`].
    pub rank: u32,
    /// How full it is, in thousandths.
    pub fullness: i64,
    /// What is free.
    pub free: Resources,
}

impl Vitals {
    /// Whether there is room for this much.
    pub fn has_room(&self, demand: Resources) -> bool {
        demand.cpu_millis <= self.free.cpu_millis && demand.memory_bytes <= self.free.memory_bytes
    }
}

/// The machines that meet one list of metadata terms.
#[derive(Clone, Debug)]
struct Class {
    terms: Vec<MetadataTerm>,
    uses: u32,
    machines: Bits,
}

/// All machines.
#[derive(Clone, Debug, Default)]
pub(super) struct Machines {
    slots: Arena<MachineSlot>,
    by_id: BTreeMap<MachineId, MachineIx>,
    /// By number; of slots that are gone, too.
    vitals: Vec<Vitals>,
    /// A machine has come since the last ranking.
    unranked: bool,
    /// Present and open: where new units may go.
    open: Bits,
    present: usize,
    /// The open machines, the least loaded first, then by id.
    by_load: BTreeSet<(u32, MachineId, MachineIx)>,
    classes: Arena<Class>,
    class_of: BTreeMap<Vec<MetadataTerm>, ClassIx>,
}

impl Machines {
    /// The machine with this number.
    pub fn at(&self, machine: MachineIx) -> &MachineSlot {
        self.slots.at(machine.0)
    }

    /// The number of a machine that is known.
    pub fn find(&self, id: &MachineId) -> Option<MachineIx> {
        self.by_id.get(id).copied()
    }

    /// The number of a machine, known or not.
    pub fn intern(&mut self, id: &MachineId) -> MachineIx {
        if let Some(machine) = self.find(id) {
            return machine;
        }
        let slot = MachineSlot {
            id: id.clone(),
            machine: None,
            occupants: BTreeMap::new(),
            used: Resources::default(),
        };
        let machine = MachineIx(self.slots.insert(slot));
        self.by_id.insert(id.clone(), machine);
        self.vitals.resize(self.vitals.len().max(machine.0 as usize + 1), Vitals::default());
        self.unranked = true;
        machine
    }

    /// Present machines with their numbers, by id.
    pub fn present(&self) -> impl Iterator<Item = (MachineIx, &MachineSlot, &Machine)> {
        self.by_id.values().filter_map(|ix| Some((*ix, self.at(*ix), self.at(*ix).machine.as_ref()?)))
    }

    /// How many are present.
    pub fn count(&self) -> usize {
        self.present
    }

    /// Where new units may go.
    pub fn open(&self) -> &Bits {
        &self.open
    }

    /// The open machines, the least loaded first, then by id.
    pub fn by_load(&self) -> impl DoubleEndedIterator<Item = MachineIx> {
        self.by_load.iter().map(|(_, _, machine)| *machine)
    }

    /// The open machines that a unit's `MachineID` means: one, if it is not written too short.
    pub fn with_id(&self, fits: impl Fn(&MachineId) -> bool, wanted: &str) -> Bits {
        let from = MachineId::from(wanted);
        self.by_id
            .range(from..)
            .take_while(|(id, _)| id.as_str().starts_with(wanted))
            .filter(|(id, machine)| fits(id) && self.open.contains(machine.0))
            .map(|(_, machine)| machine.0)
            .collect()
    }

    /// Sets what a machine is, or that it is away.
    pub fn set(&mut self, ix: MachineIx, machine: Option<Machine>) {
        self.unlist(ix);
        for (_, class) in self.classes.iter_mut() {
            let holds = machine
                .as_ref()
                .is_some_and(|machine| class.terms.iter().all(|term| term.holds(&machine.metadata)));
            class.machines.set(ix.0, holds);
        }
        let slot = self.slots.at_mut(ix.0);
        self.present -= usize::from(slot.machine.is_some());
        self.present += usize::from(machine.is_some());
        self.open.set(ix.0, machine.as_ref().is_some_and(Machine::is_open));
        slot.machine = machine;
        self.list(ix);
    }

    /// Forgets a machine that is away and empty.
    pub fn reclaim(&mut self, ix: MachineIx) {
        let slot = self.at(ix);
        if slot.machine.is_none() && slot.occupants.is_empty() {
            let slot = self.slots.remove(ix.0);
            self.by_id.remove(&slot.id);
        }
    }

    /// Puts a unit there, or takes it away. Returns what was there of it before.
    pub fn set_occupant(
        &mut self,
        ix: MachineIx,
        unit: UnitIx,
        occupant: Option<Occupant>,
    ) -> Option<Occupant> {
        self.unlist(ix);
        let slot = self.slots.at_mut(ix.0);
        let before = match occupant {
            Some(occupant) => slot.occupants.insert(unit, occupant),
            None => slot.occupants.remove(&unit),
        };
        if let Some(Occupant { demand, .. }) = before {
            slot.used.cpu_millis -= demand.cpu_millis;
            slot.used.memory_bytes -= demand.memory_bytes;
        }
        if let Some(Occupant { demand, .. }) = occupant {
            slot.used.cpu_millis += demand.cpu_millis;
            slot.used.memory_bytes += demand.memory_bytes;
        }
        self.list(ix);
        before
    }

    fn unlist(&mut self, ix: MachineIx) {
        if self.open.contains(ix.0) {
            let slot = self.slots.at(ix.0);
            let listed = self.by_load.remove(&(slot.load(), slot.id.clone(), ix));
            assert!(listed, "an open machine is listed by its load");
        }
    }

    /// Numbers the machines in the order of their ids, if one has come since. Must be called before the ranks are read.
    pub fn rank(&mut self) {
        if std::mem::take(&mut self.unranked) {
            for (rank, machine) in (0..).zip(self.by_id.values()) {
                self.vitals[machine.0 as usize].rank = rank;
            }
        }
    }

    /// What choosing asks of this machine.
    pub fn vitals(&self, ix: u32) -> &Vitals {
        &self.vitals[ix as usize]
    }

    /// One number for each machine that is or was known.
    pub fn width(&self) -> usize {
        self.vitals.len()
    }

    fn list(&mut self, ix: MachineIx) {
        let slot = self.slots.at(ix.0);
        let capacity = slot.machine.as_ref().map(|machine| machine.capacity).unwrap_or_default();
        let vitals = &mut self.vitals[ix.0 as usize];
        vitals.load = slot.load();
        vitals.fullness = slot.fullness();
        vitals.free = Resources {
            cpu_millis: capacity.cpu_millis.saturating_sub(slot.used.cpu_millis),
            memory_bytes: capacity.memory_bytes.saturating_sub(slot.used.memory_bytes),
        };
        if self.open.contains(ix.0) {
            self.by_load.insert((slot.load(), slot.id.clone(), ix));
        }
    }

    /// One more user of the class of these terms.
    pub fn acquire_class(&mut self, terms: &[MetadataTerm]) -> ClassIx {
        if let Some(class) = self.class_of.get(terms) {
            self.classes.at_mut(class.0).uses += 1;
            return *class;
        }
        let fits = |machine: &Machine| terms.iter().all(|term| term.holds(&machine.metadata));
        let machines =
            self.present().filter(|(_, _, machine)| fits(machine)).map(|(ix, _, _)| ix.0).collect();
        let class = ClassIx(self.classes.insert(Class { terms: terms.to_vec(), uses: 1, machines }));
        self.class_of.insert(terms.to_vec(), class);
        class
    }

    /// One user fewer.
    pub fn release_class(&mut self, class: ClassIx) {
        let slot = self.classes.at_mut(class.0);
        slot.uses -= 1;
        if slot.uses == 0 {
            let slot = self.classes.remove(class.0);
            self.class_of.remove(&slot.terms);
        }
    }

    /// The present machines of a class.
    pub fn of_class(&self, class: ClassIx) -> &Bits {
        &self.classes.at(class.0).machines
    }
}
