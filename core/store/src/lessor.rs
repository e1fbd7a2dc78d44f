//! When leases expire: deadlines that only the leader keeps, by its own clock and outside of the log.
//!
//! A lease is *revoked* by an entry of the log, like any change; the [`Lessor`] only says when that entry is due. So a wrong
//! clock can end a lease late, or early for its client, but never make replicas differ. Time is an argument throughout.
//!
//! Three rules keep a lease from ending while its client rightly believes in it:
//! - Only a leader expires. A member that is demoted forgets every deadline.
//! - A new leader does not know what its predecessor renewed last. It gives each lease its full TTL again, less the time for which
//!   certainly nobody renewed anything ([`crate::quiet`]), but never less than two thirds: whoever lives must find the new leader.
//! - A lease whose deadline has passed is not renewed any more: its revoke may be in the log already, and a client that is
//!   told "alive" must not lose it a moment later.
//!
//! A revoke that was offered and is not applied, because its proposal was refused or lost, is offered again after
//! [`RETRY_AFTER`]; revoking twice does no harm.

use kernel::{Bug, Planted};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long an offered revoke may take to be applied before it is offered again.
pub const RETRY_AFTER: Duration = Duration::from_secs(3);

/// At most this part of a TTL is taken off by a new leader.
const QUIET_DIVISOR: u32 = 3;

struct Deadline {
    /// Seconds without renewal, as granted.
    ttl: i64,
    /// No revoke before this moment.
    at: Duration,
    /// When it is to be offered next: `at` until the first offer, then later.
    offer_at: Duration,
}

/// The deadlines of all leases, while this member leads.
pub struct Lessor {
    leads: bool,
    leases: BTreeMap<i64, Deadline>,
    /// (offer_at, id) of every lease.
    queue: BTreeSet<(Duration, i64)>,
    planted: Planted,
}

impl Lessor {
    /// A lessor that does not lead.
    pub fn new(planted: Planted) -> Self {
        Lessor { leads: false, leases: BTreeMap::new(), queue: BTreeSet::new(), planted }
    }

    /// This member leads now. `leases` are all that its state holds, as (id, TTL in seconds). Entries that it has yet to apply
    /// bring the rest. Whatever the last leader has promised was renewed before this one was elected, and nothing was for `quiet`
    /// before that; etcd gives a whole TTL and an election timeout, which keeps the leases of the dead seconds longer.
    pub fn promote(&mut self, now: Duration, quiet: Duration, leases: impl IntoIterator<Item = (i64, i64)>) {
        self.leads = true;
        self.leases.clear();
        self.queue.clear();
        if self.planted.is(Bug::NewLeaderForgetsLeases) {
            return;
        }
        let hurry = if self.planted.is(Bug::NewLeaderHurriesLeases) { 2 } else { 1 };
        for (id, ttl) in leases {
            let ttl_left = seconds(ttl) - quiet.min(seconds(ttl) / QUIET_DIVISOR);
            self.set(id, ttl, now + ttl_left / hurry);
        }
    }

    /// This member does not lead any more.
    pub fn demote(&mut self) {
        if self.planted.is(Bug::FollowerExpiresLease) {
            return;
        }
        self.leads = false;
        self.leases.clear();
        self.queue.clear();
    }

    /// A grant was applied.
    pub fn granted(&mut self, id: i64, ttl: i64, now: Duration) {
        if self.keeps_deadlines() {
            self.set(id, ttl, now + seconds(ttl));
        }
    }

    /// A client renews. Returns the TTL in seconds that it has again; `None` when there is no such lease, when its deadline
    /// has passed, or when this member does not lead.
    pub fn renewed(&mut self, id: i64, now: Duration) -> Option<i64> {
        let lease = self.leases.get(&id)?;
        let is_over = now >= lease.at && !self.planted.is(Bug::RenewAfterExpiry);
        if !self.leads || is_over {
            return None;
        }
        let ttl = lease.ttl;
        // A new leader's extension is not taken back by an early renewal.
        let at = lease.at.max(now + seconds(ttl));
        self.set(id, ttl, at);
        Some(ttl)
    }

    /// A revoke was applied.
    pub fn revoked(&mut self, id: i64) {
        if let Some(lease) = self.leases.remove(&id) {
            let was_queued = self.queue.remove(&(lease.offer_at, id));
            assert!(was_queued, "every lease with a deadline is queued");
        }
    }

    /// How long a lease has to live, zero when its deadline has passed; `None` when there is none, or this member does not
    /// lead.
    pub fn remaining(&self, id: i64, now: Duration) -> Option<Duration> {
        self.leases.get(&id).filter(|_| self.leads).map(|lease| lease.at.saturating_sub(now))
    }

    /// Up to `limit` leases to be revoked now, in the order of their deadlines. They are not offered again before
    /// [`RETRY_AFTER`] has passed.
    pub fn expired(&mut self, now: Duration, limit: usize) -> Vec<i64> {
        let due: Vec<i64> = self
            .queue
            .iter()
            .take_while(|(offer_at, _)| *offer_at <= now)
            .take(limit)
            .map(|(_, id)| *id)
            .collect();
        for id in &due {
            let lease = self.leases.get_mut(id).expect("every queued lease has a deadline");
            assert!(lease.at <= now, "lease {id} would end early");
            self.queue.remove(&(lease.offer_at, *id));
            lease.offer_at = now + RETRY_AFTER;
            self.queue.insert((lease.offer_at, *id));
        }
        due
    }

    /// When [`Lessor::expired`] has something to say next.
    #[cfg(test)]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.queue.first().map(|(offer_at, _)| *offer_at)
    }

    fn keeps_deadlines(&self) -> bool {
        self.leads || self.planted.is(Bug::FollowerExpiresLease)
    }

    fn set(&mut self, id: i64, ttl: i64, at: Duration) {
        self.revoked(id);
        self.leases.insert(id, Deadline { ttl, at, offer_at: at });
        self.queue.insert((at, id));
    }
}

/// TTLs were checked when they were granted; one below zero could only come from a damaged log.
fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).expect("a granted TTL is not negative"))
}

#[cfg(test)]
mod tests;
