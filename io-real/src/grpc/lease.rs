//! `etcdserverpb.Lease`: grants, revokes, and the stream of renewals.

use super::status::from_error;
use super::stubs::lease_server::Lease;
use super::{Answers, Edge, answer};
use crate::served::Served;
use crate::stopping::Stopping;
use futures_util::stream;
use kernel::KvError;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use wire::*;

#[tonic::async_trait]
impl Lease for Edge {
    type LeaseKeepAliveStream = Answers<LeaseKeepAliveResponse>;

    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        answer(self.served.lease_grant(self.admit(request)?).await)
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        answer(self.served.lease_revoke(self.admit(request)?).await)
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let requests = self.admit(request)?;
        let session = Session { requests, served: self.served.clone(), stopping: self.stopping.clone() };
        let answers = stream::unfold(Some(session), |session| async move {
            let mut session = session?;
            match session.step().await {
                Ok(Some(response)) => Some((Ok(response), Some(session))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        answer(self.served.lease_time_to_live(self.admit(request)?).await)
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        answer(self.served.lease_leases(self.admit(request)?).await)
    }
}

/// One open stream of renewals: one renewal after the other, each answered before the next is taken.
struct Session {
    requests: Streaming<LeaseKeepAliveRequest>,
    served: Arc<dyn Served>,
    stopping: Stopping,
}

impl Session {
    async fn step(&mut self) -> Result<Option<LeaseKeepAliveResponse>, Status> {
        let request = tokio::select! {
            request = self.requests.message() => request?,
            () = self.stopping.wait() => return Err(from_error(KvError::stopped())),
        };
        match request {
            Some(request) => self.served.lease_keep_alive(request).await.map(Some).map_err(from_error),
            None => Ok(None),
        }
    }
}
