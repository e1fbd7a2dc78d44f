//! Conditions of a transaction, all judged on the state before it: at one moment.

use crate::Error;
use crate::fetch::Spot;
use crate::index::{Seen, Span};
use crate::moment::{Moment, Wish};
use crate::state::State;
use kernel::txn::{Compare, CompareResult, CompareTarget, Op, RequestOp, TargetUnion, TxnRequest};
use kernel::types::KeyValue;
use std::cmp::Ordering;

/// The branches that a transaction and those inside its chosen branch take, in the order in which they are met.
pub(crate) fn choose(moment: &Moment<'_>, txn: &TxnRequest) -> Result<Vec<bool>, Error> {
    let mut path = Vec::new();
    choose_into(moment, txn, &mut path)?;
    Ok(path)
}

fn choose_into(moment: &Moment<'_>, txn: &TxnRequest, path: &mut Vec<bool>) -> Result<(), Error> {
    let mut succeeded = true;
    for condition in &txn.compare {
        if !holds(moment, condition)? {
            succeeded = false;
            break;
        }
    }
    path.push(succeeded);
    for op in branch(txn, succeeded) {
        if let Some(Op::RequestTxn(inner)) = &op.request {
            choose_into(moment, inner, path)?;
        }
    }
    Ok(())
}

/// The operations of one branch.
pub(crate) fn branch(txn: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &txn.success } else { &txn.failure }
}

/// Whether every key of the condition's range satisfies it. Where there is no key, one that is all zero is judged, except
/// that no value is ever equal, greater or less than one that is not there.
fn holds(moment: &Moment<'_>, condition: &Compare) -> Result<bool, Error> {
    let by_value = condition.target == CompareTarget::Value as i32;
    let pick = |state: &State, key: &[u8], seen: Seen| {
        Some(match seen.newest {
            Some(newest) if !by_value => Spot::Known(state.known(key, newest)),
            _ => state.spot(seen.at),
        })
    };
    let span = Span::new(&condition.key, &condition.range_end);
    let (_, kvs) = moment.collect(&Wish { span, at: moment.revision, enough: usize::MAX, pick })?;
    if kvs.is_empty() {
        return Ok(!by_value && satisfies(condition, &KeyValue::default()));
    }
    Ok(kvs.iter().all(|kv| satisfies(condition, kv)))
}

/// A side that was left out counts as zero, and a relation or target that does not exist as satisfied and equal: as etcd does.
fn satisfies(condition: &Compare, kv: &KeyValue) -> bool {
    let number = |ours: i64, pick: fn(&TargetUnion) -> Option<i64>| {
        ours.cmp(&condition.target_union.as_ref().and_then(pick).unwrap_or(0))
    };
    let ordering = match CompareTarget::try_from(condition.target) {
        Ok(CompareTarget::Version) => number(kv.version, |side| match side {
            TargetUnion::Version(n) => Some(*n),
            _ => None,
        }),
        Ok(CompareTarget::Create) => number(kv.create_revision, |side| match side {
            TargetUnion::CreateRevision(n) => Some(*n),
            _ => None,
        }),
        Ok(CompareTarget::Mod) => number(kv.mod_revision, |side| match side {
            TargetUnion::ModRevision(n) => Some(*n),
            _ => None,
        }),
        Ok(CompareTarget::Lease) => number(kv.lease, |side| match side {
            TargetUnion::Lease(n) => Some(*n),
            _ => None,
        }),
        Ok(CompareTarget::Value) => match &condition.target_union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value[..].cmp(&[]),
        },
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(condition.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}
