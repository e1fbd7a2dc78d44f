//! Leases, and the election that hangs on one.

use super::keys::Key;
use super::{Registry, RegistryError, Written, values};
use crate::model::MachineId;
use crate::unit::UnitName;
use kernel::lease::*;

/// What a renewal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    /// The lease runs for so many seconds from the moment the store took the renewal.
    For(i64),
    /// The lease has ended, and its keys with it.
    Ended,
}

impl Registry {
    /// A new lease of at least `seconds`; the store may make it longer. Returns its id, and its seconds.
    pub async fn grant(&self, seconds: i64) -> Result<(i64, i64), RegistryError> {
        let granted = self.kv.lease_grant(LeaseGrantRequest { ttl: seconds, id: 0 }).await?;
        assert!(granted.id != 0, "a granted lease has an id");
        Ok((granted.id, granted.ttl))
    }

    /// Renews a lease. Costs the store no write.
    pub async fn keep_alive(&self, lease: i64) -> Result<Alive, RegistryError> {
        let renewed = self.kv.lease_keep_alive(LeaseKeepAliveRequest { id: lease }).await?;
        Ok(if renewed.ttl > 0 { Alive::For(renewed.ttl) } else { Alive::Ended })
    }

    /// The seconds for which a lease was granted, and the units whose reports by `machine` are under it. Zero seconds: there
    /// is no such lease.
    pub async fn held(&self, machine: &MachineId, lease: i64) -> Result<(i64, Vec<UnitName>), RegistryError> {
        let request = LeaseTimeToLiveRequest { id: lease, keys: true };
        let answer = match self.kv.lease_time_to_live(request).await {
            Err(error) if error == kernel::KvError::lease_not_found() => return Ok((0, Vec::new())),
            answer => answer?,
        };
        let units = answer.keys.iter().filter_map(|key| match self.keys.parse(key) {
            Ok(Key::Report(unit, by)) if by == *machine => Some(unit),
            _ => None,
        });
        Ok((answer.granted_ttl, units.collect()))
    }

    /// Ends a lease and deletes its keys. Fine when it has ended already.
    pub async fn revoke(&self, lease: i64) -> Result<(), RegistryError> {
        match self.kv.lease_revoke(LeaseRevokeRequest { id: lease }).await {
            Err(error) if error != kernel::KvError::lease_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes `machine`'s engine the leader under `lease`, unless there is one. The revision in [`Written::Done`] is the
    /// leader's fence.
    pub async fn lead(&self, machine: &MachineId, lease: i64) -> Result<Written, RegistryError> {
        let txn = self.txn().if_absent(&Key::Leader);
        let txn = txn.put_leased(&Key::Leader, values::leader(machine), lease);
        txn.put(&Key::Version, values::plain(values::ENGINE_VERSION)).commit().await
    }

    /// Who leads, and as of which revision of the store.
    pub async fn leader(&self) -> Result<(i64, Option<super::Leader>), RegistryError> {
        let key = self.keys.text(&Key::Leader);
        let request = kernel::types::RangeRequest { key, ..Default::default() };
        let answer = self.kv.range(request).await?;
        let revision = answer.header.unwrap_or_default().revision;
        let mut snapshot = super::Snapshot::default();
        for kv in &answer.kvs {
            super::Change::put(&self.keys, kv).for_each(|change| snapshot.apply(change));
        }
        Ok((revision, snapshot.leader))
    }
}
