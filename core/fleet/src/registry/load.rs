//! Reading: everything at one revision, or the little that one reader needs.

use super::change::{Change, Event};
use super::keys::Key;
use super::ops::OPS_MOST;
use super::record::{MachineRecord, Seen, Snapshot};
use super::{Registry, RegistryError, ops, values};
use crate::model::{MachineId, Order, Report};
use crate::unit::{UnitHash, UnitName};
use bytes::{BufMut, Bytes, BytesMut};
use kernel::types::{KeyValue, RangeRequest};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of one page.
pub(super) const PAGE_KEYS: i64 = 1_000;

impl Registry {
    /// Everything, at one revision.
    pub async fn load(&self) -> Result<Snapshot, RegistryError> {
        let mut snapshot = Snapshot::default();
        let revision = self
            .each(self.keys.all(), |kv| {
                Change::put(&self.keys, &kv).for_each(|change| snapshot.apply(change));
            })
            .await?;
        snapshot.revision = revision;
        Ok(snapshot)
    }

    /// Calls `take` with every key of a range as of one revision, page by page; returns the revision.
    pub(super) async fn each(
        &self,
        (first, end): (Bytes, Bytes),
        mut take: impl FnMut(KeyValue),
    ) -> Result<i64, RegistryError> {
        let mut request = RangeRequest { key: first, range_end: end, limit: PAGE_KEYS, ..Default::default() };
        loop {
            let page = self.kv.range(request.clone()).await?;
            if request.revision == 0 {
                request.revision = page.header.unwrap_or_default().revision;
            }
            let Some(last) = page.kvs.last().filter(|_| page.more) else {
                page.kvs.into_iter().for_each(take);
                return Ok(request.revision);
            };
            request.key = after(&last.key);
            page.kvs.into_iter().for_each(&mut take);
        }
    }

    /// What one machine is told, and as of which revision. None: there is an order, and it cannot be read.
    pub async fn machine_orders(
        &self,
        machine: &MachineId,
    ) -> Result<(i64, BTreeMap<UnitName, Option<Seen<Order>>>), RegistryError> {
        let mut orders = BTreeMap::new();
        let revision = self
            .each(self.keys.orders(machine), |kv| {
                for Change { revision, event } in Change::put(&self.keys, &kv) {
                    if let Event::Order { unit, order, .. } = event {
                        orders.insert(unit, order.map(|value| Seen { value, revision }));
                    }
                }
            })
            .await?;
        Ok((revision, orders))
    }

    /// What is written about one machine, and as of which revision.
    pub async fn machine(&self, machine: &MachineId) -> Result<(i64, MachineRecord), RegistryError> {
        let mut snapshot = Snapshot::default();
        let take = |kv: KeyValue| Change::put(&self.keys, &kv).for_each(|change| snapshot.apply(change));
        let revision = self.each(self.keys.machine(machine), take).await?;
        Ok((revision, snapshot.machines.remove(machine).unwrap_or_default()))
    }

    /// The texts of these hashes; those that are not there are left out.
    pub async fn texts(
        &self,
        hashes: &BTreeSet<UnitHash>,
    ) -> Result<BTreeMap<UnitHash, String>, RegistryError> {
        let hashes: Vec<UnitHash> = hashes.iter().copied().collect();
        let found = self.get_all(&hashes, |hash| Key::Text(*hash)).await?;
        let read = |(hash, kv): (UnitHash, KeyValue)| match values::read_text(&kv.value) {
            Ok(text) => Ok((hash, text)),
            Err(why) => Err(malformed(&kv, why)),
        };
        found.into_iter().map(read).collect()
    }

    /// What `machine` says about these units; those it says nothing of are left out.
    pub async fn machine_reports(
        &self,
        machine: &MachineId,
        units: &[UnitName],
    ) -> Result<BTreeMap<UnitName, Seen<Report>>, RegistryError> {
        let found = self.get_all(units, |unit| Key::Report(unit.clone(), machine.clone())).await?;
        let read = |(unit, kv): (UnitName, KeyValue)| match values::read_json(&kv.value) {
            Ok(value) => Ok((unit, Seen { value, revision: kv.mod_revision })),
            Err(why) => Err(malformed(&kv, why)),
        };
        found.into_iter().map(read).collect()
    }

    /// The keys of some things, many to a transaction.
    pub(super) async fn get_all<T: Clone>(
        &self,
        things: &[T],
        key: impl Fn(&T) -> Key,
    ) -> Result<Vec<(T, KeyValue)>, RegistryError> {
        let mut all = Vec::new();
        for chunk in things.chunks(OPS_MOST) {
            let txn = chunk.iter().fold(self.txn(), |txn, thing| txn.get(&key(thing)));
            let answer = txn.run().await?;
            let pairs = chunk.iter().cloned().zip(ops::found(answer));
            all.extend(pairs.filter_map(|(thing, kv)| Some((thing, kv?))));
        }
        Ok(all)
    }
}

pub(super) fn after(key: &Bytes) -> Bytes {
    let mut next = BytesMut::from(key.as_ref());
    next.put_u8(0);
    next.freeze()
}

pub(super) fn malformed(kv: &KeyValue, why: String) -> RegistryError {
    RegistryError::Malformed { key: String::from_utf8_lossy(&kv.key).into_owned(), why }
}
