//! The mind alone: what a store that answers late does to times.

use super::*;
use crate::holder::calls::{Call, Outcome, Sought};
use crate::holder::mind::{Mind, Phase};
use crate::registry::Loaded;
use kernel::KvError;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A mind that has read an empty store and has just asked for these subnets.
fn asking() -> (Mind, SubnetKey) {
    let mut mind = Mind::new(HolderConfig::default(), "/config".to_owned(), 1, Probe::default());
    mind.offered(offer(1, WIDE), at(1));
    assert_eq!(mind.turn(at(1)), [Call::Load]);
    let loaded = Loaded { revision: 7, config: Some(WIDE.to_owned()), ..Loaded::default() };
    mind.ended(Outcome::Loaded(Ok(loaded)), at(2));
    let calls = mind.turn(at(2));
    let [Call::Watch { from: 8, .. }, Call::Take { key, seen: 7, .. }] = &calls[..] else {
        panic!("{calls:?}")
    };
    (mind, *key)
}

fn holding() -> Mind {
    let (mut mind, key) = asking();
    let lease = Lease { key, value: value(1), lease: 5, mod_revision: 8 };
    let got = Sought::Got { lease, ttl: Some(LEASE_TTL), sent: at(2) };
    mind.ended(Outcome::Sought(Ok(got)), at(6));
    assert_eq!(mind.turn(at(6)), []);
    mind
}

fn until(mind: &mut Mind) -> Duration {
    match mind.picture().standing {
        Standing::Held { until, .. } => until,
        other => panic!("{other:?}"),
    }
}

/// The call that renews what is held.
fn renewal(mind: &Mind) -> Call {
    let Phase::Held(held) = &mind.phase else { panic!("{:?}", mind.phase) };
    Call::Renew { lease: held.lease.lease, key: held.lease.key }
}

#[test]
fn a_renewal_that_finds_its_key_gone_reads_the_store_anew() {
    let mut mind = holding();
    let due = mind.wake(at(6)).unwrap();
    let call = renewal(&mind);
    assert_eq!(mind.turn(due), [call]);
    mind.ended(Outcome::Renewed { lease: 5, sent: due, ttl: Ok(LEASE_TTL), stray: true }, due + at(1));
    assert_eq!(mind.turn(due + at(1)), [Call::Load]);
    let loaded = Loaded { revision: 20, config: Some(WIDE.to_owned()), ..Loaded::default() };
    mind.ended(Outcome::Loaded(Ok(loaded)), due + at(2));
    mind.turn(due + at(2));
    assert!(matches!(mind.picture().standing, Standing::Lost(_)));
}

#[test]
fn a_late_answer_makes_no_lease_longer() {
    let mut mind = holding();
    assert_eq!(until(&mut mind), at(2) + LEASE_TTL - EXPIRY_SLACK);
    let due = mind.wake(at(6)).unwrap();
    assert_eq!(due, at(2) + RENEW_PERIOD);
    let call = renewal(&mind);
    assert_eq!(mind.turn(due), [call]);
    mind.ended(Outcome::Renewed { lease: 5, sent: due, ttl: Ok(LEASE_TTL), stray: false }, due + at(4));
    assert_eq!(until(&mut mind), due + LEASE_TTL - EXPIRY_SLACK);
    mind.ended(Outcome::Renewed { lease: 5, sent: due + at(9), ttl: Ok(at(60)), stray: false }, due + at(9));
    assert_eq!(until(&mut mind), due + LEASE_TTL - EXPIRY_SLACK, "a shorter answer takes nothing back");
}

#[test]
fn a_lease_ends_by_the_clock_though_a_renewal_is_under_way() {
    let mut mind = holding();
    let end = until(&mut mind);
    let call = renewal(&mind);
    assert_eq!(mind.turn(at(2) + RENEW_PERIOD), [call]);
    assert_eq!(mind.wake(at(2) + RENEW_PERIOD), Some(end));
    assert_eq!(mind.turn(end), [Call::Load]);
    assert!(matches!(mind.picture().standing, Standing::Lost(_)));
    // The answer to the renewal comes too late to bring it back.
    mind.ended(
        Outcome::Renewed { lease: 5, sent: at(2) + RENEW_PERIOD, ttl: Ok(LEASE_TTL), stray: false },
        end,
    );
    assert!(matches!(mind.picture().standing, Standing::Lost(_)));
}

#[test]
fn a_create_without_an_answer_is_looked_for_before_another_is_made() {
    let (mut mind, key) = asking();
    mind.ended(Outcome::Sought(Err(KvError::timeout())), at(7));
    assert_eq!(mind.turn(at(7)), [Call::Load]);
    let lease = Lease { key, value: value(1), lease: 5, mod_revision: 8 };
    let loaded = Loaded { revision: 8, leases: vec![lease.clone()], ..Loaded::default() };
    mind.ended(Outcome::Loaded(Ok(loaded)), at(8));
    let calls = mind.turn(at(8));
    assert_eq!(calls[1..], [Call::Adopt { lease, value: value(1) }]);
}

#[test]
fn what_an_older_watch_says_does_not_count() {
    let mut mind = holding();
    mind.watched(1, crate::registry::Batch::Resync, at(7));
    assert_eq!(mind.turn(at(7)), [Call::Load]);
    let before = mind.view.revision;
    let loaded = Loaded { revision: 20, config: Some(WIDE.to_owned()), ..Loaded::default() };
    mind.ended(Outcome::Loaded(Ok(loaded)), at(8));
    mind.watched(1, crate::registry::Batch::Events(99, Vec::new()), at(8));
    assert_eq!((before, mind.view.revision), (7, 20));
}

#[test]
fn pauses_are_drawn_from_the_seed_and_bounded() {
    let draw = |seed: u64| {
        let mut mind = Mind::new(HolderConfig::default(), String::new(), seed, Probe::default());
        let mut pauses = Vec::new();
        let mut now = at(1);
        for _ in 0..12 {
            assert_eq!(mind.turn(now), [Call::Load]);
            mind.ended(Outcome::Loaded(Err(KvError::no_leader())), now);
            let next = mind.wake(now).unwrap();
            pauses.push(next - now);
            now = next;
        }
        pauses
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let pauses = draw(1);
    assert!(
        pauses[0] <= RETRY_FIRST
            && pauses.iter().all(|pause| *pause >= RETRY_FIRST / 2 && *pause <= RETRY_MOST)
    );
}
