//! The machine's lease: how it is got, kept, lost, and how long it may be trusted. Pure; `now` is an argument.
//!
//! The store counts the TTL from when a keep-alive reaches it, so the agent counts from when it *sent* one that was then answered.
//! The *edge* is a margin before the earliest moment at which the lease can end (decision 0006 has the arithmetic): before it,
//! what the store said under the lease still holds; after it, only the store itself can tell.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// The margin is this part of the TTL: a hundred times what the worst drift of two clocks needs.
pub const MARGIN_DIVISOR: u32 = 10;
/// Keep-alives in one TTL.
const BEATS: u32 = 3;
/// After one that was not answered, the next comes after this part of the TTL.
const RETRY_DIVISOR: u32 = 12;
/// Pause before the presence key is looked at again: the store is away, or somebody else holds the id.
pub const SEEK_PAUSE: Duration = Duration::from_secs(1);

/// The lease's life.
#[derive(Debug)]
pub struct Tenure {
    phase: Phase,
    /// From here on the lease (the present one, or the last) may have ended.
    edge: Duration,
    /// Counts leases: what was learnt under another one proves nothing.
    term: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Look at the presence key at `at`.
    Vacant { at: Duration },
    /// A look or a registration is under way.
    Asking,
    Held {
        lease: i64,
        ttl: Duration,
        /// When the next keep-alive is due.
        next: Duration,
        asking: bool,
    },
}

/// What the lease needs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Look who holds the presence key.
    Seek,
    /// Renew this lease.
    KeepAlive(i64),
}

impl Tenure {
    /// No lease. Whether the one of an earlier life still lives is not known; if it does, then for no longer than `ttl`.
    pub fn new(now: Duration, ttl: Duration) -> Tenure {
        Tenure { phase: Phase::Vacant { at: now }, edge: now + ttl - ttl / MARGIN_DIVISOR, term: 0 }
    }

    /// The lease, if one is held as far as is known.
    pub fn lease(&self) -> Option<i64> {
        match self.phase {
            Phase::Held { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Which lease it is, counted from 1; 0 before the first.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// From when on the lease may have ended.
    pub fn edge(&self) -> Duration {
        self.edge
    }

    /// Whether the lease certainly lives.
    pub fn is_certain(&self, now: Duration) -> bool {
        self.lease().is_some() && now < self.edge
    }

    /// What is due; the caller does it and tells the outcome.
    pub fn due(&mut self, now: Duration) -> Option<Need> {
        match &mut self.phase {
            Phase::Vacant { at } if *at <= now => {
                self.phase = Phase::Asking;
                Some(Need::Seek)
            }
            Phase::Held { lease, next, asking, .. } if !*asking && *next <= now => {
                *asking = true;
                Some(Need::KeepAlive(*lease))
            }
            _ => None,
        }
    }

    /// When [`Tenure::due`] has something again, unless an answer comes first.
    pub fn wake(&self) -> Option<Duration> {
        match self.phase {
            Phase::Vacant { at } => Some(at),
            Phase::Held { next, asking: false, .. } => Some(next),
            _ => None,
        }
    }

    /// The look or the registration led to nothing: look again later.
    pub fn put_off(&mut self, now: Duration) {
        assert!(self.lease().is_none(), "a lease is held: there is nothing to put off");
        self.phase = Phase::Vacant { at: now + SEEK_PAUSE };
    }

    /// The lease is ours, by a request that was sent at `sent`.
    pub fn held(&mut self, lease: i64, ttl: Duration, sent: Duration) {
        assert!(lease != 0, "lease 0 means no lease");
        assert!(!ttl.is_zero(), "a lease that has ended cannot be held");
        self.term += 1;
        self.edge = sent + ttl - ttl / MARGIN_DIVISOR;
        self.phase = Phase::Held { lease, ttl, next: sent + ttl / BEATS, asking: false };
    }

    /// A keep-alive that was sent at `sent` was answered. Zero: there is no such lease any more. Whether it still was ours.
    pub fn answered(&mut self, of: i64, sent: Duration, ttl: Duration, now: Duration) -> bool {
        if self.lease() != Some(of) {
            return true;
        }
        if ttl.is_zero() {
            self.phase = Phase::Vacant { at: now };
            self.edge = self.edge.min(now);
            return false;
        }
        // Never earlier: the store extends leases, it does not shorten them.
        self.edge = self.edge.max(sent + ttl - ttl / MARGIN_DIVISOR);
        self.phase = Phase::Held { lease: of, ttl, next: sent + ttl / BEATS, asking: false };
        true
    }

    /// The presence key is gone: look who holds it now.
    pub fn vacated(&mut self, now: Duration) {
        if self.lease().is_some() {
            self.phase = Phase::Vacant { at: now };
        }
    }

    /// A keep-alive was not answered.
    pub fn unanswered(&mut self, of: i64, now: Duration) {
        if let Phase::Held { lease, ttl, next, asking } = &mut self.phase
            && *lease == of
        {
            *next = now + *ttl / RETRY_DIVISOR;
            *asking = false;
        }
    }

    /// A write under the lease was refused because there is no such lease: ask at once.
    pub fn doubt(&mut self, now: Duration) {
        if let Phase::Held { next, .. } = &mut self.phase {
            *next = now;
        }
    }

    /// How long a keep-alive may take.
    pub fn beat_limit(&self) -> Duration {
        match self.phase {
            Phase::Held { ttl, .. } => ttl / BEATS,
            _ => SEEK_PAUSE,
        }
    }
}
