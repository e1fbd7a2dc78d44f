//! Transactions, in few words: compares and operations over typed keys.

use super::keys::Key;
use super::{Registry, RegistryError, Written};
use bytes::Bytes;
use kernel::txn::*;
use kernel::types::{DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse};

/// Most compares, and most operations, of one transaction: etcd's default limit.
pub(super) const OPS_MOST: usize = 128;

/// A transaction being put together.
pub(super) struct Txn<'a> {
    registry: &'a Registry,
    request: TxnRequest,
}

impl Registry {
    pub(super) fn txn(&self) -> Txn<'_> {
        Txn { registry: self, request: TxnRequest::default() }
    }

    /// One key, if it is there.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<KeyValue>, RegistryError> {
        let request = RangeRequest { key: self.keys.text(key), ..Default::default() };
        Ok(self.kv.range(request).await?.kvs.pop())
    }
}

impl Txn<'_> {
    fn compare(mut self, key: Bytes, range_end: Bytes, result: CompareResult, union: TargetUnion) -> Self {
        let target = match union {
            TargetUnion::Version(_) => CompareTarget::Version,
            TargetUnion::CreateRevision(_) => CompareTarget::Create,
            TargetUnion::ModRevision(_) => CompareTarget::Mod,
            TargetUnion::Value(_) => CompareTarget::Value,
            TargetUnion::Lease(_) => CompareTarget::Lease,
        };
        let (result, target) = (result as i32, target as i32);
        self.request.compare.push(Compare { result, target, key, target_union: Some(union), range_end });
        self
    }

    /// If the key does not exist.
    pub(super) fn if_absent(self, key: &Key) -> Self {
        self.if_created(key, 0)
    }

    /// If the key exists.
    pub(super) fn if_present(self, key: &Key) -> Self {
        let key = self.registry.keys.text(key);
        self.compare(key, Bytes::new(), CompareResult::NotEqual, TargetUnion::CreateRevision(0))
    }

    /// If the key was created at this revision (0: does not exist).
    pub(super) fn if_created(self, key: &Key, revision: i64) -> Self {
        let key = self.registry.keys.text(key);
        self.compare(key, Bytes::new(), CompareResult::Equal, TargetUnion::CreateRevision(revision))
    }

    /// If the key was last changed at this revision (0: does not exist).
    pub(super) fn if_unchanged(self, key: &Key, revision: i64) -> Self {
        let key = self.registry.keys.text(key);
        self.compare(key, Bytes::new(), CompareResult::Equal, TargetUnion::ModRevision(revision))
    }

    /// If the key has this value.
    pub(super) fn if_value(self, key: &Key, value: Bytes) -> Self {
        let key = self.registry.keys.text(key);
        self.compare(key, Bytes::new(), CompareResult::Equal, TargetUnion::Value(value))
    }

    /// If no key of the range exists.
    pub(super) fn if_none_of(self, (first, end): (Bytes, Bytes)) -> Self {
        self.compare(first, end, CompareResult::Equal, TargetUnion::CreateRevision(0))
    }

    /// Then write this.
    pub(super) fn put(self, key: &Key, value: Bytes) -> Self {
        self.put_leased(key, value, 0)
    }

    /// Then write this, under a lease.
    pub(super) fn put_leased(self, key: &Key, value: Bytes, lease: i64) -> Self {
        let key = self.registry.keys.text(key);
        self.then(Op::RequestPut(PutRequest { key, value, lease, ..Default::default() }))
    }

    /// Then delete this.
    pub(super) fn delete(self, key: &Key) -> Self {
        let key = self.registry.keys.text(key);
        self.then(Op::RequestDeleteRange(DeleteRangeRequest { key, ..Default::default() }))
    }

    /// Then read this.
    pub(super) fn get(self, key: &Key) -> Self {
        let key = self.registry.keys.text(key);
        self.then(Op::RequestRange(RangeRequest { key, ..Default::default() }))
    }

    /// Otherwise read this.
    pub(super) fn else_get(mut self, key: &Key) -> Self {
        let key = self.registry.keys.text(key);
        let range = Op::RequestRange(RangeRequest { key, ..Default::default() });
        self.request.failure.push(RequestOp { request: Some(range) });
        self
    }

    fn then(mut self, op: Op) -> Self {
        self.request.success.push(RequestOp { request: Some(op) });
        self
    }

    /// Whether `compares` and `ops` more still fit.
    pub(super) fn has_room(&self, compares: usize, ops: usize) -> bool {
        self.request.compare.len() + compares <= OPS_MOST && self.request.success.len() + ops <= OPS_MOST
    }

    pub(super) async fn commit(self) -> Result<Written, RegistryError> {
        let answer = self.run().await?;
        let header = answer.header.unwrap_or_default();
        Ok(if answer.succeeded { Written::Done(header.revision) } else { Written::Moved })
    }

    pub(super) async fn run(self) -> Result<TxnResponse, RegistryError> {
        let TxnRequest { compare, success, failure } = &self.request;
        let counts = [compare.len(), success.len(), failure.len()];
        assert!(counts.iter().all(|count| *count <= OPS_MOST), "{counts:?} is more than a transaction takes");
        Ok(self.registry.kv.txn(self.request).await?)
    }
}

/// The keys that the ranges of an answer found, in their order.
pub(super) fn found(answer: TxnResponse) -> impl Iterator<Item = Option<KeyValue>> {
    let range = |response: ResponseOp| match response.response {
        Some(OpResponse::ResponseRange(RangeResponse { mut kvs, .. })) => Some(kvs.pop()),
        _ => None,
    };
    answer.responses.into_iter().filter_map(range)
}
