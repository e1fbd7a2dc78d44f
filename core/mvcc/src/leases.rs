//! Leases as the log knows them: ids, granted TTLs, and which keys are attached. Deadlines are not part of the state: only
//! the leader keeps them, outside of this crate.
//!
//! A lease's id and TTL are stored in a table of their own; the attached keys are not stored, because each live row names
//! its lease: they are found again by the scan that rebuilds the index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
struct Granted {
    ttl: i64,
    keys: BTreeSet<Arc<[u8]>>,
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    granted: BTreeMap<i64, Granted>,
    of_key: BTreeMap<Arc<[u8]>, i64>,
    /// Grants (the TTL) and revokes (nothing) that the file does not have yet.
    unsaved: BTreeMap<i64, Option<i64>>,
}

impl Leases {
    /// Adds a lease, as it was saved.
    pub fn restore(&mut self, id: i64, ttl: i64) {
        self.granted.insert(id, Granted { ttl, ..Granted::default() });
    }

    /// Adds a new lease.
    pub fn grant(&mut self, id: i64, ttl: i64) {
        assert!(!self.exists(id), "lease {id} is granted once");
        self.restore(id, ttl);
        self.unsaved.insert(id, Some(ttl));
    }

    /// Ends a lease. Its keys must be gone.
    pub fn revoke(&mut self, id: i64) {
        let gone = self.granted.remove(&id);
        assert!(gone.is_none_or(|lease| lease.keys.is_empty()), "the keys of lease {id} go before it");
        self.unsaved.insert(id, None);
    }

    /// Whether lease `id` is there.
    pub fn exists(&self, id: i64) -> bool {
        self.granted.contains_key(&id)
    }

    /// Attaches `key` to lease `id` and to no other; 0 attaches it to none.
    pub fn attach(&mut self, key: &[u8], id: i64) {
        if id == 0 && self.of_key.is_empty() {
            return;
        }
        if let Some((key, old)) = self.of_key.remove_entry(key)
            && let Some(lease) = self.granted.get_mut(&old)
        {
            lease.keys.remove(&key);
        }
        if let Some(lease) = self.granted.get_mut(&id) {
            let key: Arc<[u8]> = key.into();
            lease.keys.insert(key.clone());
            self.of_key.insert(key, id);
        }
    }

    /// The lease that `key` is attached to, 0 for none.
    pub fn of(&self, key: &[u8]) -> i64 {
        self.of_key.get(key).copied().unwrap_or(0)
    }

    /// Ids and granted TTLs, by id.
    pub fn all(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.granted.iter().map(|(id, lease)| (*id, lease.ttl))
    }

    /// The granted TTL of lease `id`, and its keys in order.
    pub fn get(&self, id: i64) -> Option<(i64, impl Iterator<Item = &Arc<[u8]>> + '_)> {
        self.granted.get(&id).map(|lease| (lease.ttl, lease.keys.iter()))
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.granted.len()
    }

    /// Grants and revokes that the file does not have yet.
    pub fn unsaved(&self) -> &BTreeMap<i64, Option<i64>> {
        &self.unsaved
    }

    /// The file now has `saved`; what changed since then stays unsaved.
    pub fn saved(&mut self, saved: &BTreeMap<i64, Option<i64>>) {
        self.unsaved.retain(|id, now| saved.get(id) != Some(now));
    }
}
