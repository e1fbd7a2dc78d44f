//! Keeping a lease that is held: renewals, its end by our own clock, and what others do to its key.

use super::calls::Call;
use super::mind::{Mind, Phase};
use super::*;
use kernel::{Bug, KvError, Planted};

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Held {
    /// As it is in the store, as far as is known.
    pub(super) lease: Lease,
    /// Until when it certainly is ours.
    pub(super) until: Duration,
    /// When to renew it. A reservation never.
    next: Duration,
    /// The pause after a renewal that failed.
    retry: Duration,
    /// A renewal or a put is under way.
    asking: bool,
    planted: Planted,
    /// Not to be put before this.
    put_at: Duration,
    /// How often, lately, somebody has overwritten it; and when last.
    contest: (u32, Duration),
}

impl Held {
    /// Ours for `ttl` (none: without end) from `sent` on.
    pub(super) fn new(
        lease: Lease,
        ttl: Option<Duration>,
        sent: Duration,
        config: &HolderConfig,
        planted: Planted,
    ) -> Held {
        assert!(lease.is_reservation() == ttl.is_none(), "a reservation has no end, anything else has one");
        let mut held = Held {
            lease,
            until: Duration::MAX,
            next: Duration::MAX,
            retry: RENEW_RETRY,
            asking: false,
            planted,
            put_at: Duration::ZERO,
            contest: (0, Duration::ZERO),
        };
        if let Some(ttl) = ttl {
            held.until = Duration::ZERO;
            held.renew(ttl, sent, config);
        }
        held
    }

    fn renew(&mut self, ttl: Duration, sent: Duration, config: &HolderConfig) {
        assert!(!self.lease.is_reservation(), "what has no end is not renewed");
        let slack = EXPIRY_SLACK.min(ttl / 10);
        // Never earlier than before: the store extends leases, it does not shorten them.
        self.until = self.until.max(sent + ttl - slack);
        if self.planted.is(Bug::ExpiryIgnored) {
            self.until = Duration::MAX;
        }
        // At the margin at the latest, but with time for some tries whatever the margin is.
        let latest = ttl.saturating_sub(config.margin).max(ttl / 3).min(ttl * 9 / 10);
        self.next = sent + latest.min(RENEW_PERIOD);
        self.retry = RENEW_RETRY.min(ttl / 12);
        assert!(self.next <= self.until, "a lease is renewed before it is given up");
    }

    /// When it needs something though nothing was heard.
    pub(super) fn wake(&self, now: Duration) -> Option<Duration> {
        if self.asking {
            return None;
        }
        [self.next, self.put_at].into_iter().filter(|time| *time > now && *time < Duration::MAX).min()
    }

    /// Somebody overwrites it: when to put it again, and whether that is news.
    fn contested(&mut self, now: Duration) -> bool {
        let (times, last) = self.contest;
        let times = if now > last + CONTEST_CALM { 0 } else { times };
        self.contest = (times.saturating_add(1), now);
        self.put_at = now + CONTEST_FIRST.saturating_mul(1 << times.min(8)).min(CONTEST_MOST);
        times == 0
    }
}

/// What has become of our key, as the view has it.
enum Fate {
    /// As we left it, or the view is not as far yet.
    Ours,
    /// What we have put without hearing of it, or an operator's reservation.
    Moved(Lease),
    /// Written by somebody in our name, at this revision.
    Contested(i64, String),
    /// No longer ours.
    Lost(String),
}

impl Mind {
    /// Does what the held lease needs.
    pub(super) fn tend_held(&mut self, now: Duration) {
        let Phase::Held(held) = &self.phase else { return };
        if held.until <= now {
            let reason = format!("the lease of {} could not be renewed in time", held.lease.key);
            return self.lose(reason, now);
        }
        if held.asking {
            return;
        }
        // It was chosen by a config that was replaced while the call was under way.
        if let Some(offer) = self.offer.as_ref().filter(|offer| !offer.config.holds(&held.lease.key)) {
            let reason = format!("the lease of {} is not one of {}", held.lease.key, offer.config.networks());
            return self.lose(reason, now);
        }
        let mut seen = held.lease.mod_revision;
        match self.fate(held) {
            Fate::Ours => {}
            Fate::Moved(lease) => {
                seen = lease.mod_revision;
                self.take_over(lease);
            }
            Fate::Lost(reason) => return self.lose(reason, now),
            Fate::Contested(revision, other) => {
                seen = revision;
                self.contest(revision, &other, now);
            }
        }
        self.tend_value(seen, now);
        let Phase::Held(held) = &mut self.phase else { return };
        if !held.asking && held.next <= now {
            held.asking = true;
            let (lease, key) = (held.lease.lease, held.lease.key);
            self.ask(Call::Renew { lease, key });
        }
    }

