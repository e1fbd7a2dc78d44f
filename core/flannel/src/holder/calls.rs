//! Carrying out what the mind asks for. Nothing here decides for longer than one call, or remembers.

use super::STORE_LIMIT;
use crate::registry::{Created, Loaded, Registry, Written};
use crate::subnet::{Lease, LeaseValue, SubnetKey};
use futures_util::future::{Either, select};
use kernel::{Clock, Code, KvError};
use std::sync::Arc;
use std::time::Duration;

/// What calls are carried out with.
#[derive(Clone)]
pub(super) struct Ports {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Registry,
    /// The time that our leases are to have, in seconds.
    pub(super) ttl: i64,
}

/// Something that the mind wants done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    /// Read everything.
    Load,
    /// Follow what changes from this revision on, in place of any earlier watch.
    Watch { from: i64, round: u64 },
    /// Take these subnets, which were free at revision `seen`.
    Take { key: SubnetKey, value: LeaseValue, seen: i64, stale: Vec<Lease> },
    /// Go on with this lease, which is ours.
    Adopt { lease: Lease, value: LeaseValue },
    /// Delete these leases of ours.
    Drop(Vec<Lease>),
    /// Renew a lease of the store, and see whether this key of ours still hangs on it.
    Renew { lease: i64, key: SubnetKey },
    /// Put our lease again, with this value, if its key is as of this revision.
    Put { lease: Lease, value: LeaseValue, mod_revision: i64 },
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Loaded(Result<Loaded, KvError>),
    /// Of Take and Adopt.
    Sought(Result<Sought, KvError>),
    Dropped(Result<(), KvError>),
    Renewed {
        lease: i64,
        sent: Duration,
        /// Its time from `sent` on; zero if there is no such lease.
        ttl: Result<Duration, KvError>,
        /// Our key hangs on it no more: somebody has deleted or overwritten it, and the watch did not tell.
        stray: bool,
    },
    /// The lease as it is now; none if its key had changed meanwhile.
    Put(Result<Option<Lease>, KvError>),
}

/// How an attempt at a lease went.
#[derive(Debug, PartialEq)]
pub(super) enum Sought {
    /// It is ours: by a request that was sent at `sent`, for `ttl` from then on (none: without end).
    Got { lease: Lease, ttl: Option<Duration>, sent: Duration },
    /// Somebody was faster.
    Raced,
    /// The lease that was to be adopted is no more, or another than was seen.
    Moved,
}

