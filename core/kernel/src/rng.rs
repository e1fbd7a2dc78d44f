//! Seeded random numbers that do not depend on the order of drawing.
//!
//! A [`Stream`] is keyed by (seed, name, entity) and counts its draws: draw `n` of a stream is a hash of the key and `n`. So
//! drawing more from one stream never shifts another, which is what lets a simulation drop one fault and keep the rest.

/// A counter-based stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    key: u64,
    drawn: u64,
}

impl Stream {
    /// The stream `name` of `entity` (a member, a link, a file; 0 where there is one only) under `seed`.
    pub fn new(seed: u64, name: &str, entity: u64) -> Self {
        let named = name.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |key, byte| mix(key ^ u64::from(byte)));
        Stream { key: mix(named ^ mix(entity)), drawn: 0 }
    }

    /// The next number, uniform over all of `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.key ^ self.drawn.wrapping_mul(0xd129_0226_4ff1_0c6b))
    }

    /// Uniform in `0..bound`. `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no member");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "the range {low}..={high} is empty");
        low + self.below((high - low).saturating_add(1))
    }

    /// True with probability `numerator / denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A full-avalanche mix of 64 bits (the finalizer of SplitMix64).
pub fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn below_stays_below(seed: u64, bound: u64) -> bool {
            let bound = bound.max(1);
            Stream::new(seed, "test", 0).below(bound) < bound
        }

        fn streams_do_not_disturb_each_other(seed: u64, extra: u8) -> bool {
            let mut alone = Stream::new(seed, "a", 1);
            let mut other = Stream::new(seed, "b", 1);
            let mut beside = Stream::new(seed, "a", 1);
            (0..8).all(|_| {
                (0..extra).for_each(|_| { other.next_u64(); });
                alone.next_u64() == beside.next_u64()
            })
        }
    }
}
