//! Spans of numbers that are taken, and the gaps between them.

/// Spans, first and last number of each; in order, apart from each other.
#[derive(Debug)]
pub(super) struct Spans(Vec<(u128, u128)>);

impl Spans {
    /// From spans in any order, which may overlap.
    pub(super) fn new(spans: impl Iterator<Item = (u128, u128)>) -> Spans {
        let mut sorted: Vec<(u128, u128)> = spans.collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            assert!(first <= last, "the span {first} to {last} is empty");
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        assert!(merged.is_sorted_by(|one, next| one.1 < next.0), "spans are in order and apart");
        Spans(merged)
    }

    /// How many numbers are taken.
    pub(super) fn covered(&self) -> u128 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether this number is taken.
    pub(super) fn covers(&self, number: u128) -> bool {
        let before = self.0.partition_point(|(first, _)| *first <= number);
        before > 0 && number <= self.0[before - 1].1
    }

    /// The free number with `count` free ones before it.
    pub(super) fn gap(&self, count: u128) -> u128 {
        let mut number = count;
        for (first, last) in &self.0 {
            if number < *first {
                break;
            }
            number += last - first + 1;
        }
        assert!(!self.covers(number), "{number} was counted as free");
        number
    }
}
