//! A set of small numbers, one bit each: "these machines". A thousand machines are sixteen words, so that intersecting all
//! constraints of a unit costs less than asking one machine about one of them.

/// A growing set of dense numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    pub fn remove(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    pub fn set(&mut self, number: u32, member: bool) {
        if member { self.insert(number) } else { self.remove(number) }
    }

    pub fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Keeps what is in `other` as well.
    pub fn keep(&mut self, other: &Bits) {
        self.0.truncate(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(word, theirs)| *word &= theirs);
    }

    /// Takes out what is in `other`.
    pub fn drop_all(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, theirs)| *word &= !theirs);
    }

    /// Adds what is in `other`.
    pub fn add_all(&mut self, other: &Bits) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, theirs)| *word |= theirs);
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}

impl FromIterator<u32> for Bits {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> Self {
        let mut bits = Bits::default();
        numbers.into_iter().for_each(|number| bits.insert(number));
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    quickcheck::quickcheck! {
        fn agrees_with_an_ordered_set(left: Vec<u8>, right: Vec<u8>) -> bool {
            let bits = |numbers: &[u8]| numbers.iter().map(|n| u32::from(*n)).collect::<Bits>();
            let (a, b) = (left.iter().map(|n| u32::from(*n)).collect::<BTreeSet<_>>(),
                right.iter().map(|n| u32::from(*n)).collect::<BTreeSet<_>>());
            let (mut kept, mut dropped, mut added) = (bits(&left), bits(&left), bits(&left));
            kept.keep(&bits(&right));
            dropped.drop_all(&bits(&right));
            added.add_all(&bits(&right));
            kept.iter().eq(a.intersection(&b).copied())
                && dropped.iter().eq(a.difference(&b).copied())
                && added.iter().eq(a.union(&b).copied())
                && added.len() == a.union(&b).count()
                && kept.is_empty() == a.is_disjoint(&b)
                && b.iter().all(|n| added.contains(*n))
        }
    }
}