    /// The key was last changed at `revision`, by `other`: says so once, and puts ours again later.
    fn contest(&mut self, revision: i64, other: &str, now: Duration) {
        let Phase::Held(held) = &mut self.phase else { return };
        if held.lease.mod_revision == revision {
            return;
        }
        held.lease.mod_revision = revision;
        if held.contested(now) {
            let key = held.lease.key;
            self.probe.sometimes("holder: somebody else wrote our lease");
            self.notes.say(format!(
                "the lease of {key} was overwritten in our name {other}: another machine uses our public address, or a second \
                 flanneld runs here; give each machine an address of its own with -public-ip. It is put again"
            ));
        }
    }

    fn fate(&self, held: &Held) -> Fate {
        let ours = &held.lease;
        if self.view.revision < ours.mod_revision {
            return Fate::Ours;
        }
        if let Some(revision) = self.view.spoilt.get(&ours.key).filter(|of| **of >= ours.mod_revision) {
            return Fate::Contested(*revision, "with a value that cannot be read".to_owned());
        }
        let Some(seen) = self.view.leases.get(&ours.key) else {
            return Fate::Lost(format!("the lease of {} was deleted, or has expired", ours.key));
        };
        let is_as_left =
            seen.mod_revision == ours.mod_revision && seen.lease == ours.lease && seen.value == ours.value;
        if is_as_left || seen.mod_revision < ours.mod_revision {
            return Fate::Ours;
        }
        let offer = self.offer.as_ref().expect("a lease is held by an offer");
        if !offer.me.owns(&offer.config, seen) {
            let owner = seen.value.public_ip;
            return Fate::Lost(format!("the lease of {} was given to {owner}", ours.key));
        }
        if seen.is_reservation() || (seen.lease == ours.lease && seen.value == offer.value) {
            return Fate::Moved(Lease::clone(seen));
        }
        Fate::Contested(seen.mod_revision, format!("(lease {:x}, {})", seen.lease, seen.value.to_json()))
    }

    fn take_over(&mut self, lease: Lease) {
        let Phase::Held(held) = &mut self.phase else { return };
        if lease.is_reservation() && !held.lease.is_reservation() {
            self.notes.say(format!("the lease of {} is a reservation now, without end", lease.key));
            (held.until, held.next) = (Duration::MAX, Duration::MAX);
        }
        held.lease = lease;
    }

    /// Puts the lease again, if the store does not say what it should; its key was last changed at `seen`.
    fn tend_value(&mut self, seen: i64, now: Duration) {
        let (Phase::Held(held), Some(offer)) = (&self.phase, &self.offer) else { return };
        let in_store = self.view.leases.get(&held.lease.key).filter(|lease| lease.mod_revision == seen);
        let is_right = held.lease.value == offer.value
            && in_store.is_none_or(|lease| lease.value == offer.value && lease.lease == held.lease.lease)
            && self.view.spoilt.get(&held.lease.key) != Some(&seen);
        if is_right || held.put_at > now {
            return;
        }
        assert!(seen >= held.lease.mod_revision, "a put rests on the newest revision that was seen");
        let (lease, value) = (held.lease.clone(), offer.value.clone());
        let Phase::Held(held) = &mut self.phase else { return };
        held.asking = true;
        self.ask(Call::Put { lease, value, mod_revision: seen });
    }

    /// A put has ended.
    pub(super) fn was_put(&mut self, result: Result<Option<Lease>, KvError>, now: Duration) {
        let Phase::Held(held) = &mut self.phase else { return };
        held.asking = false;
        match result {
            Ok(Some(lease))
                if lease.key == held.lease.key && lease.mod_revision > held.lease.mod_revision =>
            {
                held.lease = lease;
                self.notes.calm();
            }
            // The watch will tell what it is now.
            Ok(_) => held.put_at = now + RETRY_FIRST,
            Err(error) if error == KvError::lease_not_found() => self.ended_in_store(now),
            Err(error) => {
                held.put_at = now + RETRY_FIRST;
                self.failed("putting our lease again", &error);
                self.reread(now);
            }
        }
    }

    /// A renewal has ended.
    pub(super) fn renewed(
        &mut self,
        lease: i64,
        sent: Duration,
        ttl: Result<Duration, KvError>,
        stray: bool,
        now: Duration,
    ) {
        let Phase::Held(held) = &mut self.phase else { return };
        if held.lease.lease != lease {
            held.asking = false;
            return;
        }
        held.asking = false;
        match ttl {
            Ok(Duration::ZERO) if self.planted.is(Bug::RenewalOfNothing) => {
                held.renew(self.config.ttl, sent, &self.config);
            }
            Ok(Duration::ZERO) => self.ended_in_store(now),
            Ok(ttl) => {
                held.renew(ttl, sent, &self.config);
                self.notes.calm();
                if stray {
                    self.probe
                        .sometimes("holder: a renewal found the key gone, of which the watch had not told");
                    self.reread(now);
                }
            }
            Err(error) => {
                held.next = now + held.retry;
                self.failed("renewing our lease", &error);
            }
        }
    }

    fn ended_in_store(&mut self, now: Duration) {
        let Phase::Held(held) = &self.phase else { return };
        let reason = format!("the lease of {} has ended: the store knows it no more", held.lease.key);
        self.lose(reason, now);
    }
}