impl Ports {
    /// Does it, in bounded time. [`Call::Watch`] is not for here.
    pub(super) async fn carry_out(&self, call: Call) -> Outcome {
        match call {
            Call::Load => Outcome::Loaded(self.within(self.registry.load()).await),
            Call::Take { key, value, seen, stale } => {
                Outcome::Sought(self.within(self.take(key, value, seen, &stale)).await)
            }
            Call::Adopt { lease, value } => Outcome::Sought(self.within(self.adopt(lease, value)).await),
            Call::Drop(leases) => Outcome::Dropped(self.within(self.drop_all(leases)).await),
            Call::Renew { lease, key } => {
                let sent = self.clock.now();
                let (ttl, stray) = match self.within(self.renew(lease, &key)).await {
                    Ok((ttl, is_ours)) => (Ok(seconds(ttl)), !is_ours),
                    Err(error) => (Err(error), false),
                };
                Outcome::Renewed { lease, sent, ttl, stray }
            }
            Call::Put { lease, value, mod_revision } => {
                Outcome::Put(self.within(self.put(lease, value, mod_revision)).await)
            }
            Call::Watch { .. } => unreachable!("the loop follows the store by itself"),
        }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, KvError>>) -> Result<T, KvError> {
        let limit = self.clock.sleep_until(self.clock.now() + STORE_LIMIT);
        match select(Box::pin(call), limit).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let text = format!("no answer within {} s", STORE_LIMIT.as_secs());
                Err(KvError::new(Code::DeadlineExceeded, text))
            }
        }
    }

    async fn take(
        &self,
        key: SubnetKey,
        value: LeaseValue,
        seen: i64,
        stale: &[Lease],
    ) -> Result<Sought, KvError> {
        let sent = self.clock.now();
        let (lease, ttl) = self.registry.grant(self.ttl).await?;
        let created = self.registry.create(&key, &value, lease, seen, stale).await;
        if let Ok(Created::Done(mod_revision)) = created {
            let lease = Lease { key, value, lease, mod_revision };
            return Ok(Sought::Got { lease, ttl: Some(seconds(ttl)), sent });
        }
        // A create without an answer may have been done: the next look will find it. Otherwise nothing but our own key can hang on
        // this lease, so both go at once; should that fail, by themselves.
        if created.as_ref().is_ok() || created.as_ref().is_err_and(KvError::is_definite) {
            let _ = self.registry.revoke(lease).await;
        }
        created.map(|_| Sought::Raced)
    }

    async fn adopt(&self, lease: Lease, value: LeaseValue) -> Result<Sought, KvError> {
        let sent = self.clock.now();
        if lease.is_reservation() {
            let lease = self.put_if_other(lease, value).await?;
            return Ok(lease.map_or(Sought::Moved, |lease| Sought::Got { lease, ttl: None, sent }));
        }
        let old = lease.lease;
        let ttl = self.registry.keep_alive(old).await?;
        if ttl == 0 {
            return Ok(Sought::Moved);
        }
        if ttl == self.ttl {
            let got = |lease| Sought::Got { lease, ttl: Some(seconds(ttl)), sent };
            return Ok(self.put_if_other(lease, value).await?.map_or(Sought::Moved, got));
        }
        // Of another time than ours should have: a new one takes its place.
        let (new, ttl) = self.registry.grant(self.ttl).await?;
        let mod_revision = lease.mod_revision;
        let put = self.put(Lease { lease: new, ..lease }, value, mod_revision).await;
        let unused = if matches!(put, Ok(Some(_))) { old } else { new };
        if put.as_ref().is_ok() || put.as_ref().is_err_and(KvError::is_definite) {
            let _ = self.registry.revoke(unused).await;
        }
        Ok(put?.map_or(Sought::Moved, |lease| Sought::Got { lease, ttl: Some(seconds(ttl)), sent }))
    }

    /// The time of a lease that is renewed, and whether our key hangs on it. A lease lives on when its key was deleted, and a watch
    /// that is stuck tells nobody: so whoever renews looks.
    async fn renew(&self, lease: i64, key: &SubnetKey) -> Result<(i64, bool), KvError> {
        let ttl = self.registry.keep_alive(lease).await?;
        let is_ours = ttl > 0 && self.registry.hangs_on(key).await? == Some(lease);
        Ok((ttl, is_ours))
    }

    async fn put_if_other(&self, lease: Lease, value: LeaseValue) -> Result<Option<Lease>, KvError> {
        if lease.value == value {
            return Ok(Some(lease));
        }
        let mod_revision = lease.mod_revision;
        self.put(lease, value, mod_revision).await
    }

    async fn put(&self, lease: Lease, value: LeaseValue, seen: i64) -> Result<Option<Lease>, KvError> {
        Ok(match self.registry.update(&lease.key, &value, lease.lease, seen).await? {
            Written::Done(mod_revision) => Some(Lease { value, mod_revision, ..lease }),
            Written::Moved => None,
        })
    }

    async fn drop_all(&self, leases: Vec<Lease>) -> Result<(), KvError> {
        for lease in leases {
            assert!(!lease.is_reservation(), "a reservation is the operator's");
            // One that has changed meanwhile is looked at again.
            self.registry.delete(&lease.key, lease.mod_revision).await?;
        }
        Ok(())
    }
}

/// A time as the store counts it.
fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
