//! The globs that units declare, and for each: which units it matches, and on which machines those are.
//!
//! A pattern that a thousand units share is matched once. When a unit appears, only the patterns whose literal beginning (the
//! text before the first special character) begins its name are tried; when a pattern appears, only the units whose names
//! begin so. From then on, "who conflicts with me, and where" is the union of a few sets of machines.

use super::bits::Bits;
use super::ids::{Arena, PatternIx, UnitIx};
use crate::unit::glob;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Machines, each as often as it was added.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    bits: Bits,
    counts: BTreeMap<u32, u32>,
}

impl Tally {
    /// One more there.
    pub fn add(&mut self, machine: u32) {
        *self.counts.entry(machine).or_default() += 1;
        self.bits.insert(machine);
    }

    /// One fewer there.
    pub fn remove(&mut self, machine: u32) {
        let count = self.counts.get_mut(&machine).expect("only what was added is removed");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&machine);
            self.bits.remove(machine);
        }
    }

    /// How many there.
    pub fn count(&self, machine: u32) -> u32 {
        self.counts.get(&machine).copied().unwrap_or(0)
    }

    /// The machines that have any, and how many.
    pub fn counts(&self) -> impl Iterator<Item = (u32, u32)> {
        self.counts.iter().map(|(machine, count)| (*machine, *count))
    }

    /// The machines that have any.
    pub fn machines(&self) -> &Bits {
        &self.bits
    }

    /// Whether no machine has any.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// One glob.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern {
    /// As it was written.
    pub text: Arc<str>,
    /// How many declarations name it.
    uses: u32,
    /// The units that it matches.
    pub units: BTreeSet<UnitIx>,
    /// The units that must be (MachineOf) where one that it matches is.
    pub followers: BTreeSet<UnitIx>,
    /// The units that take the machine of what it matches.
    pub replacers: BTreeSet<UnitIx>,
    /// Where units that it matches are, leaving ones included.
    pub here: Tally,
    /// Where units that it matches are and stay.
    pub staying: Tally,
    /// Where units are that conflict with it, leaving ones included.
    pub conflicting: Tally,
    /// Where units are and stay that replace what it matches.
    pub replacing: Tally,
}

/// All globs.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    slots: Arena<Pattern>,
    by_text: BTreeMap<Arc<str>, PatternIx>,
    by_beginning: BTreeMap<Arc<str>, BTreeSet<PatternIx>>,
    /// The lengths of beginnings, and how many distinct beginnings have each.
    lengths: BTreeMap<usize, usize>,
}

/// The text before the first special character.
pub(super) fn beginning(pattern: &str) -> &str {
    &pattern[..pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len())]
}

/// Whether the pattern means this unit. A name is always its own pattern: systemd escapes names with a backslash.
pub(super) fn means(pattern: &str, name: &str) -> bool {
    pattern == name || glob::matches(pattern, name)
}

impl Patterns {
    /// The pattern with this number.
    pub fn at(&self, pattern: PatternIx) -> &Pattern {
        self.slots.at(pattern.0)
    }

    /// The pattern with this number.
    pub fn at_mut(&mut self, pattern: PatternIx) -> &mut Pattern {
        self.slots.at_mut(pattern.0)
    }

    /// All patterns.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.by_text.values().map(|pattern| self.at(*pattern))
    }

    /// All patterns that mean this unit, ascending.
    pub fn matching(&self, name: &str) -> Vec<PatternIx> {
        let mut found = Vec::new();
        for length in self.lengths.keys() {
            let Some(beginning) = name.get(..*length) else { continue };
            let Some(patterns) = self.by_beginning.get(beginning) else { continue };
            found.extend(patterns.iter().copied().filter(|ix| means(&self.at(*ix).text, name)));
        }
        found.sort_unstable();
        found
    }

    /// One more declaration of this text. The second value tells that it is new, and that its units are still to be added.
    pub fn acquire(&mut self, text: &str) -> (PatternIx, bool) {
        if let Some(pattern) = self.by_text.get(text).copied() {
            self.at_mut(pattern).uses += 1;
            return (pattern, false);
        }
        let text: Arc<str> = text.into();
        let pattern =
            PatternIx(self.slots.insert(Pattern { text: text.clone(), uses: 1, ..Pattern::default() }));
        self.by_text.insert(text.clone(), pattern);
        let same = self.by_beginning.entry(beginning(&text).into()).or_default();
        if same.is_empty() {
            *self.lengths.entry(beginning(&text).len()).or_default() += 1;
        }
        same.insert(pattern);
        (pattern, true)
    }

    /// One declaration fewer. Returns the units that it meant if that was the last.
    pub fn release(&mut self, pattern: PatternIx) -> Option<BTreeSet<UnitIx>> {
        let slot = self.at_mut(pattern);
        slot.uses -= 1;
        if slot.uses > 0 {
            return None;
        }
        let slot = self.slots.remove(pattern.0);
        assert!(slot.followers.is_empty() && slot.replacers.is_empty());
        assert!(slot.conflicting.is_empty() && slot.replacing.is_empty());
        self.by_text.remove(&slot.text);
        let same = self
            .by_beginning
            .get_mut(beginning(&slot.text))
            .expect("each pattern is listed by its beginning");
        same.remove(&pattern);
        if same.is_empty() {
            let length = beginning(&slot.text).len();
            self.by_beginning.remove(beginning(&slot.text));
            let lengths = self.lengths.get_mut(&length).expect("each beginning's length is counted");
            *lengths -= 1;
            if *lengths == 0 {
                self.lengths.remove(&length);
            }
        }
        Some(slot.units)
    }
}
