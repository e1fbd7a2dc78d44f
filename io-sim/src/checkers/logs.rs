//! One log, applied by everyone in order: the white-box half of the evidence.
//!
//! Verifies, at each observation: an index holds the same term and the same command wherever and whenever it is
//! applied; the state hash and the revision after an index are equal on all members; a member applies its entries
//! without a gap and without repeating one, and after a restart goes on from what it said it restored; a restored or
//! installed state is the state of its index. So a committed entry that is lost shows up as another entry at its
//! index. Does not verify: that the commands do what the API promises (see [`replay`](super::replay)), or that a
//! member catches up (see [`liveness`](super::liveness)).

use super::replay::{Command, tag_of};
use super::{Checked, ensure};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "logs";

/// An applied entry, as the first member to apply it reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The encoded command, empty for none.
    pub command: Bytes,
    /// The state hash after it.
    pub state_hash: u64,
    /// The revision after it.
    pub revision: i64,
}

/// Who asked for a command, for people: the operation of the plan, where the command carries its number.
fn whose(command: &Bytes) -> String {
    match crate::runner::decode(command) {
        Ok(Command::Call(call)) => {
            tag_of(&call).map_or("no numbered operation".to_string(), |tag| format!("operation {tag}"))
        }
        Ok(Command::Nothing) => "nobody's".to_string(),
        Err(_) => "unreadable".to_string(),
    }
}

/// The log as far as anybody has applied it.
#[derive(Default)]
pub struct Logs {
    /// The index of the state that every member of a new cluster begins with; 0 where that is empty.
    base: u64,
    entries: Vec<(Duration, Applied)>,
    applied: BTreeMap<u64, u64>,
}

impl Logs {
    /// A member starts from a state that holds everything up to index `applied`, at `revision`.
    pub fn restored(&mut self, member: u64, applied: u64, revision: i64) -> Checked {
        if self.entries.is_empty() && self.applied.is_empty() {
            self.base = applied;
        }
        // It may be ahead of what this member was seen to apply: a snapshot can be durable before it is reported.
        self.applied.insert(member, applied);
        ensure(applied <= self.last(), NAME, "restore-is-not-ahead", || {
            format!(
                "member {member} restored a state at index {applied}, but nobody applied more than {}",
                self.last()
            )
        })?;
        self.same_revision(member, applied, revision)
    }

    /// A member replaced its state by a snapshot at `index`.
    pub fn installed(&mut self, member: u64, index: u64, state_hash: u64) -> Checked {
        let before = self.applied.insert(member, index).unwrap_or(0);
        ensure(index >= before, NAME, "install-goes-forward", || {
            format!("member {member} installed a snapshot at index {index} over a state at {before}")
        })?;
        let Some(known) = self.at(index) else {
            return ensure(index == self.base, NAME, "install-is-known", || {
                format!("member {member} installed a snapshot at index {index}, which nobody has applied yet")
            });
        };
        ensure(known.state_hash == state_hash, NAME, "state-hash", || {
            format!(
                "member {member} installed a snapshot at index {index} with state hash {state_hash:016x}, others \
                 have {:016x}",
                known.state_hash
            )
        })
    }

    /// A member applied an entry, at world time `now`.
    pub fn applied(&mut self, member: u64, now: Duration, entry: Applied) -> Checked {
        let before = self.applied.entry(member).or_default();
        let expected = *before + 1;
        let index = entry.index;
        *before = index;
        ensure(index == expected, NAME, "in-order-once", || {
            format!("member {member} applied index {index} where {expected} was next")
        })?;
        let Some(known) = self.at(index) else {
            self.entries.push((now, entry));
            return Ok(());
        };
        ensure(known.term == entry.term && known.command == entry.command, NAME, "same-entry", || {
            format!(
                "index {index} is term {} with {} command bytes ({}) on member {member}, but was applied before \
                 as term {} with {} command bytes ({})",
                entry.term,
                entry.command.len(),
                whose(&entry.command),
                known.term,
                known.command.len(),
                whose(&known.command)
            )
        })?;
        ensure(known.state_hash == entry.state_hash, NAME, "state-hash", || {
            format!(
                "after index {index} ({}) member {member} has state hash {:016x}, others have {:016x}",
                whose(&entry.command),
                entry.state_hash,
                known.state_hash
            )
        })?;
        self.same_revision(member, index, entry.revision)
    }

    fn same_revision(&self, member: u64, index: u64, revision: i64) -> Checked {
        let Some(known) = self.at(index) else { return Ok(()) };
        ensure(known.revision == revision, NAME, "revision", || {
            format!(
                "at index {index} member {member} is at revision {revision}, others at {}",
                known.revision
            )
        })
    }

    fn at(&self, index: u64) -> Option<&Applied> {
        let position = usize::try_from(index.checked_sub(self.base + 1)?).ok()?;
        self.entries.get(position).map(|(_, entry)| entry)
    }

    fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The log so far, each entry with the world time of its first application.
    pub fn entries(&self) -> &[(Duration, Applied)] {
        &self.entries
    }

    /// The index up to which `member` has applied.
    pub fn applied_by(&self, member: u64) -> u64 {
        self.applied.get(&member).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, command: &'static str, state_hash: u64) -> Applied {
        Applied { index, term: 1, command: Bytes::from(command), state_hash, revision: index as i64 }
    }

    fn two_applied() -> Logs {
        let mut logs = Logs::default();
        logs.applied(1, Duration::ZERO, entry(1, "a", 10)).unwrap();
        logs.applied(1, Duration::ZERO, entry(2, "b", 20)).unwrap();
        logs
    }

    #[test]
    fn the_same_log_passes() {
        let mut logs = two_applied();
        assert_eq!(logs.applied(2, Duration::ZERO, entry(1, "a", 10)), Ok(()));
        assert_eq!(logs.restored(1, 1, 1), Ok(()));
        assert_eq!(logs.applied(1, Duration::ZERO, entry(2, "b", 20)), Ok(()));
        assert_eq!(logs.installed(3, 2, 20), Ok(()));
        assert_eq!(logs.applied_by(3), 2);
    }

    #[test]
    fn another_entry_at_an_applied_index_is_caught() {
        let failure = two_applied().applied(2, Duration::ZERO, entry(1, "x", 10)).unwrap_err();
        assert_eq!(failure.invariant, "same-entry");
    }

    #[test]
    fn a_different_state_is_caught() {
        assert_eq!(
            two_applied().applied(2, Duration::ZERO, entry(1, "a", 11)).unwrap_err().invariant,
            "state-hash"
        );
        assert_eq!(two_applied().installed(2, 2, 21).unwrap_err().invariant, "state-hash");
    }

    #[test]
    fn a_gap_and_a_repetition_are_caught() {
        assert_eq!(
            two_applied().applied(2, Duration::ZERO, entry(2, "b", 20)).unwrap_err().invariant,
            "in-order-once"
        );
        assert_eq!(
            two_applied().applied(1, Duration::ZERO, entry(2, "b", 20)).unwrap_err().invariant,
            "in-order-once"
        );
    }

    #[test]
    fn a_state_from_nowhere_is_caught() {
        assert_eq!(two_applied().restored(1, 3, 3).unwrap_err().invariant, "restore-is-not-ahead");
        assert_eq!(two_applied().restored(1, 2, 7).unwrap_err().invariant, "revision");
        assert_eq!(two_applied().installed(2, 9, 20).unwrap_err().invariant, "install-is-known");
    }
}
