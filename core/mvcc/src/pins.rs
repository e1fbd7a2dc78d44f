//! What readers still need of history.
//!
//! A reader that looks at the state more than once pins the compacted revision that it found: whatever was readable then
//! stays in the index and on disk until the pin is gone. A compaction that is applied meanwhile counts at once for whoever comes
//! later; only its pruning waits, for as long as the slowest reader that was there before it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Compacted revisions that are pinned, each with how many pin it.
#[derive(Default)]
pub(crate) struct Pins(Mutex<BTreeMap<i64, usize>>);

impl Pins {
    /// Keeps what a compaction at `compacted` left. Only under the state lock, with the state's own compacted revision.
    pub fn pin(&self, compacted: i64) {
        *self.locked().entry(compacted).or_default() += 1;
    }

    /// Gives one pin back.
    pub fn unpin(&self, compacted: i64) {
        let mut pins = self.locked();
        let count = pins.get_mut(&compacted).expect("a pin is given back once");
        *count -= 1;
        if *count == 0 {
            pins.remove(&compacted);
        }
    }

    /// Whether a reader needs what a compaction at `compacted` drops.
    pub fn hold_back(&self, compacted: i64) -> bool {
        self.locked().first_key_value().is_some_and(|(oldest, _)| *oldest < compacted)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<i64, usize>> {
        self.0.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pin_holds_later_compactions_back() {
        let pins = Pins::default();
        assert!(!pins.hold_back(9));
        pins.pin(-1);
        pins.pin(5);
        pins.pin(5);
        assert!(pins.hold_back(1));
        pins.unpin(-1);
        assert!(!pins.hold_back(5), "what is compacted already cannot be held back");
        assert!(pins.hold_back(6));
        pins.unpin(5);
        assert!(pins.hold_back(6), "another reader is still there");
        pins.unpin(5);
        assert!(!pins.hold_back(6));
    }
}
