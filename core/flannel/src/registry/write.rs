//! Writing leases. Each write says what it rests on, and does nothing if that is no longer so.

use super::{Registry, load};
use crate::subnet::{Lease, LeaseValue, SubnetKey};
use bytes::Bytes;
use kernel::lease::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest};
use kernel::txn::*;
use kernel::types::{DeleteRangeRequest, KeyValue, PutRequest, RangeRequest};
use kernel::{Bug, KvError};

/// How a guarded write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done, at this revision.
    Done(i64),
    /// Not done: the key is not as it was seen.
    Moved,
}

/// How the creation of a lease went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The subnets are ours, as of this revision.
    Done(i64),
    /// Somebody was faster, or a stale lease of ours has changed: nothing was written.
    Taken,
    /// Written at `revision`, but a lease that was made since the store was read overlaps it and was there first: delete it.
    Collided {
        /// The revision of what we wrote.
        revision: i64,
        /// Whose it is.
        with: SubnetKey,
    },
}

impl Registry {
    /// Makes a lease of subnets that were free at revision `seen`, in place of `stale` leases of ours.
    ///
    /// The key must not exist, nor another with the same IPv4 base. What the keys cannot tell (two leases with different keys
    /// that overlap: in IPv6, or because SubnetLen was changed) is read in the same transaction: every lease made after `seen`.
    pub async fn create(
        &self,
        key: &SubnetKey,
        value: &LeaseValue,
        lease: i64,
        seen: i64,
        stale: &[Lease],
    ) -> Result<Created, KvError> {
        assert!(lease != 0, "only an operator makes leases without end");
        assert!(seen > 0, "a choice rests on a store that was read");
        assert!(!stale.iter().any(Lease::is_reservation), "a reservation is the operator's");
        let name = Bytes::from(self.lease_key(key));
        let mut compare = vec![is_absent(name.clone(), Bytes::new())];
        if let Some(v4) = key.v4 {
            let (first, end) = self.leases();
            let base = format!("{}{}-", String::from_utf8_lossy(&first), v4.network());
            let base_end = format!("{}{}.", String::from_utf8_lossy(&first), v4.network()); // '.' is the byte after '-'.
            assert!(base_end.as_bytes() < end.as_ref(), "the range lies among the leases");
            compare.push(is_absent(base.into(), base_end.into()));
        }
        if self.planted.is(Bug::CreateUncompared) {
            compare.clear();
        }
        let mut success = Vec::new();
        for old in stale.iter().filter(|old| old.key != *key) {
            let old_name = Bytes::from(self.lease_key(&old.key));
            compare.push(is_unchanged(old_name.clone(), old.mod_revision));
            success.push(delete(old_name));
        }
        success.push(put(name.clone(), value, lease));
        let (first, range_end) = self.leases();
        let since = RangeRequest {
            key: first,
            range_end,
            keys_only: true,
            min_create_revision: seen + 1,
            ..Default::default()
        };
        success.push(RequestOp { request: Some(Op::RequestRange(since)) });
        let answer = self.kv.txn(TxnRequest { compare, success, failure: Vec::new() }).await?;
        if !answer.succeeded {
            return Ok(Created::Taken);
        }
        let revision = answer.header.unwrap_or_default().revision;
        let newer = answer.responses.into_iter().filter_map(load::range).flat_map(|range| range.kvs);
        Ok(match self.overlapping(key, &name, newer) {
            Some(with) => Created::Collided { revision, with },
            None => Created::Done(revision),
        })
    }

    fn overlapping(
        &self,
        key: &SubnetKey,
        name: &Bytes,
        mut newer: impl Iterator<Item = KeyValue>,
    ) -> Option<SubnetKey> {
        newer.find_map(|kv| {
            let other = self.subnet(&kv.key).ok()?;
            (kv.key != *name && other.overlaps(key)).then_some(other)
        })
    }

    /// Puts a lease again, if it is as it was seen. `lease` 0 makes or keeps it a reservation.
    pub async fn update(
        &self,
        key: &SubnetKey,
        value: &LeaseValue,
        lease: i64,
        mod_revision: i64,
    ) -> Result<Written, KvError> {
        assert!(mod_revision > 0, "a lease that exists has a revision");
        let name = Bytes::from(self.lease_key(key));
        self.guarded(is_unchanged(name.clone(), mod_revision), put(name, value, lease)).await
    }

    /// Deletes a lease, if it is as it was seen.
    pub async fn delete(&self, key: &SubnetKey, mod_revision: i64) -> Result<Written, KvError> {
        let name = Bytes::from(self.lease_key(key));
        self.guarded(is_unchanged(name.clone(), mod_revision), delete(name)).await
    }

    async fn guarded(&self, compare: Compare, operation: RequestOp) -> Result<Written, KvError> {
        let request = TxnRequest { compare: vec![compare], success: vec![operation], failure: Vec::new() };
        let answer = self.kv.txn(request).await?;
        let revision = answer.header.unwrap_or_default().revision;
        Ok(if answer.succeeded { Written::Done(revision) } else { Written::Moved })
    }

    /// A new lease of the store; returns its id, and the seconds for which it was granted.
    pub async fn grant(&self, seconds: i64) -> Result<(i64, i64), KvError> {
        let granted = self.kv.lease_grant(LeaseGrantRequest { ttl: seconds, id: 0 }).await?;
        assert!(granted.id != 0, "a granted lease has an id");
        Ok((granted.id, granted.ttl))
    }

    /// Renews a lease of the store. The seconds that it has from now on; 0 if there is no such lease.
    pub async fn keep_alive(&self, lease: i64) -> Result<i64, KvError> {
        assert!(lease != 0, "a reservation is not renewed");
        Ok(self.kv.lease_keep_alive(LeaseKeepAliveRequest { id: lease }).await?.ttl.max(0))
    }

    /// The store's lease that a key hangs on; none if there is no such key.
    pub async fn hangs_on(&self, key: &SubnetKey) -> Result<Option<i64>, KvError> {
        let request = RangeRequest { key: self.lease_key(key).into(), keys_only: true, ..Default::default() };
        Ok(self.kv.range(request).await?.kvs.first().map(|kv| kv.lease))
    }

    /// Ends a lease of the store, and the keys that hang on it. Fine if there is no such lease.
    pub async fn revoke(&self, lease: i64) -> Result<(), KvError> {
        match self.kv.lease_revoke(LeaseRevokeRequest { id: lease }).await {
            Err(error) if error != KvError::lease_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_absent(key: Bytes, range_end: Bytes) -> Compare {
    let (result, target) = (CompareResult::Equal as i32, CompareTarget::Create as i32);
    Compare { result, target, key, target_union: Some(TargetUnion::CreateRevision(0)), range_end }
}

fn is_unchanged(key: Bytes, revision: i64) -> Compare {
    let (result, target) = (CompareResult::Equal as i32, CompareTarget::Mod as i32);
    let target_union = Some(TargetUnion::ModRevision(revision));
    Compare { result, target, key, target_union, range_end: Bytes::new() }
}

fn put(key: Bytes, value: &LeaseValue, lease: i64) -> RequestOp {
    let put = PutRequest { key, value: value.to_json().into(), lease, ..Default::default() };
    RequestOp { request: Some(Op::RequestPut(put)) }
}

fn delete(key: Bytes) -> RequestOp {
    RequestOp { request: Some(Op::RequestDeleteRange(DeleteRangeRequest { key, ..Default::default() })) }
}
