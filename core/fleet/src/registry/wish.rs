//! What the api writes: the operator's wish.

use super::keys::{Key, part};
use super::{Registry, RegistryError, Written, load, values};
use crate::model::{Admission, DesiredState, MachineId};
use crate::unit::{UnitHash, UnitName};

/// How often a write that was overtaken is tried again.
const ATTEMPTS: usize = 8;

/// What became of a unit that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutJob {
    /// It is new.
    Created,
    /// It has another text than before.
    Replaced {
        /// The text before.
        previous: UnitHash,
    },
    /// It had this text already.
    Same,
}

impl Registry {
    /// Submits a unit, or replaces its text; with `desired` says what is wanted of it as well. `text` is the canonical
    /// text, `hash` its hash.
    pub async fn put_job(
        &self,
        unit: &UnitName,
        hash: UnitHash,
        text: &str,
        desired: Option<DesiredState>,
    ) -> Result<PutJob, RegistryError> {
        let object = Key::Object(unit.clone());
        for _ in 0..ATTEMPTS {
            let seen = self.get(&object).await?;
            let before = seen.as_ref().and_then(|kv| values::read_object(unit, &kv.value).ok());
            let txn = self.txn().if_unchanged(&object, seen.map_or(0, |kv| kv.mod_revision));
            // The text is written even if it is there: the engine may be about to drop it.
            let mut txn = txn.put(&Key::Text(hash), values::text(text));
            if let Some(desired) = desired {
                txn = txn.put(&Key::Desired(unit.clone()), values::plain(desired));
            }
            let done = match before {
                Some(before) if before == hash => PutJob::Same,
                Some(previous) => {
                    txn = txn.put(&Key::Previous(unit.clone()), values::plain(previous));
                    PutJob::Replaced { previous }
                }
                None => PutJob::Created,
            };
            if done != PutJob::Same {
                txn = txn.put(&object, values::object(unit, hash)).delete(&Key::Halt(unit.clone()));
            }
            if txn.commit().await? != Written::Moved {
                return Ok(done);
            }
        }
        Err(RegistryError::Busy(format!("unit {unit}")))
    }

    /// Says what is wanted of a unit; [`Written::Moved`] when there is no such unit.
    pub async fn set_desired(
        &self,
        unit: &UnitName,
        desired: DesiredState,
    ) -> Result<Written, RegistryError> {
        let txn = self.txn().if_present(&Key::Object(unit.clone()));
        txn.put(&Key::Desired(unit.clone()), values::plain(desired)).commit().await
    }

    /// Asks that a unit be started again; [`Written::Moved`] when there is no such unit.
    pub async fn bump_run(&self, unit: &UnitName) -> Result<Written, RegistryError> {
        let (object, key) = (Key::Object(unit.clone()), Key::Run(unit.clone()));
        for _ in 0..ATTEMPTS {
            if self.get(&object).await?.is_none() {
                return Ok(Written::Moved);
            }
            let seen = self.get(&key).await?;
            let number = seen.as_ref().and_then(|kv| values::read_number(&kv.value).ok()).unwrap_or(0);
            let txn = self.txn().if_present(&object).if_unchanged(&key, seen.map_or(0, |kv| kv.mod_revision));
            let written = txn.put(&key, values::plain(number + 1)).commit().await?;
            if written != Written::Moved {
                return Ok(written);
            }
        }
        Err(RegistryError::Busy(format!("the run of unit {unit}")))
    }

    /// Destroys a unit; the engine takes it off its machine. [`Written::Moved`] when there is no such unit.
    pub async fn delete_job(&self, unit: &UnitName) -> Result<Written, RegistryError> {
        let object = Key::Object(unit.clone());
        let all = [Key::Desired, Key::Run, Key::Previous, Key::Done, Key::Halt];
        let txn = self.txn().if_present(&object).delete(&object);
        all.into_iter().fold(txn, |txn, key| txn.delete(&key(unit.clone()))).commit().await
    }

    /// Returns a unit to the text before its last replacement; none when there is no such unit or no such text.
    pub async fn roll_back(&self, unit: &UnitName) -> Result<Option<UnitHash>, RegistryError> {
        let (object, previous) = (Key::Object(unit.clone()), Key::Previous(unit.clone()));
        for _ in 0..ATTEMPTS {
            let (Some(now), Some(before)) = (self.get(&object).await?, self.get(&previous).await?) else {
                return Ok(None);
            };
            let hash = values::read_object(unit, &now.value).map_err(|why| load::malformed(&now, why))?;
            let back = values::read_hash(&before.value).map_err(|why| load::malformed(&before, why))?;
            let txn = self.txn().if_unchanged(&object, now.mod_revision);
            let txn = txn.if_unchanged(&previous, before.mod_revision).if_present(&Key::Text(back));
            let txn = txn.put(&object, values::object(unit, back)).put(&previous, values::plain(hash));
            if txn.delete(&Key::Halt(unit.clone())).commit().await? != Written::Moved {
                return Ok(Some(back));
            }
        }
        Err(RegistryError::Busy(format!("unit {unit}")))
    }

    /// Sets a machine's dynamic metadata; an empty value hides the configured one, none takes the setting away.
    pub async fn put_metadata(
        &self,
        machine: &MachineId,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), RegistryError> {
        part(machine.as_str())?;
        let key = Key::Metadata(machine.clone(), part(name)?.to_owned());
        let txn = match value {
            Some(value) => self.txn().put(&key, value.to_owned().into()),
            None => self.txn().delete(&key),
        };
        txn.commit().await.map(drop)
    }

    /// Says whether new units may come to a machine.
    pub async fn set_admission(
        &self,
        machine: &MachineId,
        admission: Admission,
    ) -> Result<(), RegistryError> {
        part(machine.as_str())?;
        let key = Key::Admission(machine.clone());
        let txn = match admission {
            Admission::Open => self.txn().delete(&key),
            Admission::Cordon | Admission::Drain => self.txn().put(&key, values::admission(admission)),
        };
        txn.commit().await.map(drop)
    }

    /// Declares that a machine will not come back, which frees what it holds. [`Written::Moved`] when it is there.
    pub async fn set_gone(&self, machine: &MachineId) -> Result<Written, RegistryError> {
        part(machine.as_str())?;
        let txn = self.txn().if_absent(&Key::Presence(machine.clone()));
        txn.put(&Key::Gone(machine.clone()), "1".into()).commit().await
    }

    /// Asks the engine to rebalance, by `most` moves at most.
    pub async fn ask_rebalance(&self, most: u64) -> Result<(), RegistryError> {
        self.txn().put(&Key::Rebalance, values::plain(most)).commit().await.map(drop)
    }
}
