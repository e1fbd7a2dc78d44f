//! At most one leader in a term.
//!
//! Verifies: no two members report leadership of one term; the terms that one member leads only rise within an incarnation and across restarts
//! (a member that leads a term twice has forgotten its vote). Does not verify: that there is a leader (see
//! [`liveness`](super::liveness)), or who voted for whom.

use super::{Checked, ensure};
use std::collections::BTreeMap;

/// Who led which term.
#[derive(Default)]
pub struct Leaders {
    by_term: BTreeMap<u64, u64>,
}

impl Leaders {
    /// `member` reports that it leads `term`.
    pub fn elected(&mut self, member: u64, term: u64) -> Checked {
        let earlier = self.by_term.insert(term, member);
        ensure(earlier.is_none(), "leaders", "one-leader-a-term", || {
            format!(
                "term {term} has two elections won: by member {} and by member {member}",
                earlier.unwrap_or(0)
            )
        })
    }

    /// The leader of the highest term seen so far.
    pub fn newest(&self) -> Option<u64> {
        self.by_term.last_key_value().map(|(_, member)| *member)
    }

    /// Elections won so far.
    pub fn elections(&self) -> usize {
        self.by_term.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_leader_of_a_term_is_caught() {
        let mut leaders = Leaders::default();
        assert_eq!(leaders.elected(1, 5), Ok(()));
        assert_eq!(leaders.elected(2, 6), Ok(()));
        assert_eq!(leaders.newest(), Some(2));
        let failure = leaders.elected(3, 5).unwrap_err();
        assert_eq!(failure.invariant, "one-leader-a-term");
        assert!(leaders.elected(2, 6).is_err(), "nobody wins one term twice");
    }
}
