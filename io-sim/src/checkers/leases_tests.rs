//! One lease of 10 s, granted at 1 s, with clocks that may be 1 % off.

use super::*;
use crate::checkers::fixtures::*;
use kernel::lease::*;

const TERMS: Terms = Terms {
    drift_ppm: 10_000,
    disturbed: Duration::from_secs(2),
    healthy: Duration::from_secs(5),
    slack: Duration::from_secs(3),
    end: Duration::from_secs(60),
};

fn renewal(invoked: u64, ttl: i64) -> Operation {
    let reply = Reply::KeepAlive(LeaseKeepAliveResponse { header: None, id: 7, ttl });
    let call = Call::KeepAlive(LeaseKeepAliveRequest { id: 7 });
    operation(1, invoked, invoked + 10, call, Outcome::Ok(reply))
}

/// The lease ends at `ended` milliseconds, 0 for never.
fn judge(ended: u64, operations: Vec<Operation>) -> Result<(), &'static str> {
    let granted = operation(9, 990, 1_010, grant(7, 10), Outcome::Unknown);
    judge_only(ended, operations.into_iter().chain([granted]).collect())
}

/// The same, where `operations` are the whole history.
fn judge_only(ended: u64, operations: Vec<Operation>) -> Result<(), &'static str> {
    let mut log = vec![(1_000, grant(7, 10))];
    if ended > 0 {
        log.push((ended, revoke(7)));
    }
    let history = History { operations, watches: Vec::new() };
    check(&history, &replay_of(&log), TERMS).map_err(|failure| failure.invariant)
}

#[test]
fn what_no_client_of_the_history_was_granted_is_not_judged() {
    assert_eq!(judge_only(5_000, vec![]), Ok(()));
}

#[test]
fn an_expiry_in_time_passes() {
    assert_eq!(judge(11_000, vec![]), Ok(()));
    assert_eq!(judge(10_900, vec![]), Ok(()), "the clock may run 1 % fast");
    assert_eq!(judge(19_000, vec![renewal(8_000, 10)]), Ok(()));
}

#[test]
fn an_early_end_is_caught() {
    assert_eq!(judge(10_800, vec![]), Err("lives-its-time"));
    assert_eq!(judge(11_500, vec![renewal(8_000, 10)]), Err("lives-its-time"));
    let asked = operation(2, 3_000, 3_010, revoke(7), Outcome::Unknown);
    assert_eq!(judge(3_005, vec![asked]), Ok(()), "a client may end it");
}

#[test]
fn a_renewal_that_was_not_acknowledged_in_time_promises_nothing() {
    let mut late = renewal(10_950, 10);
    late.returned = ms(12_000);
    assert_eq!(judge(11_500, vec![late]), Ok(()));
}

#[test]
fn a_false_denial_is_caught() {
    assert_eq!(judge(12_000, vec![renewal(5_000, 0)]), Err("denial-is-true"));
    assert_eq!(judge(12_000, vec![renewal(12_500, 0)]), Ok(()));
    assert_eq!(judge(12_000, vec![renewal(11_500, 0)]), Ok(()), "its time was over already");
}

#[test]
fn a_lease_that_stays_is_caught() {
    assert_eq!(judge(0, vec![]), Err("ends-in-time"));
    assert_eq!(judge(20_000, vec![]), Err("ends-in-time"));
    assert_eq!(judge(0, vec![renewal(50_000, 10)]), Ok(()));
}
