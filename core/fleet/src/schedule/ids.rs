//! Dense numbers for things that have names: an index into an arena, given again when the thing is gone.

/// A unit's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnitIx(pub u32);

/// A machine's slot; also its bit in every [`super::bits::Bits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MachineIx(pub u32);

/// A pattern's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PatternIx(pub u32);

/// A metadata class's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassIx(pub u32);

/// Values in numbered slots; the number of a value that was removed is given to another one later.
#[derive(Clone, Debug)]
pub(super) struct Arena<T> {
    slots: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { slots: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Arena<T> {
    /// Puts a value in; returns its number.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self.slots[number as usize] = Some(value);
            return number;
        }
        self.slots.push(Some(value));
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 units, machines and patterns")
    }

    /// Takes a value out.
    pub fn remove(&mut self, number: u32) -> T {
        let value = self.slots[number as usize].take().expect("only what is there is removed");
        self.vacant.push(number);
        value
    }

    /// The value with this number, which is there.
    pub fn at(&self, number: u32) -> &T {
        self.slots[number as usize].as_ref().expect("an index outlives no value")
    }

    /// The value with this number, which is there.
    pub fn at_mut(&mut self, number: u32) -> &mut T {
        self.slots[number as usize].as_mut().expect("an index outlives no value")
    }

    /// All values with their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.slots).filter_map(|(number, slot)| Some((number, slot.as_mut()?)))
    }
}
