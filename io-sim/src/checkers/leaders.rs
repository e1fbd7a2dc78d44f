//! At most one leader in a term.
//!
//! Verifies: no term is won twice, neither by two members nor by one that has forgotten that it had voted. The one exception
//! is a cluster of one: its member may lead before its vote is durable, and win the same term again after a crash, because
//! nothing that it acknowledged can be of a term that is not durable. Does not verify: that there is a leader (see
//! [`liveness`](super::liveness)), or who voted for whom.

use super::{Checked, ensure};
use std::collections::BTreeMap;

/// Who led which term.
pub struct Leaders {
    by_term: BTreeMap<u64, u64>,
    alone: bool,
}

impl Leaders {
    /// Of a cluster of so many members.
    pub fn of(members: u8) -> Self {
        Leaders { by_term: BTreeMap::new(), alone: members == 1 }
    }

    /// `member` reports that it leads `term`.
    pub fn elected(&mut self, member: u64, term: u64) -> Checked {
        let earlier = self.by_term.insert(term, member);
        ensure(earlier.is_none() || self.alone, "leaders", "one-leader-a-term", || {
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

    /// The highest term that anybody has won so far.
    pub fn term(&self) -> u64 {
        self.by_term.last_key_value().map_or(0, |(term, _)| *term)
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
        let mut leaders = Leaders::of(3);
        assert_eq!(leaders.elected(1, 5), Ok(()));
        assert_eq!(leaders.elected(2, 6), Ok(()));
        assert_eq!(leaders.newest(), Some(2));
        let failure = leaders.elected(3, 5).unwrap_err();
        assert_eq!(failure.invariant, "one-leader-a-term");
        assert!(leaders.elected(2, 6).is_err(), "nobody wins one term twice");
        let mut alone = Leaders::of(1);
        assert_eq!((alone.elected(1, 5), alone.elected(1, 5)), (Ok(()), Ok(())));
    }
}
