//! What an agent writes: its machine's presence, claims, reports and releases, all under the machine's lease.

use super::keys::Key;
use super::ops::{OPS_MOST, found};
use super::record::{Done, Presence};
use super::{Registry, RegistryError, Written, load, values};
use crate::model::{MachineId, Report};
use crate::unit::UnitName;
use kernel::txn::TxnResponse;

/// How an announcement went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The machine is there, as of this revision.
    Done(i64),
    /// Somebody is there already: this machine's fleetd before it was started anew if the token is its own (adopt the
    /// lease), another machine with this id, or this machine before its reboot (wait for the lease to end).
    Taken {
        /// What that one says of itself.
        presence: Box<Presence>,
        /// Its lease.
        lease: i64,
    },
}

/// The wish to carry out an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The unit.
    pub unit: UnitName,
    /// The revision of the order that was seen.
    pub order_revision: i64,
    /// What is known of the unit so far.
    pub report: Report,
}

/// How a release went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The unit is no longer this machine's.
    Done,
    /// There is an order for it (again): it is to stay.
    Ordered,
}

impl Registry {
    /// Says that the machine is there, and in the same breath (so that the engine cannot place them elsewhere in between) what
    /// is installed on it already: units of a life before whose reports have ended with the lease of that life.
    ///
    /// More than a transaction's worth of reports are written before the presence, in transactions of their own.
    pub async fn announce(
        &self,
        presence: &Presence,
        lease: i64,
        installed: &[(UnitName, Report)],
    ) -> Result<Announced, RegistryError> {
        let id = &presence.id;
        let key = Key::Presence(id.clone());
        let (early, last) = installed.split_at(installed.len().saturating_sub(OPS_MOST - 1));
        for chunk in early.chunks(OPS_MOST) {
            let txn = self.txn().if_absent(&key);
            let txn = chunk.iter().fold(txn, |txn, (unit, report)| {
                txn.put_leased(&Key::Report(unit.clone(), id.clone()), values::json(report), lease)
            });
            let answer = txn.else_get(&key).run().await?;
            if !answer.succeeded {
                return taken(answer);
            }
        }
        let txn = self.txn().if_absent(&key).put_leased(&key, values::json(presence), lease);
        let txn = last.iter().fold(txn, |txn, (unit, report)| {
            txn.put_leased(&Key::Report(unit.clone(), id.clone()), values::json(report), lease)
        });
        let answer = txn.else_get(&key).run().await?;
        if answer.succeeded {
            return Ok(Announced::Done(answer.header.unwrap_or_default().revision));
        }
        taken(answer)
    }

    /// Moves the presence to another lease, or says something new of the machine, if it is still there under `token`'s words.
    pub async fn renew_presence(&self, presence: &Presence, lease: i64) -> Result<Written, RegistryError> {
        let key = Key::Presence(presence.id.clone());
        let Some(kv) = self.get(&key).await? else { return Ok(Written::Moved) };
        let seen = values::read_presence(&presence.id, &kv.value).map_err(|why| load::malformed(&kv, why))?;
        if seen.instance != presence.instance {
            return Ok(Written::Moved);
        }
        let txn = self.txn().if_unchanged(&key, kv.mod_revision);
        txn.put_leased(&key, values::json(presence), lease).commit().await
    }

    /// Takes the machine away, so that nothing new comes; its reports stay until they are released or the lease ends.
    pub async fn withdraw(&self, machine: &MachineId) -> Result<(), RegistryError> {
        self.txn().delete(&Key::Presence(machine.clone())).commit().await.map(drop)
    }

    /// Claims units: only then may they be touched. Returns those whose order was still as seen.
    pub async fn claim(
        &self,
        machine: &MachineId,
        lease: i64,
        claims: &[Claim],
    ) -> Result<Vec<UnitName>, RegistryError> {
        let mut claimed = Vec::new();
        for chunk in claims.chunks(OPS_MOST) {
            if self.claim_all(machine, lease, chunk).await? {
                claimed.extend(chunk.iter().map(|claim| claim.unit.clone()));
                continue;
            }
            // One of them has moved: each by itself.
            for claim in chunk {
                if self.claim_all(machine, lease, std::slice::from_ref(claim)).await? {
                    claimed.push(claim.unit.clone());
                }
            }
        }
        assert!(claimed.len() <= claims.len(), "nothing is claimed that was not asked for");
        Ok(claimed)
    }

