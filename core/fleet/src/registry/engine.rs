//! What the engine writes: guarded by its leadership, and by everything that its decision rests on.
//!
//! A [`Step`] is one indivisible decision. Steps of different units share a transaction as far as they fit ([`Steps`]); when one of
//! them has been overtaken, the whole transaction is not done, and each step is tried by itself.

use super::keys::Key;
use super::ops::{Txn, found};
use super::record::Halt;
use super::{Registry, RegistryError, Written, values};
use crate::model::{MachineId, Order};
use crate::unit::{UnitHash, UnitName};
use kernel::Bug;

/// The proof of leadership: the revision at which the leader's key was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub i64);

/// One decision, with the revisions it rests on. A revision of 0 says that the key does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields say what they are by their names; revisions are those of the key named.
pub enum Step {
    /// Puts a non-global unit on a machine: nobody has it, nobody reports it, the machine is there.
    Assign { unit: UnitName, machine: MachineId, order: Order },
    /// Puts a copy of a global unit on a machine that is there.
    AssignCopy { unit: UnitName, machine: MachineId, order: Order },
    /// Changes an order.
    SetOrder { unit: UnitName, machine: MachineId, order: Order, order_revision: i64 },
    /// Takes an order away; the target stays until the machine has let go.
    Unassign { unit: UnitName, machine: MachineId, order_revision: i64 },
    /// Takes an order away that nobody has claimed, from a machine whose fleetd was stopped.
    TakeBack { unit: UnitName, machine: MachineId, order_revision: i64 },
    /// Frees a unit that no machine reports: takes target and order away. With `lost`, only if the machine is away.
    Free { unit: UnitName, machine: MachineId, target_revision: i64, lost: bool },
    /// Takes the target of a global unit away, which needs none.
    DropTarget { unit: UnitName, target_revision: i64 },
    /// Stops a replacement; with `back_to`, that text is what shall run again.
    Halt { unit: UnitName, object_revision: i64, halt: Halt, back_to: Option<UnitHash> },
    /// Deletes the record that a oneshot has run, of a unit that is destroyed.
    DropDone { unit: UnitName },
    /// Deletes a text that nothing names, unless it was written again.
    DropText { hash: UnitHash, revision: i64 },
    /// A machine that was declared gone is back.
    DropGone { machine: MachineId },
    /// A request to rebalance has been carried out.
    DropRebalance { revision: i64 },
}

impl Step {
    /// The unit that it is about; none for upkeep that no decision about a unit waits for.
    pub fn unit(&self) -> Option<&UnitName> {
        match self {
            Step::Assign { unit, .. }
            | Step::AssignCopy { unit, .. }
            | Step::SetOrder { unit, .. }
            | Step::Unassign { unit, .. }
            | Step::TakeBack { unit, .. }
            | Step::Free { unit, .. }
            | Step::DropTarget { unit, .. }
            | Step::Halt { unit, .. }
            | Step::DropDone { unit } => Some(unit),
            Step::DropText { .. } | Step::DropGone { .. } | Step::DropRebalance { .. } => None,
        }
    }
}

/// How a batch of steps went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// All done, at this revision.
    Done(i64),
    /// None done: one of them rests on something that has changed.
    Moved,
    /// None done: another engine leads, or none.
    Deposed,
}

/// Most compares of one step, the leader's aside.
const STEP_COMPARES: usize = 4;
/// Most operations of one step.
const STEP_OPS: usize = 4;

/// Most steps of one transaction.
pub const STEPS_MOST: usize = (super::ops::OPS_MOST - 1) / STEP_COMPARES;

impl Registry {
    /// Carries out up to [`STEPS_MOST`] steps, of different units, as one transaction.
    pub async fn decide(&self, fence: Fence, steps: &[Step]) -> Result<Steps, RegistryError> {
        assert!(steps.len() <= STEPS_MOST, "{} steps are more than {STEPS_MOST}", steps.len());
        let mut txn = self.txn().if_created(&Key::Leader, fence.0).else_get(&Key::Leader);
        for step in steps {
            assert!(txn.has_room(STEP_COMPARES, STEP_OPS), "{STEPS_MOST} steps fit");
            txn = self.add(txn, step);
        }
        let answer = txn.run().await?;
        if answer.succeeded {
            return Ok(Steps::Done(answer.header.unwrap_or_default().revision));
        }
        let leader = found(answer).flatten().next();
        let leads = leader.is_some_and(|kv| kv.create_revision == fence.0);
        Ok(if leads { Steps::Moved } else { Steps::Deposed })
    }

