//! Election timeouts out of a seeded stream.
//!
//! The `raft` crate draws a new timeout from the thread's generator whenever it resets its election clock, which would make
//! two runs of one seed differ. It also lets its user overwrite the drawn value. Each reset sets the elapsed ticks to 0,
//! so whenever they are 0 after a call, the value may be a foreign one and is drawn again from our stream. Comparing the
//! value itself would not do: a foreign draw that happens to equal ours would leave our stream at another position.
//!
//! The draw spans half of the base, where the paper and etcd span the whole of it. It need only keep two members from
//! campaigning within one round trip of each other. The phases of their ticks, which nobody aligns, do most of that, a
//! pre-vote that fails costs no term, and the time without a leader, which adds to every lease of a machine that died
//! together with the leader, is half a timeout shorter at worst.

/// A stream of election timeouts in ticks, keyed by a seed.
#[derive(Clone, Debug)]
pub struct Timeouts {
    state: u64,
    base: usize,
}

impl Timeouts {
    /// Timeouts of at least `base` and less than one and a half times `base` ticks for member `id` under `seed`.
    pub fn new(seed: u64, id: u64, base: usize) -> Self {
        assert!(base > 0, "an election timeout is at least one tick");
        Timeouts { state: mix(seed ^ mix(id)), base }
    }

    /// The next timeout.
    pub fn draw(&mut self) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let scaled = (u128::from(mix(self.state)) * self.spread() as u128) >> 64;
        self.base + scaled as usize
    }

    /// How many values may be drawn.
    fn spread(&self) -> usize {
        (self.base / 2).max(1)
    }
}

/// The finalizer of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_stay_in_range_and_reach_both_ends() {
        let mut timeouts = Timeouts::new(1, 2, 5);
        let drawn: Vec<usize> = (0..500).map(|_| timeouts.draw()).collect();
        assert!(drawn.iter().all(|t| (5..7).contains(t)));
        assert!(drawn.contains(&5) && drawn.contains(&6));
    }

    #[test]
    fn members_of_one_seed_draw_different_streams() {
        let draw = |id| -> Vec<usize> {
            let mut timeouts = Timeouts::new(7, id, 100);
            (0..20).map(|_| timeouts.draw()).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
