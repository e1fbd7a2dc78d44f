//! Validation of requests, before they become commands: what is wrong with a request by itself is said here, once, in the
//! order and with the texts that etcd uses. What depends on the state (a lease that does not exist, a compacted revision)
//! is said by apply.

use kernel::KvError;
use kernel::txn::{Op, RequestOp, TxnRequest};
use kernel::types::*;
use std::collections::BTreeSet;

/// Checks a range.
pub fn range(request: &RangeRequest) -> Result<(), KvError> {
    if request.key.is_empty() {
        return Err(KvError::empty_key());
    }
    let known =
        SortOrder::try_from(request.sort_order).is_ok() && SortTarget::try_from(request.sort_target).is_ok();
    if known { Ok(()) } else { Err(KvError::invalid_sort_option()) }
}

/// Checks a put.
pub fn put(request: &PutRequest) -> Result<(), KvError> {
    if request.key.is_empty() {
        return Err(KvError::empty_key());
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(KvError::value_provided());
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(KvError::lease_provided());
    }
    Ok(())
}

/// Checks a delete.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), KvError> {
    if request.key.is_empty() { Err(KvError::empty_key()) } else { Ok(()) }
}

/// Checks a transaction: each operation, the number of operations on each level, and that no branch writes a key twice.
pub fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), KvError> {
    operations(request, max_ops)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

fn operations(request: &TxnRequest, budget: usize) -> Result<(), KvError> {
    let most = request.compare.len().max(request.success.len()).max(request.failure.len());
    if most > budget {
        return Err(KvError::too_many_ops());
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(KvError::empty_key());
    }
    let branches = request.success.iter().chain(&request.failure);
    for operation in branches {
        match &operation.request {
            Some(Op::RequestRange(r)) => range(r)?,
            Some(Op::RequestPut(r)) => put(r)?,
            Some(Op::RequestDeleteRange(r)) => delete_range(r)?,
            Some(Op::RequestTxn(r)) => operations(r, budget - most.min(budget))?,
            None => return Err(KvError::key_not_found()),
        }
    }
    Ok(())
}

/// What one branch writes: keys put, and ranges deleted (end exclusive, `None` for one key, empty for "from here on").
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Vec<u8>>,
    deletes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The writes of a branch; an error when a key would be written twice, or put and deleted.
fn writes(branch: &[RequestOp]) -> Result<Writes, KvError> {
    let mut all = Writes::default();
    for operation in branch {
        if let Some(Op::RequestDeleteRange(r)) = &operation.request {
            all.deletes.push((r.key.to_vec(), r.range_end.to_vec()));
        }
    }
    // Only one branch of a nested transaction runs, so its branches may put the same key; each must agree with what is here.
    for operation in branch {
        if let Some(Op::RequestTxn(inner)) = &operation.request {
            let (mut then, otherwise) = (writes(&inner.success)?, writes(&inner.failure)?);
            disjoint(&all, &then)?;
            disjoint(&all, &otherwise)?;
            then.puts.extend(otherwise.puts);
            then.deletes.extend(otherwise.deletes);
            all.puts.extend(then.puts);
            all.deletes.extend(then.deletes);
        }
    }
    for operation in branch {
        if let Some(Op::RequestPut(r)) = &operation.request {
            let key = r.key.to_vec();
            if all.deletes.iter().any(|span| covers(span, &key)) || !all.puts.insert(key) {
                return Err(KvError::duplicate_key());
            }
        }
    }
    Ok(all)
}

fn disjoint(outer: &Writes, inner: &Writes) -> Result<(), KvError> {
    let twice =
        inner.puts.iter().any(|key| outer.puts.contains(key) || outer.deletes.iter().any(|d| covers(d, key)))
            || outer.puts.iter().any(|key| inner.deletes.iter().any(|d| covers(d, key)));
    if twice { Err(KvError::duplicate_key()) } else { Ok(()) }
}

fn covers((start, end): &(Vec<u8>, Vec<u8>), key: &[u8]) -> bool {
    match end.as_slice() {
        [] => key == start,
        [0] => key >= start.as_slice(),
        end => key >= start.as_slice() && key < end,
    }
}

/// Whether a transaction only reads: such a one is answered from the state, without the log.
pub fn is_read_only(request: &TxnRequest) -> bool {
    let mut branches = request.success.iter().chain(&request.failure);
    branches.all(|operation| matches!(operation.request, Some(Op::RequestRange(_))))
}

/// Whether every range of a read-only transaction may be stale.
pub fn is_serializable(request: &TxnRequest) -> bool {
    let mut branches = request.success.iter().chain(&request.failure);
    branches.all(|operation| matches!(&operation.request, Some(Op::RequestRange(r)) if r.serializable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn put_op(key: &'static str) -> RequestOp {
        let put = PutRequest { key: Bytes::from(key), value: Bytes::from("v"), ..Default::default() };
        RequestOp { request: Some(Op::RequestPut(put)) }
    }

    fn delete_op(key: &'static str, end: &'static str) -> RequestOp {
        let delete =
            DeleteRangeRequest { key: Bytes::from(key), range_end: Bytes::from(end), prev_kv: false };
        RequestOp { request: Some(Op::RequestDeleteRange(delete)) }
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        RequestOp { request: Some(Op::RequestTxn(TxnRequest { compare: vec![], success, failure })) }
    }

    fn branch(success: Vec<RequestOp>) -> TxnRequest {
        TxnRequest { compare: vec![], success, failure: vec![] }
    }

    #[test]
    fn one_key_is_written_once_in_a_branch() {
        let duplicate = Err(KvError::duplicate_key());
        assert_eq!(txn(&branch(vec![put_op("a"), put_op("b")]), 128), Ok(()));
        assert_eq!(txn(&branch(vec![put_op("a"), put_op("a")]), 128), duplicate);
        assert_eq!(txn(&branch(vec![put_op("b"), delete_op("a", "c")]), 128), duplicate);
        assert_eq!(txn(&branch(vec![put_op("c"), delete_op("a", "c")]), 128), Ok(()));
        assert_eq!(txn(&branch(vec![delete_op("a", "c"), delete_op("b", "d")]), 128), Ok(()));
        assert_eq!(txn(&branch(vec![put_op("a"), nested(vec![put_op("a")], vec![])]), 128), duplicate);
        assert_eq!(txn(&branch(vec![nested(vec![put_op("a")], vec![put_op("a")])]), 128), Ok(()));
        let both = TxnRequest { compare: vec![], success: vec![put_op("a")], failure: vec![put_op("a")] };
        assert_eq!(txn(&both, 128), Ok(()));
    }

    #[test]
    fn nested_transactions_share_the_budget() {
        let inner = nested(vec![put_op("b")], vec![]);
        assert_eq!(txn(&branch(vec![put_op("a"), inner.clone()]), 3), Ok(()));
        assert_eq!(txn(&branch(vec![put_op("a"), inner]), 2), Err(KvError::too_many_ops()));
    }

    #[test]
    fn a_put_may_not_both_keep_and_give() {
        let mut request = PutRequest { key: Bytes::from("a"), value: Bytes::from("v"), ..Default::default() };
        request.ignore_value = true;
        assert_eq!(put(&request), Err(KvError::value_provided()));
        request = PutRequest { key: Bytes::from("a"), lease: 1, ignore_lease: true, ..Default::default() };
        assert_eq!(put(&request), Err(KvError::lease_provided()));
        assert_eq!(put(&PutRequest::default()), Err(KvError::empty_key()));
    }
}
