//! Lives of leases against the plainest model: for each, the earliest moment at which it may end.

use super::*;
use quickcheck::{Arbitrary, Gen, quickcheck};

#[derive(Clone, Debug)]
enum Step {
    Wait(u16),
    Grant {
        id: u8,
        ttl: u8,
    },
    Renew(u8),
    /// Offers up to `most`, and lets the revokes of the first `applied` of them be applied.
    Expire {
        most: u8,
        applied: u8,
    },
    Promote,
    Demote,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let id = u8::arbitrary(g) % 6;
        match u8::arbitrary(g) % 16 {
            0..4 => Step::Wait(u16::arbitrary(g) % 4_000),
            4..7 => Step::Grant { id, ttl: 1 + u8::arbitrary(g) % 8 },
            7..10 => Step::Renew(id),
            10..14 => Step::Expire { most: u8::arbitrary(g) % 5, applied: u8::arbitrary(g) % 5 },
            14 => Step::Promote,
            _ => Step::Demote,
        }
    }
}

/// What a lease is promised: alive until then.
#[derive(Default)]
struct Model {
    leads: bool,
    now: Duration,
    /// The replicated leases: id to TTL.
    state: BTreeMap<i64, i64>,
    promised: BTreeMap<i64, Duration>,
    offered: BTreeMap<i64, Duration>,
}

impl Model {
    fn take(&mut self, lessor: &mut Lessor, step: Step) {
        let now = self.now;
        match step {
            Step::Wait(millis) => self.now += Duration::from_millis(millis.into()),
            Step::Grant { id, ttl } => {
                let (id, ttl) = (i64::from(id), i64::from(ttl));
                if self.state.contains_key(&id) {
                    return;
                }
                self.state.insert(id, ttl);
                lessor.granted(id, ttl, now);
                if self.leads {
                    self.promised.insert(id, now + seconds(ttl));
                }
            }
            Step::Renew(id) => self.renew(lessor, i64::from(id)),
            Step::Expire { most, applied } => {
                let due = lessor.expired(now, most.into());
                self.judge(&due, most.into());
                for id in due.into_iter().take(applied.into()) {
                    lessor.revoked(id);
                    self.state.remove(&id);
                    self.promised.remove(&id);
                    self.offered.remove(&id);
                }
            }
            Step::Promote => {
                lessor.promote(now, Duration::ZERO, self.state.clone());
                self.leads = true;
                self.offered.clear();
                self.promised = self.state.iter().map(|(id, ttl)| (*id, now + seconds(*ttl))).collect();
            }
            Step::Demote => {
                lessor.demote();
                self.leads = false;
                self.promised.clear();
                self.offered.clear();
                assert_eq!(lessor.next_deadline(), None);
            }
        }
    }

    fn renew(&mut self, lessor: &mut Lessor, id: i64) {
        let renewed = lessor.renewed(id, self.now);
        let alive = self.promised.get(&id).is_some_and(|until| self.now < *until);
        assert_eq!(renewed, if alive { Some(self.state[&id]) } else { None });
        if let Some(ttl) = renewed {
            let until = self.promised.entry(id).or_default();
            *until = (*until).max(self.now + seconds(ttl));
            assert_eq!(lessor.remaining(id, self.now), Some(*until - self.now));
        }
    }

    /// Never early, never twice within the retry, never beyond the limit, and nothing that is due left out.
    fn judge(&mut self, due: &[i64], most: usize) {
        assert!(due.len() <= most);
        let is_due = |(id, until): &(&i64, &Duration)| {
            let offered = self.offered.get(id).map(|at| *at + RETRY_AFTER);
            **until <= self.now && offered.is_none_or(|again| again <= self.now)
        };
        let mut expected: Vec<(Duration, i64)> = self
            .promised
            .iter()
            .filter(is_due)
            .map(|(id, until)| (self.offered.get(id).map_or(*until, |at| *at + RETRY_AFTER), *id))
            .collect();
        expected.sort();
        let expected: Vec<i64> = expected.into_iter().map(|(_, id)| id).take(most).collect();
        assert_eq!(due, expected);
        due.iter().for_each(|id| {
            self.offered.insert(*id, self.now);
        });
    }
}

