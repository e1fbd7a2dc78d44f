//! Which unit texts are still named by a job or an order; the others are dropped.

use crate::registry::{Event, Snapshot};
use crate::unit::UnitHash;
use std::collections::{BTreeMap, BTreeSet};

/// Counts who names each text.
#[derive(Default)]
pub(super) struct Texts {
    users: BTreeMap<UnitHash, u32>,
    /// Texts to look at: nobody named them when last seen.
    unused: BTreeSet<UnitHash>,
}

impl Texts {
    pub(super) fn of(view: &Snapshot) -> Texts {
        let mut texts = Texts::default();
        for job in view.jobs.values() {
            job.hash.into_iter().chain(job.previous).for_each(|hash| texts.add(hash));
        }
        view.orders.values().for_each(|order| texts.add(order.value.hash));
        let named = |hash: &&UnitHash| texts.users.contains_key(*hash);
        texts.unused = view.files.keys().filter(|hash| !named(hash)).copied().collect();
        texts
    }

    /// The text that the key of this event names in `view`.
    pub(super) fn named(view: &Snapshot, event: &Event) -> Option<UnitHash> {
        match event {
            Event::Object { unit, .. } => view.jobs.get(unit)?.hash,
            Event::Previous { unit, .. } => view.jobs.get(unit)?.previous,
            Event::Order { machine, unit, .. } => {
                view.orders.get(&(unit.clone(), machine.clone())).map(|order| order.value.hash)
            }
            _ => None,
        }
    }

    /// A key names another text, or none, than before.
    pub(super) fn change(&mut self, before: Option<UnitHash>, after: Option<UnitHash>) {
        after.into_iter().for_each(|hash| self.add(hash));
        before.into_iter().for_each(|hash| self.remove(hash));
    }

    /// A text was written, or was not dropped though nobody names it.
    pub(super) fn look_at(&mut self, hash: UnitHash) {
        self.unused.insert(hash);
    }

    /// Texts that nobody names now.
    pub(super) fn unused(&mut self) -> Vec<UnitHash> {
        let users = &self.users;
        std::mem::take(&mut self.unused).into_iter().filter(|hash| !users.contains_key(hash)).collect()
    }

    fn add(&mut self, hash: UnitHash) {
        *self.users.entry(hash).or_default() += 1;
    }

    fn remove(&mut self, hash: UnitHash) {
        let users = self.users.get_mut(&hash).expect("what was named is counted");
        *users -= 1;
        if *users == 0 {
            self.users.remove(&hash);
            self.unused.insert(hash);
        }
    }
}
