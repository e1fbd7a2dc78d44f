//! In the calm, a healthy majority makes progress within a bound.
//!
//! Verifies, once every fault has healed and the bound has passed: each call ends with a definite outcome, no write is
//! refused for lack of room or for overload, and every member has applied what was in the log a while ago. Does not
//! verify: progress under faults, nor how fast. The plan keeps a majority of good disks, so a run that stays stuck is
//! a bug and needs no excuse.

use super::logs::Logs;
use super::{Checked, ensure};
use crate::history::{History, Outcome};
use kernel::Code;
use std::time::Duration;

const NAME: &str = "liveness";

/// Checks the calls that were asked for at or after `healthy`, the end of the bound.
pub fn calls(history: &History, healthy: Duration) -> Checked {
    for operation in history.operations.iter().filter(|operation| operation.invoked >= healthy) {
        let served = match &operation.outcome {
            Outcome::Ok(_) => true,
            Outcome::Refused(error) => error.code != Code::ResourceExhausted,
            Outcome::Unknown => false,
        };
        ensure(served, NAME, "calm-is-served", || {
            format!(
                "operation {} of client {} on member {}, asked at {:?} in the calm, ended at {:?} with {:?}",
                operation.tag,
                operation.client,
                operation.member,
                operation.invoked,
                operation.returned,
                operation.outcome
            )
        })?;
    }
    Ok(())
}

/// Checks that each of `members` has applied everything that anybody had applied at `before`.
pub fn caught_up(logs: &Logs, members: impl Iterator<Item = u64>, before: Duration) -> Checked {
    let upto = logs.entries().partition_point(|(at, _)| *at <= before);
    let due = logs.entries()[..upto].last().map_or(0, |(_, entry)| entry.index);
    for member in members {
        let applied = logs.applied_by(member);
        ensure(applied >= due, NAME, "all-catch-up", || {
            format!(
                "member {member} has applied up to {applied}, but index {due} was applied elsewhere by {before:?}"
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixtures::*;
    use crate::checkers::logs::Applied;
    use bytes::Bytes;
    use kernel::KvError;

    fn judge(invoked: u64, outcome: Outcome) -> Result<(), &'static str> {
        let operations = vec![operation(1, invoked, invoked + 5, tagged_put("a", 1), outcome)];
        calls(&History { operations, watches: Vec::new() }, ms(100)).map_err(|failure| failure.invariant)
    }

    #[test]
    fn a_call_that_hangs_in_the_calm_is_caught() {
        assert_eq!(judge(100, Outcome::Unknown), Err("calm-is-served"));
        assert_eq!(judge(99, Outcome::Unknown), Ok(()));
        assert_eq!(judge(100, Outcome::Refused(KvError::no_space())), Err("calm-is-served"));
        assert_eq!(judge(100, Outcome::Refused(KvError::lease_not_found())), Ok(()));
    }

    #[test]
    fn a_member_left_behind_is_caught() {
        let mut logs = Logs::default();
        for index in 1..=2 {
            let entry = Applied { index, term: 1, command: Bytes::new(), state_hash: 0, revision: 1 };
            logs.applied(1, ms(index * 10), entry).unwrap();
        }
        assert_eq!(caught_up(&logs, 1..=2, ms(9)), Ok(()));
        assert_eq!(caught_up(&logs, 1..=2, ms(10)).unwrap_err().invariant, "all-catch-up");
    }
}
