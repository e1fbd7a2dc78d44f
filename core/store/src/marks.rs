//! Whether this member's state is what the others have: digests of the state at the same index, compared as they go by.
//!
//! Every member folds each effect of each entry into one hash (see `mvcc`), so two that have applied the same log have the same
//! hash at the same index. Each keeps its hash at every [`EVERY`]th index for a while and tells the others the newest once a
//! second. Where a member's own hash at an index differs from one that a majority of all members has, the member is wrong: by
//! a fault of its memory, or of this program. Where no majority speaks, all that can be said is that somebody is wrong.

use std::collections::{BTreeMap, VecDeque};

/// The distance of two marks, in entries.
const EVERY: u64 = 32;
/// Marks that are kept: the past with which a member that lags can be compared.
const KEPT: usize = 4_096;
/// Indexes at which others have told their hash and this member has yet to come.
const AHEAD: usize = 64;

/// What this member and the others had at certain indexes.
#[derive(Debug, Default)]
pub struct Marks {
    own: VecDeque<(u64, u64)>,
    /// By index, the hash of each other member that told one.
    told: BTreeMap<u64, BTreeMap<u64, u64>>,
    members: usize,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Nothing,
    /// A majority has what this member has.
    Agrees,
    /// A member has another state than this one, at this index; who is wrong cannot be told.
    Differs { peer: u64, index: u64 },
    /// A majority has one state at this index, and this member has another.
    Wrong { index: u64 },
}

impl Marks {
    /// For a cluster of so many members.
    pub fn new(members: usize) -> Marks {
        Marks { members, ..Marks::default() }
    }

    /// Whether the hash at `index` is wanted.
    pub fn wants(index: u64) -> bool {
        index.is_multiple_of(EVERY)
    }

    /// This member's hash at an index, later than all before.
    pub fn note(&mut self, index: u64, hash: u64) -> Verdict {
        if self.own.len() == KEPT {
            self.own.pop_front();
        }
        self.own.push_back((index, hash));
        self.judge(index)
    }

    /// The newest mark; zeros for none.
    pub fn newest(&self) -> (u64, u64) {
        self.own.back().copied().unwrap_or_default()
    }

    /// Member `peer` had `hash` at `index`.
    pub fn hear(&mut self, peer: u64, index: u64, hash: u64) -> Verdict {
        let ahead = self.newest().0 < index;
        if index == 0 || !ahead && self.own_at(index).is_none() {
            return Verdict::Nothing;
        }
        self.told.entry(index).or_default().insert(peer, hash);
        while self.told.len() > AHEAD {
            self.told.pop_first();
        }
        self.judge(index)
    }

    /// The state was replaced: what it was before is of no interest.
    pub fn forget(&mut self) {
        self.own.clear();
        self.told.clear();
    }

    fn own_at(&self, index: u64) -> Option<u64> {
        let place = self.own.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(self.own[place].1)
    }

    fn judge(&self, index: u64) -> Verdict {
        let (Some(own), Some(told)) = (self.own_at(index), self.told.get(&index)) else {
            return Verdict::Nothing;
        };
        let mut votes: BTreeMap<u64, usize> = BTreeMap::from([(own, 1)]);
        told.values().for_each(|hash| *votes.entry(*hash).or_default() += 1);
        let majority = self.members / 2 + 1;
        if votes.iter().any(|(hash, count)| *hash != own && *count >= majority) {
            return Verdict::Wrong { index };
        }
        if votes[&own] >= majority {
            return Verdict::Agrees;
        }
        let other = told.iter().find(|(_, hash)| **hash != own);
        other.map_or(Verdict::Nothing, |(peer, _)| Verdict::Differs { peer: *peer, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Marks {
        let mut marks = Marks::new(3);
        assert_eq!(marks.note(32, 10), Verdict::Nothing);
        assert_eq!(marks.note(64, 20), Verdict::Nothing);
        marks
    }

    #[test]
    fn equal_states_are_well() {
        let mut marks = three();
        assert_eq!(marks.hear(2, 64, 20), Verdict::Agrees);
        assert_eq!(marks.hear(3, 32, 10), Verdict::Agrees);
        assert_eq!(marks.newest(), (64, 20));
    }

    #[test]
    fn a_majority_says_who_is_wrong() {
        let mut marks = three();
        assert_eq!(marks.hear(2, 64, 21), Verdict::Differs { peer: 2, index: 64 });
        assert_eq!(marks.hear(3, 64, 21), Verdict::Wrong { index: 64 });
        let mut marks = three();
        assert_eq!(marks.hear(2, 64, 20), Verdict::Agrees);
        assert_eq!(
            marks.hear(3, 64, 21),
            Verdict::Agrees,
            "two of three are of one mind, and this is one of them"
        );
    }

    #[test]
    fn a_member_that_is_behind_is_judged_when_it_gets_there() {
        let mut marks = three();
        assert_eq!(marks.hear(2, 96, 30), Verdict::Nothing);
        assert_eq!(marks.hear(3, 96, 30), Verdict::Nothing);
        assert_eq!(marks.note(96, 31), Verdict::Wrong { index: 96 });
        marks.forget();
        assert_eq!(marks.note(128, 1), Verdict::Nothing);
        assert_eq!(marks.hear(2, 96, 30), Verdict::Nothing, "that was another state");
    }

    #[test]
    fn two_alone_cannot_tell() {
        let mut marks = Marks::new(2);
        marks.note(32, 1);
        assert_eq!(marks.hear(2, 32, 2), Verdict::Differs { peer: 2, index: 32 });
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut marks = Marks::new(3);
        for index in 1..10_000 {
            marks.note(index * EVERY, index);
        }
        assert_eq!(marks.own.len(), KEPT);
        for index in 10_000..20_000 {
            marks.hear(2, index * EVERY, index);
        }
        assert_eq!(marks.told.len(), AHEAD);
    }
}
