//! The state as one would write it on a napkin: all keys as they were at each revision, copied whole.

use super::key;
use bytes::Bytes;
use kernel::KvError;
use kernel::txn::*;
use kernel::types::*;
use kernel::watch::{Event, EventType};
use mvcc::Command;
use std::collections::BTreeMap;

type Keys = BTreeMap<Bytes, KeyValue>;

#[derive(Clone)]
pub struct Model {
    pub revision: i64,
    pub compacted: i64,
    pub states: BTreeMap<i64, Keys>,
    pub events: BTreeMap<i64, Vec<Event>>,
    pub leases: BTreeMap<i64, i64>,
}

/// What one command changes: all of it or nothing.
struct Change {
    keys: Keys,
    events: Vec<Event>,
}

pub fn in_range(k: &[u8], from: &[u8], end: &[u8]) -> bool {
    match end {
        [] => k == from,
        [0] => k >= from,
        _ => k >= from && k < end,
    }
}

impl Model {
    pub fn new() -> Self {
        Model {
            revision: 1,
            compacted: 0,
            states: BTreeMap::from([(1, Keys::new())]),
            events: BTreeMap::new(),
            leases: BTreeMap::new(),
        }
    }

    /// The keys at `revision`.
    pub fn at(&self, revision: i64) -> &Keys {
        self.states.range(..=revision).next_back().unwrap().1
    }

    /// Applies a command; gives the events, or the refusal.
    pub fn apply(&mut self, command: &Command) -> Result<Vec<Event>, KvError> {
        let mut change = Change { keys: self.at(self.revision).clone(), events: Vec::new() };
        match command {
            Command::Put(put) => self.put(&mut change, put)?,
            Command::DeleteRange(delete) => self.delete(&mut change, &delete.key, &delete.range_end)?,
            Command::Txn(txn) => self.txn(&mut change, txn)?,
            Command::Compact(compact) => self.compact(compact.revision)?,
            Command::LeaseGrant(grant) if self.leases.contains_key(&grant.id) => {
                return Err(KvError::lease_exists());
            }
            Command::LeaseGrant(grant) => {
                self.leases.insert(grant.id, grant.ttl);
            }
            Command::LeaseRevoke(revoke) => {
                self.leases.remove(&revoke.id).ok_or_else(KvError::lease_not_found)?;
                let attached = change.keys.values().filter(|kv| kv.lease == revoke.id);
                for key in attached.map(|kv| kv.key.clone()).collect::<Vec<_>>() {
                    self.delete(&mut change, &key, b"")?;
                }
            }
        }
        if !change.events.is_empty() {
            self.revision += 1;
            self.states.insert(self.revision, change.keys);
            self.events.insert(self.revision, change.events.clone());
        }
        Ok(change.events)
    }

    fn compact(&mut self, revision: i64) -> Result<(), KvError> {
        if revision < self.compacted || revision == self.compacted && self.compacted > 0 {
            return Err(KvError::compacted());
        }
        if revision > self.revision {
            return Err(KvError::future_revision());
        }
        self.compacted = revision;
        Ok(())
    }