    async fn claim_all(
        &self,
        machine: &MachineId,
        lease: i64,
        claims: &[Claim],
    ) -> Result<bool, RegistryError> {
        let txn = claims.iter().fold(self.txn(), |txn, claim| {
            let order = Key::Order(machine.clone(), claim.unit.clone());
            let report = Key::Report(claim.unit.clone(), machine.clone());
            txn.if_unchanged(&order, claim.order_revision).put_leased(
                &report,
                values::json(&claim.report),
                lease,
            )
        });
        Ok(txn.commit().await? != Written::Moved)
    }

    /// Says what is so. Only for units that are claimed: a report that is not there any more is not made again (the
    /// engine may have placed the unit elsewhere since). Returns the units whose claim is lost.
    pub async fn report(
        &self,
        machine: &MachineId,
        lease: i64,
        reports: &[(UnitName, Report)],
    ) -> Result<Vec<UnitName>, RegistryError> {
        let mut lost = Vec::new();
        for chunk in reports.chunks(OPS_MOST) {
            if self.report_all(machine, lease, chunk).await? {
                continue;
            }
            for one in chunk {
                if !self.report_all(machine, lease, std::slice::from_ref(one)).await? {
                    lost.push(one.0.clone());
                }
            }
        }
        Ok(lost)
    }

    async fn report_all(
        &self,
        machine: &MachineId,
        lease: i64,
        reports: &[(UnitName, Report)],
    ) -> Result<bool, RegistryError> {
        let txn = reports.iter().fold(self.txn(), |txn, (unit, report)| {
            let key = Key::Report(unit.clone(), machine.clone());
            txn.if_present(&key).put_leased(&key, values::json(report), lease)
        });
        Ok(txn.commit().await? != Written::Moved)
    }

    /// Gives up a unit that is at rest and uninstalled: deletes its report and, as nobody else may while the report
    /// exists, the engine's target if it is this machine. In one transaction, so that a target without a report always means
    /// a machine that was lost and never one that let go.
    ///
    /// With `going_down` the order goes as well: the machine carries out nothing any more.
    pub async fn release(
        &self,
        machine: &MachineId,
        unit: &UnitName,
        going_down: bool,
    ) -> Result<Released, RegistryError> {
        let order = Key::Order(machine.clone(), unit.clone());
        let report = Key::Report(unit.clone(), machine.clone());
        let target = Key::Target(unit.clone());
        let begin = || {
            let txn = self.txn().delete(&report);
            if going_down { txn.delete(&order) } else { txn.if_absent(&order) }
        };
        let mine = begin().if_value(&target, values::plain(machine)).delete(&target).commit().await?;
        if mine != Written::Moved {
            return Ok(Released::Done);
        }
        // Not the target (a global unit, or it was freed already) or ordered again. It can become the target only with an order.
        let other = begin().commit().await?;
        Ok(if other == Written::Moved { Released::Ordered } else { Released::Done })
    }

    /// Says that a oneshot has run to its end.
    pub async fn put_done(&self, unit: &UnitName, done: &Done) -> Result<Written, RegistryError> {
        let txn = self.txn().if_present(&Key::Object(unit.clone()));
        txn.put(&Key::Done(unit.clone()), values::json(done)).commit().await
    }
}

fn taken(answer: TxnResponse) -> Result<Announced, RegistryError> {
    let Some(kv) = found(answer).flatten().next() else {
        return Err(RegistryError::Busy("the machine's presence".to_owned()));
    };
    match values::read_json(&kv.value) {
        Ok(presence) => Ok(Announced::Taken { presence: Box::new(presence), lease: kv.lease }),
        Err(why) => Err(load::malformed(&kv, why)),
    }
}