    fn add<'a>(&'a self, txn: Txn<'a>, step: &Step) -> Txn<'a> {
        match step {
            Step::Assign { unit, machine, order } => {
                let target = Key::Target(unit.clone());
                let txn = self.unreported(txn.if_absent(&target), unit);
                txn.if_present(&Key::Presence(machine.clone()))
                    .if_present(&Key::Object(unit.clone()))
                    .put(&target, values::plain(machine))
                    .put(&Key::Order(machine.clone(), unit.clone()), values::json(order))
            }
            Step::AssignCopy { unit, machine, order } => {
                let key = Key::Order(machine.clone(), unit.clone());
                txn.if_absent(&key)
                    .if_present(&Key::Presence(machine.clone()))
                    .if_present(&Key::Object(unit.clone()))
                    .put(&key, values::json(order))
            }
            Step::SetOrder { unit, machine, order, order_revision } => {
                let key = Key::Order(machine.clone(), unit.clone());
                txn.if_unchanged(&key, *order_revision).put(&key, values::json(order))
            }
            Step::Unassign { unit, machine, order_revision } => {
                let key = Key::Order(machine.clone(), unit.clone());
                txn.if_unchanged(&key, *order_revision).delete(&key)
            }
            Step::TakeBack { unit, machine, order_revision } => {
                let key = Key::Order(machine.clone(), unit.clone());
                self.unreported(txn.if_unchanged(&key, *order_revision), unit).delete(&key)
            }
            Step::Free { unit, machine, target_revision, lost } => {
                let target = Key::Target(unit.clone());
                let txn = if *lost { txn.if_absent(&Key::Presence(machine.clone())) } else { txn };
                let order = Key::Order(machine.clone(), unit.clone());
                // A machine that is there may have claimed the order; one that is away may not.
                let txn = if *lost { txn.delete(&order) } else { txn.if_absent(&order) };
                self.unreported(txn.if_unchanged(&target, *target_revision), unit).delete(&target)
            }
            _ => self.add_upkeep(txn, step),
        }
    }

    /// Only if no machine has a copy, as far as machines say.
    fn unreported<'a>(&'a self, txn: Txn<'a>, unit: &UnitName) -> Txn<'a> {
        if self.planted.is(Bug::FreeBeforeRelease) { txn } else { txn.if_none_of(self.keys.reports(unit)) }
    }

    fn add_upkeep<'a>(&'a self, txn: Txn<'a>, step: &Step) -> Txn<'a> {
        match step {
            Step::DropTarget { unit, target_revision } => {
                let target = Key::Target(unit.clone());
                txn.if_unchanged(&target, *target_revision).delete(&target)
            }
            Step::Halt { unit, object_revision, halt, back_to } => {
                let object = Key::Object(unit.clone());
                let txn = txn.if_unchanged(&object, *object_revision);
                let txn = txn.put(&Key::Halt(unit.clone()), values::json(halt));
                let Some(hash) = back_to else { return txn };
                let txn = txn.put(&object, values::object(unit, *hash));
                txn.put(&Key::Previous(unit.clone()), values::plain(halt.hash))
            }
            Step::DropDone { unit } => {
                txn.if_absent(&Key::Object(unit.clone())).delete(&Key::Done(unit.clone()))
            }
            Step::DropText { hash, revision } => {
                let text = Key::Text(*hash);
                txn.if_unchanged(&text, *revision).delete(&text)
            }
            Step::DropGone { machine } => {
                let presence = Key::Presence(machine.clone());
                txn.if_present(&presence).delete(&Key::Gone(machine.clone()))
            }
            Step::DropRebalance { revision } => {
                txn.if_unchanged(&Key::Rebalance, *revision).delete(&Key::Rebalance)
            }
            _ => unreachable!("the steps about places are in add"),
        }
    }

    /// Ends the leadership by hand, so that another engine need not wait for the lease.
    pub async fn resign(&self, fence: Fence) -> Result<Written, RegistryError> {
        self.txn().if_created(&Key::Leader, fence.0).delete(&Key::Leader).commit().await
    }
}