    fn put(&self, change: &mut Change, put: &PutRequest) -> Result<(), KvError> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(KvError::lease_not_found());
        }
        let before = self.at(self.revision).get(&put.key).cloned();
        if before.is_none() && (put.ignore_value || put.ignore_lease) {
            return Err(KvError::key_not_found());
        }
        let before = before.unwrap_or_default();
        let main = self.revision + 1;
        if change.events.iter().any(|event| event.kv.as_ref().unwrap().key == put.key) {
            return Err(KvError::duplicate_key());
        }
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: if before.version == 0 { main } else { before.create_revision },
            mod_revision: main,
            version: before.version + 1,
            value: if put.ignore_value { before.value } else { put.value.clone() },
            lease: if put.ignore_lease { before.lease } else { put.lease },
        };
        change.keys.insert(kv.key.clone(), kv.clone());
        change.events.push(Event { r#type: EventType::Put as i32, kv: Some(kv), prev_kv: None });
        Ok(())
    }

    fn delete(&self, change: &mut Change, from: &[u8], end: &[u8]) -> Result<(), KvError> {
        let main = self.revision + 1;
        let gone: Vec<Bytes> = change.keys.keys().filter(|k| in_range(k, from, end)).cloned().collect();
        if gone.iter().any(|k| change.keys[k].mod_revision == main) {
            return Err(KvError::duplicate_key());
        }
        for key in gone {
            change.keys.remove(&key);
            let kv = KeyValue { key, mod_revision: main, ..Default::default() };
            change.events.push(Event { r#type: EventType::Delete as i32, kv: Some(kv), prev_kv: None });
        }
        Ok(())
    }

    fn txn(&self, change: &mut Change, txn: &TxnRequest) -> Result<(), KvError> {
        let holds = txn.compare.iter().all(|condition| self.holds(condition));
        for op in if holds { &txn.success } else { &txn.failure } {
            match op.request.as_ref().unwrap() {
                Op::RequestRange(range) => {
                    if range.revision > self.revision {
                        return Err(KvError::future_revision());
                    }
                    if range.revision > 0 && range.revision < self.compacted {
                        return Err(KvError::compacted());
                    }
                }
                Op::RequestPut(put) => self.put(change, put)?,
                Op::RequestDeleteRange(delete) => self.delete(change, &delete.key, &delete.range_end)?,
                Op::RequestTxn(inner) => self.txn(change, inner)?,
            }
        }
        Ok(())
    }

    /// Conditions are generated as "value of the key is" and "version of each key in the range is less than".
    fn holds(&self, condition: &Compare) -> bool {
        let keys = self.at(self.revision);
        match condition.target_union.as_ref().unwrap() {
            TargetUnion::Value(value) => keys.get(&condition.key).is_some_and(|kv| kv.value == value),
            TargetUnion::Version(version) => {
                let found =
                    keys.values().filter(|kv| in_range(&kv.key, &condition.key, &condition.range_end));
                let versions: Vec<_> = found.map(|kv| kv.version).collect();
                if versions.is_empty() { 0 < *version } else { versions.iter().all(|v| v < version) }
            }
            other => panic!("{other:?} is not generated"),
        }
    }

    /// The answer to a range, by looking at everything.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        let at = match request.revision {
            ..=0 => self.revision,
            revision if revision > self.revision => return Err(KvError::future_revision()),
            revision if revision < self.compacted => return Err(KvError::compacted()),
            revision => revision,
        };
        let found = self.at(at).values().filter(|kv| in_range(&kv.key, &request.key, &request.range_end));
        let mut kvs: Vec<KeyValue> = found.cloned().collect();
        let count = kvs.len() as i64;
        let within = |n: i64, low: i64, high: i64| (low == 0 || n >= low) && (high == 0 || n <= high);
        kvs.retain(|kv| {
            within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
                && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
        });
        let sort_key = |kv: &KeyValue| match request.sort_target() {
            SortTarget::Key => (0, kv.key.clone()),
            SortTarget::Version => (kv.version, Bytes::new()),
            SortTarget::Create => (kv.create_revision, Bytes::new()),
            SortTarget::Mod => (kv.mod_revision, Bytes::new()),
            SortTarget::Value => (0, kv.value.clone()),
        };
        if request.sort_order() == SortOrder::Descend {
            kvs.sort_by_key(|kv| std::cmp::Reverse(sort_key(kv)));
        } else {
            kvs.sort_by_key(sort_key);
        }
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let more = !request.count_only && kvs.len() > limit;
        kvs.truncate(if request.count_only { 0 } else { limit });
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = key(""));
        }
        let header = Some(ResponseHeader { revision: self.revision, ..Default::default() });
        Ok(RangeResponse { header, kvs, more, count })
    }
}