quickcheck! {
    fn never_early_and_always_in_the_end(steps: Vec<Step>) -> bool {
        let mut lessor = Lessor::new(Planted::none());
        let mut model = Model::default();
        for step in steps {
            model.take(&mut lessor, step);
        }
        // Under a leader, with time and applied revokes, every lease ends.
        model.take(&mut lessor, Step::Promote);
        for _ in 0..model.state.len() {
            model.take(&mut lessor, Step::Wait(10_000));
            model.take(&mut lessor, Step::Expire { most: 1, applied: 1 });
        }
        model.state.is_empty() && lessor.next_deadline().is_none()
    }
}

#[test]
fn a_follower_expires_nothing() {
    let mut lessor = Lessor::new(Planted::none());
    lessor.granted(1, 5, Duration::ZERO);
    let late = Duration::from_secs(100);
    assert_eq!(lessor.expired(late, 10), []);
    assert_eq!(
        (lessor.renewed(1, late), lessor.remaining(1, late), lessor.next_deadline()),
        (None, None, None)
    );
}

#[test]
fn a_new_leader_restarts_every_lease() {
    let mut lessor = Lessor::new(Planted::none());
    let now = Duration::from_secs(50);
    lessor.promote(now, Duration::ZERO, [(1, 5), (2, 3)]);
    assert_eq!(lessor.next_deadline(), Some(Duration::from_secs(53)));
    assert_eq!(lessor.remaining(1, now), Some(Duration::from_secs(5)));
    assert_eq!(lessor.renewed(1, now), Some(5));
    assert_eq!(lessor.remaining(1, now), Some(Duration::from_secs(5)));
    assert_eq!(lessor.expired(Duration::from_secs(55), 10), [2, 1]);
}

#[test]
fn a_lease_past_its_deadline_is_not_renewed_and_is_offered_again() {
    let mut lessor = Lessor::new(Planted::none());
    lessor.promote(Duration::ZERO, Duration::ZERO, []);
    lessor.granted(1, 2, Duration::ZERO);
    let at = Duration::from_secs(2);
    assert_eq!(lessor.renewed(1, at), None);
    assert_eq!(lessor.expired(at, 10), [1]);
    assert_eq!(lessor.expired(at, 10), []);
    assert_eq!(lessor.next_deadline(), Some(at + RETRY_AFTER));
    assert_eq!(lessor.expired(at + RETRY_AFTER, 10), [1]);
    lessor.revoked(1);
    assert_eq!(lessor.next_deadline(), None);
}

#[cfg(orlop_mutations)]
#[test]
fn the_planted_bug_lets_a_follower_expire() {
    let mut lessor = Lessor::new(Planted::bug(Bug::FollowerExpiresLease));
    lessor.granted(1, 5, Duration::ZERO);
    assert_eq!(lessor.expired(Duration::from_secs(5), 10), [1]);
}

#[test]
fn a_new_leader_does_not_count_the_silence_before_it_twice() {
    let mut lessor = Lessor::new(Planted::none());
    let (now, quiet) = (Duration::from_secs(50), Duration::from_millis(800));
    lessor.promote(now, quiet, [(1, 9), (2, 3)]);
    assert_eq!(lessor.remaining(1, now), Some(Duration::from_millis(8_200)));
    assert_eq!(lessor.next_deadline(), Some(Duration::from_millis(52_200)));
    // However long it was, who lives has two thirds of the TTL to say so.
    lessor.promote(now, Duration::from_secs(60), [(1, 9), (2, 3)]);
    assert_eq!(lessor.next_deadline(), Some(Duration::from_secs(52)));
    assert_eq!(lessor.remaining(1, now), Some(Duration::from_secs(6)));
}
