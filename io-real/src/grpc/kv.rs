//! `etcdserverpb.KV`: keys and transactions.

use super::stubs::Kv;
use super::{Answers, Edge, answer, not_offered};
use tonic::{Request, Response, Status};
use wire::*;

#[tonic::async_trait]
impl Kv for Edge {
    type RangeStreamStream = Answers<RangeStreamResponse>;

    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        answer(self.served.range(self.admit(request)?).await)
    }

    /// Clients fall back to plain ranges when a server does not have this one.
    async fn range_stream(
        &self,
        _: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(not_offered("a streamed range"))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        answer(self.served.put(self.admit(request)?).await)
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        answer(self.served.delete_range(self.admit(request)?).await)
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        answer(self.served.txn(self.admit(request)?).await)
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        answer(self.served.compact(self.admit(request)?).await)
    }
}
